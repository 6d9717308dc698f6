//! What is left of a history: the books of the outside, and what the store says of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    sync::Arc,
};

use claw_domain::{Ending, Entry, Event, EventBody, Seq, Session, SessionKey};
use claw_store::{InboxRow, InboxState, OutboxRow, Store, Totals, fold_session};

use super::{
    client,
    history::external_id,
    platform::{Again, Books},
    story::{Act, Story},
    world::World,
};

const WELL: &str = "the store below the faults is well";

#[derive(Debug, Clone)]
pub(crate) struct Book {
    pub(crate) story: Story,
    /// Each act of a person and what was made of it.
    pub(crate) acts: Vec<Kept>,
    /// What the platform knows.
    pub(crate) platform: Books,
    /// How often each call of the tool had its effect.
    pub(crate) deeds: BTreeMap<String, u64>,
    /// The messages whose answer the vendor once broke off.
    pub(crate) broken_off: BTreeSet<String>,
    pub(crate) conversations: Vec<Conversation>,
    pub(crate) totals: Totals,
    /// Ends of runs that some gateway's listeners did not hear.
    pub(crate) unheard: Vec<String>,
    pub(crate) counts: Counts,
}

/// How often what went wrong.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counts {
    pub(crate) deaths: u64,
    pub(crate) store_failures: u64,
    /// Of the network, the platform and the model.
    pub(crate) failures: u64,
    /// Of several gateways, one was stopped and woke later.
    pub(crate) stops: u64,
    /// Of several gateways, one was cut off from the store.
    pub(crate) cuts: u64,
    /// Another gateway began to receive.
    pub(crate) taken_over: u64,
    /// Commits of a gateway whose place another one had taken.
    pub(crate) fenced: u64,
}

/// What a person did, its row in the inbox, and the parts of the answer in the outbox.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    pub(crate) act: Act,
    pub(crate) row: Option<InboxRow>,
    pub(crate) parts: Vec<OutboxRow>,
    /// How its run ended, as the log has it.
    pub(crate) endings: Vec<Ending>,
    /// Whether the client that asked was told the end; people are told over the platform.
    pub(crate) was_told: bool,
}

/// One session as it is stored and as the log tells it.
#[derive(Debug, Clone)]
pub(crate) struct Conversation {
    pub(crate) key: String,
    pub(crate) stored: Option<Session>,
    pub(crate) folded: Option<Session>,
    /// From the root to the head.
    pub(crate) path: Vec<Arc<Entry>>,
    /// All entries that the log has for this life of the session.
    pub(crate) entries: usize,
}

impl Book {
    /// The book of a history that is over.
    pub(crate) async fn of(world: &World) -> Self {
        let store = &*world.store;
        let mut acts = Vec::new();
        for act in &world.story.acts {
            acts.push(Kept::of(world, act).await);
        }
        let mut events = store.events(Seq(0), usize::MAX >> 1).await.expect(WELL);
        events.sort_by_key(|event| event.header.id);
        let keys: BTreeSet<String> =
            (0..world.story.chats.len()).map(|chat| world.story.session(chat)).collect();
        let mut conversations = Vec::new();
        for key in keys {
            conversations.push(Conversation::of(store, key, &events).await);
        }
        Self {
            story: world.story.clone(),
            acts,
            platform: world.platform.books(),
            deeds: world.deeds.counts(),
            broken_off: world.vendor.broken_off(),
            conversations,
            totals: store.totals().await.expect(WELL),
            unheard: world.crowd.unheard(store).await,
            counts: world.counts(),
        }
    }

    /// How often a part arrived again in this way.
    pub(crate) fn again(&self, again: Again) -> usize {
        self.platform.arrivals.iter().filter(|arrival| arrival.again == again).count()
    }

    /// How many messages were never kept, or never closed.
    pub(crate) fn lost(&self) -> usize {
        let closed = |row: &InboxRow| matches!(row.state, InboxState::Closed { .. });
        self.acts.iter().filter(|kept| !kept.row.as_ref().is_some_and(closed)).count()
    }

    /// How many runs were ended for a client who asked, and who was told.
    pub(crate) fn told(&self) -> usize {
        self.acts.iter().filter(|kept| kept.act.is_a_clients() && kept.was_told).count()
    }

    /// The history in words, without ids: the same for the same seed.
    pub(crate) fn tell(&self) -> String {
        let mut text = format!("{:?}\n", self.counts);
        for arrival in &self.platform.arrivals {
            let mark: String = arrival.text.chars().take(24).collect();
            writeln!(text, "{} to {} by {}: {mark}", arrival.at, arrival.chat, arrival.life)
                .expect("writing to a string never fails");
        }
        for kept in &self.acts {
            let outcome = match kept.row.as_ref().map(|row| &row.state) {
                None => "lost",
                Some(InboxState::Closed { outcome, .. }) => outcome,
                Some(open) => open.word(),
            };
            writeln!(text, "{:?}: {outcome}, {} parts", kept.act, kept.parts.len())
                .expect("writing to a string never fails");
        }
        writeln!(text, "{:?}", self.deeds).expect("writing to a string never fails");
        text
    }
}

impl Kept {
    async fn of(world: &World, act: &Act) -> Self {
        let store = &*world.store;
        let channel = if act.is_a_clients() { client::CHANNEL } else { "wire" };
        let external = external_id(act);
        let found =
            store.inbox_row(&channel.into(), &"default".into(), &external.as_str().into()).await;
        let row = found.expect(WELL);
        let (mut parts, mut endings) = (Vec::new(), Vec::new());
        if let Some(row) = &row {
            parts = store.outbox_of(row.trace).await.expect(WELL);
            for event in store.run_events(&row.run).await.expect(WELL) {
                if let EventBody::RunFinished { ending, .. } = event.body {
                    endings.push(ending);
                }
            }
        }
        let was_told = !act.is_a_clients() || world.crowd.was_answered(&external.into());
        Self { act: *act, row, parts, endings, was_told }
    }
}

impl Conversation {
    async fn of(store: &dyn Store, key: String, events: &[Event]) -> Self {
        let session_key = SessionKey::from(key.as_str());
        let own = |event: &&Event| event.header.session.as_ref() == Some(&session_key);
        let folded = events
            .iter()
            .filter(own)
            .fold(None, |before, event| fold_session(before, &event.header, &event.body));
        let stored = store.session(&session_key).await.expect(WELL);
        let path = match stored.as_ref().and_then(|session| Some((session.id, session.head?))) {
            Some((id, head)) => store.history(id, head, usize::MAX >> 1).await.expect(WELL),
            None => Vec::new(),
        };
        let entries = events
            .iter()
            .filter(|event| match &event.body {
                EventBody::EntryAdded(entry) => {
                    stored.as_ref().is_some_and(|session| session.id == entry.session)
                }
                _ => false,
            })
            .count();
        Self { key, stored, folded, path, entries }
    }
}

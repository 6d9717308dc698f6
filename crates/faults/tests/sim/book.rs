//! What is left of a history: the books of the outside, and what the store says of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    sync::Arc,
};

use claw_domain::{Entry, Event, Seq, Session, SessionKey};
use claw_store::{InboxRow, InboxState, OutboxRow, Store, Totals, fold_session};

use super::{
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
    pub(crate) deaths: u64,
    pub(crate) failures: u64,
    /// Whether some wait was not from the seed, so that the same seed may give another book.
    pub(crate) waited_by_id: bool,
}

/// What a person did, its row in the inbox, and the parts of the answer in the outbox.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    pub(crate) act: Act,
    pub(crate) row: Option<InboxRow>,
    pub(crate) parts: Vec<OutboxRow>,
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
            let external = external_id(act).into();
            let row =
                store.inbox_row(&"wire".into(), &"default".into(), &external).await.expect(WELL);
            let parts = match &row {
                Some(row) => store.outbox_of(row.trace).await.expect(WELL),
                None => Vec::new(),
            };
            acts.push(Kept { act: *act, row, parts });
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
            deaths: world.deaths(),
            failures: world.failures(),
            waited_by_id: world.waited_by_id(),
        }
    }

    /// How often a part arrived again where nobody could know that it had arrived.
    pub(crate) fn in_window(&self) -> usize {
        let arrivals = self.platform.arrivals.iter();
        arrivals.filter(|arrival| arrival.again == Again::InWindow).count()
    }

    /// The history in words, without ids: the same for the same seed.
    pub(crate) fn tell(&self) -> String {
        let mut text = format!("deaths {}, failures {}\n", self.deaths, self.failures);
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
                claw_domain::EventBody::EntryAdded(entry) => {
                    stored.as_ref().is_some_and(|session| session.id == entry.session)
                }
                _ => false,
            })
            .count();
        Self { key, stored, folded, path, entries }
    }
}

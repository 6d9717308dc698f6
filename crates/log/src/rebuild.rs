//! Every projection, folded again from the log, page by page.
//!
//! What is kept meanwhile is one record per session, grant and device. Sessions with events out of
//! order are folded in a second pass, which keeps their events without their text.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use claw_domain::{
    AccountId, ChannelId, DeviceId, Entry, EntryBody, EntryId, Event, EventBody, EventHeader,
    EventId, PeerId, Seq, Session, SessionKey, Usage, UserMessage,
};
use claw_store::{Base, Device, Error, Grant, Node, Snapshot, Store, fold_session};
use serde_json::{Value, json};

use crate::difference::{Difference, Differences};

/// Events, or folded sessions, read at a time.
const PAGE: usize = 1_000;

/// The log as far as it was read, folded.
pub(crate) struct Rebuilt {
    pub(crate) seq: Seq,
    pub(crate) events: u64,
    pub(crate) entries: u64,
    pub(crate) usage: Usage,
    pub(crate) grants: BTreeMap<(ChannelId, AccountId, PeerId), Grant>,
    /// The newest event about each; `None` when that removed it.
    pub(crate) devices: BTreeMap<DeviceId, (EventId, Option<Device>)>,
    sessions: BTreeMap<SessionKey, Folding>,
}

/// A session on the way.
struct Folding {
    /// Up to here it was folded into the snapshot.
    base: EventId,
    newest: EventId,
    session: Option<Session>,
    /// Whether an event came out of order, so that it has to be folded again.
    disordered: bool,
}

impl Rebuilt {
    /// What the snapshot says: the place to begin from.
    pub(crate) async fn begin(store: &dyn Store, snapshot: &Snapshot) -> Result<Self, Error> {
        let mut sessions = BTreeMap::new();
        each_base(store, |base| {
            let Base { key, newest, session, .. } = base;
            let folding = Folding { base: newest, newest, session, disordered: false };
            sessions.insert(key, folding);
        })
        .await?;
        Ok(Self {
            seq: Seq(0),
            events: 0,
            entries: 0,
            usage: snapshot.usage,
            grants: BTreeMap::new(),
            devices: BTreeMap::new(),
            sessions,
        })
    }

    /// Folds what was committed since, and compares the transcripts' tree with it.
    pub(crate) async fn catch_up(
        &mut self,
        store: &dyn Store,
        differences: &mut Differences,
    ) -> Result<(), Error> {
        loop {
            let page = store.events(self.seq, PAGE).await?;
            let Some(last) = page.last() else { break };
            self.seq = last.seq;
            self.check_tree(store, &page, differences).await?;
            for event in &page {
                self.fold(event);
            }
        }
        self.refold(store).await
    }

    /// The sessions as they should be.
    pub(crate) fn sessions(&self) -> impl Iterator<Item = (&SessionKey, &Session)> {
        self.sessions.iter().filter_map(|(key, folding)| Some((key, folding.session.as_ref()?)))
    }

    pub(crate) fn session(&self, key: &SessionKey) -> Option<&Session> {
        self.sessions.get(key)?.session.as_ref()
    }

    fn fold(&mut self, event: &Event) {
        let Event { header, body, imported, .. } = event;
        self.events += 1;
        let folded =
            header.session.as_ref().is_some_and(|key| self.fold_session(key, header, body));
        match body {
            EventBody::Used(record) if !folded => self.usage.add(&record.usage),
            EventBody::GrantGiven { channel, account, peer, .. } if !imported => {
                let key = (channel.clone(), account.clone(), peer.clone());
                let (channel, account, peer) = key.clone();
                self.grants.entry(key).or_insert(Grant { channel, account, peer, at: header.at });
            }
            EventBody::DevicePaired { device, record } if !imported => {
                let paired = Device { id: device.clone(), record: record.clone() };
                self.register(device, header.id, Some(paired));
            }
            EventBody::DeviceRemoved { device } if !imported => {
                self.register(device, header.id, None);
            }
            _ => {}
        }
    }

    /// Folds an event into its session, unless the snapshot holds it: then `true`.
    fn fold_session(&mut self, key: &SessionKey, header: &EventHeader, body: &EventBody) -> bool {
        let folding = self.sessions.entry(key.clone()).or_insert_with(|| Folding {
            base: EventId::default(),
            newest: EventId::default(),
            session: None,
            disordered: false,
        });
        if header.id <= folding.base {
            return true;
        }
        if header.id > folding.newest {
            folding.newest = header.id;
            folding.session = fold_session(folding.session.take(), header, body);
        } else {
            folding.disordered = true;
        }
        false
    }

    fn register(&mut self, id: &DeviceId, by: EventId, device: Option<Device>) {
        if self.devices.get(id).is_none_or(|(newest, _)| by > *newest) {
            self.devices.insert(id.clone(), (by, device));
        }
    }

    /// Folds sessions again whose events came out of order.
    async fn refold(&mut self, store: &dyn Store) -> Result<(), Error> {
        let disordered = self.sessions.iter().filter(|(_, folding)| folding.disordered);
        let keys: HashSet<SessionKey> = disordered.map(|(key, _)| key.clone()).collect();
        if keys.is_empty() {
            return Ok(());
        }
        let mut bases = HashMap::new();
        each_base(store, |base| {
            if keys.contains(&base.key) {
                bases.insert(base.key, base.session);
            }
        })
        .await?;
        let mut stories: HashMap<SessionKey, BTreeMap<EventId, (EventHeader, EventBody)>> =
            HashMap::new();
        let mut after = Seq(0);
        while after < self.seq {
            let page = store.events(after, PAGE).await?;
            let Some(last) = page.last() else { break };
            after = last.seq;
            for event in page.into_iter().filter(|event| event.seq <= self.seq) {
                let Some(key) = event.header.session.clone().filter(|key| keys.contains(key))
                else {
                    continue;
                };
                if event.header.id > self.sessions[&key].base {
                    let told = (event.header.clone(), without_text(event.body));
                    stories.entry(key).or_default().insert(event.header.id, told);
                }
            }
        }
        for (key, story) in stories {
            let base = bases.remove(&key).flatten();
            let session = story
                .values()
                .fold(base, |session, (header, body)| fold_session(session, header, body));
            let folding = self.sessions.get_mut(&key).expect("it is one of the disordered");
            folding.session = session;
            folding.disordered = false;
        }
        Ok(())
    }

    /// Compares the entries of a page with their places in the tree.
    async fn check_tree(
        &mut self,
        store: &dyn Store,
        page: &[Event],
        differences: &mut Differences,
    ) -> Result<(), Error> {
        let added = page.iter().filter_map(|event| match &event.body {
            EventBody::EntryAdded(entry) => Some((event.seq, entry)),
            _ => None,
        });
        let added: Vec<_> = added.collect();
        let asked = added.iter().flat_map(|(_, entry)| [Some(entry.id), entry.parent]).flatten();
        let asked: HashSet<EntryId> = asked.collect();
        let found = store.nodes(&asked.into_iter().collect::<Vec<_>>()).await?;
        let found: HashMap<_, _> = found.into_iter().map(|node| (node.id, node)).collect();
        self.entries += added.len() as u64;
        for (seq, entry) in added {
            let Entry { id, session, parent, tokens, .. } = *entry;
            let expected = Node { id, session, parent, tokens, seq };
            let node = found.get(&id);
            if node != Some(&expected) {
                let (expected, found) = (shown(Some(&expected)), shown(node));
                let key = id.to_string();
                differences.add(Difference { projection: "entries", key, expected, found });
            }
            // A parent from before leads to a root in the end.
            let Some(parent) = parent else { continue };
            let above = found.get(&parent);
            if above.is_none_or(|node| node.seq >= seq) {
                let (expected, found) = (json!({ "parent": parent }), shown(above));
                let key = id.to_string();
                differences.add(Difference { projection: "entries", key, expected, found });
            }
        }
        Ok(())
    }
}

async fn each_base(store: &dyn Store, mut take: impl FnMut(Base)) -> Result<(), Error> {
    let mut after = None;
    loop {
        let page = store.bases(after.as_ref(), PAGE).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = Some(last.key.clone());
        page.into_iter().for_each(&mut take);
    }
}

/// An event with all that the fold of a session looks at.
fn without_text(body: EventBody) -> EventBody {
    match body {
        EventBody::EntryAdded(entry) => EventBody::EntryAdded(textless(&entry)),
        EventBody::PrefixEpoch { model, tools, why, .. } => {
            EventBody::PrefixEpoch { model, system: Arc::default(), tools, why }
        }
        other => other,
    }
}

fn textless(entry: &Entry) -> Entry {
    let body = match &entry.body {
        EntryBody::Compaction { first_kept, tokens_before, .. } => EntryBody::Compaction {
            summary: String::new(),
            first_kept: *first_kept,
            tokens_before: *tokens_before,
        },
        _ => EntryBody::User(UserMessage { content: Vec::new(), said: None }),
    };
    Entry {
        id: entry.id,
        session: entry.session,
        parent: entry.parent,
        at: entry.at,
        run: None,
        tokens: entry.tokens,
        tokens_sum: entry.tokens_sum,
        body,
        other: serde_json::Map::new(),
    }
}

fn shown(node: Option<&Node>) -> Value {
    node.map_or(Value::Null, |node| {
        json!({
            "session": node.session,
            "parent": node.parent,
            "tokens": node.tokens,
            "seq": node.seq,
        })
    })
}

//! What a group of commits has to know of the store before anything is written.

use std::collections::{HashMap, HashSet};

use claw_domain::{
    EntryId, Event, EventBody, EventId, InboxId, OutboxId, RunId, SessionKey, Target,
};
use claw_store::{Base, Change, Contents, Error, ExternalKey, Fence, NewEvent, external_key};

use crate::{
    column::Columns,
    conn::Conn,
    error::Fault,
    event,
    inbox::{self, Seen},
    lease, migrate, outbox, retention,
    session::{self, Standing},
    transcript,
};

const HEAD: &str = "SELECT version, program, newest FROM schema_version, log";

/// What the writer asks here.
pub(crate) const WRITER: [&str; 1] = [HEAD];

/// What the changes name.
#[derive(Default)]
struct Keys<'a> {
    fences: Vec<&'a Fence>,
    events: Vec<EventId>,
    entries: Vec<EntryId>,
    sessions: Vec<&'a SessionKey>,
    external: Vec<ExternalKey>,
    inbox: Vec<InboxId>,
    replaced: Vec<InboxId>,
    runs: Vec<&'a RunId>,
    outbox: Vec<OutboxId>,
    targets: Vec<&'a Target>,
}

/// What the store holds of it. Kept up to date with what the group does itself.
pub(crate) struct Known {
    /// The newest place in the log.
    pub(crate) newest: u64,
    pub(crate) fences: HashSet<Fence>,
    pub(crate) events: HashSet<EventId>,
    pub(crate) entries: HashSet<EntryId>,
    pub(crate) sessions: HashMap<SessionKey, Standing>,
    /// The sessions to which an event may come out of order.
    pub(crate) late: HashMap<SessionKey, Late>,
    pub(crate) received: HashSet<ExternalKey>,
    pub(crate) inbox: HashMap<InboxId, Seen>,
    pub(crate) started: HashSet<RunId>,
    /// Whether the row was sent.
    pub(crate) outbox: HashMap<OutboxId, bool>,
    /// The order of each target's newest message.
    pub(crate) orders: HashMap<Target, u64>,
}

/// What a session is folded again from.
pub(crate) struct Late {
    pub(crate) base: Base,
    /// All its events.
    pub(crate) events: Vec<Event>,
    /// Whether one did come out of order.
    pub(crate) disordered: bool,
}

impl Contents for Known {
    fn has_event(&self, id: EventId) -> bool {
        self.events.contains(&id)
    }

    fn has_entry(&self, id: EntryId) -> bool {
        self.entries.contains(&id)
    }

    fn is_folded(&self, event: &NewEvent) -> bool {
        let late = event.header.session.as_ref().and_then(|key| self.late.get(key));
        late.is_some_and(|late| late.base.covers(event.header.id))
    }

    fn was_received(&self, key: &ExternalKey) -> bool {
        self.received.contains(key)
    }

    fn has_inbox(&self, id: InboxId) -> bool {
        self.inbox.contains_key(&id)
    }

    fn has_outbox(&self, id: OutboxId) -> bool {
        self.outbox.contains_key(&id)
    }

    fn has_order(&self, target: &Target) -> bool {
        self.orders.contains_key(target)
    }
}

impl Known {
    /// Reads it: one round trip, and a second one when events come out of order.
    pub(crate) async fn load(conn: &Conn, commits: &[(Fence, &[Change])]) -> Result<Self, Fault> {
        let keys = Keys::of(commits);
        // Each of these sends its question when it is first polled, so they go out together.
        let (head, fences, events, entries, sessions, received, inbox, started, outbox, orders) = futures_util::join!(
            head(conn),
            lease::known(conn, keys.fences.iter().copied()),
            event::known(conn, &keys.events),
            transcript::known(conn, &keys.entries),
            session::known(conn, &keys.sessions),
            inbox::received(conn, &keys.external),
            inbox::known(conn, &keys.inbox, &keys.replaced),
            event::started(conn, &keys.runs),
            outbox::known(conn, &keys.outbox),
            outbox::places(conn, &keys.targets),
        );
        let mut known = Self {
            newest: head?,
            fences: fences?.into_iter().collect(),
            events: events?.into_iter().collect(),
            entries: entries?.into_iter().collect(),
            sessions: sessions?.into_iter().collect(),
            late: HashMap::new(),
            received: received?.into_iter().collect(),
            inbox: inbox?.into_iter().collect(),
            started: started?.into_iter().collect(),
            outbox: outbox?.into_iter().collect(),
            orders: orders?.into_iter().collect(),
        };
        let late = known.disordered(commits);
        if !late.is_empty() {
            known.late = load_late(conn, &late).await?;
        }
        Ok(known)
    }

    /// The sessions to which an event may come that is older than one before it.
    fn disordered<'a>(&self, commits: &[(Fence, &'a [Change])]) -> Vec<&'a SessionKey> {
        let mut newest: HashMap<&SessionKey, EventId> = HashMap::new();
        let mut late = Vec::new();
        for event in commits.iter().flat_map(|(_, changes)| changes.iter()).filter_map(event_of) {
            let Some(key) = &event.header.session else { continue };
            let known = self.sessions.get(key).map(|standing| standing.newest);
            let newest = newest.entry(key).or_insert(known.unwrap_or_default());
            if event.header.id > *newest {
                *newest = event.header.id;
            } else if !late.contains(&key) {
                late.push(key);
            }
        }
        late
    }
}

/// The event of a change that logs one.
fn event_of(change: &Change) -> Option<&NewEvent> {
    match change {
        Change::Log(event) | Change::Import(event) => Some(event),
        _ => None,
    }
}

/// The newest place in the log, of a store whose schema is still the one that is known here.
async fn head(conn: &Conn) -> Result<u64, Fault> {
    let rows = conn.query(HEAD, &[]).await?;
    let row = rows.first().ok_or_else(|| {
        Fault::Store(Error::Corrupt { what: "log".into(), source: "it has no row".into() })
    })?;
    migrate::check(row.value(0)?, row.value(1)?)?;
    row.number(2)
}

async fn load_late(conn: &Conn, keys: &[&SessionKey]) -> Result<HashMap<SessionKey, Late>, Fault> {
    let (bases, events) =
        futures_util::join!(retention::bases_of(conn, keys), event::of_sessions(conn, keys));
    let late = |(key, base)| (key, Late { base, events: Vec::new(), disordered: false });
    let mut late: HashMap<_, _> = bases?.into_iter().map(late).collect();
    for event in events? {
        let of = event.header.session.as_ref().and_then(|key| late.get_mut(key));
        if let Some(late) = of {
            late.events.push(event);
        }
    }
    Ok(late)
}

impl<'a> Keys<'a> {
    fn of(commits: &'a [(Fence, &[Change])]) -> Self {
        let mut keys = Self::default();
        for (fence, changes) in commits {
            keys.fences.push(fence);
            changes.iter().for_each(|change| keys.add(change));
        }
        keys.sessions.sort_unstable();
        keys.sessions.dedup();
        keys.targets.sort_unstable();
        keys.targets.dedup();
        if keys.replaced.is_empty() {
            keys.runs.clear();
        }
        keys
    }

    fn add(&mut self, change: &'a Change) {
        match change {
            Change::Log(event) | Change::Import(event) => {
                self.events.push(event.header.id);
                self.sessions.extend(&event.header.session);
                if let EventBody::EntryAdded(entry) = &event.body {
                    self.entries.push(entry.id);
                    self.entries.extend(entry.parent);
                }
            }
            Change::Receive(row) => {
                self.external.push(external_key(row));
                self.inbox.push(row.id);
                self.runs.push(&row.run);
            }
            Change::Advance(id, _) | Change::Leave(id) => self.inbox.push(*id),
            Change::Replace(id, _) => {
                self.inbox.push(*id);
                self.replaced.push(*id);
            }
            Change::Enqueue(row) => {
                self.outbox.push(row.id);
                self.targets.push(&row.outbound.target);
            }
            Change::Deliver(id, ..) => self.outbox.push(*id),
            Change::PutPairing(_) | Change::DropPairing(..) => {}
        }
    }
}

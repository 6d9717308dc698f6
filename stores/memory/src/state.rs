//! What the store holds, and the questions that need more than a look into one map.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use claw_domain::{
    AccountId, ChannelId, DeviceId, Entry, EntryId, Event, EventBody, EventId, ExternalId, InboxId,
    OutboxId, PeerId, RunId, Seq, Session, SessionId, SessionKey, Target, Timestamp, Usage,
};
use claw_store::{
    ContextWalk, DeliveryState, Device, Error, Fence, Grant, InboxRow, InboxState, Lease,
    OutboxRow, PairingRequest, SessionFilter, Totals,
};

/// A person on one of our accounts.
pub(crate) type PeerKey = (ChannelId, AccountId, PeerId);
/// What makes an inbound event unique.
pub(crate) type ExternalKey = (ChannelId, AccountId, ExternalId);

#[derive(Debug, Default)]
pub(crate) struct State {
    /// In commit order: the event with seq `n` is at `n - 1`.
    pub(crate) events: Vec<Event>,
    pub(crate) event_ids: HashMap<EventId, usize>,
    /// For each run, where its events are.
    pub(crate) runs: HashMap<RunId, Vec<usize>>,
    pub(crate) entries: HashMap<EntryId, Arc<Entry>>,
    pub(crate) sessions: HashMap<SessionKey, Session>,
    pub(crate) inbox: BTreeMap<InboxId, InboxRow>,
    pub(crate) received: HashMap<ExternalKey, InboxId>,
    /// In the order in which they were queued.
    pub(crate) outbox: Vec<OutboxRow>,
    pub(crate) outbox_ids: HashMap<OutboxId, usize>,
    /// The order of each target's newest message.
    pub(crate) orders: HashMap<Target, u64>,
    pub(crate) leases: HashMap<Lease, (Fence, Timestamp)>,
    pub(crate) pairings: BTreeMap<PeerKey, PairingRequest>,
    pub(crate) grants: BTreeMap<PeerKey, Grant>,
    /// The newest event about each device wins; one that was removed leaves `None`.
    pub(crate) devices: BTreeMap<DeviceId, (EventId, Option<Device>)>,
    pub(crate) usage: Usage,
    pub(crate) closed: bool,
}

impl State {
    pub(crate) fn seq(&self) -> Seq {
        Seq(self.events.len() as u64)
    }

    /// Refuses a fence that is not the newest of its lease.
    pub(crate) fn hold(&self, fence: &Fence) -> Result<(), Error> {
        let held = self.leases.values().any(|(newest, _)| newest == fence);
        held.then_some(()).ok_or_else(|| Error::fenced(fence))
    }

    /// Whether the run's story has begun.
    pub(crate) fn started(&self, run: &RunId) -> bool {
        self.events_of(run).any(|event| matches!(event.body, EventBody::RunStarted { .. }))
    }

    pub(crate) fn events_of(&self, run: &RunId) -> impl Iterator<Item = &Event> {
        self.runs.get(run).into_iter().flatten().map(|&at| &self.events[at])
    }

    pub(crate) fn sessions(&self, filter: &SessionFilter) -> Vec<Session> {
        let mut sessions: Vec<&Session> = self
            .sessions
            .values()
            .filter(|session| filter.agent.as_ref().is_none_or(|agent| session.agent == *agent))
            .filter(|session| filter.updated_since.is_none_or(|since| session.updated_at >= since))
            .collect();
        sessions.sort_by(|a, b| b.updated_at.cmp(&a.updated_at).then_with(|| a.key.cmp(&b.key)));
        sessions.into_iter().take(filter.limit.unwrap_or(usize::MAX)).cloned().collect()
    }

    pub(crate) fn context(
        &self,
        session: SessionId,
        head: EntryId,
        start: Option<EntryId>,
        tokens_max: u64,
    ) -> Vec<Arc<Entry>> {
        let mut walk = ContextWalk::new(start, tokens_max);
        let mut next = Some(head);
        while let Some(entry) = next.and_then(|id| self.entry(session, id)) {
            if !walk.fits(entry.tokens) {
                break;
            }
            next = walk.take(Arc::clone(entry));
        }
        walk.finish()
    }

    pub(crate) fn history(
        &self,
        session: SessionId,
        head: EntryId,
        limit: usize,
    ) -> Vec<Arc<Entry>> {
        let parent = |entry: &&Arc<Entry>| entry.parent.and_then(|id| self.entry(session, id));
        let path = std::iter::successors(self.entry(session, head), parent);
        let mut entries: Vec<_> = path.take(limit).cloned().collect();
        entries.reverse();
        entries
    }

    fn entry(&self, session: SessionId, id: EntryId) -> Option<&Arc<Entry>> {
        self.entries.get(&id).filter(|entry| entry.session == session)
    }

    pub(crate) fn open_inbox(&self) -> impl Iterator<Item = &InboxRow> {
        self.inbox.values().filter(|row| !matches!(row.state, InboxState::Closed { .. }))
    }

    pub(crate) fn pending_outbox(&self, limit: usize) -> Vec<OutboxRow> {
        let mut rows: Vec<&OutboxRow> = self.outbox.iter().filter(|row| pending(row)).collect();
        rows.sort_by_key(|row| (&row.outbound.target, row.order, row.part));
        rows.into_iter().take(limit).cloned().collect()
    }

    /// Gives all that is not done to the holder of `fence`.
    pub(crate) fn adopt(&mut self, fence: &Fence) {
        for row in self.inbox.values_mut() {
            if !matches!(row.state, InboxState::Closed { .. }) {
                row.fence = *fence;
            }
        }
        for row in self.outbox.iter_mut().filter(|row| pending(row)) {
            row.fence = *fence;
        }
    }

    pub(crate) fn totals(&self) -> Totals {
        let dead = |row: &&OutboxRow| matches!(row.state, DeliveryState::Dead { .. });
        Totals {
            events: self.seq().0,
            inbox_open: self.open_inbox().count() as u64,
            outbox_pending: self.outbox.iter().filter(|row| pending(row)).count() as u64,
            outbox_dead: self.outbox.iter().filter(dead).count() as u64,
            usage: self.usage,
        }
    }
}

fn pending(row: &OutboxRow) -> bool {
    matches!(row.state, DeliveryState::Pending { .. })
}

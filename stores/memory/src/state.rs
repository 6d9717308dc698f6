//! What the store holds, and the questions that need more than a look into one map.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use claw_domain::{
    AccountId, ChannelId, DeviceId, Entry, EntryId, Event, EventBody, EventId, InboxId, NodeId,
    OutboxId, PeerId, RunId, Seq, Session, SessionId, SessionKey, Target, Timestamp, Usage,
};
use claw_store::{
    Claim, Claiming, Contents, ContextWalk, DeliveryState, Device, Error, ExternalKey, Fence,
    Grant, Holding, InboxRow, InboxState, Lease, NewEvent, OutboxRow, PairingRequest,
    SessionFilter, Totals,
};

use crate::retention::Retention;

/// A person on one of our accounts.
pub(crate) type PeerKey = (ChannelId, AccountId, PeerId);

#[derive(Debug, Default)]
pub(crate) struct State {
    /// In commit order.
    pub(crate) events: BTreeMap<Seq, Event>,
    pub(crate) event_ids: BTreeMap<EventId, Seq>,
    /// The place of the newest event, which may be folded since.
    pub(crate) newest: Seq,
    /// For each run, where its events are.
    pub(crate) runs: HashMap<RunId, Vec<Seq>>,
    pub(crate) entries: HashMap<EntryId, (Seq, Arc<Entry>)>,
    pub(crate) retention: Retention,
    pub(crate) sessions: HashMap<SessionKey, Session>,
    pub(crate) inbox: BTreeMap<InboxId, InboxRow>,
    pub(crate) received: HashMap<ExternalKey, InboxId>,
    /// In the order in which they were queued.
    pub(crate) outbox: Vec<OutboxRow>,
    pub(crate) outbox_ids: HashMap<OutboxId, usize>,
    /// The order of each target's newest message.
    pub(crate) orders: HashMap<Target, u64>,
    /// The newest holder of each lease; a revoked one is [`Fence::NOBODY`]'s.
    pub(crate) leases: HashMap<Lease, (Fence, Timestamp)>,
    pub(crate) epoch_last: u64,
    /// Under which epoch each holding was taken; it is free when that one is gone.
    pub(crate) holdings: BTreeMap<Holding, u64>,
    pub(crate) pairings: BTreeMap<PeerKey, PairingRequest>,
    pub(crate) grants: BTreeMap<PeerKey, Grant>,
    /// The newest event about each device wins; one that was removed leaves `None`.
    pub(crate) devices: BTreeMap<DeviceId, (EventId, Option<Device>)>,
    pub(crate) usage: Usage,
    /// The newest event of each session that is gone.
    pub(crate) deleted: HashMap<SessionKey, EventId>,
    pub(crate) closed: bool,
}

impl State {
    pub(crate) fn seq(&self) -> Seq {
        self.newest
    }

    /// Refuses a fence that is not the newest of its lease.
    pub(crate) fn hold(&self, fence: &Fence) -> Result<(), Error> {
        let held = self.leases.values().any(|(newest, _)| newest == fence);
        held.then_some(()).ok_or_else(|| Error::fenced(fence))
    }

    pub(crate) fn claim(
        &mut self,
        lease: &Lease,
        owner: NodeId,
        now: Timestamp,
        until: Timestamp,
    ) -> Option<Fence> {
        let held = self.leases.get(lease).filter(|(held, _)| *held != Fence::NOBODY);
        let fence = match held {
            Some((held, _)) if held.owner == owner => *held,
            Some((_, expires)) if *expires > now => return None,
            Some(_) | None => {
                self.epoch_last += 1;
                Fence { owner, epoch: self.epoch_last }
            }
        };
        self.leases.insert(*lease, (fence, until));
        Some(fence)
    }

    /// Ends the leases that are over, and with them everything that is held under them.
    fn revoke(&mut self, fence: &Fence, now: Timestamp, which: impl Fn(u64) -> bool) {
        for (held, until) in self.leases.values_mut() {
            if *until <= now && held != fence && which(held.epoch) {
                *held = Fence::NOBODY;
            }
        }
    }

    fn lives(&self, epoch: u64) -> bool {
        epoch > 0 && self.leases.values().any(|(fence, _)| fence.epoch == epoch)
    }

    pub(crate) fn take(&mut self, fence: &Fence, holding: &Holding, now: Timestamp) -> bool {
        if let Some(&epoch) = self.holdings.get(holding) {
            self.revoke(fence, now, |candidate| candidate == epoch);
            if epoch != fence.epoch && self.lives(epoch) {
                return false;
            }
        }
        self.holdings.insert(holding.clone(), fence.epoch);
        true
    }

    pub(crate) fn claim_inbox(&mut self, fence: &Fence, claim: &Claim) -> Vec<InboxRow> {
        self.revoke(fence, claim.now, |_| true);
        let held = self.holdings.iter().filter(|(_, epoch)| self.lives(**epoch));
        let held = held.map(|(holding, epoch)| (holding.clone(), *epoch));
        let mut claiming = Claiming::new(fence, claim, held);
        for row in self.open_inbox().filter(|row| !self.lives(row.fence.epoch)) {
            claiming.offer(row.clone());
        }
        let (rows, holdings) = claiming.finish();
        for row in &rows {
            self.inbox.insert(row.id, row.clone());
        }
        self.holdings.extend(holdings.into_iter().map(|holding| (holding, fence.epoch)));
        rows
    }

    pub(crate) fn claim_outbox(&mut self, fence: &Fence, limit: usize) -> Vec<OutboxRow> {
        let holdings = &self.holdings;
        let mine = |row: &&mut OutboxRow| {
            let target = &row.outbound.target;
            let account = Holding::Account(target.channel.clone(), target.account.clone());
            holdings.get(&account) == Some(&fence.epoch)
        };
        let mut rows: Vec<&mut OutboxRow> = self
            .outbox
            .iter_mut()
            .filter(|row| pending(row) && row.fence != *fence)
            .filter(mine)
            .collect();
        rows.sort_by(|a, b| {
            let place = |row: &OutboxRow| (row.order, row.part);
            a.outbound.target.cmp(&b.outbound.target).then(place(a).cmp(&place(b)))
        });
        let take = |row: &mut OutboxRow| {
            row.fence = *fence;
            row.clone()
        };
        rows.into_iter().take(limit).map(take).collect()
    }

    /// Whether the run's story has begun.
    pub(crate) fn started(&self, run: &RunId) -> bool {
        self.events_of(run).any(|event| matches!(event.body, EventBody::RunStarted { .. }))
    }

    pub(crate) fn events_of(&self, run: &RunId) -> impl Iterator<Item = &Event> {
        self.runs.get(run).into_iter().flatten().filter_map(|seq| self.events.get(seq))
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
        self.entries.get(&id).map(|(_, entry)| entry).filter(|entry| entry.session == session)
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
            events: self.events.len() as u64,
            inbox_open: self.open_inbox().count() as u64,
            outbox_pending: self.outbox.iter().filter(|row| pending(row)).count() as u64,
            outbox_dead: self.outbox.iter().filter(dead).count() as u64,
            usage: self.usage,
        }
    }
}

pub(crate) fn pending(row: &OutboxRow) -> bool {
    matches!(row.state, DeliveryState::Pending { .. })
}

impl Contents for State {
    fn has_event(&self, id: EventId) -> bool {
        self.event_ids.contains_key(&id)
    }

    fn has_entry(&self, id: EntryId) -> bool {
        self.entries.contains_key(&id)
    }

    fn is_folded(&self, event: &NewEvent) -> bool {
        let key = event.header.session.as_ref();
        key.is_some_and(|key| self.retention.covers(key, event.header.id))
    }

    fn was_received(&self, key: &ExternalKey) -> bool {
        self.received.contains_key(key)
    }

    fn has_inbox(&self, id: InboxId) -> bool {
        self.inbox.contains_key(&id)
    }

    fn has_outbox(&self, id: OutboxId) -> bool {
        self.outbox_ids.contains_key(&id)
    }

    fn has_order(&self, target: &Target) -> bool {
        self.orders.contains_key(target)
    }
}

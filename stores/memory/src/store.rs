//! The trait: each question looks into the state under its one lock.

use std::{
    ops::Bound,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use claw_domain::{
    AccountId, ChannelId, Clock, DeviceId, Entry, EntryId, Event, EventId, ExternalId, InboxId,
    NodeId, OutboxId, PeerId, RunId, Seq, Session, SessionId, SessionKey, SystemClock, Timestamp,
    TraceId,
};
use claw_store::{
    Base, Change, Claim, Committed, Device, Error, Fence, Folded, Grant, Holding, InboxKey,
    InboxRow, InboxState, Lease, Node, OutboxRow, PairingRequest, RowFilter, SessionFilter,
    Snapshot, Store, Totals,
};
use tokio::sync::watch;

use crate::state::State;

/// A store that forgets everything when it is dropped.
#[derive(Default)]
pub struct Memory {
    state: Mutex<State>,
    /// Counts commits, where several gateways of a test share this store.
    shared: Option<watch::Sender<u64>>,
    /// The store's own clock; the machine's when none is given.
    clock: Option<Arc<dyn Clock>>,
}

impl Memory {
    /// A store that several gateways of one process share, whose leases go by `clock`.
    pub fn shared(clock: Arc<dyn Clock>) -> Self {
        Self { shared: Some(watch::Sender::new(0)), clock: Some(clock), ..Self::default() }
    }

    fn wake(&self) {
        if let Some(shared) = &self.shared {
            shared.send_modify(|commits| *commits += 1);
        }
    }

    fn state(&self) -> Result<MutexGuard<'_, State>, Error> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.closed { Err(Error::Closed) } else { Ok(state) }
    }
}

/// Whether people want to see a row of this state.
fn shows(filter: &RowFilter, word: &str) -> bool {
    filter.states.is_empty() || filter.states.iter().any(|state| state == word)
}

#[async_trait]
impl Store for Memory {
    async fn commit(&self, fence: &Fence, changes: Vec<Change>) -> Result<Committed, Error> {
        let mut state = self.state()?;
        state.hold(fence)?;
        claw_store::check(&*state, &changes)?;
        let committed = state.apply(changes);
        drop(state);
        self.wake();
        Ok(committed)
    }

    async fn claim(
        &self,
        lease: &Lease,
        owner: NodeId,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Option<Fence>, Error> {
        Ok(self.state()?.claim(lease, owner, now, until))
    }

    async fn now(&self) -> Result<Timestamp, Error> {
        Ok(self.clock.as_ref().map_or_else(|| SystemClock.now(), |clock| clock.now()))
    }

    fn wakeups(&self) -> Option<watch::Receiver<u64>> {
        self.shared.as_ref().map(watch::Sender::subscribe)
    }

    async fn hold(&self, fence: &Fence, holding: &Holding, now: Timestamp) -> Result<bool, Error> {
        let mut state = self.state()?;
        state.hold(fence)?;
        Ok(state.take(fence, holding, now))
    }

    async fn release(&self, fence: &Fence, holdings: &[Holding]) -> Result<(), Error> {
        let mut state = self.state()?;
        state.holdings.retain(|held, epoch| *epoch != fence.epoch || !holdings.contains(held));
        drop(state);
        self.wake();
        Ok(())
    }

    async fn claim_inbox(&self, fence: &Fence, claim: &Claim) -> Result<Vec<InboxRow>, Error> {
        let mut state = self.state()?;
        state.hold(fence)?;
        Ok(state.claim_inbox(fence, claim))
    }

    async fn claim_outbox(&self, fence: &Fence, limit: usize) -> Result<Vec<OutboxRow>, Error> {
        let mut state = self.state()?;
        state.hold(fence)?;
        Ok(state.claim_outbox(fence, limit))
    }

    async fn adopt(&self, fence: &Fence) -> Result<(), Error> {
        let mut state = self.state()?;
        state.hold(fence)?;
        state.adopt(fence);
        Ok(())
    }

    async fn fold(&self, fence: &Fence, before: Timestamp, limit: usize) -> Result<Folded, Error> {
        let mut state = self.state()?;
        state.hold(fence)?;
        Ok(state.fold_old(before, limit))
    }

    async fn snapshot(&self) -> Result<Snapshot, Error> {
        Ok(self.state()?.snapshot())
    }

    async fn bases(&self, after: Option<&SessionKey>, limit: usize) -> Result<Vec<Base>, Error> {
        Ok(self.state()?.bases(after, limit))
    }

    async fn nodes(&self, ids: &[EntryId]) -> Result<Vec<Node>, Error> {
        Ok(self.state()?.nodes(ids))
    }

    async fn session(&self, key: &SessionKey) -> Result<Option<Session>, Error> {
        Ok(self.state()?.sessions.get(key).cloned())
    }

    async fn sessions(&self, filter: &SessionFilter) -> Result<Vec<Session>, Error> {
        Ok(self.state()?.sessions(filter))
    }

    async fn context(
        &self,
        session: SessionId,
        head: EntryId,
        start: Option<EntryId>,
        tokens_max: u64,
    ) -> Result<Vec<Arc<Entry>>, Error> {
        Ok(self.state()?.context(session, head, start, tokens_max))
    }

    async fn history(
        &self,
        session: SessionId,
        head: EntryId,
        limit: usize,
    ) -> Result<Vec<Arc<Entry>>, Error> {
        Ok(self.state()?.history(session, head, limit))
    }

    async fn run_events(&self, run: &RunId) -> Result<Vec<Event>, Error> {
        Ok(self.state()?.events_of(run).cloned().collect())
    }

    async fn trace_events(&self, trace: TraceId) -> Result<Vec<Event>, Error> {
        let state = self.state()?;
        let events = state.events.values().filter(|event| event.header.trace == trace);
        Ok(events.cloned().collect())
    }

    async fn events(&self, after: Seq, limit: usize) -> Result<Vec<Event>, Error> {
        let state = self.state()?;
        let later = state.events.range((Bound::Excluded(after), Bound::Unbounded));
        Ok(later.take(limit).map(|(_, event)| event.clone()).collect())
    }

    async fn event(&self, id: EventId) -> Result<Option<Event>, Error> {
        let state = self.state()?;
        Ok(state.event_ids.get(&id).map(|seq| state.events[seq].clone()))
    }

    async fn last_event_id(&self, node: NodeId) -> Result<Option<EventId>, Error> {
        let state = self.state()?;
        let newest = state.event_ids.keys().rev().find(|id| id.node() == node).copied();
        Ok(newest.max(state.retention.clock_of(node)))
    }

    async fn open_inbox(
        &self,
        after: Option<InboxId>,
        limit: usize,
    ) -> Result<Vec<InboxRow>, Error> {
        let state = self.state()?;
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let rows = state.inbox.range((from, Bound::Unbounded)).map(|(_, row)| row);
        let open = rows.filter(|row| !matches!(row.state, InboxState::Closed { .. }));
        Ok(open.take(limit).cloned().collect())
    }

    async fn inbox_row(
        &self,
        channel: &ChannelId,
        account: &AccountId,
        external: &ExternalId,
    ) -> Result<Option<InboxRow>, Error> {
        let state = self.state()?;
        let id = state.received.get(&(channel.clone(), account.clone(), external.clone()));
        Ok(id.and_then(|id| state.inbox.get(id)).cloned())
    }

    async fn inbox_of(&self, key: &InboxKey) -> Result<Option<InboxRow>, Error> {
        let state = self.state()?;
        let found = state.inbox.values().find(|row| match key {
            InboxKey::Id(id) => row.id == *id,
            InboxKey::Run(run) => row.run == *run,
            InboxKey::Trace(trace) => row.trace == *trace,
        });
        Ok(found.cloned())
    }

    async fn inbox(&self, filter: &RowFilter) -> Result<Vec<InboxRow>, Error> {
        let state = self.state()?;
        let rows = state.inbox.values().rev().filter(|row| shows(filter, row.state.word()));
        Ok(rows.take(filter.limit).cloned().collect())
    }

    async fn outbox_row(&self, id: OutboxId) -> Result<Option<OutboxRow>, Error> {
        let state = self.state()?;
        Ok(state.outbox_ids.get(&id).map(|&at| state.outbox[at].clone()))
    }

    async fn outbox(&self, filter: &RowFilter) -> Result<Vec<OutboxRow>, Error> {
        let state = self.state()?;
        let mut rows: Vec<&OutboxRow> =
            state.outbox.iter().filter(|row| shows(filter, row.state.word())).collect();
        rows.sort_by_key(|row| std::cmp::Reverse(row.id));
        Ok(rows.into_iter().take(filter.limit).cloned().collect())
    }

    async fn pending_outbox(&self, limit: usize) -> Result<Vec<OutboxRow>, Error> {
        Ok(self.state()?.pending_outbox(limit))
    }

    async fn outbox_of(&self, trace: TraceId) -> Result<Vec<OutboxRow>, Error> {
        Ok(self.state()?.outbox.iter().filter(|row| row.trace == trace).cloned().collect())
    }

    async fn pairings(&self, channel: Option<&ChannelId>) -> Result<Vec<PairingRequest>, Error> {
        let state = self.state()?;
        let asked = state
            .pairings
            .values()
            .filter(|request| channel.is_none_or(|name| request.channel == *name));
        let mut requests: Vec<_> = asked.cloned().collect();
        requests.sort_by_key(|request| request.created_at);
        Ok(requests)
    }

    async fn grants(&self, channel: &ChannelId, account: &AccountId) -> Result<Vec<Grant>, Error> {
        let state = self.state()?;
        let given = state
            .grants
            .values()
            .filter(|grant| grant.channel == *channel && grant.account == *account);
        let mut grants: Vec<_> = given.cloned().collect();
        grants.sort_by_key(|grant| grant.at);
        Ok(grants)
    }

    async fn all_grants(&self) -> Result<Vec<Grant>, Error> {
        Ok(self.state()?.grants.values().cloned().collect())
    }

    async fn granted(
        &self,
        channel: &ChannelId,
        account: &AccountId,
        peer: &PeerId,
    ) -> Result<bool, Error> {
        Ok(self.state()?.grants.contains_key(&(channel.clone(), account.clone(), peer.clone())))
    }

    async fn device(&self, id: &DeviceId) -> Result<Option<Device>, Error> {
        Ok(self.state()?.devices.get(id).and_then(|(_, device)| device.clone()))
    }

    async fn devices(&self) -> Result<Vec<Device>, Error> {
        Ok(self.state()?.devices.values().filter_map(|(_, device)| device.clone()).collect())
    }

    async fn totals(&self) -> Result<Totals, Error> {
        Ok(self.state()?.totals())
    }

    async fn writable(&self) -> Result<(), Error> {
        self.state().map(drop)
    }

    async fn close(&self) -> Result<(), Error> {
        self.state()?.closed = true;
        Ok(())
    }
}

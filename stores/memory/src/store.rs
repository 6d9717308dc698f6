//! The trait: each question looks into the state under its one lock.

use std::{
    ops::Bound,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use claw_domain::{
    AccountId, ChannelId, DeviceId, Entry, EntryId, Event, EventId, ExternalId, InboxId, NodeId,
    PeerId, RunId, Seq, Session, SessionId, SessionKey, Timestamp, TraceId,
};
use claw_store::{
    Change, Committed, Device, Error, Fence, Grant, InboxRow, InboxState, Lease, OutboxRow,
    PairingRequest, SessionFilter, Store, Totals,
};

use crate::{check::check, state::State};

/// A store that forgets everything when it is dropped.
#[derive(Debug, Default)]
pub struct Memory {
    state: Mutex<State>,
}

impl Memory {
    fn state(&self) -> Result<MutexGuard<'_, State>, Error> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.closed { Err(Error::Closed) } else { Ok(state) }
    }
}

#[async_trait]
impl Store for Memory {
    async fn commit(&self, fence: &Fence, changes: Vec<Change>) -> Result<Committed, Error> {
        let mut state = self.state()?;
        state.hold(fence)?;
        check(&state, &changes)?;
        Ok(state.apply(changes))
    }

    async fn claim(
        &self,
        lease: &Lease,
        owner: NodeId,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Option<Fence>, Error> {
        let mut state = self.state()?;
        let epoch_next = state.leases.values().map(|(fence, _)| fence.epoch).max().unwrap_or(0) + 1;
        let fence = match state.leases.get(lease) {
            Some((held, _)) if held.owner == owner => *held,
            Some((_, expires)) if *expires > now => return Ok(None),
            Some(_) | None => Fence { owner, epoch: epoch_next },
        };
        state.leases.insert(lease.clone(), (fence, until));
        Ok(Some(fence))
    }

    async fn adopt(&self, fence: &Fence) -> Result<(), Error> {
        let mut state = self.state()?;
        state.hold(fence)?;
        state.adopt(fence);
        Ok(())
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

    async fn events(&self, after: Seq, limit: usize) -> Result<Vec<Event>, Error> {
        let state = self.state()?;
        let from = usize::try_from(after.0).unwrap_or(usize::MAX);
        Ok(state.events.iter().skip(from).take(limit).cloned().collect())
    }

    async fn event(&self, id: EventId) -> Result<Option<Event>, Error> {
        let state = self.state()?;
        Ok(state.event_ids.get(&id).map(|&at| state.events[at].clone()))
    }

    async fn last_event_id(&self, node: NodeId) -> Result<Option<EventId>, Error> {
        Ok(self.state()?.event_ids.keys().filter(|id| id.node() == node).max().copied())
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

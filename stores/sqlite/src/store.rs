//! The trait: each question goes to a reader, each change to the writer.

use std::{path::PathBuf, sync::Arc};

use async_trait::async_trait;
use claw_domain::{
    AccountId, ChannelId, Clock as _, DeviceId, Entry, EntryId, Event, EventId, ExternalId,
    InboxId, NodeId, OutboxId, PeerId, RunId, Seq, Session, SessionId, SessionKey, SystemClock,
    Timestamp, TraceId,
};
use claw_store::{
    Base, Change, Claim, Committed, Device, Error, Fence, Folded, Grant, Holding, InboxKey,
    InboxRow, Lease, Node, OutboxRow, PairingRequest, RowFilter, SessionFilter, Snapshot, Store,
    Totals,
};
use tokio::{sync::watch, task::spawn_blocking};

use crate::{
    commit::commit, damage::Damage, delivery, event, lease, open, people, readers::Readers,
    retention, session, transcript, writer::Writer,
};

/// A store in one file, open.
///
/// Dropping it lets the commits that were already handed over finish in the background; only
/// [`Store::close`] waits for them.
pub struct Sqlite {
    readers: Readers,
    writer: Writer,
}

impl Sqlite {
    /// Opens the store in the file at `path`, made when it is not there. A file of an older
    /// program is upgraded on a copy and kept beside it as `<name>.v<schema>.bak`. The folder must
    /// exist. A file of up to 4 MiB is looked through for damage.
    ///
    /// # Errors
    /// [`Error::ReadOnly`] when the place cannot be written, [`Error::Newer`] when a newer program
    /// wrote the file, [`Error::NoRoom`] when an upgrade would not fit on the disk,
    /// [`Error::Corrupt`] when it is damaged or no database.
    pub async fn open(path: impl Into<PathBuf>) -> Result<Self, Error> {
        let path = path.into();
        let opened = spawn_blocking(move || {
            let conn = open::writer(&path).map_err(|fault| fault.at(&path))?;
            let damage = Damage::default();
            let readers = Readers::open(&path, damage.clone()).map_err(|fault| fault.at(&path))?;
            Ok(Self { readers, writer: Writer::start(conn, path, damage)? })
        });
        opened.await.unwrap_or_else(|panic| Err(Error::Engine(Box::new(panic))))
    }

    /// Opens a store to be read, also while another process writes it. Every change is refused with
    /// [`Error::ReadOnly`].
    ///
    /// # Errors
    /// [`Error::Newer`] when a newer program wrote the file, [`Error::Engine`] when an older one did
    /// or it is not there.
    pub async fn open_to_read(path: impl Into<PathBuf>) -> Result<Self, Error> {
        let path = path.into();
        let opened = spawn_blocking(move || {
            open::readable(&path).map_err(|fault| fault.at(&path))?;
            let damage = Damage::default();
            let readers = Readers::open(&path, damage.clone()).map_err(|fault| fault.at(&path))?;
            Ok(Self { readers, writer: Writer::none(path, damage) })
        });
        opened.await.unwrap_or_else(|panic| Err(Error::Engine(Box::new(panic))))
    }
}

#[async_trait]
impl Store for Sqlite {
    async fn commit(&self, fence: &Fence, changes: Vec<Change>) -> Result<Committed, Error> {
        let fence = *fence;
        self.writer.run(move |conn| commit(conn, &fence, changes)).await
    }

    async fn claim(
        &self,
        lease: &Lease,
        owner: NodeId,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Option<Fence>, Error> {
        let lease = *lease;
        self.writer.run(move |conn| lease::claim(conn, &lease, owner, now, until)).await
    }

    async fn now(&self) -> Result<Timestamp, Error> {
        Ok(SystemClock.now())
    }

    /// One process has the file, by its lock on the state folder.
    fn wakeups(&self) -> Option<watch::Receiver<u64>> {
        None
    }

    async fn hold(&self, fence: &Fence, holding: &Holding, now: Timestamp) -> Result<bool, Error> {
        let (fence, holding) = (*fence, holding.clone());
        self.writer.run(move |conn| lease::take(conn, &fence, &holding, now)).await
    }

    async fn release(&self, fence: &Fence, holdings: &[Holding]) -> Result<(), Error> {
        let (fence, holdings) = (*fence, holdings.to_vec());
        self.writer.run(move |conn| lease::release(conn, &fence, &holdings)).await
    }

    async fn claim_inbox(&self, fence: &Fence, claim: &Claim) -> Result<Vec<InboxRow>, Error> {
        let (fence, claim) = (*fence, claim.clone());
        self.writer.run(move |conn| lease::claim_inbox(conn, &fence, &claim)).await
    }

    async fn claim_outbox(&self, fence: &Fence, limit: usize) -> Result<Vec<OutboxRow>, Error> {
        let fence = *fence;
        self.writer.run(move |conn| lease::claim_outbox(conn, &fence, limit)).await
    }

    async fn adopt(&self, fence: &Fence) -> Result<(), Error> {
        let fence = *fence;
        self.writer.run(move |conn| lease::adopt(conn, &fence)).await
    }

    async fn fold(&self, fence: &Fence, before: Timestamp, limit: usize) -> Result<Folded, Error> {
        let fence = *fence;
        self.writer.run(move |conn| retention::fold(conn, &fence, before, limit)).await
    }

    async fn snapshot(&self) -> Result<Snapshot, Error> {
        self.readers.ask(retention::snapshot).await
    }

    async fn bases(&self, after: Option<&SessionKey>, limit: usize) -> Result<Vec<Base>, Error> {
        let after = after.cloned();
        self.readers.ask(move |conn| retention::bases(conn, after.as_ref(), limit)).await
    }

    async fn nodes(&self, ids: &[EntryId]) -> Result<Vec<Node>, Error> {
        let ids = ids.to_vec();
        self.readers.ask(move |conn| retention::nodes(conn, &ids)).await
    }

    async fn session(&self, key: &SessionKey) -> Result<Option<Session>, Error> {
        let key = key.clone();
        self.readers.ask(move |conn| session::find(conn, &key)).await
    }

    async fn sessions(&self, filter: &SessionFilter) -> Result<Vec<Session>, Error> {
        let filter = filter.clone();
        self.readers.ask(move |conn| session::list(conn, &filter)).await
    }

    async fn context(
        &self,
        session: SessionId,
        head: EntryId,
        start: Option<EntryId>,
        tokens_max: u64,
    ) -> Result<Vec<Arc<Entry>>, Error> {
        self.readers
            .ask(move |conn| transcript::context(conn, session, head, start, tokens_max))
            .await
    }

    async fn history(
        &self,
        session: SessionId,
        head: EntryId,
        limit: usize,
    ) -> Result<Vec<Arc<Entry>>, Error> {
        self.readers.ask(move |conn| transcript::history(conn, session, head, limit)).await
    }

    async fn run_events(&self, run: &RunId) -> Result<Vec<Event>, Error> {
        let run = run.clone();
        self.readers.ask(move |conn| event::of_run(conn, &run)).await
    }

    async fn trace_events(&self, trace: TraceId) -> Result<Vec<Event>, Error> {
        self.readers.ask(move |conn| event::of_trace(conn, trace)).await
    }

    async fn event(&self, id: EventId) -> Result<Option<Event>, Error> {
        self.readers.ask(move |conn| event::by_id(conn, id)).await
    }

    async fn events(&self, after: Seq, limit: usize) -> Result<Vec<Event>, Error> {
        self.readers.ask(move |conn| event::after(conn, after, limit)).await
    }

    async fn last_event_id(&self, node: NodeId) -> Result<Option<EventId>, Error> {
        self.readers.ask(move |conn| event::newest_id(conn, node)).await
    }

    async fn open_inbox(
        &self,
        after: Option<InboxId>,
        limit: usize,
    ) -> Result<Vec<InboxRow>, Error> {
        self.readers.ask(move |conn| delivery::open_inbox(conn, after, limit)).await
    }

    async fn inbox_row(
        &self,
        channel: &ChannelId,
        account: &AccountId,
        external: &ExternalId,
    ) -> Result<Option<InboxRow>, Error> {
        let (channel, account, external) = (channel.clone(), account.clone(), external.clone());
        self.readers
            .ask(move |conn| delivery::inbox_row_of(conn, &channel, &account, &external))
            .await
    }

    async fn inbox_of(&self, key: &InboxKey) -> Result<Option<InboxRow>, Error> {
        let key = key.clone();
        self.readers.ask(move |conn| delivery::inbox_of(conn, &key)).await
    }

    async fn inbox(&self, filter: &RowFilter) -> Result<Vec<InboxRow>, Error> {
        let filter = filter.clone();
        self.readers.ask(move |conn| delivery::inbox(conn, &filter)).await
    }

    async fn outbox_row(&self, id: OutboxId) -> Result<Option<OutboxRow>, Error> {
        self.readers.ask(move |conn| delivery::outbox_by_id(conn, id)).await
    }

    async fn outbox(&self, filter: &RowFilter) -> Result<Vec<OutboxRow>, Error> {
        let filter = filter.clone();
        self.readers.ask(move |conn| delivery::outbox(conn, &filter)).await
    }

    async fn pending_outbox(&self, limit: usize) -> Result<Vec<OutboxRow>, Error> {
        self.readers.ask(move |conn| delivery::pending_outbox(conn, limit)).await
    }

    async fn outbox_of(&self, trace: TraceId) -> Result<Vec<OutboxRow>, Error> {
        self.readers.ask(move |conn| delivery::outbox_of(conn, trace)).await
    }

    async fn pairings(&self, channel: Option<&ChannelId>) -> Result<Vec<PairingRequest>, Error> {
        let channel = channel.cloned();
        self.readers.ask(move |conn| people::pairings(conn, channel.as_ref())).await
    }

    async fn grants(&self, channel: &ChannelId, account: &AccountId) -> Result<Vec<Grant>, Error> {
        let (channel, account) = (channel.clone(), account.clone());
        self.readers.ask(move |conn| people::grants(conn, &channel, &account)).await
    }

    async fn all_grants(&self) -> Result<Vec<Grant>, Error> {
        self.readers.ask(people::all_grants).await
    }

    async fn granted(
        &self,
        channel: &ChannelId,
        account: &AccountId,
        peer: &PeerId,
    ) -> Result<bool, Error> {
        let (channel, account, peer) = (channel.clone(), account.clone(), peer.clone());
        self.readers.ask(move |conn| people::granted(conn, &channel, &account, &peer)).await
    }

    async fn device(&self, id: &DeviceId) -> Result<Option<Device>, Error> {
        let id = id.clone();
        self.readers.ask(move |conn| people::device(conn, &id)).await
    }

    async fn devices(&self) -> Result<Vec<Device>, Error> {
        self.readers.ask(people::devices).await
    }

    async fn totals(&self) -> Result<Totals, Error> {
        self.readers.ask(event::totals).await
    }

    async fn writable(&self) -> Result<(), Error> {
        self.writer.run(event::probe).await
    }

    async fn close(&self) -> Result<(), Error> {
        self.readers.close().await?;
        self.writer.close().await
    }
}

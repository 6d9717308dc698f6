//! The trait: each question goes to a reader, each change to the writer.

use std::sync::{Arc, atomic::AtomicI32};

use async_trait::async_trait;
use claw_domain::{
    AccountId, ChannelId, DeviceId, Entry, EntryId, Event, EventId, ExternalId, InboxId, NodeId,
    OutboxId, PeerId, RunId, Secret, Seq, Session, SessionId, SessionKey, Timestamp, TraceId,
};
use claw_store::{
    Base, Change, Claim, Committed, Device, Error, Fence, Folded, Grant, Holding, InboxKey,
    InboxRow, Lease, Node, OutboxRow, PairingRequest, RowFilter, SessionFilter, Snapshot, Store,
    Totals,
};
use tokio::{
    sync::watch,
    task::spawn_blocking,
    time::{Instant, sleep},
};

use crate::{
    Options,
    conn::Conn,
    error::Fault,
    event, inbox, lease, migrate, outbox, people,
    place::Place,
    readers::Readers,
    retention, session, transcript,
    wakeups::Wakeups,
    writer::{PAUSE, Writer, statements},
};

/// A store in a database of a PostgreSQL server, open. Many processes may have it open.
///
/// Dropping it lets the commits that were already handed over finish in the background; only
/// [`Store::close`] waits for them.
pub struct Postgres {
    readers: Readers,
    writer: Writer,
    wakeups: Wakeups,
}

impl Postgres {
    /// Opens the store in the database that `url` names, as in
    /// `postgres://user:password@host:5432/database?sslmode=verify-full`. Makes the tables when they
    /// are not there, and brings an older schema up to this program's. Waits for a server that is
    /// away, for as long as every later call does.
    ///
    /// Without `sslmode`, a server on this machine may be without TLS, and any other one has to
    /// prove by its certificate that it is who the URL names. `disable`, `prefer` and `require` mean
    /// what they mean to every client of PostgreSQL; `verify-ca` and `verify-full` are one.
    /// `sslrootcert` names a PEM file of the certificates to check by, in place of this machine's.
    ///
    /// # Errors
    /// [`Error::Newer`] when a newer program gave the database its schema, [`Error::ReadOnly`] when
    /// it may not be written, [`Error::Engine`] when the URL or the server refuses. No error shows
    /// the password.
    pub async fn open(url: &Secret, options: Options) -> Result<Self, Error> {
        let give_up = Instant::now() + options.retry_for;
        let url = url.clone();
        // It reads files, for the certificates.
        let place = spawn_blocking(move || Place::of(&url, &options)).await;
        let place = place.unwrap_or_else(|panic| Err(Error::Engine(Box::new(panic))))?;
        let place = Arc::new(place);
        let conn = loop {
            match Self::connect(&place).await {
                Err(Fault::Lost(_)) if Instant::now() < give_up => sleep(PAUSE).await,
                connected => break connected.map_err(|fault| fault.at(&place.name))?,
            }
        };
        let pid = Arc::new(AtomicI32::new(conn.pid));
        Ok(Self {
            readers: Readers::new(Arc::clone(&place))?,
            writer: Writer::start(Arc::clone(&place), conn, Arc::clone(&pid)),
            wakeups: Wakeups::start(place, pid),
        })
    }

    async fn connect(place: &Place) -> Result<Conn, Fault> {
        migrate::migrate(place).await?;
        Conn::open(place, statements()).await
    }
}

#[async_trait]
impl Store for Postgres {
    async fn commit(&self, fence: &Fence, changes: Vec<Change>) -> Result<Committed, Error> {
        self.writer.commit(*fence, changes).await
    }

    async fn claim(
        &self,
        lease: &Lease,
        owner: NodeId,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Option<Fence>, Error> {
        let lease = *lease;
        self.writer.run(move |conn| Box::pin(lease::claim(conn, lease, owner, now, until))).await
    }

    async fn now(&self) -> Result<Timestamp, Error> {
        event::now(&self.readers).await
    }

    fn wakeups(&self) -> Option<watch::Receiver<u64>> {
        Some(self.wakeups.receiver())
    }

    async fn hold(&self, fence: &Fence, holding: &Holding, now: Timestamp) -> Result<bool, Error> {
        let (fence, holding) = (*fence, holding.clone());
        self.writer.run(move |conn| Box::pin(lease::take(conn, fence, holding.clone(), now))).await
    }

    async fn release(&self, fence: &Fence, holdings: &[Holding]) -> Result<(), Error> {
        let (fence, holdings) = (*fence, holdings.to_vec());
        self.writer.run(move |conn| Box::pin(lease::release(conn, fence, holdings.clone()))).await
    }

    async fn claim_inbox(&self, fence: &Fence, claim: &Claim) -> Result<Vec<InboxRow>, Error> {
        if lease::is_idle(&self.readers, fence, claim).await? {
            return Ok(Vec::new());
        }
        let (fence, claim) = (*fence, claim.clone());
        self.writer.run(move |conn| Box::pin(lease::claim_inbox(conn, fence, claim.clone()))).await
    }

    async fn claim_outbox(&self, fence: &Fence, limit: usize) -> Result<Vec<OutboxRow>, Error> {
        if outbox::is_idle(&self.readers, fence).await? {
            return Ok(Vec::new());
        }
        let fence = *fence;
        self.writer.run(move |conn| Box::pin(lease::claim_outbox(conn, fence, limit))).await
    }

    async fn adopt(&self, fence: &Fence) -> Result<(), Error> {
        let fence = *fence;
        self.writer.run(move |conn| Box::pin(lease::adopt(conn, fence))).await
    }

    async fn fold(&self, fence: &Fence, before: Timestamp, limit: usize) -> Result<Folded, Error> {
        let fence = *fence;
        self.writer.run(move |conn| Box::pin(retention::fold(conn, fence, before, limit))).await
    }

    async fn snapshot(&self) -> Result<Snapshot, Error> {
        retention::snapshot(&self.readers).await
    }

    async fn bases(&self, after: Option<&SessionKey>, limit: usize) -> Result<Vec<Base>, Error> {
        retention::bases(&self.readers, after, limit).await
    }

    async fn nodes(&self, ids: &[EntryId]) -> Result<Vec<Node>, Error> {
        transcript::nodes(&self.readers, ids).await
    }

    async fn session(&self, key: &SessionKey) -> Result<Option<Session>, Error> {
        session::find(&self.readers, key).await
    }

    async fn sessions(&self, filter: &SessionFilter) -> Result<Vec<Session>, Error> {
        session::list(&self.readers, filter).await
    }

    async fn context(
        &self,
        session: SessionId,
        head: EntryId,
        start: Option<EntryId>,
        tokens_max: u64,
    ) -> Result<Vec<Arc<Entry>>, Error> {
        transcript::context(&self.readers, session, head, start, tokens_max).await
    }

    async fn history(
        &self,
        session: SessionId,
        head: EntryId,
        limit: usize,
    ) -> Result<Vec<Arc<Entry>>, Error> {
        transcript::history(&self.readers, session, head, limit).await
    }

    async fn run_events(&self, run: &RunId) -> Result<Vec<Event>, Error> {
        event::of_run(&self.readers, run).await
    }

    async fn trace_events(&self, trace: TraceId) -> Result<Vec<Event>, Error> {
        event::of_trace(&self.readers, trace).await
    }

    async fn event(&self, id: EventId) -> Result<Option<Event>, Error> {
        event::by_id(&self.readers, id).await
    }

    async fn events(&self, after: Seq, limit: usize) -> Result<Vec<Event>, Error> {
        event::after(&self.readers, after, limit).await
    }

    async fn last_event_id(&self, node: NodeId) -> Result<Option<EventId>, Error> {
        let (newest, folded) = futures_util::join!(
            event::newest_id(&self.readers, node),
            retention::clock_of(&self.readers, node),
        );
        Ok(newest?.max(folded?))
    }

    async fn open_inbox(
        &self,
        after: Option<InboxId>,
        limit: usize,
    ) -> Result<Vec<InboxRow>, Error> {
        inbox::open(&self.readers, after, limit).await
    }

    async fn inbox_row(
        &self,
        channel: &ChannelId,
        account: &AccountId,
        external: &ExternalId,
    ) -> Result<Option<InboxRow>, Error> {
        inbox::by_external(&self.readers, channel, account, external).await
    }

    async fn inbox_of(&self, key: &InboxKey) -> Result<Option<InboxRow>, Error> {
        inbox::of(&self.readers, key).await
    }

    async fn inbox(&self, filter: &RowFilter) -> Result<Vec<InboxRow>, Error> {
        inbox::newest(&self.readers, filter).await
    }

    async fn outbox_row(&self, id: OutboxId) -> Result<Option<OutboxRow>, Error> {
        outbox::by_id(&self.readers, id).await
    }

    async fn outbox(&self, filter: &RowFilter) -> Result<Vec<OutboxRow>, Error> {
        outbox::newest(&self.readers, filter).await
    }

    async fn pending_outbox(&self, limit: usize) -> Result<Vec<OutboxRow>, Error> {
        outbox::pending(&self.readers, limit).await
    }

    async fn outbox_of(&self, trace: TraceId) -> Result<Vec<OutboxRow>, Error> {
        outbox::of_trace(&self.readers, trace).await
    }

    async fn pairings(&self, channel: Option<&ChannelId>) -> Result<Vec<PairingRequest>, Error> {
        people::pairings(&self.readers, channel).await
    }

    async fn grants(&self, channel: &ChannelId, account: &AccountId) -> Result<Vec<Grant>, Error> {
        people::grants(&self.readers, channel, account).await
    }

    async fn all_grants(&self) -> Result<Vec<Grant>, Error> {
        people::all_grants(&self.readers).await
    }

    async fn granted(
        &self,
        channel: &ChannelId,
        account: &AccountId,
        peer: &PeerId,
    ) -> Result<bool, Error> {
        people::granted(&self.readers, channel, account, peer).await
    }

    async fn device(&self, id: &DeviceId) -> Result<Option<Device>, Error> {
        people::device(&self.readers, id).await
    }

    async fn devices(&self) -> Result<Vec<Device>, Error> {
        people::devices(&self.readers).await
    }

    async fn totals(&self) -> Result<Totals, Error> {
        event::totals(&self.readers).await
    }

    async fn writable(&self) -> Result<(), Error> {
        self.writer.run(|conn| Box::pin(event::probe(conn))).await
    }

    async fn close(&self) -> Result<(), Error> {
        self.readers.close()?;
        self.wakeups.stop();
        self.writer.close().await
    }
}

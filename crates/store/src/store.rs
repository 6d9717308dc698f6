//! The trait: reads are questions of the domain, every write is a commit.

use std::sync::Arc;

use async_trait::async_trait;
use claw_domain::{
    AccountId, ChannelId, DeviceId, Entry, EntryId, Event, EventId, ExternalId, InboxId, NodeId,
    OutboxId, PeerId, RunId, Seq, Session, SessionId, SessionKey, Timestamp, TraceId, Usage,
};
use tokio::sync::watch;

use crate::{
    Base, Change, Claim, Device, Error, Fence, Folded, Grant, Holding, InboxKey, InboxRow, Lease,
    Node, OutboxRow, PairingRequest, RowFilter, Snapshot,
};

/// What a commit did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// The newest event of this store after the commit.
    pub seq: Seq,
    /// For each [`Change::Receive`] in order: whether the row is new.
    pub received: Vec<bool>,
    /// For each [`Change::Replace`] in order: whether the row was still waiting.
    pub replaced: Vec<bool>,
    /// For each [`Change::Enqueue`] in order: the order that the row was given.
    pub orders: Vec<u64>,
}

/// Which sessions a list holds. The default is all of them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SessionFilter {
    /// Only this agent's.
    pub agent: Option<claw_domain::AgentId>,
    /// Only those that changed since.
    pub updated_since: Option<Timestamp>,
    /// Only the newest so many.
    pub limit: Option<usize>,
}

/// Sums over the whole store.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Totals {
    /// Events in the log.
    pub events: u64,
    /// Inbox rows that are not closed.
    pub inbox_open: u64,
    /// Outbox rows that wait.
    pub outbox_pending: u64,
    /// Outbox rows that were given up.
    pub outbox_dead: u64,
    /// Tokens of all model calls.
    pub usage: Usage,
}

/// Keeps everything that must survive.
///
/// What a commit has acknowledged is on disk (memory stores excepted) and is seen by every later
/// read. Times are kept to the millisecond; what is finer may be lost. All methods are cancel-safe;
/// a commit whose future is dropped may still be carried out.
#[async_trait]
pub trait Store: Send + Sync {
    /// Carries out all changes in order, or none.
    ///
    /// # Errors
    /// [`Error::Fenced`] when `fence` is not the newest of its lease; [`Error::Missing`] and
    /// [`Error::Exists`] when a change does not fit what is stored. Nothing was done then.
    async fn commit(&self, fence: &Fence, changes: Vec<Change>) -> Result<Committed, Error>;

    /// Takes a lease until `until` when it is free, expired, or this owner's already.
    ///
    /// `None` when somebody else holds it. A new holder gets a higher epoch; renewing keeps it.
    async fn claim(
        &self,
        lease: &Lease,
        owner: NodeId,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Option<Fence>, Error>;

    /// The store's own clock, by which leases are judged: the machine's where one process has the
    /// store, the server's where many share it.
    async fn now(&self) -> Result<Timestamp, Error>;

    /// `Some` when other processes may commit to this store: it changes whenever somebody may have,
    /// and at least once a second, since a wake-up can be lost.
    fn wakeups(&self) -> Option<watch::Receiver<u64>>;

    /// Takes a holding when it is free or this holder's already; `false` when somebody else has it.
    /// A lease that is over at `now` and in the way is revoked: its holder's commits are refused
    /// from then on.
    ///
    /// # Errors
    /// [`Error::Fenced`] when `fence` is not the newest of its lease.
    async fn hold(&self, fence: &Fence, holding: &Holding, now: Timestamp) -> Result<bool, Error>;

    /// Gives holdings up. What is not held under `fence` is left alone.
    async fn release(&self, fence: &Fence, holdings: &[Holding]) -> Result<(), Error>;

    /// Takes over open inbox rows that no living gateway has, the oldest first: leases that are
    /// over are revoked, then rows of [`Fence::NOBODY`] or of a lease that is gone become this
    /// holder's. A row that was admitted to a session, or that a client wrote to it, is taken only
    /// with its lane, when that is free or this holder's; what came through a channel and was not
    /// admitted yet only with its account, likewise, and nothing newer before it.
    ///
    /// # Errors
    /// [`Error::Fenced`] when `fence` is not the newest of its lease.
    async fn claim_inbox(&self, fence: &Fence, claim: &Claim) -> Result<Vec<InboxRow>, Error>;

    /// Takes over waiting outbox rows of the accounts held under `fence` that are not this
    /// holder's yet, in the order of target, order and part, at most `limit`.
    ///
    /// # Errors
    /// [`Error::Fenced`] when `fence` is not the newest of its lease.
    async fn claim_outbox(&self, fence: &Fence, limit: usize) -> Result<Vec<OutboxRow>, Error>;

    /// Gives every open inbox and pending outbox row to the holder of `fence`.
    ///
    /// # Errors
    /// [`Error::Fenced`] when `fence` is not the newest of its lease.
    async fn adopt(&self, fence: &Fence) -> Result<(), Error>;

    /// Takes one step of folding events from before `before` into the snapshot, with what
    /// [`Base`](crate::Base) says stays; closed inbox rows that were accepted before it, and outbox
    /// rows that are done and expired before it, go as well. Looks at no more than `limit` of each,
    /// in one transaction, so that a running gateway hardly waits. What an open inbox row may still
    /// be replayed from is left alone.
    ///
    /// # Errors
    /// [`Error::Fenced`] when `fence` is not the newest of its lease.
    async fn fold(&self, fence: &Fence, before: Timestamp, limit: usize) -> Result<Folded, Error>;

    /// What the log no longer tells. Counts the tree, so it costs a walk over it.
    async fn snapshot(&self) -> Result<Snapshot, Error>;

    /// Sessions as far as they were folded, by key, after `after`, at most `limit`.
    async fn bases(&self, after: Option<&SessionKey>, limit: usize) -> Result<Vec<Base>, Error>;

    /// The places of these entries in the tree of transcripts, of those that are there.
    async fn nodes(&self, ids: &[EntryId]) -> Result<Vec<Node>, Error>;

    /// The session under a key.
    async fn session(&self, key: &SessionKey) -> Result<Option<Session>, Error>;

    /// Sessions, the newest first; those of one instant by key.
    async fn sessions(&self, filter: &SessionFilter) -> Result<Vec<Session>, Error>;

    /// What a prompt holds of the path from `head` to the root, by the rules of
    /// [`ContextWalk`](crate::ContextWalk), oldest first. Costs what it returns, however long the
    /// session is.
    async fn context(
        &self,
        session: SessionId,
        head: EntryId,
        start: Option<EntryId>,
        tokens_max: u64,
    ) -> Result<Vec<Arc<Entry>>, Error>;

    /// The newest `limit` entries on the path from `head` to the root, oldest first.
    async fn history(
        &self,
        session: SessionId,
        head: EntryId,
        limit: usize,
    ) -> Result<Vec<Arc<Entry>>, Error>;

    /// All events of a run, in commit order.
    async fn run_events(&self, run: &RunId) -> Result<Vec<Event>, Error>;

    /// All events of a trace, in commit order. Looks at a day from the making of the trace.
    async fn trace_events(&self, trace: TraceId) -> Result<Vec<Event>, Error>;

    /// One event by its identity.
    async fn event(&self, id: EventId) -> Result<Option<Event>, Error>;

    /// Events after `after`, in commit order, at most `limit`.
    async fn events(&self, after: Seq, limit: usize) -> Result<Vec<Event>, Error>;

    /// The newest event id that this node wrote, to go on from; where newer events of anybody were
    /// folded, their time and counter with this node.
    async fn last_event_id(&self, node: NodeId) -> Result<Option<EventId>, Error>;

    /// Inbox rows that are not closed, in the order of acceptance, after `after`, at most `limit`.
    async fn open_inbox(
        &self,
        after: Option<InboxId>,
        limit: usize,
    ) -> Result<Vec<InboxRow>, Error>;

    /// The inbox row of an external id.
    async fn inbox_row(
        &self,
        channel: &ChannelId,
        account: &AccountId,
        external: &ExternalId,
    ) -> Result<Option<InboxRow>, Error>;

    /// One inbox row by what it is known by.
    async fn inbox_of(&self, key: &InboxKey) -> Result<Option<InboxRow>, Error>;

    /// Inbox rows for people, the newest first.
    async fn inbox(&self, filter: &RowFilter) -> Result<Vec<InboxRow>, Error>;

    /// One outbox row.
    async fn outbox_row(&self, id: OutboxId) -> Result<Option<OutboxRow>, Error>;

    /// Outbox rows for people, the newest first.
    async fn outbox(&self, filter: &RowFilter) -> Result<Vec<OutboxRow>, Error>;

    /// Outbox rows that wait, ordered by target and order, at most `limit`.
    async fn pending_outbox(&self, limit: usize) -> Result<Vec<OutboxRow>, Error>;

    /// Outbox rows of one trace in the order in which they were queued, whatever their state.
    async fn outbox_of(&self, trace: TraceId) -> Result<Vec<OutboxRow>, Error>;

    /// Pairing requests, expired ones included, oldest first.
    async fn pairings(&self, channel: Option<&ChannelId>) -> Result<Vec<PairingRequest>, Error>;

    /// Everybody who was let in on a channel account, the first one first.
    async fn grants(&self, channel: &ChannelId, account: &AccountId) -> Result<Vec<Grant>, Error>;

    /// Everybody who was let in anywhere, by channel, account and sender.
    async fn all_grants(&self) -> Result<Vec<Grant>, Error>;

    /// Whether this sender was let in.
    async fn granted(
        &self,
        channel: &ChannelId,
        account: &AccountId,
        peer: &PeerId,
    ) -> Result<bool, Error>;

    /// A paired device.
    async fn device(&self, id: &DeviceId) -> Result<Option<Device>, Error>;

    /// All paired devices, by id.
    async fn devices(&self) -> Result<Vec<Device>, Error>;

    /// Sums over the whole store.
    async fn totals(&self) -> Result<Totals, Error>;

    /// Whether a commit can be made now: makes one that changes nothing which can be read.
    async fn writable(&self) -> Result<(), Error>;

    /// Waits for commits under way, then closes. Later calls fail with [`Error::Closed`].
    async fn close(&self) -> Result<(), Error>;
}

//! A store with a point before and after every question and every commit.

use std::{io, sync::Arc};

use async_trait::async_trait;
use claw_domain::{
    AccountId, ChannelId, DeviceId, Entry, EntryBody, EntryId, Event, EventBody, EventId,
    ExternalId, InboxId, NodeId, OutboxId, PeerId, RunId, Seq, Session, SessionId, SessionKey,
    Timestamp, TraceId,
};
use claw_store::{
    Base, Change, Claim, Committed, DeliveryState, Device, Error, Fence, Folded, Grant, Holding,
    InboxKey, InboxRow, Lease, Node, OutboxRow, PairingRequest, RowFilter, SessionFilter, Snapshot,
    Store, Totals,
};
use tokio::sync::watch;

use crate::{Phase, Points};

/// Passes `store.<method>`; fails as an engine does.
///
/// The detail of a commit is its kinds of changes joined by `+`, then a word for each outbox row
/// and tool call: `queued=ID`, `sent=ID`, `pending=ID`, `dead=ID`, `started=CALL`, `result=CALL`.
pub struct FaultyStore {
    inner: Arc<dyn Store>,
    points: Points,
}

impl FaultyStore {
    /// Wraps `inner`.
    pub fn new(inner: Arc<dyn Store>, points: Points) -> Self {
        Self { inner, points }
    }
}

/// Delegates: what comes from memory as it is, everything else between its two points.
macro_rules! delegate {
    (
        memory { $(fn $plain:ident() -> $given:ty;)* }
        points {
            $(async fn $method:ident($($argument:ident: $kind:ty),*) -> $answer:ty $(, $detail:expr)?;)*
        }
    ) => {
        #[async_trait]
        impl Store for FaultyStore {
            $(fn $plain(&self) -> $given {
                self.inner.$plain()
            })*
            $(async fn $method(&self, $($argument: $kind),*) -> Result<$answer, Error> {
                let detail = String::new() $(+ &$detail)?;
                let call = self.inner.$method($($argument),*);
                self.points.around(concat!("store.", stringify!($method)), detail, failure, call).await
            })*
        }
    };
}

delegate! {
    memory {
        fn wakeups() -> Option<watch::Receiver<u64>>;
    }
    points {
        async fn commit(fence: &Fence, changes: Vec<Change>) -> Committed, detail(&changes);
        async fn claim(lease: &Lease, owner: NodeId, now: Timestamp, until: Timestamp) -> Option<Fence>;
        async fn now() -> Timestamp;
        async fn hold(fence: &Fence, holding: &Holding, now: Timestamp) -> bool;
        async fn release(fence: &Fence, holdings: &[Holding]) -> ();
        async fn claim_inbox(fence: &Fence, claim: &Claim) -> Vec<InboxRow>;
        async fn claim_outbox(fence: &Fence, limit: usize) -> Vec<OutboxRow>;
        async fn adopt(fence: &Fence) -> ();
        async fn fold(fence: &Fence, before: Timestamp, limit: usize) -> Folded;
        async fn snapshot() -> Snapshot;
        async fn bases(after: Option<&SessionKey>, limit: usize) -> Vec<Base>;
        async fn nodes(ids: &[EntryId]) -> Vec<Node>;
        async fn session(key: &SessionKey) -> Option<Session>;
        async fn sessions(filter: &SessionFilter) -> Vec<Session>;
        async fn context(session: SessionId, head: EntryId, start: Option<EntryId>, tokens_max: u64) -> Vec<Arc<Entry>>;
        async fn history(session: SessionId, head: EntryId, limit: usize) -> Vec<Arc<Entry>>;
        async fn run_events(run: &RunId) -> Vec<Event>;
        async fn trace_events(trace: TraceId) -> Vec<Event>;
        async fn event(id: EventId) -> Option<Event>;
        async fn events(after: Seq, limit: usize) -> Vec<Event>;
        async fn last_event_id(node: NodeId) -> Option<EventId>;
        async fn open_inbox(after: Option<InboxId>, limit: usize) -> Vec<InboxRow>;
        async fn inbox_row(channel: &ChannelId, account: &AccountId, external: &ExternalId) -> Option<InboxRow>;
        async fn inbox_of(key: &InboxKey) -> Option<InboxRow>;
        async fn inbox(filter: &RowFilter) -> Vec<InboxRow>;
        async fn outbox_row(id: OutboxId) -> Option<OutboxRow>;
        async fn outbox(filter: &RowFilter) -> Vec<OutboxRow>;
        async fn pending_outbox(limit: usize) -> Vec<OutboxRow>;
        async fn outbox_of(trace: TraceId) -> Vec<OutboxRow>;
        async fn pairings(channel: Option<&ChannelId>) -> Vec<PairingRequest>;
        async fn grants(channel: &ChannelId, account: &AccountId) -> Vec<Grant>;
        async fn all_grants() -> Vec<Grant>;
        async fn granted(channel: &ChannelId, account: &AccountId, peer: &PeerId) -> bool;
        async fn device(id: &DeviceId) -> Option<Device>;
        async fn devices() -> Vec<Device>;
        async fn totals() -> Totals;
        async fn writable() -> ();
        async fn close() -> ();
    }
}

fn failure(phase: Phase) -> Error {
    Error::Engine(io::Error::other(format!("a fault {phase} the call")).into())
}

fn detail(changes: &[Change]) -> String {
    let mut kinds: Vec<&str> = changes.iter().map(word).collect();
    kinds.dedup();
    let mut detail = kinds.join("+");
    for change in changes {
        let (what, id) = match change {
            Change::Enqueue(row) => ("queued", row.id.to_string()),
            Change::Deliver(id, state, _) => (state.word(), id.to_string()),
            Change::Log(event) => match &event.body {
                EventBody::ToolStarted { call, .. } => ("started", call.to_string()),
                EventBody::EntryAdded(Entry { body: EntryBody::ToolResult(result), .. }) => {
                    ("result", result.call.to_string())
                }
                _ => continue,
            },
            _ => continue,
        };
        detail.push_str(&format!(" {what}={id}"));
    }
    detail
}

fn word(change: &Change) -> &'static str {
    match change {
        Change::Log(event) => match &event.body {
            EventBody::EntryAdded(entry) => match &entry.body {
                EntryBody::User(_) => "user",
                EntryBody::Assistant(_) => "assistant",
                EntryBody::ToolResult(_) => "toolResult",
                EntryBody::Compaction { .. } => "compaction",
                EntryBody::Foreign { .. } => "foreign",
            },
            other => other.kind(),
        },
        Change::Import(_) => "import",
        Change::Receive(_) => "receive",
        Change::Advance(..) => "advance",
        Change::Leave(_) => "leave",
        Change::Replace(..) => "replace",
        Change::Enqueue(_) => "enqueue",
        Change::Deliver(_, DeliveryState::Sent { .. }, _) => "deliverSent",
        Change::Deliver(_, DeliveryState::Pending { .. }, _) => "deliverPending",
        Change::Deliver(_, DeliveryState::Dead { .. }, _) => "deliverDead",
        Change::PutPairing(_) => "putPairing",
        Change::DropPairing(..) => "dropPairing",
    }
}

//! A fresh store with a lease on it, and short words for the values that checks are made of.

use std::{
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use claw_domain::{
    Action, Address, AssistantMessage, ChatKind, Entry, EntryBody, EntryId, EventBody, EventHeader,
    EventId, Inbound, InboundKind, MessageText, NodeId, Origin, Outbound, RunId, Sender, SessionId,
    SessionKey, Target, Timestamp, ToolResult, UserMessage, millis,
};

use crate::{
    Change, Committed, DeliveryState, Error, Fence, InboxRow, InboxState, Lease, NewEvent,
    OutboxRow, Store,
};

/// The node that the checks run on.
pub(super) const NODE: NodeId = NodeId(u64::MAX - 6);
/// When the checks happen. Unit: milliseconds since 1970.
pub(super) const NOW: i64 = 1_795_000_000_000;
/// How long a lease is taken for. Unit: milliseconds.
pub(super) const LEASE_MS: i64 = 60_000;

pub(super) struct World {
    pub(super) store: Arc<dyn Store>,
    pub(super) fence: Fence,
    made: AtomicU64,
}

impl World {
    pub(super) async fn new(store: Arc<dyn Store>) -> Self {
        let fence = store
            .claim(&Lease::Gateway, NODE, at(0), at(LEASE_MS))
            .await
            .expect("a fresh store answers")
            .expect("a fresh store is held by nobody");
        Self { store, fence, made: AtomicU64::new(1) }
    }

    pub(super) async fn commit(&self, changes: Vec<Change>) -> Committed {
        self.store.commit(&self.fence, changes).await.expect("the commit is sound")
    }

    pub(super) async fn refusal(&self, changes: Vec<Change>) -> Error {
        self.store.commit(&self.fence, changes).await.expect_err("the commit is not sound")
    }

    /// A new id of any kind, later than all before it.
    pub(super) fn id<T: FromStr<Err: std::fmt::Debug>>(&self) -> T {
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        format!("{number:032x}").parse().expect("32 hex digits are an id")
    }

    pub(super) fn header(&self, session: Option<&SessionKey>) -> EventHeader {
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        EventHeader {
            id: EventId::new(NOW.unsigned_abs() + number, 0, NODE),
            trace: self.id(),
            cause: None,
            session: session.cloned(),
            at: at(number.cast_signed()),
        }
    }

    pub(super) fn event(&self, session: Option<&SessionKey>, body: EventBody) -> Change {
        Change::Log(NewEvent { header: self.header(session), body })
    }

    /// Opens a life of `key` and returns its id.
    pub(super) async fn open(&self, key: &SessionKey) -> SessionId {
        let id = self.id();
        let agent = key.agent().unwrap_or_else(|| "main".into());
        let opened =
            EventBody::SessionOpened { id, agent, chat: ChatKind::Direct, why: "first".into() };
        self.commit(vec![self.event(Some(key), opened)]).await;
        id
    }

    pub(super) fn entry(
        &self,
        session: SessionId,
        parent: Option<&Entry>,
        tokens: u64,
        body: EntryBody,
    ) -> Entry {
        let before = parent.map_or(0, |entry| entry.tokens_sum);
        let parent = parent.map(|entry| entry.id);
        let tokens_sum = before + tokens;
        Entry {
            id: self.id(),
            session,
            parent,
            at: at(7),
            run: None,
            tokens,
            tokens_sum,
            body,
            other: serde_json::Map::new(),
        }
    }

    pub(super) async fn add(&self, key: &SessionKey, entry: &Entry) {
        self.commit(vec![self.event(Some(key), EventBody::EntryAdded(entry.clone()))]).await;
    }

    /// Adds a chain of entries of these sizes below `parent`.
    pub(super) async fn chain(
        &self,
        key: &SessionKey,
        session: SessionId,
        parent: Option<&Entry>,
        sizes: &[u64],
    ) -> Vec<Entry> {
        let mut chain: Vec<Entry> = Vec::new();
        for &tokens in sizes {
            let entry = self.entry(session, chain.last().or(parent), tokens, said("word"));
            self.add(key, &entry).await;
            chain.push(entry);
        }
        chain
    }

    pub(super) fn inbox_row(&self, external: &str) -> InboxRow {
        InboxRow {
            id: self.id(),
            trace: self.id(),
            inbound: message(external, "hello"),
            run: RunId::from(format!("run-{external}")),
            received_at: at(3),
            state: InboxState::Received,
            fence: self.fence,
        }
    }

    pub(super) async fn receive(&self, external: &str) -> InboxRow {
        let row = self.inbox_row(external);
        self.commit(vec![Change::Receive(Box::new(row.clone()))]).await;
        row
    }

    /// A row as a sender makes it: the store gives it its order.
    pub(super) fn outbox_row(&self, target: &Target, part: u32) -> OutboxRow {
        let id = self.id();
        let action = Action::Send { text: "hi".into(), reply_to: Some("7".into()), silent: false };
        OutboxRow {
            id,
            trace: self.id(),
            outbound: Outbound { target: target.clone(), action, idempotency_key: id.to_string() },
            order: 0,
            part,
            not_before: at(0),
            expires_at: at(3_600_000),
            state: DeliveryState::Pending { attempts: 0, error: None },
            fence: self.fence,
        }
    }

    /// Queues parts, one commit each, and returns them as they are stored.
    pub(super) async fn enqueue(&self, target: &Target, parts: &[u32]) -> Vec<OutboxRow> {
        let mut rows = Vec::new();
        for &part in parts {
            let row = self.outbox_row(target, part);
            let done = self.commit(vec![Change::Enqueue(Box::new(row.clone()))]).await;
            rows.push(OutboxRow { order: done.orders[0], ..row });
        }
        rows
    }
}

pub(super) fn at(ms: i64) -> Timestamp {
    millis(NOW + ms)
}

pub(super) fn key(text: &str) -> SessionKey {
    SessionKey::from(text)
}

pub(super) fn said(text: &str) -> EntryBody {
    EntryBody::User(UserMessage::text(text))
}

pub(super) fn answered(text: &str) -> EntryBody {
    EntryBody::Assistant(AssistantMessage::injected(text))
}

pub(super) fn tool_result(text: &str) -> EntryBody {
    EntryBody::ToolResult(ToolResult {
        call: "call-1".into(),
        tool: "exec".into(),
        text: text.into(),
        is_error: true,
        details: serde_json::json!({ "exitCode": 1 }),
    })
}

pub(super) fn compaction(first_kept: EntryId) -> EntryBody {
    EntryBody::Compaction { summary: "so far".into(), first_kept, tokens_before: 1000 }
}

pub(super) fn message(external: &str, text: &str) -> Inbound {
    let sender = Sender { id: "42".into(), name: Some("Ann".into()), username: None };
    let address = Address { chat: "42".into(), kind: ChatKind::Direct, thread: None, title: None };
    Inbound {
        channel: "telegram".into(),
        account: "default".into(),
        external_id: external.into(),
        at: at(1),
        origin: Origin::Person { sender, address },
        kind: InboundKind::Message(MessageText { text: text.into(), ..MessageText::default() }),
    }
}

pub(super) fn target(chat: &str, thread: Option<&str>) -> Target {
    Target {
        channel: "telegram".into(),
        account: "default".into(),
        chat: chat.into(),
        thread: thread.map(Into::into),
    }
}

pub(super) fn closed(outcome: &str) -> InboxState {
    InboxState::Closed {
        outcome: outcome.into(),
        detail: String::new(),
        rule: Some("allow-from".into()),
        at: at(9),
    }
}

//! A gateway's work on a store, without the gateway: the commits and the questions of each message.

use claw_domain::{
    AccountId, Action, Address, AssistantMessage, Block, ChannelId, ChatId, ChatKind, Ending,
    Entry, EntryBody, EntryId, EventBody, EventHeader, IdSource, Inbound, InboundKind, InboxId,
    MessageText, ModelRef, NodeId, Origin, Outbound, OutboxId, RunId, Sender, SessionId,
    SessionKey, StopReason, Target, Timestamp, ToolResult, TraceId, Usage, UsageRecord,
    UserMessage, millis,
};
use claw_store::{
    Change, DeliveryState, Fence, InboxRow, InboxState, Lease, NewEvent, OutboxRow, Store,
};
use claw_store_sqlite::Sqlite;
use serde_json::json;
use uuid::Uuid;

use super::NOW;

const NODE: NodeId = NodeId(1);

/// Sizes of what is said. Unit: bytes.
const PROMPT_PREFIX: usize = 16_000;
const ASKED: usize = 400;
const THOUGHT: usize = 600;
const TOOL_RESULT: usize = 3_000;
const ANSWER: usize = 900;
/// The size that each entry is taken to have, and all that fits into a prompt. Unit: tokens.
const ENTRY_TOKENS: u64 = 300;
const PROMPT_TOKENS: u64 = 150_000;

/// Commits what a gateway commits.
pub(crate) struct Gateway {
    pub(crate) store: Sqlite,
    pub(crate) fence: Fence,
    pub(crate) now: Timestamp,
    ids: IdSource,
    made: u64,
}

impl Gateway {
    pub(crate) async fn on(store: Sqlite) -> Self {
        let now = millis(NOW);
        let fence = store.claim(&Lease::Gateway, NODE, now, now).await.unwrap();
        Self { store, fence: fence.unwrap(), now, ids: IdSource::new(NODE, None), made: 0 }
    }

    /// One message from its coming to its answer's going: a thought, a tool, a reply.
    pub(crate) async fn answer(&mut self, chat: usize, first_of_day: bool) {
        let key = key(chat);
        let (trace, run) = (TraceId(self.uuid()), RunId::from(self.uuid().to_string()));
        let row = self.inbox_row(chat, trace, &run);
        let inbox = row.id;
        self.commit(vec![Change::Receive(Box::new(row.clone()))]).await;

        let mut admitted = vec![Change::Advance(
            inbox,
            InboxState::Admitted { rule: "allow-from".into(), session: key.clone(), at: self.now },
        )];
        if first_of_day {
            let life = SessionId(self.uuid());
            admitted.push(self.event(
                &key,
                trace,
                EventBody::SessionOpened {
                    id: life,
                    agent: "main".into(),
                    chat: ChatKind::Direct,
                    why: "daily".into(),
                },
            ));
            admitted.push(self.event(&key, trace, prefix()));
        }
        let target = target(chat);
        admitted.push(self.event(&key, trace, EventBody::SessionSeen { target: target.clone() }));
        admitted.push(self.event(&key, trace, EventBody::RunStarted { run: run.clone(), inbox }));
        self.commit(admitted).await;
        let asked = EntryBody::User(UserMessage::text(text(ASKED)));
        self.add(&key, trace, &run, asked, Vec::new(), Vec::new()).await;
        self.read_prompt(&key).await;
        let thought = Block::Thinking { text: text(THOUGHT), signature: Some(text(300)) };
        let call = Block::ToolCall {
            id: "toolu_0123456789".into(),
            name: "exec".into(),
            arguments: json!({ "command": text(80) }),
        };
        let started = EventBody::ToolStarted { run: run.clone(), call: "toolu_0123456789".into() };
        let answer = said(vec![thought, call], StopReason::ToolUse);
        self.add(&key, trace, &run, answer, vec![used(&run), started], Vec::new()).await;
        let result = EntryBody::ToolResult(ToolResult {
            call: "toolu_0123456789".into(),
            tool: "exec".into(),
            text: text(TOOL_RESULT),
            is_error: false,
            details: json!({ "exitCode": 0 }),
        });
        self.add(&key, trace, &run, result, Vec::new(), Vec::new()).await;

        let reply = text(ANSWER);
        let ending = Ending::Replied { text: reply.clone() };
        let out = self.outbox_row(target, trace, &reply);
        let sent = out.id;
        let done = vec![
            Change::Advance(
                inbox,
                InboxState::Closed {
                    outcome: "replied".into(),
                    detail: String::new(),
                    rule: Some("allow-from".into()),
                    at: self.now,
                },
            ),
            Change::Enqueue(Box::new(out)),
        ];
        let answer = said(vec![Block::Text { text: reply }], StopReason::Stop);
        let ended = vec![used(&run), EventBody::RunFinished { run: run.clone(), ending }];
        self.add(&key, trace, &run, answer, ended, done).await;
        let sent_state =
            DeliveryState::Sent { external_id: Some("77".into()), attempts: 1, at: self.now };
        self.commit(vec![Change::Deliver(sent, sent_state, None)]).await;
    }

    /// What a turn reads before it asks the model; how many entries the prompt has.
    pub(crate) async fn read_prompt(&self, key: &SessionKey) -> usize {
        let session = self.store.session(key).await.unwrap().expect("it was opened");
        let prefix = session.prefix.expect("it has a prompt");
        self.store.event(prefix).await.unwrap().expect("what a session points to stays");
        let (head, start) = (session.head.expect("something was said"), session.context_start);
        self.store.context(session.id, head, start, PROMPT_TOKENS).await.unwrap().len()
    }

    /// Makes a session of so many entries, one below the other, whose last few follow a compaction.
    pub(crate) async fn fill(&mut self, chat: usize, entries: usize, after_compaction: usize) {
        const BATCH: usize = 500;
        let key = key(chat);
        self.answer(chat, true).await;
        let session = self.store.session(&key).await.unwrap().unwrap();
        let (mut parent, mut batch) = (session.head, Vec::new());
        for left in (0..entries - 4).rev() {
            let body = match left == after_compaction {
                true => EntryBody::Compaction {
                    summary: text(ANSWER),
                    first_kept: parent.expect("something was said"),
                    tokens_before: PROMPT_TOKENS,
                },
                false => EntryBody::User(UserMessage::text(text(ASKED))),
            };
            let run = RunId::from("filling");
            let trace = TraceId(self.uuid());
            let entry = self.entry(session.id, parent, 0, &run, body);
            parent = Some(entry.id);
            batch.push(self.event(&key, trace, EventBody::EntryAdded(entry)));
            if left == after_compaction {
                batch.push(self.event(&key, trace, prefix()));
            }
            if batch.len() >= BATCH || left == 0 {
                self.commit(std::mem::take(&mut batch)).await;
            }
        }
    }

    /// Adds an entry at the head, with what is committed with it.
    async fn add(
        &mut self,
        key: &SessionKey,
        trace: TraceId,
        run: &RunId,
        body: EntryBody,
        events: Vec<EventBody>,
        rest: Vec<Change>,
    ) {
        let session = self.store.session(key).await.unwrap().expect("it was opened today");
        let entry = self.entry(session.id, session.head, session.tokens_sum, run, body);
        let events = [vec![EventBody::EntryAdded(entry)], events].concat().into_iter();
        let mut changes: Vec<Change> = events.map(|body| self.event(key, trace, body)).collect();
        changes.extend(rest);
        self.commit(changes).await;
    }

    fn entry(
        &mut self,
        session: SessionId,
        parent: Option<EntryId>,
        sum: u64,
        run: &RunId,
        body: EntryBody,
    ) -> Entry {
        Entry {
            id: EntryId(self.uuid()),
            session,
            parent,
            at: self.now,
            run: Some(run.clone()),
            tokens: ENTRY_TOKENS,
            tokens_sum: sum + ENTRY_TOKENS,
            body,
            other: serde_json::Map::new(),
        }
    }

    fn event(&self, key: &SessionKey, trace: TraceId, body: EventBody) -> Change {
        let header = EventHeader {
            id: self.ids.next(self.now),
            trace,
            cause: None,
            session: Some(key.clone()),
            at: self.now,
        };
        Change::Log(NewEvent { header, body })
    }

    async fn commit(&self, changes: Vec<Change>) {
        self.store.commit(&self.fence, changes).await.unwrap();
    }

    fn inbox_row(&mut self, chat: usize, trace: TraceId, run: &RunId) -> InboxRow {
        let name = || chat.to_string();
        let sender = Sender { id: name().into(), name: Some("Ann".into()), username: None };
        let address =
            Address { chat: name().into(), kind: ChatKind::Direct, thread: None, title: None };
        let message = MessageText { text: text(ASKED), ..MessageText::default() };
        InboxRow {
            id: InboxId(self.uuid()),
            trace,
            inbound: Inbound {
                channel: "telegram".into(),
                account: "default".into(),
                external_id: self.made.to_string().into(),
                at: self.now,
                origin: Origin::Person { sender, address },
                kind: InboundKind::Message(message),
            },
            run: run.clone(),
            received_at: self.now,
            state: InboxState::Received,
            fence: self.fence,
        }
    }

    fn outbox_row(&mut self, target: Target, trace: TraceId, reply: &str) -> OutboxRow {
        let id = OutboxId(self.uuid());
        let action = Action::Send { text: reply.into(), reply_to: None, silent: false };
        OutboxRow {
            id,
            trace,
            outbound: Outbound { target, action, idempotency_key: id.to_string() },
            order: 0,
            part: 0,
            not_before: self.now,
            expires_at: millis(self.now.as_millisecond() + 900_000),
            state: DeliveryState::Pending { attempts: 0, error: None },
            fence: self.fence,
        }
    }

    /// A new id that begins with the time of its making, as the real ones do.
    fn uuid(&mut self) -> Uuid {
        self.made += 1;
        let ms = self.now.as_millisecond().unsigned_abs();
        Uuid::from_u128(u128::from(ms) << 80 | 0x7 << 76 | u128::from(self.made))
    }
}

pub(crate) fn key(chat: usize) -> SessionKey {
    SessionKey::from(format!("agent:main:telegram:dm:{chat}"))
}

fn prefix() -> EventBody {
    EventBody::PrefixEpoch {
        model: model(),
        system: text(PROMPT_PREFIX).into(),
        tools: "digest".into(),
        why: "first".into(),
    }
}

fn target(chat: usize) -> Target {
    let (channel, account) = (ChannelId::from("telegram"), AccountId::from("default"));
    Target { channel, account, chat: ChatId::from(chat.to_string()), thread: None }
}

fn model() -> ModelRef {
    ModelRef { provider: "anthropic".into(), model: "claude".into() }
}

fn said(content: Vec<Block>, stop: StopReason) -> EntryBody {
    EntryBody::Assistant(AssistantMessage {
        content,
        model: Some(model()),
        api: Some("anthropic-messages".into()),
        stop,
        usage: Usage { input: 900, output: 200, cache_read: 9_000, cache_write: 300 },
        error: None,
    })
}

fn used(run: &RunId) -> EventBody {
    EventBody::Used(UsageRecord {
        run: run.clone(),
        model: model(),
        usage: Usage { input: 900, output: 200, cache_read: 9_000, cache_write: 300 },
        cost: Some(0.25),
        took_ms: 1_200,
        api: "anthropic-messages".into(),
    })
}

/// So many letters.
fn text(bytes: usize) -> String {
    "All work and no play makes a dull day. ".chars().cycle().take(bytes).collect()
}

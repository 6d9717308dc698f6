//! Two stores asked the same questions, and values to fill them with.
#![allow(dead_code, reason = "each test file and the example use their own part of it")]

use std::{collections::BTreeSet, sync::Arc};

use claw_domain::{
    Action, Address, AssistantMessage, ChatKind, Ending, Entry, EntryBody, EntryId, EventBody,
    EventHeader, EventId, Inbound, InboundKind, InboxId, MessageText, ModelRef, NodeId, Origin,
    Outbound, OutboxId, RunId, Sender, Seq, SessionId, SessionKey, Settings, StopCause, Target,
    ToolResult, TraceId, Usage, UsageRecord, UserMessage, millis,
};
use claw_store::{
    Change, DeliveryState, Fence, InboxRow, InboxState, Lease, NewEvent, OutboxRow, PairingRequest,
    SessionFilter, Store,
};
use serde_json::json;
use uuid::Uuid;

pub(crate) const NODE: NodeId = NodeId(0xfeed_0000_0000_0007);
pub(crate) const NOW: i64 = 1_795_000_000_000;

/// How many kinds of change [`change`] knows.
pub(crate) const KINDS: u8 = 26;

pub(crate) async fn hold(store: &dyn Store) -> Fence {
    let until = millis(NOW + 60_000);
    store
        .claim(&Lease::Gateway, NODE, millis(NOW), until)
        .await
        .unwrap()
        .expect("nobody else holds it")
}

/// The change of a kind, with ids out of small pools, so that some meet and some do not fit.
pub(crate) fn change(number: u64, kind: u8, a: u8, b: u8) -> Change {
    let key = SessionKey::from(["agent:main:main", "agent:ops:main"][usize::from(a % 2)]);
    let session = SessionId(uuid(1, b % 3));
    let run = RunId::from(format!("run-{b}"));
    let entry = |body| {
        let parent = (a > 0 && a - 1 != b).then(|| EntryId(uuid(2, a - 1)));
        let (id, tokens) = (EntryId(uuid(2, b)), u64::from(a) * 3);
        let run = a.is_multiple_of(2).then(|| run.clone());
        Entry {
            id,
            session,
            parent,
            at: millis(NOW),
            run,
            tokens,
            tokens_sum: u64::from(b) * 7,
            body,
            other: serde_json::Map::new(),
        }
    };
    let body = match kind {
        0 | 1 => EventBody::SessionOpened {
            id: session,
            agent: key.agent().expect("the key names it"),
            chat: ChatKind::Group,
            why: "new".into(),
        },
        2..=4 => EventBody::EntryAdded(entry(EntryBody::User(UserMessage::text(format!(
            "said {a} ü\u{0}"
        ))))),
        5 => EventBody::EntryAdded(entry(EntryBody::Assistant(AssistantMessage::injected("so")))),
        6 => {
            let first_kept = EntryId(uuid(2, a / 2));
            EventBody::EntryAdded(entry(EntryBody::Compaction {
                summary: "old".into(),
                first_kept,
                tokens_before: 9,
            }))
        }
        7 => EventBody::RunStarted { run, inbox: InboxId(uuid(3, b)) },
        8 => EventBody::RunFinished { run, ending: Ending::Replied { text: "done".into() } },
        9 => EventBody::Used(UsageRecord {
            run,
            model: ModelRef { provider: "anthropic".into(), model: "claude".into() },
            usage: Usage { input: a.into(), output: b.into(), cache_read: 3, cache_write: 4 },
            cost: Some(0.5),
            took_ms: 12,
            api: "anthropic-messages".into(),
        }),
        10 => {
            let settings = Settings { label: Some(format!("label {b}")), ..Settings::default() };
            EventBody::SessionSet { settings }
        }
        11 if b == 0 => EventBody::SessionDeleted,
        11 => EventBody::ContextTrimmed { start: EntryId(uuid(2, b)), dropped: 2 },
        12 => EventBody::GrantGiven {
            channel: "telegram".into(),
            account: "default".into(),
            peer: b.to_string().into(),
            by: "pairing".into(),
        },
        13 if b == 0 => EventBody::DeviceRemoved { device: a.to_string().into() },
        13 => EventBody::DevicePaired {
            device: a.to_string().into(),
            record: json!({ "role": b, "scopes": [] }),
        },
        14 => return Change::Receive(Box::new(inbox_row(a, b))),
        15 => return Change::Advance(InboxId(uuid(3, b)), inbox_state(a)),
        16 => {
            let message =
                MessageText { text: format!("edited {a}"), mentions_us: true, quoted: None };
            return Change::Replace(InboxId(uuid(3, b)), message);
        }
        17 => return Change::Enqueue(Box::new(outbox_row(a, b))),
        18 => {
            let again = b.is_multiple_of(2).then(|| millis(NOW + i64::from(b)));
            return Change::Deliver(OutboxId(uuid(5, b)), delivery_state(a), again);
        }
        19 => EventBody::SessionSeen { target: outbox_row(a, b).outbound.target },
        20 => EventBody::PrefixEpoch {
            model: ModelRef { provider: "anthropic".into(), model: "claude".into() },
            system: "You are".into(),
            tools: "digest".into(),
            why: "first".into(),
        },
        21 => EventBody::AnswerFailed { run, error: "no".into(), code: "auth".into() },
        22 => EventBody::ToolStarted { run, call: "call-1".into() },
        23 => EventBody::StopAsked { run, cause: StopCause::Rpc, said: "so fa".into() },
        24 => EventBody::EntryAdded(entry(EntryBody::ToolResult(ToolResult {
            call: "call-1".into(),
            tool: "exec".into(),
            text: "ok".into(),
            is_error: false,
            details: json!({ "exitCode": 0 }),
        }))),
        _ if b == 0 => {
            return Change::DropPairing("telegram".into(), "default".into(), a.to_string().into());
        }
        _ => return Change::PutPairing(pairing(a, b)),
    };
    // One id is taken twice now and then, and ids do not always ascend.
    let millis_of_id = if b == 9 { 1 } else { 1000 * u64::from(b) + number + 10 };
    let header = EventHeader {
        id: EventId::new(millis_of_id, 0, NODE),
        trace: TraceId(uuid(6, b)),
        cause: (a == 3).then(|| EventId::new(1, 0, NODE)),
        session: (a != 5).then_some(key),
        at: millis(NOW + number.cast_signed()),
    };
    Change::Log(NewEvent { header, body })
}

/// Asks both stores everything.
pub(crate) async fn assert_same(one: &dyn Store, other: &dyn Store) {
    macro_rules! same {
        ($question:ident($($arg:expr),*)) => {{
            let (left, right) = (one.$question($($arg),*).await.unwrap(), other.$question($($arg),*).await.unwrap());
            assert_eq!(left, right, "{}", stringify!($question($($arg),*)));
            left
        }};
    }
    same!(totals());
    same!(last_event_id(NODE));
    same!(last_event_id(NodeId(1)));
    let events = same!(events(Seq(0), usize::MAX));
    same!(events(Seq(3), 2));
    let mut entries = Vec::new();
    let mut keys = BTreeSet::new();
    for event in &events {
        same!(event(event.header.id));
        keys.extend(event.header.session.clone());
        if let EventBody::EntryAdded(entry) = &event.body {
            entries.push(Arc::new(entry.clone()));
        }
    }
    for key in &keys {
        same!(session(key));
    }
    same!(snapshot());
    same!(bases(None, usize::MAX));
    same!(bases(keys.first(), 1));
    same!(nodes(&entries.iter().map(|entry| entry.id).collect::<Vec<_>>()));
    let first = events.get(events.len() / 2).map(|event| event.header.at);
    for (agent, updated_since, limit) in
        [(None, None, None), (Some("ops"), None, Some(1)), (None, first, None)]
    {
        let filter = SessionFilter { agent: agent.map(Into::into), updated_since, limit };
        same!(sessions(&filter));
    }
    for entry in &entries {
        for limit in [0, 2, usize::MAX] {
            same!(history(entry.session, entry.id, limit));
        }
        for (start, tokens_max) in
            [(None, u64::MAX), (None, 10), (entry.parent, 40), (Some(entries[0].id), 25)]
        {
            same!(context(entry.session, entry.id, start, tokens_max));
        }
    }
    let inbox = same!(open_inbox(None, usize::MAX));
    same!(open_inbox(inbox.first().map(|row| row.id), 2));
    same!(pending_outbox(usize::MAX));
    same!(pending_outbox(2));
    for number in 0..10_u8 {
        same!(run_events(&format!("run-{number}").into()));
        same!(outbox_of(TraceId(uuid(6, number))));
        same!(device(&number.to_string().into()));
        same!(inbox_row(&"telegram".into(), &"default".into(), &number.to_string().into()));
        same!(granted(&"telegram".into(), &"default".into(), &number.to_string().into()));
    }
    same!(pairings(None));
    same!(pairings(Some(&"telegram".into())));
    same!(grants(&"telegram".into(), &"default".into()));
    same!(devices());
}

fn uuid(kind: u64, number: u8) -> Uuid {
    Uuid::from_u64_pair(kind, number.into())
}

pub(crate) fn inbox_row(a: u8, b: u8) -> InboxRow {
    let sender = Sender { id: "42".into(), name: Some("Ann".into()), username: None };
    let address = Address { chat: "42".into(), kind: ChatKind::Direct, thread: None, title: None };
    let message = MessageText { text: "hello".into(), ..MessageText::default() };
    let kind = if a == 4 {
        InboundKind::Button { payload: "yes".into() }
    } else {
        InboundKind::Message(message)
    };
    InboxRow {
        id: InboxId(uuid(3, b)),
        trace: TraceId(uuid(6, b)),
        inbound: Inbound {
            channel: "telegram".into(),
            account: "default".into(),
            external_id: a.to_string().into(),
            at: millis(NOW),
            origin: Origin::Person { sender, address },
            kind,
        },
        run: format!("run-{b}").into(),
        received_at: millis(NOW + i64::from(a)),
        state: InboxState::Received,
        fence: Fence { owner: NODE, epoch: 1 },
    }
}

fn inbox_state(a: u8) -> InboxState {
    match a {
        0 => InboxState::Received,
        1 | 2 => InboxState::Admitted {
            rule: "allowFrom".into(),
            session: "agent:main:main".into(),
            at: millis(NOW),
        },
        _ => InboxState::Closed {
            outcome: "replied".into(),
            detail: "d".into(),
            rule: Some("allow-from".into()),
            at: millis(NOW),
        },
    }
}

fn outbox_row(a: u8, b: u8) -> OutboxRow {
    let thread = (a == 2).then(|| "7".into());
    let target = Target {
        channel: "telegram".into(),
        account: "default".into(),
        chat: (a % 2).to_string().into(),
        thread,
    };
    let action =
        Action::Send { text: "hi *there*".into(), reply_to: Some("8".into()), silent: b == 1 };
    OutboxRow {
        id: OutboxId(uuid(5, b)),
        trace: TraceId(uuid(6, a)),
        outbound: Outbound { target, action, idempotency_key: format!("key-{b}") },
        order: 0,
        part: u32::from(a >= 3),
        not_before: millis(NOW),
        expires_at: millis(NOW + 3_600_000),
        state: DeliveryState::Pending { attempts: 0, error: None },
        fence: Fence { owner: NODE, epoch: 1 },
    }
}

fn delivery_state(a: u8) -> DeliveryState {
    match a {
        0 => DeliveryState::Sent { external_id: Some("77".into()), attempts: 0, at: millis(NOW) },
        1 => DeliveryState::Dead { reason: "blocked".into(), attempts: 0, at: millis(NOW) },
        attempts => DeliveryState::Pending { attempts: attempts.into(), error: Some("429".into()) },
    }
}

fn pairing(a: u8, b: u8) -> PairingRequest {
    PairingRequest {
        channel: "telegram".into(),
        account: "default".into(),
        peer: a.to_string().into(),
        name: (b > 4).then(|| "Ann".into()),
        code: "ABCD2345".into(),
        created_at: millis(NOW + i64::from(b)),
        expires_at: millis(NOW + 3_600_000),
    }
}

/// The commits that fill the store of the upgrade test: every kind of change, in a fixed order.
/// Those that do not fit are refused by every store alike.
pub(crate) fn filling() -> Vec<Vec<Change>> {
    let mut commits = Vec::new();
    for round in 0..8_u8 {
        for kind in 0..KINDS {
            let number = u64::from(round) * u64::from(KINDS) + u64::from(kind);
            commits.push(vec![change(number, kind, round.min(4), round)]);
        }
    }
    commits
}

/// Commits all of it; says how much of it was taken.
pub(crate) async fn fill(store: &dyn Store) -> usize {
    let fence = hold(store).await;
    let mut taken = 0;
    for commit in filling() {
        taken += usize::from(store.commit(&fence, commit).await.is_ok());
    }
    taken
}

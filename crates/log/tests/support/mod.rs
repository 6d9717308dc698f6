//! Installations that write, are copied and merged, and what can be said of their stores.
#![allow(dead_code, reason = "each test file uses its own part of it")]

pub(crate) mod gateway;

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use claw_domain::{
    AssistantMessage, ChatKind, Ending, Entry, EntryBody, EntryId, EventBody, EventHeader, EventId,
    IdSource, InboxId, NodeId, RunId, Seq, Session, SessionId, SessionKey, Settings, Target,
    ToolResult, TraceId, Usage, UsageRecord, UserMessage, millis,
};
use claw_store::{Change, Fence, Lease, NewEvent, SessionFilter, Store, Totals};
use claw_store_memory::Memory;
use serde_json::json;
use uuid::Uuid;

/// When every history begins. Unit: milliseconds since 1970.
pub(crate) const NOW: i64 = 1_795_000_000_000;

/// How many kinds of step [`Installation::step`] knows.
pub(crate) const KINDS: u8 = 14;

/// A store with an id source of its own, as a gateway has them.
pub(crate) struct Installation {
    pub(crate) node: NodeId,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) fence: Fence,
    ids: IdSource,
    made: AtomicU64,
}

impl Installation {
    pub(crate) async fn on(store: Arc<dyn Store>, node: u64) -> Self {
        let node = NodeId(node);
        let (now, until) = (millis(NOW), millis(NOW + 60_000));
        let fence = store.claim(&Lease::Gateway, node, now, until).await.unwrap().unwrap();
        let ids = IdSource::new(node, store.last_event_id(node).await.unwrap());
        let events = store.events(Seq(0), usize::MAX).await.unwrap();
        for event in &events {
            ids.observe(event.header.id);
        }
        // What is made after a restart must not meet what was made before.
        let made = AtomicU64::new(1_000_000 * events.len() as u64);
        Self { node, store, fence, ids, made }
    }

    pub(crate) async fn new(node: u64) -> Self {
        Self::on(Arc::new(Memory::default()), node).await
    }

    /// Another installation that begins with this one's log as its own.
    pub(crate) async fn copy(&self, node: u64) -> Self {
        self.copy_to(Arc::new(Memory::default()), node).await
    }

    /// Another installation that took in this one's log and has nothing else yet.
    pub(crate) async fn begin_again(&self, node: u64) -> Self {
        let other = Self::new(node).await;
        other.merge(self).await;
        other
    }

    pub(crate) async fn copy_to(&self, store: Arc<dyn Store>, node: u64) -> Self {
        let copy = Self::on(Arc::clone(&store), node).await;
        for event in self.store.events(Seq(0), usize::MAX).await.unwrap() {
            let new = NewEvent { header: event.header, body: event.body };
            let change = if event.imported { Change::Import(new) } else { Change::Log(new) };
            copy.store.commit(&copy.fence, vec![change]).await.unwrap();
        }
        Self::on(store, node).await
    }

    /// Takes in the other's log.
    pub(crate) async fn merge(&self, other: &Self) -> claw_log::Imported {
        let imported = self.take(&other.exported().await).await;
        for event in other.store.events(Seq(0), usize::MAX).await.unwrap() {
            self.ids.observe(event.header.id);
        }
        imported
    }

    pub(crate) async fn take(&self, file: &[u8]) -> claw_log::Imported {
        claw_log::import(&*self.store, &self.fence, file).await.unwrap()
    }

    pub(crate) async fn exported(&self) -> Vec<u8> {
        let mut file = Vec::new();
        claw_log::export(&*self.store, self.node, &mut file).await.unwrap();
        file
    }

    pub(crate) async fn log(&self, key: Option<&SessionKey>, ms: i64, body: EventBody) {
        let header = EventHeader {
            id: self.ids.next(millis(NOW + ms)),
            trace: TraceId(self.uuid()),
            cause: None,
            session: key.cloned(),
            at: millis(NOW + ms),
        };
        let change = Change::Log(NewEvent { header, body });
        self.store.commit(&self.fence, vec![change]).await.unwrap();
    }

    pub(crate) async fn say(&self, key: &SessionKey, ms: i64, body: EntryBody) -> EntryId {
        let session = self.store.session(key).await.unwrap().expect("it was opened");
        self.say_below(key, ms, &session, session.head, session.tokens_sum, body).await
    }

    async fn say_below(
        &self,
        key: &SessionKey,
        ms: i64,
        session: &Session,
        parent: Option<EntryId>,
        sum: u64,
        body: EntryBody,
    ) -> EntryId {
        let id = EntryId(self.uuid());
        let entry = Entry {
            id,
            session: session.id,
            parent,
            at: millis(NOW + ms),
            run: Some(RunId::from("r")),
            tokens: 3,
            tokens_sum: sum + 3,
            body,
            other: serde_json::Map::new(),
        };
        self.log(Some(key), ms, EventBody::EntryAdded(entry)).await;
        id
    }

    pub(crate) async fn open(&self, key: &SessionKey, ms: i64, why: &str) {
        let (id, agent) = (SessionId(self.uuid()), "main".into());
        let opened =
            EventBody::SessionOpened { id, agent, chat: ChatKind::Direct, why: why.into() };
        self.log(Some(key), ms, opened).await;
    }

    /// One thing that happens in a gateway's life: what it is, where, when, and with which number.
    pub(crate) async fn step(&self, kind: u8, chat: u8, ms: i64, number: u8) {
        let key = SessionKey::from(format!("agent:main:{chat}"));
        let Some(session) = self.store.session(&key).await.unwrap() else {
            return self.open(&key, ms, "first").await;
        };
        let run = RunId::from(format!("run-{number}"));
        let body = match kind {
            0..=2 => {
                let said = EntryBody::User(UserMessage::text(format!("said {number}")));
                self.say(&key, ms, said).await;
                return;
            }
            3 => {
                let answer = EntryBody::Assistant(AssistantMessage::injected("so"));
                self.say(&key, ms, answer).await;
                return;
            }
            4 => {
                let result = EntryBody::ToolResult(ToolResult {
                    call: "call-1".into(),
                    tool: "exec".into(),
                    text: "ok".into(),
                    is_error: false,
                    details: json!({ "exitCode": number }),
                });
                self.say(&key, ms, result).await;
                return;
            }
            5 => {
                let Some(head) = session.head else { return };
                let compaction = EntryBody::Compaction {
                    summary: "so far".into(),
                    first_kept: head,
                    tokens_before: 9,
                };
                self.say(&key, ms, compaction).await;
                return;
            }
            6 => return self.branch(&key, ms, &session).await,
            7 if number < 3 => EventBody::SessionDeleted,
            7 => return self.open(&key, ms, "reset").await,
            8 => EventBody::SessionSet {
                settings: Settings { label: Some(number.to_string()), ..Settings::default() },
            },
            9 => EventBody::Used(UsageRecord {
                run,
                model: "anthropic/claude".parse().unwrap(),
                usage: Usage { input: number.into(), output: 1, cache_read: 2, cache_write: 3 },
                cost: Some(f64::from(number) / 4.0),
                took_ms: 12,
                api: "anthropic-messages".into(),
            }),
            10 => EventBody::SessionSeen {
                target: Target {
                    channel: "telegram".into(),
                    account: "default".into(),
                    chat: number.to_string().into(),
                    thread: None,
                },
            },
            11 => EventBody::PrefixEpoch {
                model: "anthropic/claude".parse().unwrap(),
                system: "You are".into(),
                tools: "digest".into(),
                why: "first".into(),
            },
            12 => {
                self.log(
                    Some(&key),
                    ms,
                    EventBody::RunStarted { run: run.clone(), inbox: InboxId(self.uuid()) },
                )
                .await;
                EventBody::RunFinished { run, ending: Ending::Replied { text: "done".into() } }
            }
            _ => return self.let_in(ms, number).await,
        };
        self.log(Some(&key), ms, body).await;
    }

    /// Says something beside what was said last.
    async fn branch(&self, key: &SessionKey, ms: i64, session: &Session) {
        let Some(head) = session.head else { return };
        let history = self.store.history(session.id, head, 2).await.unwrap();
        let above = history.first().filter(|_| history.len() == 2);
        let (parent, sum) = above.map_or((None, 0), |entry| (Some(entry.id), entry.tokens_sum));
        let said = EntryBody::User(UserMessage::text("or rather"));
        self.say_below(key, ms, session, parent, sum, said).await;
    }

    async fn let_in(&self, ms: i64, number: u8) {
        let body = match number % 3 {
            0 => EventBody::GrantGiven {
                channel: "telegram".into(),
                account: "default".into(),
                peer: format!("{}-{number}", self.node.0).into(),
                by: "pairing".into(),
            },
            1 => EventBody::DevicePaired {
                device: (number % 4).to_string().into(),
                record: json!({ "of": self.node.0, "number": number }),
            },
            _ => EventBody::DeviceRemoved { device: (number % 4).to_string().into() },
        };
        self.log(None, ms, body).await;
    }

    fn uuid(&self) -> Uuid {
        Uuid::from_u64_pair(self.node.0, self.made.fetch_add(1, Ordering::Relaxed))
    }
}

/// All that two stores of the same events must agree on.
#[derive(Debug, PartialEq)]
pub(crate) struct Story {
    events: BTreeMap<EventId, (EventHeader, EventBody)>,
    sessions: BTreeMap<SessionKey, (Session, Vec<EntryId>)>,
    totals: Totals,
}

/// What a store tells, with each session's path as its log makes it.
pub(crate) async fn story(store: &dyn Store) -> Story {
    let events = store.events(Seq(0), usize::MAX).await.unwrap();
    let events: BTreeMap<_, _> =
        events.into_iter().map(|event| (event.header.id, (event.header, event.body))).collect();
    let entries: BTreeMap<EntryId, &Entry> = events
        .values()
        .filter_map(|(_, body)| match body {
            EventBody::EntryAdded(entry) => Some((entry.id, entry)),
            _ => None,
        })
        .collect();
    let mut sessions = BTreeMap::new();
    for session in store.sessions(&SessionFilter::default()).await.unwrap() {
        let mut path = Vec::new();
        if let Some(head) = session.head {
            let history = store.history(session.id, head, usize::MAX).await.unwrap();
            path = history.iter().map(|entry| entry.id).collect();
        }
        // From the head to a root, each the parent of the next, all of one life.
        let mut expected: Vec<_> =
            std::iter::successors(session.head, |id| entries[id].parent).collect();
        expected.reverse();
        assert_eq!(path, expected, "{}", session.key);
        assert!(path.iter().all(|id| entries[id].session == session.id), "{}", session.key);
        sessions.insert(session.key.clone(), (session, path));
    }
    Story { events, sessions, totals: store.totals().await.unwrap() }
}

/// Nothing of another installation acts here (SEC-63).
pub(crate) async fn assert_acts_alone(installation: &Installation) {
    let store = &installation.store;
    assert_eq!(store.open_inbox(None, 9).await.unwrap(), []);
    assert_eq!(store.pending_outbox(9).await.unwrap(), []);
    assert_eq!(store.pairings(None).await.unwrap(), []);
    let own = format!("{}-", installation.node.0);
    for grant in store.all_grants().await.unwrap() {
        assert!(grant.peer.as_str().starts_with(&own), "{grant:?}");
    }
    for device in store.devices().await.unwrap() {
        assert_eq!(device.record["of"], installation.node.0, "{device:?}");
    }
}

pub(crate) async fn assert_clean(store: &dyn Store) {
    let report = claw_log::verify(store).await.unwrap();
    assert!(report.is_clean(), "{:#?}", report.differences);
}

//! A gateway's middle in one process: delivery and agents over the memory store, with a channel,
//! a model and a tool that do what the test says.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use claw_agent::{AgentSpec, Agents, BootstrapCaps, Identity, Limits, Models, Resolved};
use claw_channel::{Capability, Channel, ChunkMode, Delivered, Health, Inbox, TextUnit};
use claw_delivery::{
    Account, Delivery, Membership, Quote, ReplyStyle, Router, Scribe, SessionConfig,
};
use claw_domain::{
    AccountId, Action, Address, ChannelId, ChatKind, Clock, IdSource, Inbound, InboundKind,
    MessageText, ModelInfo, ModelRef, NodeId, Operator, Origin, Outbound, Sender, Signal,
    SignalKind, StopReason, SystemClock, Timestamp, Usage, millis,
};
use claw_guard::{AllowList, DmPolicy, IdForm, SpeakPolicy, ToolPolicy};
use claw_provider::{Error, Event, EventStream, Provider, Request, RetryPolicy};
use claw_store::{Lease, Store};
use claw_tool::{FileAction, FilePlan, Output, Plan, PlanContext, Refusal, RunContext, Spec, Tool};
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

/// One scripted answer of the model.
pub enum Answer {
    Says(&'static str),
    Calls(Vec<(&'static str, &'static str, Value)>),
    Fails(Error),
    /// Says something and then waits until it is dropped.
    Hangs(&'static str),
}

#[derive(Default)]
pub struct Model {
    script: Mutex<VecDeque<Answer>>,
    pub asked: Mutex<Vec<Request>>,
}

impl Model {
    pub fn will(&self, answers: impl IntoIterator<Item = Answer>) {
        self.script.lock().unwrap().extend(answers);
    }

    /// What the model was shown in its last call, one line per message.
    pub fn shown(&self) -> Vec<String> {
        let asked = self.asked.lock().unwrap();
        let request = asked.last().expect("the model was asked");
        request.messages.iter().map(line).collect()
    }
}

fn line(message: &claw_provider::Message) -> String {
    use claw_domain::{Block, EntryBody};
    let claw_provider::Message::Entry(entry) = message else { return "summary".into() };
    match &entry.body {
        EntryBody::User(user) => format!("user: {}", user.said.as_deref().unwrap_or("(greeting)")),
        EntryBody::Assistant(message) => {
            let parts: Vec<_> = message
                .content
                .iter()
                .map(|block| match block {
                    Block::Text { text } => text.clone(),
                    Block::ToolCall { id, name, .. } => format!("<{name} {id}>"),
                    other => format!("{other:?}"),
                })
                .collect();
            format!("assistant: {}", parts.join(" "))
        }
        EntryBody::ToolResult(result) => format!("result {}: {}", result.call, result.text),
        EntryBody::Compaction { .. } => "compaction".into(),
        EntryBody::Foreign { kind, .. } => format!("foreign {kind}"),
    }
}

#[async_trait]
impl Provider for Model {
    fn api(&self) -> &'static str {
        "scripted"
    }

    async fn stream(&self, request: &Request) -> Result<EventStream, Error> {
        self.asked.lock().unwrap().push(request.clone());
        let answer = self.script.lock().unwrap().pop_front().expect("the script has an answer");
        let done = |events: Vec<Event>, stop| {
            let usage = Event::Usage(Usage { input: 10, output: 5, ..Usage::default() });
            let all = events.into_iter().chain([usage, Event::Done(stop)]).map(Ok);
            stream::iter(all.collect::<Vec<_>>()).boxed()
        };
        Ok(match answer {
            Answer::Says(text) => done(vec![Event::Text(text.into())], StopReason::Stop),
            Answer::Calls(calls) => {
                let events =
                    calls.into_iter().enumerate().flat_map(|(index, (id, name, arguments))| {
                        let json = match arguments {
                            Value::String(raw) => raw,
                            arguments => arguments.to_string(),
                        };
                        [
                            Event::ToolStart { index, id: id.into(), name: name.into() },
                            Event::ToolArguments { index, json },
                        ]
                    });
                done(events.collect(), StopReason::ToolUse)
            }
            Answer::Fails(error) => return Err(error),
            Answer::Hangs(text) => {
                stream::iter([Ok(Event::Text(text.into()))]).chain(stream::pending()).boxed()
            }
        })
    }

    async fn models(&self) -> Result<Vec<ModelInfo>, Error> {
        Ok(vec![info()])
    }
}

pub fn info() -> ModelInfo {
    ModelInfo {
        reference: "test/model".parse().unwrap(),
        name: "Test".into(),
        context_window: 100_000,
        output_max: 1_000,
        reasoning: false,
        images: false,
        cost: None,
    }
}

struct OneModel(Arc<Model>, ModelInfo);

impl Models for OneModel {
    fn resolve(&self, model: &ModelRef) -> Option<Resolved> {
        (*model == self.1.reference).then(|| Resolved {
            provider: self.0.clone(),
            info: self.1.clone(),
            auth: "none",
        })
    }

    fn list(&self) -> Vec<ModelInfo> {
        vec![self.1.clone()]
    }
}

/// A tool that counts how often it ran, and can be held.
pub struct Counter {
    spec: Spec,
    pub runs: AtomicUsize,
    pub started: Notify,
    pub hold: std::sync::atomic::AtomicBool,
    /// How long a run takes.
    pub takes: Mutex<Duration>,
}

#[async_trait]
impl Tool for Counter {
    fn spec(&self) -> &Spec {
        &self.spec
    }

    fn plan(&self, arguments: &Value, _context: &PlanContext) -> Result<Plan, Refusal> {
        if arguments.get("no").is_some() {
            return Err(Refusal::Never("never that".into()));
        }
        Ok(Plan::File(FilePlan {
            path: "x".into(),
            action: FileAction::Append { content: String::new() },
        }))
    }

    async fn run(&self, _plan: Plan, context: &RunContext) -> Output {
        let count = self.runs.fetch_add(1, Ordering::SeqCst) + 1;
        self.started.notify_one();
        if self.hold.load(Ordering::SeqCst) {
            context.stop.cancelled().await;
            return Output::error("stopped");
        }
        let takes = *self.takes.lock().unwrap();
        tokio::time::sleep(takes).await;
        Output::ok(format!("ran {count}"))
    }
}

/// A channel that keeps what it is told to send.
pub struct Wire {
    id: ChannelId,
    account: AccountId,
    capability: Capability,
    count: AtomicUsize,
    sent: mpsc::UnboundedSender<Outbound>,
    /// What the next deliveries fail with.
    pub fails: Mutex<VecDeque<claw_channel::Error>>,
    /// How long a delivery takes.
    pub takes: Mutex<Duration>,
}

#[async_trait]
impl Channel for Wire {
    fn id(&self) -> &ChannelId {
        &self.id
    }

    fn account(&self) -> &AccountId {
        &self.account
    }

    fn capability(&self) -> &Capability {
        &self.capability
    }

    async fn run(
        &self,
        _inbox: &dyn Inbox,
        stop: CancellationToken,
    ) -> Result<(), claw_channel::Error> {
        stop.cancelled().await;
        Ok(())
    }

    async fn deliver(&self, outbound: &Outbound) -> Result<Delivered, claw_channel::Error> {
        let takes = *self.takes.lock().unwrap();
        tokio::time::sleep(takes).await;
        if let Some(error) = self.fails.lock().unwrap().pop_front() {
            return Err(error);
        }
        // The receiver is gone when the test's process "dies"; what was sent then is lost.
        let _gone = self.sent.send(outbound.clone());
        let id = self.count.fetch_add(1, Ordering::SeqCst) + 1;
        let external_id = format!("{}:out-{id}", outbound.target.chat);
        Ok(Delivered { external_id: Some(external_id.into()) })
    }

    fn health(&self) -> Health {
        Health::default()
    }
}

/// One life of the gateway's middle.
pub struct Life {
    pub delivery: Delivery,
    pub agents: Arc<Agents>,
    pub model: Arc<Model>,
    pub tool: Arc<Counter>,
    pub wire: Arc<Wire>,
    pub signals: mpsc::UnboundedReceiver<Signal>,
    pub membership: Option<Arc<Membership>>,
    /// How long the next word or signal may take; longer where time is made up.
    pub patience: Duration,
    sent: mpsc::UnboundedReceiver<Outbound>,
    workspace: tempfile::TempDir,
}

/// The time of the runtime, which may be paused, from a fixed beginning.
pub struct RuntimeClock(tokio::time::Instant);

impl Default for RuntimeClock {
    fn default() -> Self {
        Self(tokio::time::Instant::now())
    }
}

impl Clock for RuntimeClock {
    fn now(&self) -> Timestamp {
        millis(1_795_000_000_000) + self.0.elapsed()
    }
}

pub const OWNER: &str = "1001";

impl Life {
    pub async fn begin(store: &Arc<dyn Store>) -> Self {
        Self::begin_with(store, info(), Limits::default()).await
    }

    pub async fn begin_with(store: &Arc<dyn Store>, info: ModelInfo, limits: Limits) -> Self {
        Self::begin_at(store, info, limits, Arc::new(SystemClock)).await
    }

    /// One of several gateways that share a store, by a clock that follows the runtime's time.
    pub async fn join(store: &Arc<dyn Store>, node: u64, agents_elsewhere: &[&str]) -> Self {
        let span = Duration::from_secs(30);
        let membership = Membership::join(Arc::clone(store), NodeId(node), span).await.unwrap();
        let elsewhere = agents_elsewhere.iter().map(|&id| id.into()).collect();
        let clock = Arc::new(RuntimeClock::default());
        let sharing = Some((membership, elsewhere));
        Self::make(store, NodeId(node), info(), Limits::default(), clock, sharing).await
    }

    /// As [`Life::begin_with`], by this clock.
    pub async fn begin_at(
        store: &Arc<dyn Store>,
        info: ModelInfo,
        limits: Limits,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self::make(store, NodeId(7), info, limits, clock, None).await
    }

    async fn make(
        store: &Arc<dyn Store>,
        node: NodeId,
        info: ModelInfo,
        limits: Limits,
        clock: Arc<dyn Clock>,
        sharing: Option<(Arc<Membership>, Vec<claw_domain::AgentId>)>,
    ) -> Self {
        let now = Timestamp::now();
        let membership = sharing.as_ref().map(|(membership, _)| Arc::clone(membership));
        let fence = match &membership {
            Some(membership) => membership.fence(),
            None => store.claim(&Lease::Gateway, node, now, Timestamp::MAX).await.unwrap().unwrap(),
        };
        let last = store.last_event_id(node).await.unwrap();
        let scribe = Scribe::new(Arc::new(IdSource::new(node, last)), clock);
        let (signal, signals) = mpsc::unbounded_channel();
        let listener: claw_delivery::Listener = Arc::new(move |heard| drop(signal.send(heard)));
        let model = Arc::new(Model::default());
        let tool = Arc::new(Counter {
            spec: Spec {
                name: "count",
                description: "Counts.",
                parameters: json!({"type": "object"}),
            },
            runs: AtomicUsize::new(0),
            started: Notify::new(),
            hold: false.into(),
            takes: Mutex::default(),
        });
        let workspace = tempfile::tempdir().unwrap();
        let spec = AgentSpec {
            id: "main".into(),
            name: None,
            identity: Identity::default(),
            workspace: Arc::new(workspace.path().to_owned()),
            caps: BootstrapCaps { file_max: 20_000, total_max: 150_000 },
            model: info.reference.clone(),
            thinking: None,
            tools: ToolPolicy::default(),
            context_tokens: None,
            zone: jiff::tz::TimeZone::UTC,
            limits,
        };
        let agents = Arc::new(Agents::new(claw_agent::Parts {
            store: Arc::clone(store),
            fence,
            scribe: scribe.clone(),
            listener: Arc::clone(&listener),
            models: Arc::new(OneModel(Arc::clone(&model), info)),
            tools: vec![tool.clone()],
            command_environment: BTreeMap::new(),
            agents: vec![spec],
            retry: RetryPolicy { attempts: 1, ..RetryPolicy::default() },
            version: "test",
        }));
        let (sent_tx, sent) = mpsc::unbounded_channel();
        let wire = Wire {
            id: "wire".into(),
            account: "default".into(),
            capability: Capability {
                text_max: 4_000,
                text_unit: TextUnit::Chars,
                edits: false,
                deletes: false,
                reactions: false,
                threads: false,
                typing: false,
                idempotent_sends: false,
            },
            count: AtomicUsize::new(0),
            sent: sent_tx,
            fails: Mutex::default(),
            takes: Mutex::default(),
        };
        let wire = Arc::new(wire);
        let list = AllowList::parse([OWNER], IdForm { prefixes: &[], digits_only: true });
        let policy =
            SpeakPolicy { dm: DmPolicy::Pairing, allow_from: list, ..SpeakPolicy::default() };
        let style = ReplyStyle { chunk_max: 4_000, mode: ChunkMode::Length, quote: Quote::Off };
        let delivery = Delivery::new(claw_delivery::Parts {
            store: Arc::clone(store),
            fence,
            scribe,
            turns: Arc::clone(&agents) as Arc<dyn claw_delivery::Turns>,
            listener,
            router: Router::new(vec!["main".into()], Vec::new(), SessionConfig::default()),
            accounts: vec![Account {
                channel: Arc::clone(&wire) as Arc<dyn Channel>,
                policy,
                style,
            }],
            concurrent_max: 8,
            sharing,
        });
        let patience = Duration::from_secs(20);
        Self { delivery, agents, model, tool, wire, signals, membership, patience, sent, workspace }
    }

    /// A message of a person; the id is what makes it one message.
    pub async fn hears(&self, id: &str, sender: &str, text: &str) {
        self.delivery.accept(vec![message(id, sender, text)]).await.unwrap();
    }

    /// The next text that goes out.
    pub async fn says(&mut self) -> String {
        let sent = tokio::time::timeout(self.patience, self.sent.recv()).await;
        match sent.expect("something is said").expect("the channel lives").action {
            Action::Send { text, .. } => text,
            other => panic!("{other:?}"),
        }
    }

    /// Waits until nothing runs and nothing is on its way, and checks that nothing more was said.
    pub async fn is_quiet(&mut self) {
        while !self.delivery.is_idle() {
            tokio::task::yield_now().await;
        }
        self.is_silent();
    }

    /// Checks that nothing more was said.
    pub fn is_silent(&mut self) {
        assert!(self.sent.try_recv().is_err(), "nothing more is said");
    }

    /// Waits for a signal.
    pub async fn signals(&mut self, wanted: impl Fn(&SignalKind) -> bool) -> Signal {
        loop {
            let signal = tokio::time::timeout(self.patience, self.signals.recv()).await;
            let signal = signal.expect("the signal comes").expect("the gateway lives");
            if wanted(&signal.kind) {
                return signal;
            }
        }
    }

    /// The process dies here: what is under way is dropped where it stands.
    pub async fn dies(self) -> tempfile::TempDir {
        self.delivery.shutdown(Duration::ZERO).await;
        self.workspace
    }
}

pub fn message(id: &str, sender: &str, text: &str) -> Inbound {
    Inbound {
        channel: "wire".into(),
        account: "default".into(),
        external_id: id.into(),
        at: millis(0),
        origin: Origin::Person {
            sender: Sender { id: sender.into(), name: Some("Ada".into()), username: None },
            address: Address {
                chat: sender.into(),
                kind: ChatKind::Direct,
                thread: None,
                title: None,
            },
        },
        kind: InboundKind::Message(MessageText { text: text.into(), ..MessageText::default() }),
    }
}

pub fn operator(run: &str, text: &str) -> Inbound {
    let session = "agent:main:main".into();
    let operator = Operator {
        client: "cli".into(),
        session,
        run: run.into(),
        extra_system_prompt: None,
        timeout_ms: None,
    };
    Inbound {
        channel: "webchat".into(),
        origin: Origin::Operator(operator),
        ..message(run, OWNER, text)
    }
}

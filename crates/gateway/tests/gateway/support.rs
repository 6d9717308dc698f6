//! A whole gateway over a store in memory, a model that says what it is told to, and raw clients.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use claw_agent::{AgentSpec, Agents, BootstrapCaps, Models, Resolved};
use claw_delivery::{Delivery, Router, Scribe, SessionConfig};
use claw_domain::{
    Block, EntryBody, IdSource, ModelInfo, ModelRef, NodeId, Secret, Signal, SignalKind,
    StopReason, SystemClock, Timestamp, millis,
};
use claw_gateway::{
    About, Auth, AuthMode, Bus, ChannelAccount, ChannelsView, ConfigIssue, ConfigSnapshot,
    ConfigView, ControlUi, Gateway, Limits, Parts,
};
use claw_protocol::{
    connect::ConnectParams,
    device::{DeviceKey, Payload},
};
use claw_provider::{
    Error, ErrorKind, Event, EventStream, Message as Said, Provider, Request as Question,
    RetryPolicy,
};
use claw_store::{Lease, Store};
use claw_store_memory::Memory;
use claw_tool::{FileAction, FilePlan, Output, Plan, PlanContext, Refusal, RunContext, Spec, Tool};
use futures_util::{SinkExt, StreamExt, stream};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
    task::JoinHandle,
};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{
        Error as SocketError, Message, client::IntoClientRequest, handshake::client::Request,
    },
};
use tokio_util::sync::CancellationToken;

pub(crate) const TOKEN: &str = "tok-ref-1";

pub(crate) const SCOPES: [&str; 5] =
    ["operator.admin", "operator.read", "operator.write", "operator.approvals", "operator.pairing"];

/// No test waits longer for anything.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a test can choose.
pub(crate) struct Choice {
    pub(crate) limits: Limits,
    pub(crate) channels: Vec<ChannelAccount>,
    pub(crate) page: bool,
}

impl Default for Choice {
    fn default() -> Self {
        Self { limits: limits(), channels: Vec::new(), page: true }
    }
}

/// Clients of these tests do not answer a close while the gateway stops.
pub(crate) fn limits() -> Limits {
    Limits { goodbye: Duration::from_millis(50), ..Limits::default() }
}

/// A gateway that runs.
pub(crate) struct Stand {
    pub(crate) gateway: Gateway,
    pub(crate) bus: Bus,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) address: String,
    stop: CancellationToken,
    serving: JoinHandle<()>,
    _workspace: tempfile::TempDir,
}

struct Accounts(Vec<ChannelAccount>);

impl ChannelsView for Accounts {
    fn accounts(&self) -> Vec<ChannelAccount> {
        self.0.clone()
    }
}

struct Configuration;

impl ConfigView for Configuration {
    fn snapshot(&self) -> ConfigSnapshot {
        ConfigSnapshot {
            path: "/state/config.json".into(),
            exists: true,
            raw: Some("{}".into()),
            parsed: json!({}),
            resolved: json!({}),
            config: json!({"gateway": {"auth": {"token": "__OPENCLAW_REDACTED__"}}}),
            hash: "h".into(),
            issues: Vec::new(),
            warnings: vec![ConfigIssue { path: "a.b".into(), message: "not here yet".into() }],
        }
    }
}

impl Stand {
    pub(crate) async fn start() -> Self {
        Self::start_with(Choice::default()).await
    }

    pub(crate) async fn start_with(choice: Choice) -> Self {
        let workspace = tempfile::tempdir().expect("a folder");
        let store: Arc<dyn Store> = Arc::new(Memory::default());
        let fence = store.claim(&Lease::Gateway, NodeId(1), millis(0), Timestamp::MAX).await;
        let fence = fence.expect("memory answers").expect("nobody else holds it");
        let scribe = Scribe::new(Arc::new(IdSource::new(NodeId(1), None)), Arc::new(SystemClock));
        let bus = Bus::new(choice.limits);
        let agents = Arc::new(Agents::new(claw_agent::Parts {
            store: Arc::clone(&store),
            fence,
            scribe: scribe.clone(),
            listener: bus.listener(),
            models: Arc::new(OneModel),
            tools: vec![Arc::new(Note::default())],
            command_environment: BTreeMap::new(),
            agents: vec![spec(workspace.path())],
            retry: RetryPolicy { attempts: 1, ..RetryPolicy::default() },
            version: "0.1.0",
        }));
        let delivery = Delivery::new(claw_delivery::Parts {
            store: Arc::clone(&store),
            fence,
            scribe: scribe.clone(),
            turns: Arc::clone(&agents) as _,
            listener: bus.listener(),
            router: Router::new(vec!["main".into()], Vec::new(), SessionConfig::default()),
            accounts: Vec::new(),
            concurrent_max: 8,
            sharing: None,
        });
        let gateway = Gateway::new(Parts {
            bus: bus.clone(),
            delivery,
            agents,
            store: Arc::clone(&store),
            fence,
            scribe,
            auth: auth(TOKEN),
            device_secret: Secret::new("0123456789abcdef0123456789abcdef"),
            config: Arc::new(Configuration),
            channels: Arc::new(Accounts(choice.channels)),
            about: About {
                version: "0.1.0".into(),
                host: "box".into(),
                state_dir: "/state".into(),
                config_path: "/state/config.json".into(),
            },
            control_ui: page(choice.page),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound").to_string();
        let stop = CancellationToken::new();
        let serving = tokio::spawn({
            let (gateway, stop) = (gateway.clone(), stop.clone());
            async move { gateway.serve(vec![listener], stop).await }
        });
        Self { gateway, bus, store, address, stop, serving, _workspace: workspace }
    }

    pub(crate) fn url(&self) -> String {
        format!("ws://{}/", self.address)
    }

    /// Stops it and waits until it has.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        patiently(self.serving).await.expect("it stops in order");
    }

    /// Begins to stop.
    pub(crate) fn ask_to_stop(&self) {
        self.stop.cancel();
    }

    /// A client that is in, with every scope and the given capabilities.
    pub(crate) async fn client(&self, caps: &[&str]) -> Raw {
        self.knock().await.let_in(caps).await
    }

    /// A socket that has the challenge and has said nothing.
    pub(crate) async fn knock(&self) -> Raw {
        self.knock_with(&[]).await.expect("it upgrades")
    }

    pub(crate) async fn knock_with(&self, headers: &[(&str, &str)]) -> Result<Raw, SocketError> {
        let mut request = self.url().into_client_request().expect("an address");
        for (name, value) in headers {
            let name: http::HeaderName = name.parse().expect("a header's name");
            request.headers_mut().insert(name, value.parse().expect("a header's value"));
        }
        let stream = TcpStream::connect(&self.address).await.expect("it listens");
        Self::greeted(stream, request).await
    }

    /// A client that is in and whose system takes next to nothing that the program has not read.
    pub(crate) async fn narrow_client(&self) -> Raw {
        let request = self.url().into_client_request().expect("an address");
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(128 * 1024).expect("a small buffer");
        let address = self.address.parse().expect("an address");
        let stream = socket.connect(address).await.expect("it listens");
        Self::greeted(stream, request).await.expect("it upgrades").let_in(&[]).await
    }

    async fn greeted(stream: TcpStream, request: Request) -> Result<Raw, SocketError> {
        let upgraded = client_async(request, stream);
        let (socket, _) = patiently(upgraded).await?;
        let mut raw =
            Raw { socket, events: Vec::new(), calls: 0, nonce: String::new(), hello: Value::Null };
        let challenge = raw.frame().await;
        assert_eq!(challenge["event"], "connect.challenge");
        assert_eq!(challenge["seq"], Value::Null);
        raw.nonce = challenge["payload"]["nonce"].as_str().expect("a nonce").into();
        Ok(raw)
    }

    /// Sends a request as bytes; status and the whole answer.
    pub(crate) async fn http(&self, head: &str, body: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.address).await.expect("it listens");
        let length = body.len();
        let host = &self.address;
        let request = format!(
            "{head}\r\nhost: {host}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut answer = Vec::new();
        patiently(stream.read_to_end(&mut answer)).await.expect("answered");
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
        (status.unwrap_or_else(|| panic!("no status in {answer:?}")), answer)
    }

    /// Tells a signal as a run does.
    pub(crate) fn signal(&self, run: &str, kind: SignalKind) {
        let session = "agent:main:main".into();
        (self.bus.listener())(Signal { run: run.into(), session, at: Timestamp::now(), kind });
    }
}

pub(crate) fn auth(token: &str) -> Auth {
    Auth { mode: AuthMode::Token, token: Some(Secret::new(token)), password: None }
}

pub(crate) fn page(enabled: bool) -> ControlUi {
    ControlUi { enabled, allowed_origins: Vec::new() }
}

/// Waits for what must come; a test that hangs says where.
#[track_caller]
pub(crate) fn patiently<F: Future>(future: F) -> impl Future<Output = F::Output> {
    let place = std::panic::Location::caller();
    async move {
        match tokio::time::timeout(PATIENCE, future).await {
            Ok(output) => output,
            Err(_late) => panic!("nothing came at {place}"),
        }
    }
}

/// A client that speaks in frames.
pub(crate) struct Raw {
    socket: WebSocketStream<TcpStream>,
    /// Frames that came while another was waited for, in order.
    pub(crate) events: Vec<Value>,
    calls: usize,
    pub(crate) nonce: String,
    pub(crate) hello: Value,
}

impl Raw {
    /// Connects with every scope and the given capabilities.
    async fn let_in(mut self, caps: &[&str]) -> Self {
        let key = DeviceKey::generate();
        let params = self.connect_params(caps, &SCOPES, json!({"token": TOKEN}), &key);
        self.connect(params).await.expect("let in");
        self
    }

    /// A signed `connect` of a command line.
    pub(crate) fn connect_params(
        &self,
        caps: &[&str],
        scopes: &[&str],
        auth: Value,
        key: &DeviceKey,
    ) -> Value {
        let params = json!({
            "minProtocol": 3, "maxProtocol": 3,
            "client": {"id": "cli", "version": "1.0.0", "platform": "linux", "mode": "cli"},
            "role": "operator", "scopes": scopes, "caps": caps, "auth": auth,
        });
        self.signed(params, key)
    }

    pub(crate) fn signed(&self, mut params: Value, key: &DeviceKey) -> Value {
        let connect = ConnectParams::read(params.clone()).expect("valid");
        let now = Timestamp::now().as_millisecond();
        params["device"] = json!(key.prove(Payload::V2, &connect, now, &self.nonce));
        params
    }

    /// Connects; the error's message when it was refused.
    pub(crate) async fn connect(&mut self, params: Value) -> Result<(), String> {
        let response = self.request("connect", params).await;
        if response["ok"] == true {
            self.hello = response["payload"].clone();
            return Ok(());
        }
        Err(response["error"]["message"].as_str().unwrap_or_default().to_owned())
    }

    pub(crate) async fn send(&mut self, text: impl Into<String>) {
        self.socket.send(Message::text(text.into())).await.expect("sent");
    }

    /// Sends bytes past the framing.
    pub(crate) async fn send_bytes(&mut self, bytes: &[u8]) {
        self.socket.get_mut().write_all(bytes).await.expect("sent");
    }

    /// The next frame.
    #[track_caller]
    pub(crate) fn frame(&mut self) -> impl Future<Output = Value> {
        let next = patiently(self.socket.next());
        async move {
            match next.await {
                Some(Ok(Message::Text(text))) => serde_json::from_str(&text).expect("JSON"),
                other => panic!("expected a frame, got {other:?}"),
            }
        }
    }

    /// Calls a method; its first answer, with events kept.
    pub(crate) async fn request(&mut self, method: &str, params: Value) -> Value {
        let id = self.post(method, params).await;
        self.response(&id).await
    }

    /// Calls a method without waiting; the id of its answers.
    pub(crate) async fn post(&mut self, method: &str, params: Value) -> String {
        self.calls += 1;
        let id = format!("r{}", self.calls);
        let frame = json!({"type": "req", "id": id, "method": method, "params": params});
        self.send(frame.to_string()).await;
        id
    }

    /// The next answer under this id.
    pub(crate) async fn response(&mut self, id: &str) -> Value {
        self.event(|frame| frame["type"] == "res" && frame["id"] == id).await
    }

    /// The payload of a call that succeeds.
    #[track_caller]
    pub(crate) fn call(&mut self, method: &str, params: Value) -> impl Future<Output = Value> {
        let method = method.to_owned();
        async move {
            let response = self.request(&method, params).await;
            assert_eq!(response["ok"], true, "{method}: {response}");
            response["payload"].clone()
        }
    }

    /// The message of a call that fails.
    pub(crate) async fn refused(&mut self, method: &str, params: Value) -> String {
        let response = self.request(method, params).await;
        assert_eq!(response["ok"], false, "{method}: {response}");
        response["error"]["message"].as_str().expect("a message").to_owned()
    }

    /// Reads until a frame that `wanted` takes, and returns it; the ones before it are kept.
    pub(crate) async fn event(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        if let Some(place) = self.events.iter().position(&wanted) {
            return self.events.remove(place);
        }
        let found = tokio::time::timeout(PATIENCE, async {
            loop {
                let frame = self.frame().await;
                if wanted(&frame) {
                    return frame;
                }
                self.events.push(frame);
            }
        });
        match found.await {
            Ok(event) => event,
            Err(_late) => panic!("it did not come; these did: {:#?}", self.events),
        }
    }

    /// The next `chat` event of a run in this state.
    pub(crate) async fn chat(&mut self, run: &str, state: &str) -> Value {
        let is_it = |event: &Value| {
            event["event"] == "chat"
                && event["payload"]["runId"] == run
                && event["payload"]["state"] == state
        };
        self.event(is_it).await["payload"].clone()
    }

    /// Sends a message to the main session and returns the answer to `chat.send`.
    pub(crate) async fn say(&mut self, message: &str, key: &str) -> Value {
        let params =
            json!({"sessionKey": "agent:main:main", "message": message, "idempotencyKey": key});
        self.call("chat.send", params).await
    }

    /// The beginning of the next frame, which may be too large to be worth parsing.
    pub(crate) async fn beginning(&mut self) -> String {
        match patiently(self.socket.next()).await {
            Some(Ok(Message::Text(text))) => text.chars().take(200).collect(),
            other => panic!("expected a frame, got {other:?}"),
        }
    }

    /// Reads until the gateway closes, whatever comes before; code and reason.
    pub(crate) async fn closed(&mut self) -> (u16, String) {
        loop {
            match patiently(self.socket.next()).await {
                Some(Ok(Message::Close(Some(frame)))) => {
                    return (frame.code.into(), frame.reason.to_string());
                }
                Some(Ok(Message::Close(None))) => return (1005, String::new()),
                Some(Ok(_)) => {}
                Some(Err(error)) => panic!("no close frame: {error}"),
                None => panic!("no close frame"),
            }
        }
    }

    /// Closes and waits until the gateway has closed too.
    pub(crate) async fn leave(mut self) {
        self.socket.close(None).await.expect("sent");
        self.closed().await;
    }
}

/// A tool that notes that it was called.
struct Note(Spec);

impl Default for Note {
    fn default() -> Self {
        let parameters = json!({"type": "object", "properties": {}});
        Self(Spec { name: "note", description: "Notes something.", parameters })
    }
}

#[async_trait]
impl Tool for Note {
    fn spec(&self) -> &Spec {
        &self.0
    }

    fn plan(&self, _arguments: &Value, _context: &PlanContext) -> Result<Plan, Refusal> {
        let action = FileAction::Read { offset: 1, limit: 1 };
        Ok(Plan::File(FilePlan { path: "note".into(), action }))
    }

    async fn run(&self, _plan: Plan, _context: &RunContext) -> Output {
        Output::ok("noted")
    }
}

fn spec(workspace: &std::path::Path) -> AgentSpec {
    AgentSpec {
        id: "main".into(),
        name: None,
        identity: Default::default(),
        workspace: Arc::new(workspace.to_owned()),
        caps: BootstrapCaps { file_max: 1000, total_max: 1000 },
        model: reference(),
        thinking: None,
        tools: Default::default(),
        context_tokens: None,
        zone: jiff::tz::TimeZone::UTC,
        limits: Default::default(),
    }
}

fn reference() -> ModelRef {
    ModelRef { provider: "mocka".into(), model: "mock-a".into() }
}

struct OneModel;

impl Models for OneModel {
    fn resolve(&self, model: &ModelRef) -> Option<Resolved> {
        let info = self.list().into_iter().find(|info| info.reference == *model)?;
        Some(Resolved { provider: Arc::new(Parrot), info, auth: "none" })
    }

    fn list(&self) -> Vec<ModelInfo> {
        vec![ModelInfo {
            reference: reference(),
            name: "Mock A".into(),
            context_window: 128_000,
            output_max: 8_192,
            reasoning: true,
            images: false,
            cost: None,
        }]
    }
}

/// A model that repeats what was said, word by word. `linger` says one word and then nothing more,
/// `fail` fails, `tool` calls a tool first.
struct Parrot;

#[async_trait]
impl Provider for Parrot {
    fn api(&self) -> &'static str {
        "anthropic-messages"
    }

    async fn stream(&self, request: &Question) -> Result<EventStream, Error> {
        let newest = match request.messages.last() {
            Some(Said::Entry(entry)) => Some(&entry.body),
            _ => None,
        };
        let said = match newest {
            Some(EntryBody::User(user)) => {
                user.said.as_deref().unwrap_or_else(|| text(&user.content))
            }
            Some(EntryBody::ToolResult(_)) => "tool done",
            _ => "",
        };
        let events = match said {
            "fail" => return Err(Error::new(ErrorKind::Auth, "the key is not accepted")),
            "linger" => {
                let begun = stream::iter([Ok(Event::Text("w0".into()))]);
                return Ok(begun.chain(stream::pending()).boxed());
            }
            "tool" => vec![
                Event::ToolStart { index: 0, id: "t1".into(), name: "note".into() },
                Event::ToolArguments { index: 0, json: "{}".into() },
                Event::Done(StopReason::ToolUse),
            ],
            "tool done" => vec![Event::Text("tool done".into()), Event::Done(StopReason::Stop)],
            said => {
                let words = ["You said: "].into_iter().chain(said.split_inclusive(' '));
                let words = words.map(|word| Event::Text(word.into()));
                words.chain([Event::Done(StopReason::Stop)]).collect()
            }
        };
        Ok(stream::iter(events.into_iter().map(Ok)).boxed())
    }

    async fn models(&self) -> Result<Vec<ModelInfo>, Error> {
        Ok(OneModel.list())
    }
}

fn text(content: &[Block]) -> &str {
    match content.first() {
        Some(Block::Text { text }) => text,
        _ => "",
    }
}

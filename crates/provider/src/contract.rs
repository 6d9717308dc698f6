//! The suite that every provider passes, against a fake of its vendor's server.

use std::{sync::Arc, time::Duration};

use claw_domain::{
    AssistantMessage, Block, Entry, EntryBody, EntryId, ModelInfo, SessionId, StopReason,
    ToolResult, Usage, UserMessage, millis,
};
use serde_json::{Value, json};

use crate::{
    Error, ErrorKind, Limits, Message, Prefix, Progress, Provider, Request, RetryPolicy, Thinking,
    ToolSpec, ask,
};

/// A key that the fake refuses; no error may repeat it.
pub const WRONG_KEY: &str = "wrong-key-canary-5512";

/// A vendor's fake, and the provider that speaks to it.
pub trait Stage: Send + Sync {
    /// A new provider with this access to the fake.
    fn provider(&self, access: Access) -> Box<dyn Provider>;
    /// A model that thinks and that the fake lists.
    fn model(&self) -> ModelInfo;
    /// Whether the vendor signs thoughts and wants them back.
    fn signs_thoughts(&self) -> bool;
    /// Makes this the fake's next answer, behind those that wait.
    fn play(&self, scene: Scene);
    /// The bodies of the requests that the fake accepted, oldest first.
    fn requests(&self) -> Vec<Value>;
}

/// How a provider reaches the fake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// With the key that the fake takes.
    Right,
    /// With [`WRONG_KEY`].
    WrongKey,
    /// At an address where nobody listens.
    Gone,
}

/// What the fake does next.
#[derive(Debug, Clone, Copy)]
pub enum Scene {
    /// Says these pieces.
    Says(&'static [&'static str]),
    /// Thinks, then says.
    Thinks(&'static str, &'static str),
    /// Thinks, then calls `exec` with this text as its arguments, sent in odd cuts.
    Calls(&'static str, &'static str),
    /// Says `ok` and reports these tokens.
    Takes(Usage),
    /// Says `ha` and gives this reason to stop.
    Stops(StopReason),
    /// Refuses before the stream; a rate limit asks to wait 7 seconds.
    Refuses(ErrorKind),
    /// Says `ha`, then cuts the connection.
    Cuts,
    /// Says `ha`, then ends the body in good order.
    Ends,
    /// Says `ha`, then reports that it is overloaded.
    Fails,
    /// Says `ha`, then nothing.
    Stalls,
    /// Sends a page.
    Html,
    /// Ends before the first event.
    Empty,
}

/// How long the suite waits for a fake that has fallen silent on purpose.
const IDLE: Duration = Duration::from_millis(300);

/// Runs the whole suite.
///
/// # Panics
/// At the first behaviour that the contract does not allow.
pub async fn run(stage: &dyn Stage) {
    answers_are_whole(stage).await;
    broken_arguments_reach_the_turn(stage).await;
    thoughts_and_calls_are_replayed(stage).await;
    usage_is_reported(stage).await;
    stop_reasons_are_told_apart(stage).await;
    refusals_are_classified(stage).await;
    no_half_answer_passes(stage).await;
    a_failed_call_is_made_again(stage).await;
    models_are_listed(stage).await;
}

async fn answers_are_whole(stage: &dyn Stage) {
    stage.play(Scene::Says(&["Grüß ", "dich, ", "Welt 🌍"]));
    let asked = once(stage, &talk(stage, [user("hi")])).await;
    let answer = asked.answer.expect("a plain text is an answer");
    assert_eq!(answer.content, [text("Grüß dich, Welt 🌍")]);
    assert_eq!(asked.shown, ["Grüß ", "dich, ", "Welt 🌍"]);
    assert_eq!(answer.stop, StopReason::Stop);
    assert_eq!(answer.model, Some(stage.model().reference));
    assert_eq!(answer.api.as_deref(), Some(stage.provider(Access::Right).api()));

    stage.play(Scene::Calls("", r#"{"command":"echo \"ä😀\" \\ 1","n":[1.5,null]}"#));
    let answer = once(stage, &talk(stage, [user("hi")])).await.answer.expect("a call is an answer");
    let arguments: Vec<Value> =
        answer.tool_calls().map(|(_, _, arguments)| arguments.clone()).collect();
    assert_eq!(arguments, [json!({ "command": "echo \"ä😀\" \\ 1", "n": [1.5, null] })]);
    assert_eq!(answer.stop, StopReason::ToolUse);
}

async fn broken_arguments_reach_the_turn(stage: &dyn Stage) {
    stage.play(Scene::Calls("", r#"{"command": "ls"#));
    let answer = once(stage, &talk(stage, [user("hi")])).await.answer.expect("the answer is whole");
    let (id, name, arguments) = answer.tool_calls().next().expect("a call came");
    assert_eq!((name, arguments), ("exec", &json!(r#"{"command": "ls"#)));

    // The vendor takes the conversation back all the same.
    let result = result(id.as_str(), "the arguments are not valid JSON", true);
    stage.play(Scene::Says(&["sorry"]));
    let talk = talk(stage, [user("hi"), EntryBody::Assistant(answer.clone()), result]);
    assert_eq!(
        once(stage, &talk).await.answer.expect("a broken call does not end the talk").text(),
        "sorry"
    );
}

async fn thoughts_and_calls_are_replayed(stage: &dyn Stage) {
    stage.play(Scene::Calls("the user greets \"me\" 🤔", r#"{"command":"ls"}"#));
    let first = once(stage, &talk(stage, [user("hi")])).await.answer.expect("the answer is whole");
    let Some(Block::Thinking { text: thought, signature }) = first.content.first() else {
        panic!("the thought comes first: {:?}", first.content);
    };
    assert_eq!(thought, "the user greets \"me\" 🤔");
    assert_eq!(signature.is_some(), stage.signs_thoughts());
    let id = first.tool_calls().next().expect("a call came").0.as_str();

    stage.play(Scene::Thinks("so be it", "done"));
    let entries = [user("hi"), EntryBody::Assistant(first.clone()), result(id, "a.txt", false)];
    let second = once(stage, &talk(stage, entries)).await.answer.expect("the result is accepted");
    assert_eq!(second.text(), "done");
    let sent = stage.requests().pop().expect("the fake wrote the request down");
    assert!(holds(&sent, "a.txt") && holds(&sent, id), "the result goes back under its id: {sent}");
    if let Some(signature) = signature {
        assert!(
            holds(&sent, signature) && holds(&sent, thought),
            "the thought goes back as it came: {sent}"
        );
    }
}

async fn usage_is_reported(stage: &dyn Stage) {
    // Not every vendor says what it wrote to its cache.
    let usage = Usage { input: 11, output: 7, cache_read: 1024, cache_write: 0 };
    stage.play(Scene::Takes(usage));
    let answer = once(stage, &talk(stage, [user("hi")])).await.answer.expect("the answer is whole");
    assert_eq!(answer.usage, usage);
}

async fn stop_reasons_are_told_apart(stage: &dyn Stage) {
    for stop in [StopReason::Stop, StopReason::Length, StopReason::Error] {
        stage.play(Scene::Stops(stop));
        let answer =
            once(stage, &talk(stage, [user("hi")])).await.answer.expect("the answer is whole");
        assert_eq!((answer.stop, answer.text().as_str()), (stop, "ha"));
        assert_eq!(answer.error.is_some(), stop == StopReason::Error);
    }
}

async fn refusals_are_classified(stage: &dyn Stage) {
    for kind in [
        ErrorKind::Rate,
        ErrorKind::Overloaded,
        ErrorKind::Billing,
        ErrorKind::ContextTooLong,
        ErrorKind::BadRequest,
        ErrorKind::Server,
    ] {
        stage.play(Scene::Refuses(kind));
        let error = failure(stage, &talk(stage, [user("hi")])).await;
        assert_eq!(error.kind, kind, "{error}");
        let asked_to_wait = (kind == ErrorKind::Rate).then_some(Duration::from_secs(7));
        assert_eq!(error.retry_after, asked_to_wait, "{error}");
    }
    for (access, kind) in [(Access::WrongKey, ErrorKind::Auth), (Access::Gone, ErrorKind::Network)]
    {
        let provider = stage.provider(access);
        let request = talk(stage, [user("hi")]);
        let asked = play(&*provider, &request, 1, Limits::default()).await.answer;
        for error in
            [asked.expect_err("no answer"), provider.models().await.expect_err("no models")]
        {
            assert_eq!(error.kind, kind, "{error}");
            assert!(
                !format!("{error:?}").contains(WRONG_KEY),
                "the key stays out of errors: {error}"
            );
        }
    }
}

async fn no_half_answer_passes(stage: &dyn Stage) {
    for (scene, kinds) in [
        (Scene::Cuts, &[ErrorKind::Cut, ErrorKind::Network][..]),
        (Scene::Ends, &[ErrorKind::Cut]),
        (Scene::Fails, &[ErrorKind::Overloaded]),
        (Scene::Html, &[ErrorKind::Network]),
        (Scene::Empty, &[ErrorKind::Cut]),
    ] {
        stage.play(scene);
        let error = failure(stage, &talk(stage, [user("hi")])).await;
        assert!(kinds.contains(&error.kind), "{scene:?}: {error:?}");
    }
    stage.play(Scene::Stalls);
    let limits = Limits { idle: IDLE, ..Limits::default() };
    let asked = play(&*stage.provider(Access::Right), &talk(stage, [user("hi")]), 1, limits).await;
    assert_eq!(asked.answer.expect_err("half an answer is none").kind, ErrorKind::Stalled);
}

async fn a_failed_call_is_made_again(stage: &dyn Stage) {
    stage.play(Scene::Fails);
    stage.play(Scene::Says(&["hello"]));
    let provider = stage.provider(Access::Right);
    let asked = play(&*provider, &talk(stage, [user("hi")]), 2, Limits::default()).await;
    assert_eq!(asked.answer.expect("the second call is whole").text(), "hello");
    assert_eq!(asked.shown, ["ha", "<again>", "hello"]);
}

async fn models_are_listed(stage: &dyn Stage) {
    let models = stage.provider(Access::Right).models().await.expect("the fake lists its models");
    let wanted = stage.model().reference;
    assert!(models.iter().any(|model| model.reference == wanted), "{wanted} is listed: {models:?}");
}

struct Asked {
    answer: Result<AssistantMessage, Error>,
    shown: Vec<String>,
}

async fn once(stage: &dyn Stage, request: &Request) -> Asked {
    play(&*stage.provider(Access::Right), request, 1, Limits::default()).await
}

async fn failure(stage: &dyn Stage, request: &Request) -> Error {
    once(stage, request).await.answer.expect_err("half an answer is none")
}

async fn play(
    provider: &dyn Provider,
    request: &Request,
    attempts: usize,
    limits: Limits,
) -> Asked {
    let policy =
        RetryPolicy { attempts, min: Duration::ZERO, jitter: false, ..RetryPolicy::default() };
    let mut shown = Vec::new();
    let mut show = |progress| match progress {
        Progress::Text(text) => shown.push(text.to_string()),
        Progress::Thinking(_) | Progress::Alive => {}
        Progress::Restarted => shown.push("<again>".to_owned()),
    };
    let answer = ask(provider, request, &policy, &limits, &mut show).await;
    Asked { answer, shown }
}

/// A request that offers `exec` and lets the model think.
fn talk(stage: &dyn Stage, bodies: impl IntoIterator<Item = EntryBody>) -> Request {
    let exec = ToolSpec {
        name: "exec".to_owned(),
        description: "Runs a command.".to_owned(),
        parameters: json!({ "type": "object", "properties": { "command": { "type": "string" } } }),
    };
    Request {
        prefix: Arc::new(Prefix::new(stage.model(), "Be terse.", vec![exec])),
        messages: bodies.into_iter().map(message).collect(),
        output_max: 4096,
        thinking: Thinking::Low,
    }
}

/// An entry of a transcript that holds nothing but `body`, as a message.
pub fn message(body: EntryBody) -> Message {
    Message::Entry(Arc::new(Entry {
        id: EntryId::generate(),
        session: SessionId::generate(),
        parent: None,
        at: millis(0),
        run: None,
        tokens: 0,
        tokens_sum: 0,
        body,
        other: serde_json::Map::new(),
    }))
}

fn user(text: &str) -> EntryBody {
    EntryBody::User(UserMessage::text(text))
}

fn text(text: &str) -> Block {
    Block::Text { text: text.to_owned() }
}

fn result(call: &str, text: &str, is_error: bool) -> EntryBody {
    let (call, tool, text) = (call.into(), "exec".to_owned(), text.to_owned());
    EntryBody::ToolResult(ToolResult { call, tool, text, is_error, details: Value::Null })
}

/// Whether one of the strings in `value` is `wanted`.
fn holds(value: &Value, wanted: &str) -> bool {
    match value {
        Value::String(text) => text == wanted,
        Value::Array(values) => values.iter().any(|value| holds(value, wanted)),
        Value::Object(fields) => fields.values().any(|value| holds(value, wanted)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

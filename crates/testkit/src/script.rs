//! What a fake model answers next.
//!
//! A script is a queue of answers; when it is empty, a function of the request answers. The
//! same answers play on every fake model: each draws them in its vendor's frames.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use serde_json::Value;
use tokio::sync::Semaphore;

use crate::{
    asked::{Asked, Last},
    book::lock,
};

/// One answer of a fake model.
#[derive(Debug, Clone)]
pub enum Answer {
    /// The model speaks.
    Reply(Reply),
    /// The server refuses, in the vendor's error format.
    Refusal(Refusal),
    /// Bytes as they are, in no vendor's format.
    Raw {
        /// The HTTP status.
        status: u16,
        /// The `content-type` header.
        content_type: &'static str,
        /// The whole body.
        body: Bytes,
    },
}

/// What the model says, and how the stream that carries it behaves.
#[derive(Debug, Clone, Default)]
pub struct Reply {
    pub(crate) parts: Vec<Part>,
    pub(crate) stop: Option<Stop>,
    pub(crate) usage: Option<Usage>,
    pub(crate) pacing: Pacing,
}

/// A part of a reply; `pieces` are sent as one delta each.
#[derive(Debug, Clone)]
pub(crate) enum Part {
    Text { pieces: Vec<String> },
    Thinking { pieces: Vec<String> },
    ToolCall { name: String, arguments: String },
}

/// Why the model stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// It had said everything.
    EndTurn,
    /// It waits for the results of its tool calls.
    ToolCalls,
    /// It reached the limit of tokens.
    MaxTokens,
    /// The vendor's filter stopped it.
    Refused,
}

/// Tokens of one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Tokens of the request that no cache was involved in.
    pub input: u64,
    /// Tokens of the answer.
    pub output: u64,
    /// Tokens of the request that were read from the cache.
    pub cache_read: u64,
    /// Tokens of the request that were written to the cache.
    pub cache_write: u64,
}

/// An error of the server, before any stream begins.
#[derive(Debug, Clone)]
pub struct Refusal {
    pub(crate) status: u16,
    pub(crate) kind: String,
    pub(crate) message: String,
    pub(crate) retry_after_secs: Option<u64>,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Pacing {
    /// Passed before anything is answered.
    pub(crate) hold: Option<Gate>,
    /// Passed before each piece.
    pub(crate) pieces: Option<Gate>,
    pub(crate) fault: Option<Fault>,
}

/// What goes wrong once `after` events of the stream were sent.
#[derive(Debug, Clone)]
pub(crate) struct Fault {
    pub(crate) after: usize,
    pub(crate) kind: FaultKind,
}

#[derive(Debug, Clone)]
pub(crate) enum FaultKind {
    Cut,
    End,
    Stall(Gate),
    Error { kind: String, message: String },
}

/// Where a fake waits until the test lets it go on. Closed at first; clones are the same gate.
#[derive(Debug, Clone)]
pub struct Gate(Arc<Semaphore>);

type Fallback = dyn Fn(&Asked) -> Answer + Send + Sync;

/// The answers that a fake model gives.
pub(crate) struct Script {
    queue: Mutex<VecDeque<Answer>>,
    fallback: Mutex<Arc<Fallback>>,
}

impl Script {
    pub(crate) fn push(&self, answer: Answer) {
        lock(&self.queue).push_back(answer);
    }

    pub(crate) fn set_fallback(&self, fallback: Arc<Fallback>) {
        *lock(&self.fallback) = fallback;
    }

    /// How many queued answers were not given yet.
    pub(crate) fn left(&self) -> usize {
        lock(&self.queue).len()
    }

    pub(crate) fn next(&self, asked: &Asked) -> Answer {
        let queued = lock(&self.queue).pop_front();
        queued.unwrap_or_else(|| {
            let fallback = lock(&self.fallback).clone();
            fallback(asked)
        })
    }
}

impl Default for Script {
    fn default() -> Self {
        Self { queue: Mutex::default(), fallback: Mutex::new(Arc::new(echo)) }
    }
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Script").field("queue", &lock(&self.queue)).finish_non_exhaustive()
    }
}

/// The answer when nothing else was scripted.
///
/// A line `run: COMMAND` of the user becomes a call of `exec` if that tool was offered; tool
/// results are quoted; any other text is repeated.
pub fn echo(asked: &Asked) -> Answer {
    let reply = match &asked.last {
        Last::User(text) => match text.lines().find_map(|line| line.strip_prefix("run: ")) {
            Some(command) if asked.tools.iter().any(|tool| tool == "exec") => {
                Reply::tool("exec", serde_json::json!({ "command": command }))
            }
            Some(_) => Reply::text("no tool named exec was offered"),
            None => Reply::text(format!("echo: {text}")),
        },
        Last::ToolResults(results) => Reply::text(format!("result: {}", results.join("\n"))),
        Last::Other => Reply::text("echo"),
    };
    reply.into()
}

impl Reply {
    /// One text, sent as one piece.
    pub fn text(text: impl Into<String>) -> Self {
        Self::default().and_text(text)
    }

    /// One text in several pieces.
    pub fn pieces<T: Into<String>>(pieces: impl IntoIterator<Item = T>) -> Self {
        let pieces = pieces.into_iter().map(Into::into).collect();
        Self::default().and(Part::Text { pieces })
    }

    /// Thinking, which the vendor signs where it signs any.
    pub fn thinking(text: impl Into<String>) -> Self {
        Self::default().and(Part::Thinking { pieces: vec![text.into()] })
    }

    /// One tool call, whose arguments are sent in odd cuts.
    pub fn tool(name: &str, arguments: Value) -> Self {
        Self::default().and_tool(name, arguments)
    }

    /// A tool call whose arguments are `arguments` as they are, valid JSON or not.
    pub fn broken_tool(name: &str, arguments: &str) -> Self {
        Self::default()
            .and(Part::ToolCall { name: name.to_owned(), arguments: arguments.to_owned() })
    }

    /// Then a text.
    pub fn and_text(self, text: impl Into<String>) -> Self {
        self.and(Part::Text { pieces: vec![text.into()] })
    }

    /// Then a tool call.
    pub fn and_tool(self, name: &str, arguments: Value) -> Self {
        self.and(Part::ToolCall { name: name.to_owned(), arguments: arguments.to_string() })
    }

    /// Stops for this reason instead of the one that follows from the parts.
    pub fn stopping(mut self, stop: Stop) -> Self {
        self.stop = Some(stop);
        self
    }

    /// Reports these tokens instead of an estimate.
    pub fn usage(mut self, usage: Usage) -> Self {
        self.usage = Some(usage);
        self
    }

    /// Answers nothing at all before `gate` lets it pass once.
    pub fn held_by(mut self, gate: &Gate) -> Self {
        self.pacing.hold = Some(gate.clone());
        self
    }

    /// Waits at `gate` before each piece.
    pub fn paced_by(mut self, gate: &Gate) -> Self {
        self.pacing.pieces = Some(gate.clone());
        self
    }

    /// Cuts the connection after `events` events.
    pub fn cut_after(self, events: usize) -> Self {
        self.fault(events, FaultKind::Cut)
    }

    /// Ends the body in good order after `events` events, though the answer is not whole.
    pub fn end_after(self, events: usize) -> Self {
        self.fault(events, FaultKind::End)
    }

    /// Falls silent after `events` events until `gate` lets it pass.
    pub fn stall_after(self, events: usize, gate: &Gate) -> Self {
        self.fault(events, FaultKind::Stall(gate.clone()))
    }

    /// Sends an error event after `events` events and ends.
    pub fn error_after(self, events: usize, kind: &str, message: &str) -> Self {
        let kind = FaultKind::Error { kind: kind.to_owned(), message: message.to_owned() };
        self.fault(events, kind)
    }

    /// The reason to stop: the given one, or what follows from the parts.
    pub(crate) fn stop(&self) -> Stop {
        let calls_tool = self.parts.iter().any(|part| matches!(part, Part::ToolCall { .. }));
        self.stop.unwrap_or(if calls_tool { Stop::ToolCalls } else { Stop::EndTurn })
    }

    /// How many tokens the parts are, by the rule of four bytes each.
    pub(crate) fn tokens(&self) -> u64 {
        let bytes = |part: &Part| match part {
            Part::Text { pieces } | Part::Thinking { pieces } => {
                pieces.iter().map(String::len).sum()
            }
            Part::ToolCall { name, arguments } => name.len() + arguments.len(),
        };
        tokens(self.parts.iter().map(bytes).sum())
    }

    fn and(mut self, part: Part) -> Self {
        self.parts.push(part);
        self
    }

    fn fault(mut self, after: usize, kind: FaultKind) -> Self {
        self.pacing.fault = Some(Fault { after, kind });
        self
    }
}

impl Refusal {
    /// An error with the vendor's name for its kind, such as `rate_limit_error`.
    pub fn new(status: u16, kind: &str, message: impl Into<String>) -> Self {
        Self { status, kind: kind.to_owned(), message: message.into(), retry_after_secs: None }
    }

    /// Adds a `retry-after` header.
    pub fn retry_after(mut self, secs: u64) -> Self {
        self.retry_after_secs = Some(secs);
        self
    }
}

impl Answer {
    /// A page instead of an answer, with status 200: what a captive portal or a wrong proxy sends.
    pub fn html() -> Self {
        let body = Bytes::from_static(b"<!doctype html><title>Sign in</title><p>Sign in first.");
        Self::Raw { status: 200, content_type: "text/html", body }
    }

    /// A stream that ends before its first event.
    pub fn empty_stream() -> Self {
        Self::Raw { status: 200, content_type: "text/event-stream", body: Bytes::new() }
    }
}

impl From<Reply> for Answer {
    fn from(reply: Reply) -> Self {
        Self::Reply(reply)
    }
}

impl From<Refusal> for Answer {
    fn from(refusal: Refusal) -> Self {
        Self::Refusal(refusal)
    }
}

impl Gate {
    /// A closed gate.
    pub fn new() -> Self {
        Self(Arc::new(Semaphore::new(0)))
    }

    /// Lets `times` waits pass, now or later.
    pub fn pass_times(&self, times: usize) {
        self.0.add_permits(times);
    }

    /// Lets everything pass from now on.
    pub fn open(&self) {
        self.0.close();
    }

    pub(crate) async fn pass(&self) {
        if let Ok(permit) = self.0.acquire().await {
            permit.forget();
        }
        // A closed semaphore is an open gate.
    }
}

impl Default for Gate {
    fn default() -> Self {
        Self::new()
    }
}

/// Tokens of so many bytes, by the rule of four bytes each.
pub(crate) fn tokens(bytes: usize) -> u64 {
    bytes.div_ceil(4) as u64
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;

    fn asked(last: Last, tools: &[&str]) -> Asked {
        Asked {
            model: "m".to_owned(),
            stream: true,
            tools: tools.iter().map(|&tool| tool.to_owned()).collect(),
            last,
            headers: HeaderMap::new(),
            body: Value::Null,
            bytes: Bytes::new(),
            at_us: 0,
        }
    }

    fn check(last: Last, tools: &[&str], expected: &str) {
        let Answer::Reply(reply) = Script::default().next(&asked(last, tools)) else {
            panic!("the echo always replies");
        };
        let drawn = match &reply.parts[..] {
            [Part::Text { pieces }] => pieces.concat(),
            [Part::ToolCall { name, arguments }] => format!("{name} {arguments}"),
            other => panic!("unexpected parts: {other:?}"),
        };
        assert_eq!(drawn, expected);
    }

    #[test]
    fn echo_repeats_runs_and_quotes() {
        let user = |text: &str| Last::User(text.to_owned());
        check(user("hello"), &[], "echo: hello");
        check(user("12:00\nrun: ls -l"), &["exec"], r#"exec {"command":"ls -l"}"#);
        check(user("run: ls"), &["read"], "no tool named exec was offered");
        check(Last::ToolResults(vec!["a".into(), "b".into()]), &[], "result: a\nb");
    }

    #[test]
    fn queued_answers_come_before_the_fallback_in_order() {
        let script = Script::default();
        script.push(Reply::text("first").into());
        script.push(Refusal::new(500, "api_error", "second").into());
        assert!(matches!(script.next(&asked(Last::Other, &[])), Answer::Reply(_)));
        assert!(matches!(script.next(&asked(Last::Other, &[])), Answer::Refusal(_)));
        assert_eq!(script.left(), 0);
    }

    #[tokio::test]
    async fn a_gate_lets_as_many_pass_as_it_was_told() {
        let gate = Gate::new();
        gate.pass_times(1);
        gate.pass().await;
        let mut third = Box::pin(gate.pass());
        assert!(futures_util::poll!(&mut third).is_pending());
        gate.open();
        third.await;
        gate.pass().await;
    }
}

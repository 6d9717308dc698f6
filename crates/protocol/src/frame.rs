//! What one text frame holds: a request, a response or an event.
//!
//! Frames are encoded into one `String`; a caller that sends it to many sockets turns it into its
//! socket library's shared buffer once and clones that.

use std::sync::LazyLock;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::schema::{Problems, Schema};

/// The id under which a frame without a usable id is answered.
pub const INVALID_ID: &str = "invalid";

/// A call of a method.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "type", rename = "req")]
pub struct Request {
    /// Chosen by the caller, never empty; responses repeat it.
    pub id: String,
    /// The method's name, never empty.
    pub method: String,
    /// `Null` when absent.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub params: Value,
}

/// The answer to a [`Request`]. A method may answer twice, first with `status: "accepted"`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename = "res")]
pub struct Response {
    /// The request's id.
    pub id: String,
    /// Whether the call succeeded.
    pub ok: bool,
    /// The result; a failure may carry one too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<Value>,
    /// Present when `ok` is false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorShape>,
}

/// News from the gateway.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename = "event")]
pub struct Event {
    /// The event's name, such as `chat`.
    pub event: String,
    /// `Null` when absent.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub payload: Value,
    /// Place in the gateway's one sequence of broadcasts; `None` for events sent to one socket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    /// Present on `presence` and `health`.
    #[serde(rename = "stateVersion", default, skip_serializing_if = "Option::is_none")]
    pub state_version: Option<StateVersion>,
}

/// How often each piece of shared state has changed, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateVersion {
    /// Changes of the presence list.
    pub presence: u64,
    /// Changes of the health summary.
    pub health: u64,
}

/// What went wrong, as a client reads it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ErrorShape {
    /// The kind of failure.
    pub code: ErrorCode,
    /// One line for people; some clients match on it.
    pub message: String,
    /// More for machines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<Value>,
    /// Whether the same call may work later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retryable: Option<bool>,
    /// When it may work, in milliseconds from now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
}

/// The kinds of failure of protocol 3.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ErrorCode {
    /// A channel is not linked.
    NotLinked,
    /// The device must be paired first.
    NotPaired,
    /// The agent took too long.
    AgentTimeout,
    /// Everything that is the caller's fault.
    InvalidRequest,
    /// Everything that is ours.
    Unavailable,
    /// A code of another protocol version, kept as received.
    #[serde(untagged)]
    Other(String),
}

/// A frame that a gateway sends.
#[derive(Debug, Clone, PartialEq)]
pub enum ServerFrame {
    /// The answer to a request.
    Response(Response),
    /// News.
    Event(Event),
}

/// Why a text is not a request.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum FrameError {
    /// Not JSON at all: ignored after the handshake, a normal close before it.
    #[error("not JSON")]
    NotJson,
    /// JSON of another shape. The text is what the caller is told.
    #[error("invalid request frame: {problems}")]
    NotRequest {
        /// The frame's id, or [`INVALID_ID`].
        id: String,
        /// What is wrong with it.
        problems: Problems,
    },
}

impl Request {
    /// Reads one text frame from a client.
    ///
    /// # Errors
    /// [`FrameError`] says whether the text was JSON and, if so, what it lacks.
    pub fn parse(text: &str) -> Result<Self, FrameError> {
        static SHAPE: LazyLock<Schema> = LazyLock::new(|| {
            Schema::parse(r#"{type: "req", id: str+, method: str+, params?: any}"#)
                .expect("the notation is a constant that a test reads")
        });
        let frame: Value = serde_json::from_str(text).map_err(|_| FrameError::NotJson)?;
        let problems = SHAPE.validate(&frame);
        match frame {
            Value::Object(mut fields) if problems.is_empty() => Ok(Self {
                id: take_text(&mut fields, "id").unwrap_or_default(),
                method: take_text(&mut fields, "method").unwrap_or_default(),
                params: fields.remove("params").unwrap_or_default(),
            }),
            Value::Object(mut fields) => {
                let id = take_text(&mut fields, "id").unwrap_or_else(|| INVALID_ID.into());
                Err(FrameError::NotRequest { id, problems })
            }
            _ => Err(FrameError::NotRequest { id: INVALID_ID.into(), problems }),
        }
    }

    /// The text frame of this request.
    pub fn encode(&self) -> String {
        encode(self)
    }
}

impl Response {
    /// A success.
    pub fn ok(id: impl Into<String>, payload: Value) -> Self {
        Self { id: id.into(), ok: true, payload: Some(payload), error: None }
    }

    /// A failure.
    pub fn error(id: impl Into<String>, error: ErrorShape) -> Self {
        Self { id: id.into(), ok: false, payload: None, error: Some(error) }
    }

    /// The text frame of this response.
    pub fn encode(&self) -> String {
        encode(self)
    }
}

impl Event {
    /// An event for one socket: it has no place in the sequence.
    pub fn targeted(event: impl Into<String>, payload: Value) -> Self {
        Self { event: event.into(), payload, seq: None, state_version: None }
    }

    /// An event for everybody.
    pub fn broadcast(event: impl Into<String>, payload: Value, seq: u64) -> Self {
        Self { seq: Some(seq), ..Self::targeted(event, payload) }
    }

    /// The text frame of this event.
    pub fn encode(&self) -> String {
        encode(self)
    }
}

impl ErrorShape {
    /// A failure of the kind `code`.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { code, message, details: None, retryable: None, retry_after_ms: None }
    }

    /// A failure that is the caller's fault.
    pub fn invalid_request(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::InvalidRequest, message)
    }

    /// A failure that is ours.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::Unavailable, message)
    }

    /// Adds something for machines.
    pub fn with_details(self, details: Value) -> Self {
        Self { details: Some(details), ..self }
    }
}

impl ServerFrame {
    /// Reads one text frame from a gateway; `None` for anything that is neither answer nor event.
    pub fn parse(text: &str) -> Option<Self> {
        #[derive(Deserialize)]
        struct Kind<'a> {
            r#type: &'a str,
        }
        match serde_json::from_str::<Kind<'_>>(text).ok()?.r#type {
            "res" => serde_json::from_str(text).ok().map(Self::Response),
            "event" => serde_json::from_str(text).ok().map(Self::Event),
            _ => None,
        }
    }
}

/// Takes a text that is not empty out of `fields`.
fn take_text(fields: &mut Map<String, Value>, name: &str) -> Option<String> {
    match fields.remove(name) {
        Some(Value::String(text)) if !text.is_empty() => Some(text),
        _ => None,
    }
}

fn encode(frame: &impl Serialize) -> String {
    serde_json::to_string(frame).expect("frames hold texts, numbers and JSON values only")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn absent_and_null_params_are_the_same() {
        let request = Request { id: "1".into(), method: "health".into(), params: Value::Null };
        for text in [
            r#"{"type":"req","id":"1","method":"health"}"#,
            r#"{"type":"req","id":"1","method":"health","params":null}"#,
        ] {
            assert_eq!(Request::parse(text), Ok(request.clone()));
        }
        assert_eq!(request.encode(), r#"{"type":"req","id":"1","method":"health"}"#);
    }

    #[test]
    fn text_that_is_not_json_is_told_apart_from_json_that_is_no_request() {
        for text in ["", "not json", "{\"type\":\"req\"", "{} trailing", &"[".repeat(100_000)] {
            assert_eq!(Request::parse(text), Err(FrameError::NotJson), "{text:.40}");
        }
        for (text, id) in [
            ("null", "invalid"),
            (r#"{"type":"req","id":"","method":"x"}"#, "invalid"),
            (r#"{"type":"req","id":7,"method":"x"}"#, "invalid"),
            (r#"{"type":"req","id":"q1"}"#, "q1"),
        ] {
            match Request::parse(text) {
                Err(FrameError::NotRequest { id: told, problems }) => {
                    assert_eq!(told, id, "{text}");
                    assert!(!problems.is_empty());
                }
                other => panic!("{text} gave {other:?}"),
            }
        }
    }

    #[test]
    fn what_is_encoded_has_the_field_order_of_the_protocol() {
        let ok = Response::ok("r1", json!({"ok": true}));
        assert_eq!(ok.encode(), r#"{"type":"res","id":"r1","ok":true,"payload":{"ok":true}}"#);
        let failed = Response::error("r2", ErrorShape::unavailable("Error: no"));
        assert_eq!(
            failed.encode(),
            r#"{"type":"res","id":"r2","ok":false,"error":{"code":"UNAVAILABLE","message":"Error: no"}}"#
        );
        let mut event = Event::broadcast("health", json!({}), 3);
        event.state_version = Some(StateVersion { presence: 1, health: 2 });
        assert_eq!(
            event.encode(),
            r#"{"type":"event","event":"health","payload":{},"seq":3,"stateVersion":{"presence":1,"health":2}}"#
        );
        let tick = Event::targeted("tick", json!({"ts": 1}));
        assert_eq!(tick.encode(), r#"{"type":"event","event":"tick","payload":{"ts":1}}"#);
    }

    #[test]
    fn a_client_reads_back_what_a_gateway_sends() {
        let error = ErrorShape::new(ErrorCode::Other("FORBIDDEN".into()), "no")
            .with_details(json!({"missingScope": "operator.read"}));
        let response = Response::error("1", error);
        assert_eq!(ServerFrame::parse(&response.encode()), Some(ServerFrame::Response(response)));
        let event = Event::broadcast("chat", json!({"seq": 1}), 9);
        assert_eq!(ServerFrame::parse(&event.encode()), Some(ServerFrame::Event(event)));
        for other in ["", "[]", r#"{"type":"req","id":"1","method":"x"}"#, r#"{"type":"res"}"#] {
            assert_eq!(ServerFrame::parse(other), None, "{other}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(text in ".{0,200}") {
            let _ = Request::parse(&text);
            let _ = ServerFrame::parse(&text);
        }

        #[test]
        fn a_request_reads_back_as_written(id in ".{1,20}", method in "[a-z.]{1,20}", n: i64) {
            let request = Request { id, method, params: json!({"n": n}) };
            prop_assert_eq!(Request::parse(&request.encode()), Ok(request));
        }
    }
}

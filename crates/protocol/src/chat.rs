//! What a chat client sees of a run: the payloads of the `chat` event.

use serde::Serialize;
use serde_json::{Value, json};

/// The event's name.
pub const EVENT: &str = "chat";

/// The run that an event is about.
#[derive(Debug, Clone, Copy)]
pub struct Run<'a> {
    /// The run, which is the `idempotencyKey` of the call that began it.
    pub run_id: &'a str,
    /// The session's key, as the client knows it.
    pub session_key: &'a str,
    /// The number of the `agent` event that this goes with, from 1.
    pub seq: u64,
}

/// What happened to the reply.
#[derive(Debug, Clone)]
pub enum State<'a> {
    /// It has grown; the text is all of it so far.
    Delta {
        /// The reply so far.
        text: &'a str,
    },
    /// It is complete, or there is none.
    Final {
        /// [`reply`] or [`injected`]; `None` for a silent reply or a message that was queued.
        message: Option<Value>,
    },
    /// It was stopped.
    Aborted {
        /// By whom.
        reason: AbortReason,
        /// What had been said until then.
        partial: Option<&'a str>,
    },
    /// It failed.
    Error {
        /// One line for people.
        message: &'a str,
    },
}

/// Who stopped a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum AbortReason {
    /// The method `chat.abort`.
    Rpc,
    /// The message `/stop`.
    Stop,
    /// The clock.
    Timeout,
}

/// The payload of a `chat` event. `ts` is the message's time, in milliseconds since 1970.
pub fn event(run: Run<'_>, state: State<'_>, ts: i64) -> Value {
    let name = match state {
        State::Delta { .. } => "delta",
        State::Final { .. } => "final",
        State::Aborted { .. } => "aborted",
        State::Error { .. } => "error",
    };
    let mut payload = json!({
        "runId": run.run_id, "sessionKey": run.session_key, "seq": run.seq, "state": name,
    });
    match state {
        State::Delta { text } => payload["message"] = reply(text, ts),
        State::Final { message } => {
            if let Some(message) = message {
                payload["message"] = message;
            }
        }
        State::Aborted { reason, partial } => {
            payload["stopReason"] = json!(reason);
            if let Some(text) = partial {
                payload["message"] = reply(text, ts);
            }
        }
        State::Error { message } => payload["errorMessage"] = message.into(),
    }
    payload
}

/// The message of a reply.
pub fn reply(text: &str, ts: i64) -> Value {
    json!({"role": "assistant", "content": [{"type": "text", "text": text}], "timestamp": ts})
}

/// The message of something that the gateway said itself, such as the answer to `/status`.
pub fn injected(text: &str, ts: i64) -> Value {
    let mut message = reply(text, ts);
    message["stopReason"] = "stop".into();
    message["usage"] = json!({
        "input": 0, "output": 0, "cacheRead": 0, "cacheWrite": 0, "totalTokens": 0,
        "cost": {"input": 0, "output": 0, "cacheRead": 0, "cacheWrite": 0, "total": 0},
    });
    message["api"] = "openai-responses".into();
    message["provider"] = "openclaw".into();
    message["model"] = "gateway-injected".into();
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: Run<'_> = Run { run_id: "r", session_key: "agent:main:main", seq: 2 };

    /// The payloads are those of recorded events, byte for byte.
    fn check(state: State<'_>, recorded: &str) {
        assert_eq!(event(RUN, state, 7).to_string(), recorded);
    }

    #[test]
    fn each_state_has_the_recorded_shape() {
        check(
            State::Delta { text: "Hi" },
            r#"{"runId":"r","sessionKey":"agent:main:main","seq":2,"state":"delta","message":{"role":"assistant","content":[{"type":"text","text":"Hi"}],"timestamp":7}}"#,
        );
        check(
            State::Final { message: None },
            r#"{"runId":"r","sessionKey":"agent:main:main","seq":2,"state":"final"}"#,
        );
        check(
            State::Aborted { reason: AbortReason::Rpc, partial: Some("w0") },
            r#"{"runId":"r","sessionKey":"agent:main:main","seq":2,"state":"aborted","stopReason":"rpc","message":{"role":"assistant","content":[{"type":"text","text":"w0"}],"timestamp":7}}"#,
        );
        check(
            State::Error { message: "HTTP 500" },
            r#"{"runId":"r","sessionKey":"agent:main:main","seq":2,"state":"error","errorMessage":"HTTP 500"}"#,
        );
    }

    #[test]
    fn what_the_gateway_says_itself_is_marked() {
        assert_eq!(
            injected("ok", 7).to_string(),
            r#"{"role":"assistant","content":[{"type":"text","text":"ok"}],"timestamp":7,"stopReason":"stop","usage":{"input":0,"output":0,"cacheRead":0,"cacheWrite":0,"totalTokens":0,"cost":{"input":0,"output":0,"cacheRead":0,"cacheWrite":0,"total":0}},"api":"openai-responses","provider":"openclaw","model":"gateway-injected"}"#
        );
    }
}

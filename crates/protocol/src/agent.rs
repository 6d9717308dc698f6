//! What a watcher sees of a run: the payloads of the `agent` event.

use serde::Serialize;
use serde_json::{Value, json};

/// The event's name.
pub const EVENT: &str = "agent";

/// One thing that happened in a run.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Data<'a> {
    /// The run as a whole began, ended or failed.
    Lifecycle(Lifecycle<'a>),
    /// The reply has grown.
    Assistant {
        /// The reply so far.
        text: &'a str,
        /// Its new part.
        delta: &'a str,
    },
    /// The model's thinking has grown; sent only when the person asked to see it.
    Thinking {
        /// The thinking so far.
        text: &'a str,
        /// Its new part.
        delta: &'a str,
    },
    /// A tool call; sent only to connections that asked for tool events.
    Tool(Tool<'a>),
}

/// The run as a whole. Times are in milliseconds since 1970.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "phase", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Lifecycle<'a> {
    /// It began.
    Start {
        /// When.
        started_at: i64,
    },
    /// It ended, by itself or because it was stopped.
    End {
        /// When.
        ended_at: i64,
        /// `true` when it was stopped.
        #[serde(skip_serializing_if = "is_false")]
        aborted: bool,
    },
    /// It has shown nothing for a while, and goes on. Ours: other gateways do not tell it.
    Stalled {
        /// How long it has shown nothing.
        silent_ms: u64,
    },
    /// It failed.
    Error {
        /// One line for people.
        error: &'a str,
        /// When.
        ended_at: i64,
    },
}

/// A tool call.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "phase", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Tool<'a> {
    /// It began.
    Start {
        /// The tool.
        name: &'a str,
        /// The call.
        tool_call_id: &'a str,
        /// Its arguments.
        args: &'a Value,
    },
    /// It has more output.
    Update {
        /// The tool.
        name: &'a str,
        /// The call.
        tool_call_id: &'a str,
        /// The output so far, at verbose level `full`.
        #[serde(skip_serializing_if = "Option::is_none")]
        partial_result: Option<&'a Value>,
    },
    /// It ended.
    Result {
        /// The tool.
        name: &'a str,
        /// The call.
        tool_call_id: &'a str,
        /// A few words for people.
        #[serde(skip_serializing_if = "Option::is_none")]
        meta: Option<&'a str>,
        /// Whether it failed.
        is_error: bool,
        /// The output, at verbose level `full`.
        #[serde(skip_serializing_if = "Option::is_none")]
        result: Option<&'a Value>,
    },
}

impl Data<'_> {
    /// The payload of an `agent` event. `seq` counts this run's events from 1 without holes; `ts`
    /// is in milliseconds since 1970.
    pub fn event(&self, run_id: &str, session_key: &str, seq: u64, ts: i64) -> Value {
        let stream = match self {
            Self::Lifecycle(_) => "lifecycle",
            Self::Assistant { .. } => "assistant",
            Self::Thinking { .. } => "thinking",
            Self::Tool(_) => "tool",
        };
        json!({
            "runId": run_id, "stream": stream, "data": self,
            "sessionKey": session_key, "seq": seq, "ts": ts,
        })
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_false(flag: &bool) -> bool {
    !flag
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The payloads are those of recorded events, byte for byte.
    fn check(data: Data<'_>, stream: &str, recorded: &str) {
        assert_eq!(
            data.event("r", "agent:main:main", 3, 7).to_string(),
            format!(
                r#"{{"runId":"r","stream":"{stream}","data":{recorded},"sessionKey":"agent:main:main","seq":3,"ts":7}}"#
            )
        );
    }

    #[test]
    fn a_run_begins_and_ends() {
        let check = |lifecycle, recorded| check(Data::Lifecycle(lifecycle), "lifecycle", recorded);
        check(Lifecycle::Start { started_at: 5 }, r#"{"phase":"start","startedAt":5}"#);
        check(Lifecycle::Stalled { silent_ms: 7 }, r#"{"phase":"stalled","silentMs":7}"#);
        check(Lifecycle::End { ended_at: 6, aborted: false }, r#"{"phase":"end","endedAt":6}"#);
        check(
            Lifecycle::End { ended_at: 6, aborted: true },
            r#"{"phase":"end","endedAt":6,"aborted":true}"#,
        );
        check(
            Lifecycle::Error { error: "HTTP 500", ended_at: 6 },
            r#"{"phase":"error","error":"HTTP 500","endedAt":6}"#,
        );
    }

    #[test]
    fn a_reply_grows() {
        let (text, delta) = ("tool done", " done");
        let recorded = r#"{"text":"tool done","delta":" done"}"#;
        check(Data::Assistant { text, delta }, "assistant", recorded);
        check(Data::Thinking { text, delta }, "thinking", recorded);
    }

    #[test]
    fn a_tool_call_begins_grows_and_ends() {
        let check = |tool, recorded| check(Data::Tool(tool), "tool", recorded);
        let (name, tool_call_id, args) = ("exec", "t1", json!({"command": "ls"}));
        check(
            Tool::Start { name, tool_call_id, args: &args },
            r#"{"phase":"start","name":"exec","toolCallId":"t1","args":{"command":"ls"}}"#,
        );
        check(
            Tool::Update { name, tool_call_id, partial_result: None },
            r#"{"phase":"update","name":"exec","toolCallId":"t1"}"#,
        );
        check(
            Tool::Result {
                name,
                tool_call_id,
                meta: Some("print text"),
                is_error: false,
                result: None,
            },
            r#"{"phase":"result","name":"exec","toolCallId":"t1","meta":"print text","isError":false}"#,
        );
    }
}

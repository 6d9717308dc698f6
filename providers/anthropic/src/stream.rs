//! Theirs to ours: the events of a stream.

use claw_domain::{StopReason, Usage};
use claw_provider::{Decode, Error, ErrorKind, Event};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::error::{self, Detail};

/// Remembers what later events refer to.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    usage: Usage,
    stop: Option<StopReason>,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Said {
    MessageStart {
        message: Started,
    },
    ContentBlockStart {
        index: usize,
        content_block: Block,
    },
    ContentBlockDelta {
        index: usize,
        delta: Delta,
    },
    MessageDelta {
        delta: Ending,
        #[serde(default)]
        usage: Tokens,
    },
    MessageStop,
    Error {
        error: Detail,
    },
    /// `ping`, `content_block_stop`, and whatever the vendor adds: it asks clients to bear that.
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Started {
    #[serde(default)]
    usage: Tokens,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Block {
    Text {
        #[serde(default)]
        text: String,
    },
    Thinking {
        #[serde(default)]
        thinking: String,
        #[serde(default)]
        signature: String,
    },
    RedactedThinking {
        data: String,
    },
    ToolUse {
        id: String,
        name: String,
        #[serde(default)]
        input: Map<String, Value>,
    },
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
#[serde(tag = "type")]
enum Delta {
    #[serde(rename = "text_delta")]
    Text { text: String },
    #[serde(rename = "thinking_delta")]
    Thinking { thinking: String },
    #[serde(rename = "signature_delta")]
    Signature { signature: String },
    #[serde(rename = "input_json_delta")]
    Arguments { partial_json: String },
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Ending {
    stop_reason: Option<String>,
}

/// Each event names some of these, counted from the start of the answer.
#[derive(Default, Deserialize)]
struct Tokens {
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    cache_read_input_tokens: Option<u64>,
    cache_creation_input_tokens: Option<u64>,
}

impl Decode for Decoder {
    fn take(&mut self, data: &str) -> Result<Vec<Event>, Error> {
        let said = serde_json::from_str(data).map_err(|error| {
            Error::new(ErrorKind::Network, format!("an event of the stream is unreadable: {error}"))
        })?;
        Ok(match said {
            Said::MessageStart { message } => vec![self.count(&message.usage)],
            Said::ContentBlockStart { index, content_block } => start(index, content_block),
            Said::ContentBlockDelta { index, delta } => grow(index, delta),
            Said::MessageDelta { delta, usage } => {
                self.stop = delta.stop_reason.as_deref().map(stop).or(self.stop);
                vec![self.count(&usage)]
            }
            Said::MessageStop => vec![Event::Done(self.stop.unwrap_or(StopReason::Stop))],
            Said::Error { error } => return Err(error::failed(&error)),
            Said::Other => vec![Event::Alive],
        })
    }
}

impl Decoder {
    fn count(&mut self, tokens: &Tokens) -> Event {
        let now = &mut self.usage;
        for (named, kept) in [
            (tokens.input_tokens, &mut now.input),
            (tokens.output_tokens, &mut now.output),
            (tokens.cache_read_input_tokens, &mut now.cache_read),
            (tokens.cache_creation_input_tokens, &mut now.cache_write),
        ] {
            *kept = named.unwrap_or(*kept);
        }
        Event::Usage(*now)
    }
}

fn start(index: usize, block: Block) -> Vec<Event> {
    match block {
        Block::Text { text } => vec![Event::Text(text)],
        Block::Thinking { thinking, signature } => {
            let signed = (!signature.is_empty()).then_some(Event::Signature(signature));
            [Event::Thinking(thinking)].into_iter().chain(signed).collect()
        }
        Block::RedactedThinking { data } => vec![Event::Redacted(data)],
        Block::ToolUse { id, name, input } => {
            // The vendor sends arguments in pieces; servers that look alike may give them at once.
            let whole = (!input.is_empty())
                .then(|| Event::ToolArguments { index, json: Value::Object(input).to_string() });
            [Event::ToolStart { index, id, name }].into_iter().chain(whole).collect()
        }
        Block::Other => vec![Event::Alive],
    }
}

fn grow(index: usize, delta: Delta) -> Vec<Event> {
    vec![match delta {
        Delta::Text { text } => Event::Text(text),
        Delta::Thinking { thinking } => Event::Thinking(thinking),
        Delta::Signature { signature } => Event::Signature(signature),
        Delta::Arguments { partial_json } => Event::ToolArguments { index, json: partial_json },
        Delta::Other => Event::Alive,
    }]
}

fn stop(reason: &str) -> StopReason {
    match reason {
        "tool_use" => StopReason::ToolUse,
        "max_tokens" | "model_context_window_exceeded" => StopReason::Length,
        "refusal" => StopReason::Error,
        // `end_turn`, `stop_sequence`, `pause_turn`, and what may come.
        _ => StopReason::Stop,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(data: &[&str], expected: &[Event]) {
        let mut decoder = Decoder::default();
        let events: Vec<Event> = data.iter().flat_map(|data| decoder.take(data).unwrap()).collect();
        assert_eq!(events, expected);
    }

    #[test]
    fn the_parts_of_an_answer_come_out_in_order() {
        check(
            &[
                r#"{"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}"#,
                r#"{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"hm"}}"#,
                r#"{"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"Eq=="}}"#,
                r#"{"type":"content_block_stop","index":0}"#,
                r#"{"type":"content_block_start","index":1,"content_block":{"type":"redacted_thinking","data":"x"}}"#,
                r#"{"type":"content_block_start","index":2,"content_block":{"type":"text","text":""}}"#,
                r#"{"type":"content_block_delta","index":2,"delta":{"type":"text_delta","text":"a"}}"#,
                r#"{"type":"content_block_start","index":3,"content_block":{"type":"tool_use","id":"t","name":"exec","input":{}}}"#,
                r#"{"type":"content_block_delta","index":3,"delta":{"type":"input_json_delta","partial_json":"{\"a"}}"#,
            ],
            &[
                Event::Thinking(String::new()),
                Event::Thinking("hm".into()),
                Event::Signature("Eq==".into()),
                Event::Alive,
                Event::Redacted("x".into()),
                Event::Text(String::new()),
                Event::Text("a".into()),
                Event::ToolStart { index: 3, id: "t".into(), name: "exec".into() },
                Event::ToolArguments { index: 3, json: "{\"a".into() },
            ],
        );
    }

    #[test]
    fn arguments_that_are_given_at_once_are_kept() {
        check(
            &[
                r#"{"type":"content_block_start","index":0,"content_block":{"type":"tool_use","id":"t","name":"n","input":{"b":1,"a":2}}}"#,
            ],
            &[
                Event::ToolStart { index: 0, id: "t".into(), name: "n".into() },
                Event::ToolArguments { index: 0, json: r#"{"b":1,"a":2}"#.into() },
            ],
        );
    }

    #[test]
    fn usage_keeps_what_a_later_event_does_not_name() {
        let first = Usage { input: 5, output: 1, cache_read: 7, cache_write: 9 };
        check(
            &[
                r#"{"type":"message_start","message":{"usage":{"input_tokens":5,"output_tokens":1,"cache_read_input_tokens":7,"cache_creation_input_tokens":9}}}"#,
                r#"{"type":"message_delta","delta":{"stop_reason":"max_tokens"},"usage":{"output_tokens":30,"cache_read_input_tokens":null}}"#,
                r#"{"type":"message_stop"}"#,
            ],
            &[
                Event::Usage(first),
                Event::Usage(Usage { output: 30, ..first }),
                Event::Done(StopReason::Length),
            ],
        );
    }

    #[test]
    fn events_that_are_not_known_yet_are_borne() {
        check(
            &[
                r#"{"type":"ping"}"#,
                r#"{"type":"new_thing","x":1}"#,
                r#"{"type":"content_block_start","index":0,"content_block":{"type":"server_tool_use","id":"s"}}"#,
                r#"{"type":"content_block_delta","index":0,"delta":{"type":"citations_delta","citation":{}}}"#,
            ],
            &[Event::Alive, Event::Alive, Event::Alive, Event::Alive],
        );
    }

    #[test]
    fn an_error_event_is_its_error() {
        let data = r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#;
        assert_eq!(Decoder::default().take(data).unwrap_err().kind, ErrorKind::Overloaded);
    }

    proptest! {
        #[test]
        fn no_data_makes_it_panic(data in "\\PC{0,60}") {
            let _ = Decoder::default().take(&data);
        }
    }

    #[test]
    fn data_that_is_no_event_is_an_error() {
        for data in ["", "{", "[]", "{}", r#"{"type":"content_block_delta"}"#] {
            assert_eq!(
                Decoder::default().take(data).unwrap_err().kind,
                ErrorKind::Network,
                "{data}"
            );
        }
    }
}

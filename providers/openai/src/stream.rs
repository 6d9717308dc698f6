//! Theirs to ours: the chunks of a stream.

use claw_domain::{StopReason, Usage};
use claw_provider::{Decode, Error, ErrorKind, Event};
use serde::Deserialize;
use serde_json::Value;

use crate::error;

/// What stands where the stream ends in good order.
const DONE: &str = "[DONE]";

/// Remembers what later chunks refer to.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    /// The calls so far; ours are numbered by their place here.
    calls: Vec<Call>,
    stop: Option<StopReason>,
    is_done: bool,
}

#[derive(Debug)]
struct Call {
    /// The server's number; some give none.
    index: Option<usize>,
    /// The server's id, empty when it gave none.
    id: String,
}

#[derive(Deserialize)]
struct Chunk {
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    choices: Vec<Choice>,
    #[serde(default)]
    usage: Option<Tokens>,
    #[serde(default)]
    error: Option<Value>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(default)]
    delta: Option<Delta>,
    #[serde(default)]
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Delta {
    #[serde(default)]
    content: Option<String>,
    /// Thoughts, as DeepSeek and most others send them.
    #[serde(default)]
    reasoning_content: Option<String>,
    /// Thoughts, as OpenRouter and Ollama send them.
    #[serde(default)]
    reasoning: Option<String>,
    /// Words in place of an answer.
    #[serde(default)]
    refusal: Option<String>,
    #[serde(default)]
    tool_calls: Option<Vec<CallDelta>>,
}

#[derive(Deserialize)]
struct CallDelta {
    #[serde(default)]
    index: Option<usize>,
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    function: Option<Function>,
}

#[derive(Deserialize)]
struct Function {
    #[serde(default)]
    name: Option<String>,
    /// A piece of JSON text; some servers send the object itself.
    #[serde(default)]
    arguments: Option<Value>,
}

#[derive(Deserialize)]
struct Tokens {
    #[serde(default)]
    prompt_tokens: u64,
    #[serde(default)]
    completion_tokens: u64,
    #[serde(default)]
    prompt_tokens_details: Option<PromptTokens>,
}

#[derive(Deserialize)]
struct PromptTokens {
    #[serde(default)]
    cached_tokens: Option<u64>,
}

impl Decode for Decoder {
    fn take(&mut self, data: &str) -> Result<Vec<Event>, Error> {
        if data.trim() == DONE {
            return Ok(self.end().into_iter().collect());
        }
        let chunk: Chunk = serde_json::from_str(data).map_err(|error| {
            unreadable(&format!("a chunk of the stream is unreadable: {error}"))
        })?;
        if let Some(error) = chunk.error {
            return Err(error::failed(&error));
        }
        let mut events = Vec::new();
        if let Some(choice) = chunk.choices.into_iter().next() {
            if let Some(delta) = choice.delta {
                self.grow(chunk.id.as_deref().unwrap_or_default(), delta, &mut events)?;
            }
            self.stop = choice.finish_reason.as_deref().map(stop).or(self.stop);
        }
        events.extend(chunk.usage.map(|tokens| Event::Usage(tokens.read())));
        if events.is_empty() {
            events.push(Event::Alive);
        }
        Ok(events)
    }

    /// With a reason to stop the answer is whole, though some servers leave out the last mark;
    /// without one it was cut.
    fn end(&mut self) -> Option<Event> {
        if std::mem::replace(&mut self.is_done, true) {
            return None;
        }
        self.stop.map(Event::Done)
    }
}

impl Decoder {
    fn grow(&mut self, answer: &str, delta: Delta, events: &mut Vec<Event>) -> Result<(), Error> {
        let filled = |text: Option<String>| text.filter(|text| !text.is_empty());
        events.extend(filled(delta.reasoning_content.or(delta.reasoning)).map(Event::Thinking));
        events.extend(filled(delta.content).map(Event::Text));
        events.extend(filled(delta.refusal).map(Event::Text));
        for call in delta.tool_calls.into_iter().flatten() {
            self.call(answer, call, events)?;
        }
        Ok(())
    }

    fn call(
        &mut self,
        answer: &str,
        delta: CallDelta,
        events: &mut Vec<Event>,
    ) -> Result<(), Error> {
        let id = delta.id.unwrap_or_default();
        let (name, arguments) = delta.function.map_or((None, None), |f| (f.name, f.arguments));
        // A second id under the same number is a second call: some servers number all with 0.
        // With neither number nor id, a name begins a call.
        let is_named = delta.index.is_some() || !id.is_empty();
        let is_same = |call: &Call| call.index == delta.index && (id.is_empty() || call.id == id);
        let known = self.calls.iter().rposition(is_same).filter(|_| is_named || name.is_none());
        let index = match known {
            Some(index) => index,
            None => {
                let Some(name) = name else {
                    return Err(unreadable(
                        "the stream gave arguments to a tool call that never began",
                    ));
                };
                let index = self.calls.len();
                let named =
                    if id.is_empty() { format!("call_{answer}_{index}") } else { id.clone() };
                events.push(Event::ToolStart { index, id: named, name });
                self.calls.push(Call { index: delta.index, id });
                index
            }
        };
        let json = match arguments {
            None | Some(Value::Null) => return Ok(()),
            Some(Value::String(piece)) => piece,
            Some(whole) => whole.to_string(),
        };
        if !json.is_empty() {
            events.push(Event::ToolArguments { index, json });
        }
        Ok(())
    }
}

impl Tokens {
    /// The vendor counts what its cache gave among the prompt; we count it apart.
    fn read(&self) -> Usage {
        let cached = self.prompt_tokens_details.as_ref().and_then(|details| details.cached_tokens);
        let cache_read = cached.unwrap_or(0).min(self.prompt_tokens);
        let input = self.prompt_tokens - cache_read;
        Usage { input, output: self.completion_tokens, cache_read, cache_write: 0 }
    }
}

fn stop(reason: &str) -> StopReason {
    match reason {
        "tool_calls" | "function_call" => StopReason::ToolUse,
        "length" => StopReason::Length,
        "content_filter" | "error" => StopReason::Error,
        // `stop`, and what may come.
        _ => StopReason::Stop,
    }
}

fn unreadable(message: &str) -> Error {
    Error::new(ErrorKind::Network, message)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn check(chunks: &[Value], expected: &[Event]) {
        let mut decoder = Decoder::default();
        let mut events: Vec<Event> =
            chunks.iter().flat_map(|chunk| decoder.take(&chunk.to_string()).unwrap()).collect();
        events.extend(decoder.end());
        assert_eq!(events, expected);
    }

    fn delta(delta: Value) -> Value {
        json!({ "id": "c1", "choices": [{ "index": 0, "delta": delta, "finish_reason": null }] })
    }

    fn call(call: Value) -> Value {
        delta(json!({ "tool_calls": [call] }))
    }

    fn start(index: usize, id: &str) -> Event {
        Event::ToolStart { index, id: id.into(), name: "exec".into() }
    }

    fn piece(index: usize, json: &str) -> Event {
        Event::ToolArguments { index, json: json.into() }
    }

    #[test]
    fn words_and_thoughts_come_out_in_order() {
        check(
            &[
                delta(json!({ "role": "assistant", "content": "" })),
                delta(json!({ "reasoning_content": "hm", "content": null })),
                delta(json!({ "reasoning": "so" })),
                delta(json!({ "content": "a" })),
                delta(json!({ "refusal": "no" })),
                json!({ "choices": [{ "delta": {}, "finish_reason": "length" }] }),
            ],
            &[
                Event::Alive,
                Event::Thinking("hm".into()),
                Event::Thinking("so".into()),
                Event::Text("a".into()),
                Event::Text("no".into()),
                Event::Alive,
                Event::Done(StopReason::Length),
            ],
        );
    }

    #[test]
    fn calls_grow_by_their_number() {
        check(
            &[
                call(
                    json!({ "index": 0, "id": "a", "function": { "name": "exec", "arguments": "" } }),
                ),
                call(
                    json!({ "index": 1, "id": "b", "function": { "name": "exec", "arguments": "{" } }),
                ),
                call(json!({ "index": 0, "function": { "arguments": "{\"x\"" } })),
                call(
                    json!({ "index": 1, "id": "b", "function": { "name": "exec", "arguments": "}" } }),
                ),
            ],
            &[start(0, "a"), start(1, "b"), piece(1, "{"), piece(0, "{\"x\""), piece(1, "}")],
        );
    }

    #[test]
    fn calls_of_careless_servers_stay_apart() {
        check(
            &[
                call(
                    json!({ "index": 0, "id": "a", "function": { "name": "exec", "arguments": "{}" } }),
                ),
                call(
                    json!({ "index": 0, "id": "b", "function": { "name": "exec", "arguments": "{}" } }),
                ),
            ],
            &[start(0, "a"), piece(0, "{}"), start(1, "b"), piece(1, "{}")],
        );
        check(
            &[
                call(json!({ "function": { "name": "exec", "arguments": { "x": 1 } } })),
                call(json!({ "function": { "name": "exec", "arguments": null } })),
                call(json!({ "function": { "arguments": "{}" } })),
            ],
            &[start(0, "call_c1_0"), piece(0, "{\"x\":1}"), start(1, "call_c1_1"), piece(1, "{}")],
        );
    }

    #[test]
    fn what_the_cache_gave_is_counted_apart() {
        let tokens = json!({ "prompt_tokens": 10, "completion_tokens": 3, "prompt_tokens_details": { "cached_tokens": 8 } });
        check(
            &[json!({ "choices": [], "usage": tokens })],
            &[Event::Usage(Usage { input: 2, output: 3, cache_read: 8, cache_write: 0 })],
        );
        let tokens =
            json!({ "prompt_tokens": 1, "completion_tokens": 3, "prompt_tokens_details": null });
        check(
            &[json!({ "choices": [], "usage": tokens })],
            &[Event::Usage(Usage { input: 1, output: 3, cache_read: 0, cache_write: 0 })],
        );
    }

    #[test]
    fn an_answer_is_whole_once_it_has_a_reason_to_stop() {
        let stopped = r#"{"choices":[{"delta":{},"finish_reason":"tool_calls"}]}"#;
        let mut marked = Decoder::default();
        assert_eq!(marked.take(stopped).unwrap(), [Event::Alive]);
        assert_eq!(marked.take("[DONE]").unwrap(), [Event::Done(StopReason::ToolUse)]);
        assert_eq!(marked.end(), None);
        let mut unmarked = Decoder::default();
        unmarked.take(stopped).unwrap();
        assert_eq!(unmarked.end(), Some(Event::Done(StopReason::ToolUse)));
        let mut cut = Decoder::default();
        assert_eq!(cut.take("[DONE]").unwrap(), []);
        assert_eq!(cut.end(), None);
    }

    #[test]
    fn an_error_in_a_chunk_is_its_error() {
        let chunk = r#"{"error":{"code":503,"message":"busy"},"choices":[]}"#;
        assert_eq!(Decoder::default().take(chunk).unwrap_err().kind, ErrorKind::Overloaded);
    }

    #[test]
    fn data_that_is_no_chunk_is_an_error() {
        let orphan = call(json!({ "index": 4, "function": { "arguments": "{}" } })).to_string();
        for data in ["", "{", "7", &orphan] {
            assert_eq!(
                Decoder::default().take(data).unwrap_err().kind,
                ErrorKind::Network,
                "{data}"
            );
        }
    }

    proptest! {
        #[test]
        fn no_data_makes_it_panic(data in "\\PC{0,60}") {
            let _ = Decoder::default().take(&data);
        }
    }
}

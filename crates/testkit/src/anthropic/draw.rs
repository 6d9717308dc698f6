//! Draws a reply as the events, or the one message, of the Messages API.

use serde_json::{Value, json};

use crate::{
    script::{Part, Reply, Stop, Usage},
    stream::{Frames, odd_cuts, quoted},
};

use super::signature;

pub(super) fn stream(reply: &Reply, model: &str, usage: Usage, number: usize) -> Frames {
    let mut frames = Frames::default();
    let Usage { input, output, cache_read, cache_write } = usage;
    let model = quoted(model);
    frames.push(&event(
        "message_start",
        &format!(
            r#""message":{{"id":"msg_fake{number}","type":"message","role":"assistant","model":{model},"content":[],"stop_reason":null,"stop_sequence":null,"usage":{{"input_tokens":{input},"cache_creation_input_tokens":{cache_write},"cache_read_input_tokens":{cache_read},"output_tokens":1}}}}"#
        ),
    ));
    for (index, part) in reply.parts.iter().enumerate() {
        let start = match part {
            Part::Text { .. } => r#"{"type":"text","text":""}"#.to_owned(),
            Part::Thinking { .. } => {
                r#"{"type":"thinking","thinking":"","signature":""}"#.to_owned()
            }
            Part::ToolCall { name, .. } => format!(
                r#"{{"type":"tool_use","id":"{}","name":{},"input":{{}}}}"#,
                tool_id(number, index),
                quoted(name)
            ),
        };
        let start = format!(r#""index":{index},"content_block":{start}"#);
        frames.push(&event("content_block_start", &start));
        if index == 0 {
            frames.push(&event("ping", ""));
        }
        deltas(&mut frames, index, part);
        frames.push(&event("content_block_stop", &format!(r#""index":{index}"#)));
    }
    frames.push(&event(
        "message_delta",
        &format!(
            r#""delta":{{"stop_reason":"{}","stop_sequence":null}},"usage":{{"output_tokens":{output}}}"#,
            stop_reason(reply.stop())
        ),
    ));
    frames.push(&event("message_stop", ""));
    frames
}

pub(super) fn whole(reply: &Reply, model: &str, usage: Usage, number: usize) -> Value {
    let content: Vec<Value> = reply
        .parts
        .iter()
        .enumerate()
        .map(|(index, part)| block(part, tool_id(number, index)))
        .collect();
    json!({
        "id": format!("msg_fake{number}"),
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": content,
        "stop_reason": stop_reason(reply.stop()),
        "stop_sequence": null,
        "usage": {
            "input_tokens": usage.input,
            "cache_creation_input_tokens": usage.cache_write,
            "cache_read_input_tokens": usage.cache_read,
            "output_tokens": usage.output,
        },
    })
}

fn deltas(frames: &mut Frames, index: usize, part: &Part) {
    let delta = |kind: &str, field: &str, piece: &str| {
        let piece = quoted(piece);
        let fields = format!(r#""index":{index},"delta":{{"type":"{kind}","{field}":{piece}}}"#);
        event("content_block_delta", &fields)
    };
    match part {
        Part::Text { pieces } => {
            for piece in pieces {
                frames.push_piece(&delta("text_delta", "text", piece));
            }
        }
        Part::Thinking { pieces } => {
            for piece in pieces {
                frames.push_piece(&delta("thinking_delta", "thinking", piece));
            }
            let signature = signature(&pieces.concat());
            frames.push(&delta("signature_delta", "signature", &signature));
        }
        Part::ToolCall { arguments, .. } => {
            // The real stream begins with an empty piece.
            frames.push(&delta("input_json_delta", "partial_json", ""));
            for piece in odd_cuts(arguments) {
                frames.push_piece(&delta("input_json_delta", "partial_json", piece));
            }
        }
    }
}

fn block(part: &Part, tool_id: String) -> Value {
    match part {
        Part::Text { pieces } => json!({ "type": "text", "text": pieces.concat() }),
        Part::Thinking { pieces } => {
            let thinking = pieces.concat();
            let signature = signature(&thinking);
            json!({ "type": "thinking", "thinking": thinking, "signature": signature })
        }
        Part::ToolCall { name, arguments } => {
            // Arguments that are not JSON can only be shown as the string that they are.
            let input: Value =
                serde_json::from_str(arguments).unwrap_or_else(|_| arguments.as_str().into());
            json!({ "type": "tool_use", "id": tool_id, "name": name, "input": input })
        }
    }
}

fn event(kind: &str, fields: &str) -> String {
    let comma = if fields.is_empty() { "" } else { "," };
    format!("event: {kind}\ndata: {{\"type\":\"{kind}\"{comma}{fields}}}\n\n")
}

fn tool_id(number: usize, index: usize) -> String {
    format!("toolu_fake{number}_{index}")
}

fn stop_reason(stop: Stop) -> &'static str {
    match stop {
        Stop::EndTurn => "end_turn",
        Stop::ToolCalls => "tool_use",
        Stop::MaxTokens => "max_tokens",
        Stop::Refused => "refusal",
    }
}

//! Draws a reply as the chunks, or the one completion, of the Chat Completions API.

use serde_json::{Value, json};

use crate::{
    script::{Part, Reply, Stop, Usage},
    stream::{Frames, odd_cuts, quoted},
};

/// When every answer was created, in seconds since the Unix epoch (2026-01-01).
const CREATED_SECS: u64 = 1_767_225_600;

/// Draws chunks; a final one carries `usage` if it was asked for.
pub(super) fn stream(reply: &Reply, model: &str, usage: Option<Usage>, number: usize) -> Frames {
    let mut frames = Frames::default();
    let model = quoted(model);
    // With usage asked for, every chunk but the last has an empty field for it.
    let no_usage = if usage.is_some() { r#","usage":null"# } else { "" };
    let head = format!(
        r#"data: {{"id":"chatcmpl-fake{number}","object":"chat.completion.chunk","created":{CREATED_SECS},"model":{model}"#
    );
    let chunk = |delta: &str, finish: &str| {
        format!(
            "{head},\"choices\":[{{\"index\":0,\"delta\":{{{delta}}},\"finish_reason\":{finish}}}]\
             {no_usage}}}\n\n"
        )
    };
    frames.push(&chunk(r#""role":"assistant","content":"""#, "null"));
    let mut calls = 0;
    for part in &reply.parts {
        match part {
            Part::Text { pieces } => {
                for piece in pieces {
                    let delta = format!(r#""content":{}"#, quoted(piece));
                    frames.push_piece(&chunk(&delta, "null"));
                }
            }
            Part::Thinking { pieces } => {
                for piece in pieces {
                    let delta = format!(r#""reasoning_content":{}"#, quoted(piece));
                    frames.push_piece(&chunk(&delta, "null"));
                }
            }
            Part::ToolCall { name, arguments } => {
                let (id, name) = (tool_id(number, calls), quoted(name));
                let start = format!(
                    r#""tool_calls":[{{"index":{calls},"id":"{id}","type":"function","function":{{"name":{name},"arguments":""}}}}]"#
                );
                frames.push(&chunk(&start, "null"));
                for piece in odd_cuts(arguments) {
                    let piece = quoted(piece);
                    let delta = format!(
                        r#""tool_calls":[{{"index":{calls},"function":{{"arguments":{piece}}}}}]"#
                    );
                    frames.push_piece(&chunk(&delta, "null"));
                }
                calls += 1;
            }
        }
    }
    frames.push(&chunk("", &quoted(finish_reason(reply.stop()))));
    if let Some(usage) = usage {
        let usage = draw_usage(usage);
        frames.push(&format!("{head},\"choices\":[],\"usage\":{usage}}}\n\n"));
    }
    frames.push("data: [DONE]\n\n");
    frames
}

pub(super) fn whole(reply: &Reply, model: &str, usage: Usage, number: usize) -> Value {
    let mut content = String::new();
    let mut calls = Vec::new();
    for part in &reply.parts {
        match part {
            Part::Text { pieces } => content.push_str(&pieces.concat()),
            Part::Thinking { .. } => {}
            Part::ToolCall { name, arguments } => calls.push(json!({
                "id": tool_id(number, calls.len()),
                "type": "function",
                "function": { "name": name, "arguments": arguments },
            })),
        }
    }
    let content = if content.is_empty() { Value::Null } else { content.into() };
    let mut message = json!({ "role": "assistant", "content": content, "refusal": null });
    if !calls.is_empty() {
        message["tool_calls"] = calls.into();
    }
    json!({
        "id": format!("chatcmpl-fake{number}"),
        "object": "chat.completion",
        "created": CREATED_SECS,
        "model": model,
        "choices": [{
            "index": 0,
            "message": message,
            "finish_reason": finish_reason(reply.stop()),
        }],
        "usage": draw_usage(usage),
    })
}

/// OpenAI counts cached tokens among those of the prompt.
fn draw_usage(usage: Usage) -> Value {
    let prompt = usage.input + usage.cache_read + usage.cache_write;
    json!({
        "prompt_tokens": prompt,
        "completion_tokens": usage.output,
        "total_tokens": prompt + usage.output,
        "prompt_tokens_details": { "cached_tokens": usage.cache_read },
    })
}

fn tool_id(number: usize, index: usize) -> String {
    format!("call_fake{number}_{index}")
}

fn finish_reason(stop: Stop) -> &'static str {
    match stop {
        Stop::EndTurn => "stop",
        Stop::ToolCalls => "tool_calls",
        Stop::MaxTokens => "length",
        Stop::Refused => "content_filter",
    }
}

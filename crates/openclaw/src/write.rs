//! An entry as one line of a transcript: ours to theirs. Pure.

use claw_domain::{AssistantMessage, Block, Entry, EntryBody, StopReason, Timestamp, Usage};
use serde_json::{Value, json};

use crate::{difference::put_back, read::GATEWAY};

/// The ids of a line, as the file has them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ids<'a> {
    pub(crate) id: &'a str,
    /// The line before it in the tree.
    pub(crate) parent: Option<&'a str>,
    /// The first line that a compaction keeps.
    pub(crate) first_kept: Option<&'a str>,
}

/// The first line of a file that a Rusty Claw began. The folder that OpenClaw's agent worked in has
/// no counterpart here; an empty one is what it writes where it knows none.
pub(crate) fn header(id: &str, at: Timestamp) -> Value {
    json!({"type": "session", "version": 3, "id": id, "timestamp": time(at), "cwd": ""})
}

/// The line of an entry, with everything that was kept of it when it was read.
pub(crate) fn line(entry: &Entry, ids: &Ids<'_>) -> Value {
    let mut line = plain(entry, ids);
    put_back(&mut line, &entry.other);
    line
}

/// The line as far as the entry's own words go.
pub(crate) fn plain(entry: &Entry, ids: &Ids<'_>) -> Value {
    let Ids { id, parent, first_kept } = ids;
    let at = entry.at.as_millisecond();
    let timestamp = time(entry.at);
    let message = match &entry.body {
        EntryBody::Foreign { record, .. } => return record.clone(),
        EntryBody::Compaction { summary, tokens_before, .. } => {
            return json!({
                "type": "compaction", "id": id, "parentId": parent, "timestamp": timestamp,
                "summary": summary, "firstKeptEntryId": first_kept, "tokensBefore": tokens_before,
            });
        }
        EntryBody::User(message) => {
            json!({"role": "user", "content": blocks(&message.content), "timestamp": at})
        }
        EntryBody::Assistant(message) => assistant(message, at),
        EntryBody::ToolResult(result) => {
            let mut said = json!({
                "role": "toolResult", "toolCallId": result.call, "toolName": result.tool,
                "content": [{"type": "text", "text": result.text}],
                "isError": result.is_error, "timestamp": at,
            });
            if !result.details.is_null() {
                said["details"] = result.details.clone();
            }
            said
        }
    };
    json!({
        "type": "message", "id": id, "parentId": parent, "timestamp": timestamp, "message": message,
    })
}

fn assistant(message: &AssistantMessage, at: i64) -> Value {
    let (provider, model) = match &message.model {
        Some(reference) => (&*reference.provider, &*reference.model),
        None => (GATEWAY, "gateway-injected"),
    };
    let mut said = json!({
        "role": "assistant", "content": blocks(&message.content),
        "api": message.api.as_deref().unwrap_or("openai-responses"),
        "provider": provider, "model": model, "usage": usage(&message.usage),
        "stopReason": match message.stop {
            StopReason::Stop => "stop",
            StopReason::ToolUse => "toolUse",
            StopReason::Length => "length",
            StopReason::Error => "error",
            StopReason::Aborted => "aborted",
        },
        "timestamp": at,
    });
    if let Some(error) = &message.error {
        said["errorMessage"] = error.as_str().into();
    }
    said
}

/// The prices are zero: what a call cost is on our bill and not in the transcript.
fn usage(usage: &Usage) -> Value {
    let Usage { input, output, cache_read, cache_write } = usage;
    json!({
        "input": input, "output": output, "cacheRead": cache_read, "cacheWrite": cache_write,
        "totalTokens": usage.total(),
        "cost": {"input": 0, "output": 0, "cacheRead": 0, "cacheWrite": 0, "total": 0},
    })
}

fn blocks(content: &[Block]) -> Value {
    content.iter().map(block).collect()
}

fn block(block: &Block) -> Value {
    match block {
        Block::Text { text } => json!({"type": "text", "text": text}),
        Block::Thinking { text, signature: None } => json!({"type": "thinking", "thinking": text}),
        Block::Thinking { text, signature } => {
            json!({"type": "thinking", "thinking": text, "thinkingSignature": signature})
        }
        // The vendor's own shape, since OpenClaw has none and passes over what it does not know.
        Block::RedactedThinking { sealed } => json!({"type": "redacted_thinking", "data": sealed}),
        Block::ToolCall { id, name, arguments } => {
            json!({"type": "toolCall", "id": id, "name": name, "arguments": arguments})
        }
        Block::Image { mime, base64 } => json!({"type": "image", "data": base64, "mimeType": mime}),
    }
}

/// As JavaScript writes an instant: UTC with three digits of milliseconds.
fn time(at: Timestamp) -> String {
    format!("{at:.3}")
}

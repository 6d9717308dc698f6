//! One line of a transcript as the body of an entry: theirs to ours. Pure.
//!
//! What their models see is what ours see: messages, summaries, and words that extensions put in.
//! All else is kept whole and shown to no model. The shapes are those of the session files of
//! openclaw 2026.2.17 (`type: "session", version: 3`).

use claw_domain::{
    AssistantMessage, Block, EntryBody, EntryId, ModelRef, StopReason, ToolResult, Usage,
    UserMessage,
};
use serde_json::{Map, Value};

/// Who signs what the gateway itself puts in the assistant's place.
pub(crate) const GATEWAY: &str = "openclaw";

/// What a picture takes of a window: the 8,000 characters that OpenClaw counts for it. Unit: tokens.
const IMAGE_TOKENS: u64 = 2000;

/// What a line says. `first_kept` finds the entry that a compaction names.
pub(crate) fn body(
    line: &Map<String, Value>,
    first_kept: impl FnOnce(&Map<String, Value>) -> EntryId,
) -> EntryBody {
    let kind = text(line, "type").unwrap_or_default();
    let known = match kind {
        "message" => line.get("message").and_then(Value::as_object).and_then(message),
        "compaction" => text(line, "summary").map(|summary| EntryBody::Compaction {
            summary: summary.into(),
            first_kept: first_kept(line),
            tokens_before: number(line, "tokensBefore"),
        }),
        "custom_message" => line.get("content").and_then(blocks).map(said),
        "branch_summary" => {
            text(line, "summary").filter(|summary| !summary.is_empty()).map(|summary| {
                let text =
                    format!("[What another branch of this conversation came to]\n\n{summary}");
                said(vec![Block::Text { text }])
            })
        }
        _ => None,
    };
    known.unwrap_or_else(|| EntryBody::Foreign {
        kind: kind.into(),
        record: Value::Object(line.clone()),
    })
}

/// What an entry takes of a model's window: the model's own count where it gave one, else a quarter
/// of its bytes. Unit: tokens.
pub(crate) fn tokens(body: &EntryBody) -> u64 {
    let of = |content: &[Block]| content.iter().map(block_tokens).sum();
    match body {
        EntryBody::User(message) => of(&message.content),
        EntryBody::Assistant(message) if message.usage.output > 0 => message.usage.output,
        EntryBody::Assistant(message) => of(&message.content),
        EntryBody::ToolResult(result) => estimate(result.text.len()),
        EntryBody::Compaction { summary, .. } => estimate(summary.len()),
        EntryBody::Foreign { .. } => 0,
    }
}

fn block_tokens(block: &Block) -> u64 {
    match block {
        Block::Text { text } | Block::Thinking { text, .. } => estimate(text.len()),
        Block::RedactedThinking { sealed } => estimate(sealed.len()),
        Block::ToolCall { name, arguments, .. } => {
            estimate(name.len() + arguments.to_string().len())
        }
        Block::Image { .. } => IMAGE_TOKENS,
    }
}

fn estimate(bytes: usize) -> u64 {
    (bytes as u64).div_ceil(4)
}

fn said(content: Vec<Block>) -> EntryBody {
    EntryBody::User(UserMessage { content, said: None })
}

fn message(message: &Map<String, Value>) -> Option<EntryBody> {
    let content = blocks(message.get("content")?)?;
    match text(message, "role")? {
        "user" => Some(said(content)),
        "assistant" => Some(EntryBody::Assistant(assistant(message, content))),
        "toolResult" => Some(EntryBody::ToolResult(ToolResult {
            call: text(message, "toolCallId")?.into(),
            tool: text(message, "toolName")?.into(),
            text: words(&content),
            is_error: message.get("isError").and_then(Value::as_bool).unwrap_or(false),
            details: message.get("details").cloned().unwrap_or_default(),
        })),
        _ => None,
    }
}

fn assistant(message: &Map<String, Value>, content: Vec<Block>) -> AssistantMessage {
    let model = text(message, "provider").zip(text(message, "model"));
    let model = model.filter(|(provider, _)| *provider != GATEWAY);
    let count = |name| {
        message.get("usage").and_then(Value::as_object).map_or(0, |usage| number(usage, name))
    };
    AssistantMessage {
        content,
        model: model
            .map(|(provider, model)| ModelRef { provider: provider.into(), model: model.into() }),
        api: text(message, "api").map(Into::into),
        stop: match text(message, "stopReason") {
            Some("toolUse") => StopReason::ToolUse,
            Some("length") => StopReason::Length,
            Some("error") => StopReason::Error,
            Some("aborted") => StopReason::Aborted,
            _ => StopReason::Stop,
        },
        usage: Usage {
            input: count("input"),
            output: count("output"),
            cache_read: count("cacheRead"),
            cache_write: count("cacheWrite"),
        },
        error: text(message, "errorMessage").map(Into::into),
    }
}

/// The blocks that we have a word for; `None` when it is no content at all.
fn blocks(content: &Value) -> Option<Vec<Block>> {
    match content {
        Value::String(text) => Some(vec![Block::Text { text: text.clone() }]),
        Value::Array(blocks) => {
            Some(blocks.iter().filter_map(Value::as_object).filter_map(block).collect())
        }
        _ => None,
    }
}

fn block(block: &Map<String, Value>) -> Option<Block> {
    let owned = |name| text(block, name).map(str::to_owned);
    match text(block, "type")? {
        "text" => Some(Block::Text { text: owned("text")? }),
        "thinking" => Some(Block::Thinking {
            text: owned("thinking")?,
            signature: owned("thinkingSignature"),
        }),
        "redacted_thinking" => Some(Block::RedactedThinking { sealed: owned("data")? }),
        "toolCall" => Some(Block::ToolCall {
            id: text(block, "id")?.into(),
            name: owned("name")?,
            arguments: block.get("arguments")?.clone(),
        }),
        "image" => {
            Some(Block::Image { mime: owned("mimeType")?, base64: text(block, "data")?.into() })
        }
        _ => None,
    }
}

fn words(content: &[Block]) -> String {
    let texts = content.iter().filter_map(|block| match block {
        Block::Text { text } => Some(text.as_str()),
        _ => None,
    });
    texts.collect::<Vec<_>>().join("\n")
}

pub(crate) fn text<'a>(fields: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    fields.get(name)?.as_str()
}

fn number(fields: &Map<String, Value>, name: &str) -> u64 {
    fields.get(name).and_then(Value::as_u64).unwrap_or(0)
}

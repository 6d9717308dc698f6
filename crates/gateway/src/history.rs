//! How a transcript's entries are shown to clients.

use claw_domain::{AssistantMessage, Block, Entry, EntryBody, StopReason};
use claw_protocol::history::{self, Message};

/// The entry as a message; `None` for marks that are not messages.
pub(crate) fn message(entry: &Entry) -> Option<Message> {
    let timestamp = entry.at.as_millisecond();
    match &entry.body {
        EntryBody::User(user) => Some(Message::User { content: blocks(&user.content), timestamp }),
        EntryBody::Assistant(message) => Some(assistant(message, timestamp)),
        EntryBody::ToolResult(result) => Some(Message::ToolResult {
            tool_call_id: result.call.to_string(),
            tool_name: result.tool.clone(),
            content: vec![history::Block::Text { text: result.text.clone() }],
            is_error: result.is_error,
            timestamp,
        }),
        EntryBody::Compaction { .. } | EntryBody::Foreign { .. } => None,
    }
}

/// Who wrote a preview's line, and the line; `None` when there is none.
pub(crate) fn line(entry: &Entry) -> Option<(&'static str, String)> {
    let (role, text) = match &entry.body {
        EntryBody::User(user) => {
            let said = user.said.as_deref().map(str::to_owned);
            ("user", said.unwrap_or_else(|| text(&user.content)))
        }
        EntryBody::Assistant(message) => ("assistant", text(&message.content)),
        EntryBody::ToolResult(result) => ("tool", result.text.clone()),
        EntryBody::Compaction { summary, .. } => ("system", summary.clone()),
        EntryBody::Foreign { .. } => return None,
    };
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    (!text.is_empty()).then_some((role, text))
}

fn assistant(message: &AssistantMessage, timestamp: i64) -> Message {
    let stop_reason = match message.stop {
        StopReason::Stop => "stop",
        StopReason::ToolUse => "toolUse",
        StopReason::Length => "length",
        StopReason::Error => "error",
        StopReason::Aborted => "aborted",
    };
    // A text that the gateway wrote is marked as OpenClaw marks its own.
    let (provider, model) = match &message.model {
        Some(reference) => (reference.provider.to_string(), reference.model.to_string()),
        None => ("openclaw".into(), "gateway-injected".into()),
    };
    Message::Assistant {
        content: blocks(&message.content),
        api: message.api.as_deref().unwrap_or("openai-responses").to_owned(),
        provider,
        model,
        stop_reason: stop_reason.into(),
        error_message: message.error.clone(),
        timestamp,
    }
}

fn blocks(content: &[Block]) -> Vec<history::Block> {
    let shown = |block: &Block| match block {
        Block::Text { text } => Some(history::Block::Text { text: text.clone() }),
        Block::Thinking { text, .. } => {
            (!text.is_empty()).then(|| history::Block::Thinking { thinking: text.clone() })
        }
        // Sealed for everybody but its provider.
        Block::RedactedThinking { .. } => None,
        Block::ToolCall { id, name, arguments } => Some(history::Block::ToolCall {
            id: id.to_string(),
            name: name.clone(),
            arguments: arguments.clone(),
        }),
        Block::Image { mime, base64 } => Some(history::Block::Image {
            mime_type: mime.clone(),
            omitted: true,
            // Four letters of base64 hold three bytes.
            bytes: base64.len() as u64 / 4 * 3,
        }),
    };
    content.iter().filter_map(shown).collect()
}

fn text(content: &[Block]) -> String {
    let texts = content.iter().filter_map(|block| match block {
        Block::Text { text } => Some(text.as_str()),
        _ => None,
    });
    texts.collect::<Vec<_>>().join("\n")
}

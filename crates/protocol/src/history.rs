//! What `chat.history` shows of a transcript, and how it is kept small.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// How many messages are sent when the caller names no number.
pub const MESSAGES_DEFAULT: usize = 200;
/// How many messages a caller may ask for.
pub const MESSAGES_MAX: usize = 1000;
/// Longest text of one block, in characters.
pub const TEXT_CHARS_MAX: usize = 12_000;
/// Largest message, in bytes of JSON.
pub const MESSAGE_BYTES_MAX: usize = 128 * 1024;
/// Largest list of messages, in bytes of JSON.
pub const REPLY_BYTES_MAX: usize = 6 * 1024 * 1024;

/// What stands in the place of a message above [`MESSAGE_BYTES_MAX`].
const OMITTED: &str = "[chat.history omitted: message too large]";

/// A message of a transcript. Times are in milliseconds since 1970.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "role", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Message {
    /// From a person, with the metadata that the model was given.
    User {
        /// Texts and images.
        content: Vec<Block>,
        /// When it arrived.
        timestamp: i64,
    },
    /// From the model.
    Assistant {
        /// Texts, thinking and tool calls.
        content: Vec<Block>,
        /// The interface that the model was asked through.
        api: String,
        /// The provider.
        provider: String,
        /// The model.
        model: String,
        /// `stop`, `toolUse`, `length`, `error` or `aborted`.
        stop_reason: String,
        /// Why it failed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error_message: Option<String>,
        /// When it ended.
        timestamp: i64,
    },
    /// What a tool returned.
    ToolResult {
        /// The call.
        tool_call_id: String,
        /// The tool.
        tool_name: String,
        /// Its output.
        content: Vec<Block>,
        /// Whether it failed.
        is_error: bool,
        /// When it ended.
        timestamp: i64,
    },
}

/// A part of a message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Block {
    /// Text.
    Text {
        /// The text.
        text: String,
    },
    /// The model's thinking.
    Thinking {
        /// The thinking.
        thinking: String,
    },
    /// A call of a tool.
    ToolCall {
        /// The call.
        id: String,
        /// The tool.
        name: String,
        /// Its arguments.
        arguments: Value,
    },
    /// A picture, without its data.
    Image {
        /// Such as `image/png`.
        mime_type: String,
        /// Always true.
        omitted: bool,
        /// How large it is.
        bytes: u64,
    },
}

/// The newest of `messages` (oldest first) that fit [`REPLY_BYTES_MAX`], in the same order.
///
/// Long texts are cut, and a message that is still too large is replaced by a note.
pub fn fit(messages: Vec<Message>) -> Vec<Value> {
    let mut room = REPLY_BYTES_MAX;
    let mut newest_first = Vec::new();
    for message in messages.into_iter().rev() {
        let (message, bytes) = shown(message);
        match room.checked_sub(bytes + ",".len()) {
            Some(left) => room = left,
            None => break,
        }
        newest_first.push(message);
    }
    newest_first.reverse();
    newest_first
}

/// `message` as it is sent, and its size in bytes.
fn shown(mut message: Message) -> (Value, usize) {
    message.content_mut().iter_mut().for_each(Block::cut);
    let shown = json!(message);
    let bytes = shown.to_string().len();
    if bytes <= MESSAGE_BYTES_MAX {
        return (shown, bytes);
    }
    let note = json!({
        "role": shown["role"],
        "content": [{"type": "text", "text": OMITTED}],
        "timestamp": shown["timestamp"],
        "__openclaw": {"truncated": true, "reason": "oversized"},
    });
    let bytes = note.to_string().len();
    (note, bytes)
}

impl Message {
    fn content_mut(&mut self) -> &mut [Block] {
        match self {
            Self::User { content, .. }
            | Self::Assistant { content, .. }
            | Self::ToolResult { content, .. } => content,
        }
    }
}

impl Block {
    /// Cuts a long text after [`TEXT_CHARS_MAX`] characters and says so.
    fn cut(&mut self) {
        let (Self::Text { text } | Self::Thinking { thinking: text }) = self else { return };
        if let Some((end, _)) = text.char_indices().nth(TEXT_CHARS_MAX) {
            text.truncate(end);
            text.push_str("\n...(truncated)...");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: impl Into<String>, timestamp: i64) -> Message {
        Message::User { content: vec![Block::Text { text: text.into() }], timestamp }
    }

    #[test]
    fn a_recorded_history_reads_and_writes_unchanged() {
        let recorded = include_str!("../tests/fixtures/history.json");
        let recorded: Value = serde_json::from_str(recorded).expect("the fixture is JSON");
        let messages: Vec<Message> =
            serde_json::from_value(recorded.clone()).expect("they are messages");
        assert_eq!(Value::Array(fit(messages)), recorded);
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let fitted = fit(vec![said("ä".repeat(TEXT_CHARS_MAX + 1), 1)]);
        let text = format!("{}\n...(truncated)...", "ä".repeat(TEXT_CHARS_MAX));
        assert_eq!(fitted, [json!(said(text, 1))]);
        let just_fits = said("ä".repeat(TEXT_CHARS_MAX), 1);
        assert_eq!(fit(vec![just_fits.clone()]), [json!(just_fits)]);
    }

    #[test]
    fn a_message_that_is_too_large_leaves_a_note() {
        let content = vec![Block::ToolCall {
            id: "t".into(),
            name: "write".into(),
            arguments: json!({"content": "x".repeat(MESSAGE_BYTES_MAX)}),
        }];
        assert_eq!(
            fit(vec![Message::User { content, timestamp: 4 }]),
            [json!({
                "role": "user",
                "content": [{"type": "text", "text": "[chat.history omitted: message too large]"}],
                "timestamp": 4,
                "__openclaw": {"truncated": true, "reason": "oversized"},
            })]
        );
    }

    #[test]
    fn the_oldest_messages_give_way() {
        let text = "x".repeat(TEXT_CHARS_MAX);
        let fitted = fit((0..MESSAGES_MAX as i64).map(|ts| said(&text, ts)).collect());
        assert!(fitted.len() < MESSAGES_MAX);
        assert!(json!(fitted).to_string().len() <= REPLY_BYTES_MAX);
        assert_eq!(fitted.last().expect("some fit")["timestamp"], 999);
    }
}

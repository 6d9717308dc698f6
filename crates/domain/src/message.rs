//! What a transcript holds: entries of a tree, each one message or mark.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{EntryId, ModelRef, RunId, SessionId, Timestamp, ToolCallId, Usage};

/// One node of a session's transcript.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Its identity.
    pub id: EntryId,
    /// The life of the session that it belongs to.
    pub session: SessionId,
    /// The entry before it; `None` at the root.
    pub parent: Option<EntryId>,
    /// When it was written.
    pub at: Timestamp,
    /// The run that wrote it, when one did.
    pub run: Option<RunId>,
    /// How much of a model's window it takes, measured or estimated. Unit: tokens.
    pub tokens: u64,
    /// Tokens from the root to here, this entry included.
    pub tokens_sum: u64,
    /// What it says.
    pub body: EntryBody,
    /// Fields of a transcript that was imported for which there is no word here, as they were.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub other: serde_json::Map<String, serde_json::Value>,
}

/// What an entry says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "type")]
pub enum EntryBody {
    /// Something said to the model.
    User(UserMessage),
    /// The model's whole answer, or a text that the gateway put in its place.
    Assistant(AssistantMessage),
    /// What a tool gave back.
    ToolResult(ToolResult),
    /// Everything before `first_kept` is replaced by `summary` in prompts.
    Compaction {
        /// The summary that stands for what was left out.
        summary: String,
        /// The first entry that prompts still hold in full.
        first_kept: EntryId,
        /// The size of the prompt before.
        tokens_before: u64,
    },
    /// A record of another program's transcript for which there is no word here. Models never see it.
    Foreign {
        /// What that program calls it.
        kind: String,
        /// All of it, as it was.
        record: Value,
    },
}

/// A message in the user's role, exactly as the model receives it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UserMessage {
    /// The blocks; volatile facts (time, sender) are already inside the text.
    pub content: Vec<Block>,
    /// The text as the sender wrote it, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub said: Option<Arc<str>>,
}

/// A message in the assistant's role.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AssistantMessage {
    /// The blocks in the order in which they came.
    pub content: Vec<Block>,
    /// Who wrote it; `None` for a text that the gateway wrote (a command's answer, a notice).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<ModelRef>,
    /// The wire interface that it came over (`anthropic-messages`), in OpenClaw's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api: Option<Arc<str>>,
    /// Why it ended.
    pub stop: StopReason,
    /// What it took.
    #[serde(default)]
    pub usage: Usage,
    /// What went wrong, when `stop` is `Error`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl AssistantMessage {
    /// A text that the gateway writes in the assistant's place.
    pub fn injected(text: impl Into<String>) -> Self {
        Self {
            content: vec![Block::Text { text: text.into() }],
            model: None,
            api: None,
            stop: StopReason::Stop,
            usage: Usage::default(),
            error: None,
        }
    }

    /// All text blocks, joined by blank lines.
    pub fn text(&self) -> String {
        join_text(&self.content)
    }

    /// The tool calls in order: id, name, arguments.
    pub fn tool_calls(&self) -> impl Iterator<Item = (&ToolCallId, &str, &Value)> {
        self.content.iter().filter_map(|block| match block {
            Block::ToolCall { id, name, arguments } => Some((id, name.as_str(), arguments)),
            _ => None,
        })
    }
}

impl UserMessage {
    /// A message of one text block.
    pub fn text(text: impl Into<String>) -> Self {
        Self { content: vec![Block::Text { text: text.into() }], said: None }
    }
}

fn join_text(content: &[Block]) -> String {
    let texts: Vec<&str> = content
        .iter()
        .filter_map(|block| match block {
            Block::Text { text } if !text.is_empty() => Some(text.as_str()),
            _ => None,
        })
        .collect();
    texts.join("\n\n")
}

/// A piece of a message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "type")]
pub enum Block {
    /// Words.
    Text {
        /// The words.
        text: String,
    },
    /// What the model thought; replayed to it with its signature, shown to nobody else.
    Thinking {
        /// The thought, possibly empty when only the signature was given.
        text: String,
        /// The provider's proof that the thought is its own.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        signature: Option<String>,
    },
    /// A thought that the provider sent sealed; replayed as it came.
    RedactedThinking {
        /// The sealed bytes as text.
        sealed: String,
    },
    /// The model asks for a tool.
    ToolCall {
        /// The call's id, repeated by its result.
        id: ToolCallId,
        /// The tool's name.
        name: String,
        /// The arguments; a JSON string holding the raw text when they did not parse.
        arguments: Value,
    },
    /// A picture.
    Image {
        /// Its media type.
        mime: String,
        /// Its bytes in base64.
        base64: Arc<str>,
    },
}

/// What a tool gave back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToolResult {
    /// The call that it answers.
    pub call: ToolCallId,
    /// The tool's name.
    pub tool: String,
    /// What the model reads.
    pub text: String,
    /// Whether the tool failed.
    pub is_error: bool,
    /// Facts for clients (exit code, duration), not for the model.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub details: Value,
}

/// Why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum StopReason {
    /// The model had said all.
    Stop,
    /// The model waits for tools.
    ToolUse,
    /// The longest allowed answer was reached.
    Length,
    /// The provider or its filter failed.
    Error,
    /// Somebody stopped it.
    Aborted,
}

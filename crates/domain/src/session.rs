//! What we know of a conversation beside its transcript.

use serde::{Deserialize, Serialize};

use crate::{
    AgentId, ChatKind, EntryId, EventId, ModelRef, SessionId, SessionKey, Target, Timestamp, Usage,
};

/// A session: the fold of all events under its key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Session {
    /// Where the conversation lives.
    pub key: SessionKey,
    /// Its present life; a reset begins a new one.
    pub id: SessionId,
    /// The agent that answers.
    pub agent: AgentId,
    /// What kind of chat it came from.
    pub kind: ChatKind,
    /// When this life began.
    pub created_at: Timestamp,
    /// When something last happened in it.
    pub updated_at: Timestamp,
    /// The newest event folded into it. The fold is in the order of event ids, so an older one that
    /// comes later, from another gateway or installation, has to be folded in at its place.
    #[serde(default)]
    pub newest: EventId,
    /// The newest entry of the transcript that is in force.
    pub head: Option<EntryId>,
    /// Tokens from the root to the head.
    pub tokens_sum: u64,
    /// Prompts begin here after an overfull window was cut; `None` is the root.
    pub context_start: Option<EntryId>,
    /// The event that holds the prompt prefix of this epoch; `None` begins a new one.
    pub prefix: Option<EventId>,
    /// How often this life was compacted.
    pub compactions: u64,
    /// What this life's model calls took in all.
    pub usage: Usage,
    /// Their price where the models' costs are configured. Unit: US dollars.
    pub cost: f64,
    /// The prompt of the last model call. Unit: tokens.
    pub prompt_tokens: u64,
    /// The last model that answered.
    pub model: Option<ModelRef>,
    /// Where the last message came from, and where an answer goes.
    pub last_target: Option<Target>,
    /// Whether the last run was stopped.
    pub aborted_last_run: bool,
    /// What its people chose for it.
    pub settings: Settings,
}

/// What can be chosen per session; `None` follows the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Settings {
    /// A name for people, unique, at most 64 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// The name shown for the chat.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// The model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<ModelRef>,
    /// How long it thinks: `off`, `minimal`, `low`, `medium`, `high`, `xhigh`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thinking_level: Option<String>,
    /// How much of the tools' work clients see: `off`, `on`, `full`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verbose_level: Option<String>,
    /// Everything else that OpenClaw lets a client set, kept as it was set.
    #[serde(skip_serializing_if = "serde_json::Map::is_empty")]
    pub other: serde_json::Map<String, serde_json::Value>,
}

//! What is asked of a model.

use std::sync::Arc;

use claw_domain::{Entry, ModelInfo};
use serde_json::Value;

/// One question to a model.
#[derive(Debug, Clone)]
pub struct Request {
    /// What stays the same for an epoch.
    pub prefix: Arc<Prefix>,
    /// The conversation, oldest first. Every tool call is followed by its result.
    pub messages: Vec<Message>,
    /// Longest answer. Unit: tokens.
    pub output_max: u64,
    /// How long it may think.
    pub thinking: Thinking,
}

/// What stays the same for an epoch, byte for byte, so that vendors can cache it.
///
/// Its fields are private and it has no setters: a change of any kind is a new prefix.
#[derive(Debug, Clone, PartialEq)]
pub struct Prefix {
    model: ModelInfo,
    system: Arc<str>,
    tools: Arc<[ToolSpec]>,
}

impl Prefix {
    /// Joins the parts.
    pub fn new(
        model: ModelInfo,
        system: impl Into<Arc<str>>,
        tools: impl Into<Arc<[ToolSpec]>>,
    ) -> Self {
        Self { model, system: system.into(), tools: tools.into() }
    }

    /// The model that is asked.
    pub fn model(&self) -> &ModelInfo {
        &self.model
    }

    /// The system prompt.
    pub fn system(&self) -> &str {
        &self.system
    }

    /// The tools in their order.
    pub fn tools(&self) -> &[ToolSpec] {
        &self.tools
    }
}

/// A tool as a model sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolSpec {
    /// Its name, lower snake case.
    pub name: String,
    /// What it does, for the model.
    pub description: String,
    /// JSON Schema of its arguments.
    pub parameters: Value,
}

/// One step of the conversation: a transcript entry, shared and never copied, or the summary that
/// stands for what a compaction left out.
#[derive(Debug, Clone, PartialEq)]
pub enum Message {
    /// An entry whose body is a user message, an assistant message or a tool result.
    Entry(Arc<Entry>),
    /// Words in the user's role that no entry holds.
    Summary(Arc<str>),
}

/// How long a model may think.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Thinking {
    /// Not at all.
    #[default]
    Off,
    /// As little as the model can.
    Minimal,
    /// A little.
    Low,
    /// Some.
    Medium,
    /// Much.
    High,
    /// As much as the model can.
    XHigh,
}

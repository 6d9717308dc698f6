//! The keys under `agents`.

use std::{collections::BTreeMap, num::NonZeroU32, path::PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;

/// The agents and what they share.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct AgentsConfig {
    /// What holds for every agent that does not say otherwise.
    pub defaults: AgentDefaults,
    /// The agents. Default: one, named `main`. The one with `default: true`, else the first, answers
    /// wherever nothing else is bound.
    pub list: Vec<AgentEntry>,
}

/// What holds for every agent that does not say otherwise.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct AgentDefaults {
    /// The language model.
    ///
    /// Default: the one whose key is in the environment, else Ollama on this machine, else the
    /// built-in `demo` model.
    pub model: Option<ModelSelection>,
    /// What is known of single models, by `provider/model`.
    pub models: BTreeMap<String, ModelChoice>,
    /// The folder in which the agent reads, writes and runs commands.
    ///
    /// Default: `workspace` in the state folder.
    pub workspace: Option<PathBuf>,
    /// Leave the workspace's files as they are: create none that is missing.
    ///
    /// Default: false.
    pub skip_bootstrap: bool,
    /// Most of one workspace file that joins the prompt; longer ones lose their middle.
    ///
    /// Unit: characters. Default: 20000.
    pub bootstrap_max_chars: NonZeroU32,
    /// Most of all workspace files together that joins the prompt.
    ///
    /// Unit: characters. Default: 150000.
    pub bootstrap_total_max_chars: NonZeroU32,
    /// The time zone of times that the model is told, by its IANA name.
    ///
    /// Default: this machine's.
    pub user_timezone: Option<String>,
    /// The largest prompt, where the model's window is larger.
    ///
    /// Unit: tokens. Default: the model's window.
    pub context_tokens: Option<NonZeroU32>,
    /// How long models that can think do so.
    ///
    /// Default: `low` for models with `reasoning`, else `off`.
    pub thinking_default: Option<ThinkingLevel>,
    /// How long one turn may take, tools included. Then it is stopped and its sender told.
    ///
    /// Unit: seconds. Default: 600.
    pub timeout_seconds: NonZeroU32,
    /// How long one turn may show nothing - no word of the model, no end of a tool - before its
    /// sender is told once that it still works. It goes on; nothing is run again.
    ///
    /// Unit: seconds. Default: 120.
    pub stall_seconds: NonZeroU32,
    /// Most turns that run at one time, over all sessions. Further ones wait.
    ///
    /// Default: 32. OpenClaw's is 4.
    pub max_concurrent: NonZeroU32,
}

impl Default for AgentDefaults {
    fn default() -> Self {
        let number = |value| NonZeroU32::new(value).expect("the default is not zero");
        Self {
            model: None,
            models: BTreeMap::new(),
            workspace: None,
            skip_bootstrap: false,
            bootstrap_max_chars: number(20_000),
            bootstrap_total_max_chars: number(150_000),
            user_timezone: None,
            context_tokens: None,
            thinking_default: None,
            timeout_seconds: number(600),
            stall_seconds: number(claw_delivery::PATIENCE.as_secs() as u32),
            max_concurrent: number(32),
        }
    }
}

/// A model by name, with others to fall back on.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum ModelSelection {
    /// `provider/model`.
    Name(String),
    /// The long form.
    Choice {
        /// `provider/model`.
        primary: Option<String>,
        /// Models to try when the first fails. Not used yet.
        #[serde(default)]
        fallbacks: Vec<String>,
    },
}

impl ModelSelection {
    /// The model to ask first.
    pub fn primary(&self) -> Option<&str> {
        match self {
            Self::Name(name) => Some(name),
            Self::Choice { primary, .. } => primary.as_deref(),
        }
    }
}

/// What is known of one model.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ModelChoice {
    /// A short name for people. Not used yet.
    pub alias: Option<String>,
    /// Further request parameters. Not used yet.
    pub params: BTreeMap<String, serde_json::Value>,
    /// Whether to stream. Answers are always streamed.
    pub streaming: Option<bool>,
}

/// One agent.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct AgentEntry {
    /// Its id: lower-case letters, digits, `_` and `-`, at most 64.
    pub id: String,
    /// Whether it answers wherever nothing else is bound.
    pub default: bool,
    /// Its name for people.
    pub name: Option<String>,
    /// Its folder. Default: `workspace-<id>` in the state folder, for the default agent `workspace`.
    pub workspace: Option<PathBuf>,
    /// Its model. Default: `agents.defaults.model`.
    pub model: Option<ModelSelection>,
    /// How it presents itself.
    pub identity: Option<Identity>,
    /// The gateway that runs its turns, by `gateway.name`, where several share a store and its folder
    /// is not on every machine. Default: any of them.
    pub gateway: Option<String>,
}

/// How an agent presents itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Identity {
    /// Its name.
    pub name: Option<String>,
    /// Its theme, in a few words.
    pub theme: Option<String>,
    /// Its emoji.
    pub emoji: Option<String>,
    /// Its picture.
    pub avatar: Option<String>,
}

/// How long a model thinks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ThinkingLevel {
    /// Not at all.
    Off,
    /// As little as it can.
    Minimal,
    /// A little.
    Low,
    /// Some.
    Medium,
    /// Much.
    High,
    /// As much as it can.
    Xhigh,
}

impl ThinkingLevel {
    /// The level by its name.
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "off" => Self::Off,
            "minimal" => Self::Minimal,
            "low" => Self::Low,
            "medium" => Self::Medium,
            "high" => Self::High,
            "xhigh" => Self::Xhigh,
            _ => return None,
        })
    }

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Minimal => "minimal",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Xhigh => "xhigh",
        }
    }
}

impl From<ThinkingLevel> for claw_provider::Thinking {
    fn from(level: ThinkingLevel) -> Self {
        match level {
            ThinkingLevel::Off => Self::Off,
            ThinkingLevel::Minimal => Self::Minimal,
            ThinkingLevel::Low => Self::Low,
            ThinkingLevel::Medium => Self::Medium,
            ThinkingLevel::High => Self::High,
            ThinkingLevel::Xhigh => Self::XHigh,
        }
    }
}

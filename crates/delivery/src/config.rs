//! The keys under `session` and `bindings` that decide where a message goes.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

/// How conversations are kept apart.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct SessionConfig {
    /// Whether each sender has a conversation, or everybody shares one.
    ///
    /// Default: `per-sender`. With `global` all messages of all people reach one session.
    pub scope: SessionScope,
    /// How direct messages are kept apart.
    ///
    /// Default: `main`, one conversation for the owner on all channels. When more than one person
    /// may write, choose one of the others, or they read each other's words.
    pub dm_scope: DmScope,
    /// People who are one person: a name, and its ids as `channel:id`.
    ///
    /// Default: none. Works with every `dmScope` but `main`.
    pub identity_links: BTreeMap<String, Vec<String>>,
    /// The last word of the main conversation's key.
    ///
    /// Default: `main`.
    pub main_key: String,
    /// Whose files are kept up to date beside the log, for tools that read them: `openclaw` writes
    /// `agents/<id>/sessions` in the state folder.
    ///
    /// Default: nobody's. Where files lie there already that no mirror wrote, they are left alone.
    /// A change takes effect with the next start.
    pub mirror: Option<Mirror>,
}

impl Default for SessionConfig {
    fn default() -> Self {
        Self {
            scope: SessionScope::default(),
            dm_scope: DmScope::default(),
            identity_links: BTreeMap::new(),
            main_key: "main".into(),
            mirror: None,
        }
    }
}

/// Whose files are kept up to date beside the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mirror {
    /// OpenClaw's.
    OpenClaw,
}

/// Who shares a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SessionScope {
    /// Each sender has one.
    #[default]
    PerSender,
    /// Everybody shares one.
    Global,
}

/// How direct messages are kept apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DmScope {
    /// One conversation for all direct messages.
    #[default]
    Main,
    /// One per person.
    PerPeer,
    /// One per person and channel.
    PerChannelPeer,
    /// One per person, channel and account.
    PerAccountChannelPeer,
}

/// Which agent answers where. The most exact match wins; without one the default agent answers.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Binding {
    /// The agent, by its `id` in `agents.list`.
    pub agent_id: String,
    /// Where it answers.
    #[serde(rename = "match")]
    pub matches: BindingMatch,
}

/// Where a bound agent answers.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BindingMatch {
    /// The channel.
    pub channel: String,
    /// The account; `*` is every account. Default: the `default` account only.
    #[serde(default)]
    pub account_id: Option<String>,
    /// One chat.
    #[serde(default)]
    pub peer: Option<BindingPeer>,
}

/// One chat of a binding.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BindingPeer {
    /// What kind of chat.
    pub kind: PeerKind,
    /// Its id on the platform.
    pub id: String,
}

/// What kind of chat a binding names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PeerKind {
    /// Two people.
    #[serde(alias = "dm")]
    Direct,
    /// Several people.
    Group,
    /// A broadcast room.
    Channel,
}

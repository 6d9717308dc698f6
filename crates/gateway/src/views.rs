//! What the gateway is shown of the configuration and of the channels, by whoever holds them.

use serde_json::Value;

/// Shows the configuration.
pub trait ConfigView: Send + Sync {
    /// The configuration that is in force, with every secret redacted already.
    fn snapshot(&self) -> ConfigSnapshot;
}

/// The configuration as `config.get` shows it. Nothing in it is secret.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ConfigSnapshot {
    /// The file.
    pub path: String,
    /// Whether the file is there.
    pub exists: bool,
    /// Its text, redacted; `None` when it is not there or cannot be shown redacted.
    pub raw: Option<String>,
    /// The file as written, parsed.
    pub parsed: Value,
    /// The same with includes and variables filled in.
    pub resolved: Value,
    /// The same with defaults.
    pub config: Value,
    /// SHA-256 of the text, in hex.
    pub hash: String,
    /// What makes the file invalid; empty when it is valid.
    pub issues: Vec<ConfigIssue>,
    /// What a person should know of it all the same.
    pub warnings: Vec<ConfigIssue>,
}

/// One remark on a configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConfigIssue {
    /// The key, dotted.
    pub path: String,
    /// One line for people.
    pub message: String,
}

/// Shows the channel accounts.
pub trait ChannelsView: Send + Sync {
    /// Every configured account, those of one channel side by side, in the order to show them.
    fn accounts(&self) -> Vec<ChannelAccount>;
}

/// A channel account and how it is doing. Times are in milliseconds since 1970.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChannelAccount {
    /// The channel's id: `telegram`.
    pub channel: String,
    /// The channel's name for people: `Telegram`.
    pub label: String,
    /// The account's id: `default`.
    pub account: String,
    /// The name that the platform gives it.
    pub name: Option<String>,
    /// Whether the configuration switches it on.
    pub enabled: bool,
    /// Whether all that it needs is configured.
    pub configured: bool,
    /// Whether its task runs.
    pub running: bool,
    /// Whether it reaches its platform now, or another gateway holds it.
    pub connected: bool,
    /// What last went wrong, for people, without secrets.
    pub last_error: Option<String>,
    /// When it was started.
    pub last_start_at: Option<i64>,
    /// When something last came in.
    pub last_inbound_at: Option<i64>,
    /// When something last went out.
    pub last_outbound_at: Option<i64>,
    /// Who may write directly: `pairing`, `allowlist`, `open`, `disabled`.
    pub dm_policy: Option<String>,
}

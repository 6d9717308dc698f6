//! How well a gateway is: the payload of `health`, as method and as event.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The event's name, and the method's.
pub const EVENT: &str = "health";

/// A gateway's health. Times are in milliseconds since 1970.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HealthSummary {
    /// Whether it takes work. Only ever `false` here: other gateways that are not well do not answer.
    pub ok: bool,
    /// Why it takes none, and what to do about it. Ours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store_error: Option<String>,
    /// When this was found out.
    pub ts: i64,
    /// How long that took, in milliseconds.
    pub duration_ms: u64,
    /// Each channel's own summary, by its name.
    pub channels: Map<String, Value>,
    /// The channels in the order to show them.
    pub channel_order: Vec<String>,
    /// The channels' names for people.
    pub channel_labels: Map<String, Value>,
    /// Time between two heartbeats of the default agent, in seconds; 0 when off.
    pub heartbeat_seconds: u64,
    /// The agent that answers when none is named.
    pub default_agent_id: String,
    /// Every agent.
    pub agents: Vec<AgentHealth>,
    /// The default agent's sessions.
    pub sessions: SessionsHealth,
}

/// An agent's health.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AgentHealth {
    /// The agent.
    pub agent_id: String,
    /// Its name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Whether it answers when none is named.
    pub is_default: bool,
    /// Its heartbeat, if it has one.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub heartbeat: Value,
    /// Its sessions.
    pub sessions: SessionsHealth,
}

/// Some sessions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionsHealth {
    /// Where they are kept.
    pub path: String,
    /// How many there are.
    pub count: usize,
    /// The newest few, newest first.
    pub recent: Vec<RecentSession>,
}

/// A session that was used lately.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RecentSession {
    /// The session's key.
    pub key: String,
    /// When it was last used; `null` when never.
    pub updated_at: Option<i64>,
    /// How long ago that is, in milliseconds.
    pub age: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recorded_summary_reads_and_writes_unchanged() {
        let recorded = include_str!("../tests/fixtures/health.json");
        let recorded: Value = serde_json::from_str(recorded).expect("the fixture is JSON");
        let health: HealthSummary = serde_json::from_value(recorded.clone()).expect("it is health");
        assert_eq!(health.sessions.recent[0].key, "agent:main:main");
        assert_eq!(serde_json::to_value(&health).expect("plain data"), recorded);
    }
}

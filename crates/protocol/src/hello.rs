//! What a gateway says when it lets a client in: `hello-ok`.

use claw_domain::Secret;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::connect::expose;
use crate::frame::StateVersion;
use crate::limits;

/// The payload of the answer to a `connect`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename = "hello-ok", rename_all = "camelCase")]
pub struct HelloOk {
    /// The protocol version of this connection.
    pub protocol: u32,
    /// The gateway.
    pub server: ServerInfo,
    /// What it can do.
    pub features: Features,
    /// The state that later events change.
    pub snapshot: Snapshot,
    /// Where the canvas is served, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canvas_host_url: Option<String>,
    /// The device's token; absent for a client without a device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<HelloAuth>,
    /// The limits of this connection.
    pub policy: Policy,
}

/// The gateway's name and version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServerInfo {
    /// The program's version.
    pub version: String,
    /// The commit it was built from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// The machine's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// This connection, for logs.
    pub conn_id: String,
}

/// What a gateway offers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Features {
    /// Names of methods.
    pub methods: Vec<String>,
    /// Names of events.
    pub events: Vec<String>,
}

/// The state at the moment of connecting.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Snapshot {
    /// Who is connected.
    pub presence: Vec<PresenceEntry>,
    /// The health summary, or `{}` before the first one.
    pub health: Value,
    /// The versions of the two above.
    pub state_version: StateVersion,
    /// How long the gateway has run, in milliseconds.
    pub uptime_ms: u64,
    /// The configuration file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_path: Option<String>,
    /// The state folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state_dir: Option<String>,
    /// How session keys are made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_defaults: Option<SessionDefaults>,
    /// `none`, `token`, `password` or `trusted-proxy`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_mode: Option<String>,
}

/// How session keys are made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionDefaults {
    /// The agent that answers when none is named.
    pub default_agent_id: String,
    /// The last part of the main session's key.
    pub main_key: String,
    /// The main session's whole key.
    pub main_session_key: String,
    /// `per-sender` or `global`.
    pub scope: String,
}

/// The token that the device may use from now on.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HelloAuth {
    /// The token.
    #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "expose")]
    pub device_token: Option<Secret>,
    /// The role it is for.
    pub role: String,
    /// The scopes it was granted, which may be more than this connection asked for.
    pub scopes: Vec<String>,
    /// When it was made, in milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issued_at_ms: Option<i64>,
}

/// The limits of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Policy {
    /// Largest frame to the gateway, in bytes.
    pub max_payload: usize,
    /// Largest send buffer of the gateway, in bytes.
    pub max_buffered_bytes: usize,
    /// Time between two ticks, in milliseconds.
    pub tick_interval_ms: u64,
}

/// A client or machine that is or was here.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PresenceEntry {
    /// The machine, or the client's display name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Its address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip: Option<String>,
    /// Its program's version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Free text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
    /// Free text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_family: Option<String>,
    /// Free text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model_identifier: Option<String>,
    /// The client's mode; `gateway` for the gateway itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// Time since the person last did something, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_input_seconds: Option<u64>,
    /// The device.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_id: Option<String>,
    /// Its roles.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<String>,
    /// The scopes it holds.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<String>,
    /// The client, when it has no device.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_id: Option<String>,
    /// `self`, `connect`, `disconnect`, or a node's own word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Free words.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// One line for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// When this was last true, in milliseconds since 1970.
    pub ts: i64,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            max_payload: limits::PAYLOAD_BYTES_MAX,
            max_buffered_bytes: limits::BUFFERED_BYTES_MAX,
            tick_interval_ms: limits::TICK_INTERVAL.as_millis() as u64,
        }
    }
}

impl PresenceEntry {
    /// The gateway's own entry.
    pub fn gateway(host: &str, ip: &str, version: &str, platform: &str, ts: i64) -> Self {
        Self {
            host: Some(host.into()),
            ip: Some(ip.into()),
            version: Some(version.into()),
            platform: Some(platform.into()),
            mode: Some("gateway".into()),
            reason: Some("self".into()),
            text: Some(format!(
                "Gateway: {host} ({ip}) · app {version} · mode gateway · reason self"
            )),
            ts,
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_recorded_hello_reads_and_writes_unchanged() {
        let recorded = include_str!("../tests/fixtures/hello.json");
        let recorded: Value = serde_json::from_str(recorded).expect("the fixture is JSON");
        let hello: HelloOk = serde_json::from_value(recorded.clone()).expect("it is a hello-ok");
        assert_eq!(hello.policy, Policy::default());
        assert_eq!(serde_json::to_value(&hello).expect("plain data"), recorded);
        assert!(!format!("{hello:?}").contains("LZ-sgA1C"), "SEC-96: the token is not printed");
    }

    #[test]
    fn the_gateway_lists_itself() {
        let entry = PresenceEntry::gateway("host-1", "192.0.2.2", "1.0", "linux", 5);
        assert_eq!(
            serde_json::to_value(entry).expect("plain data"),
            json!({
                "host": "host-1", "ip": "192.0.2.2", "version": "1.0", "platform": "linux",
                "mode": "gateway", "reason": "self", "ts": 5,
                "text": "Gateway: host-1 (192.0.2.2) · app 1.0 · mode gateway · reason self",
            })
        );
    }
}

//! What a client says of itself in its first frame, `connect`.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use claw_domain::Secret;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

use crate::schema::{Problems, Schema};
use crate::scope::ROLE_OPERATOR;

/// The event that a gateway sends first: `{nonce, ts}`.
pub const CHALLENGE_EVENT: &str = "connect.challenge";

/// The method of the first frame.
pub const METHOD: &str = "connect";

/// The capability of a client that wants tool events.
pub const CAP_TOOL_EVENTS: &str = "tool-events";

/// `client.id` of OpenClaw's command line and ours.
pub const CLIENT_CLI: &str = "cli";
/// `client.id` of the page that the gateway serves.
pub const CLIENT_CONTROL_UI: &str = "openclaw-control-ui";
/// `client.id` of a chat page.
pub const CLIENT_WEBCHAT_UI: &str = "webchat-ui";

/// `client.mode` of a command line.
pub const MODE_CLI: &str = "cli";
/// `client.mode` of a chat page.
pub const MODE_WEBCHAT: &str = "webchat";

/// The parameters of `connect`, in protocol 3.
pub const SCHEMA: &str = r#"{
    minProtocol: int[1..],
    maxProtocol: int[1..],
    client: {
        id: "webchat-ui" | "openclaw-control-ui" | "webchat" | "cli" | "gateway-client"
            | "openclaw-macos" | "openclaw-ios" | "openclaw-android" | "node-host" | "test"
            | "fingerprint" | "openclaw-probe",
        displayName?: str+,
        version: str+,
        platform: str+,
        deviceFamily?: str+,
        modelIdentifier?: str+,
        mode: "webchat" | "cli" | "ui" | "backend" | "node" | "probe" | "test",
        instanceId?: str+
    },
    caps?: str+[],
    commands?: str+[],
    permissions?: map<bool>,
    pathEnv?: str,
    role?: str+,
    scopes?: str+[],
    device?: {id: str+, publicKey: str+, signature: str+, signedAt: int, nonce?: str+},
    auth?: {token?: str, password?: str},
    locale?: str,
    userAgent?: str
}"#;

/// The parameters of `connect`. Nothing in it is to be believed before it was checked.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConnectParams {
    /// Oldest protocol version that the client speaks.
    pub min_protocol: u64,
    /// Newest protocol version that the client speaks.
    pub max_protocol: u64,
    /// The program.
    pub client: ClientInfo,
    /// What the client can do or wants, such as [`CAP_TOOL_EVENTS`].
    #[serde(default)]
    pub caps: Vec<String>,
    /// Commands that a node claims to serve.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub commands: Vec<String>,
    /// Switches of a node, such as `screen.record`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub permissions: BTreeMap<String, bool>,
    /// The `PATH` of a node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path_env: Option<String>,
    /// `None` means operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// The scopes asked for, in the order that was signed.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// The device and its signature.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<DeviceProof>,
    /// The shared secret or the device's token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<Auth>,
    /// The language of the person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locale: Option<String>,
    /// The browser.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<String>,
}

/// The program that connects.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClientInfo {
    /// One of the names in [`SCHEMA`].
    pub id: String,
    /// A name for people; shown in presence, and the sender's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// The program's version.
    pub version: String,
    /// Free text: `linux`, `macos 15.1`, `web`.
    pub platform: String,
    /// Free text: `iPhone`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_family: Option<String>,
    /// Free text: `iPhone16,1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_identifier: Option<String>,
    /// One of the modes in [`SCHEMA`].
    pub mode: String,
    /// Identifies the client in presence when it has no device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_id: Option<String>,
}

/// A device's claim of who it is, with the signature that proves it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeviceProof {
    /// Lower-case hex SHA-256 of the public key.
    pub id: String,
    /// The Ed25519 public key: base64url or base64 of its 32 bytes, or PEM.
    pub public_key: String,
    /// The Ed25519 signature in base64url or base64.
    pub signature: String,
    /// When it was signed, in milliseconds since 1970.
    pub signed_at: i64,
    /// The challenge's nonce.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nonce: Option<String>,
}

/// The secrets that a client offers.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Auth {
    /// The shared token, or the device's own.
    #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "expose")]
    pub token: Option<Secret>,
    /// The shared password.
    #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "expose")]
    pub password: Option<Secret>,
}

impl ConnectParams {
    /// Validates and reads the parameters of a `connect`.
    ///
    /// # Errors
    /// What is wrong with them, for `invalid connect params: …`.
    pub fn read(params: Value) -> Result<Self, Problems> {
        static CONNECT: LazyLock<Schema> = LazyLock::new(|| {
            Schema::parse(SCHEMA).expect("the notation is a constant that a test reads")
        });
        CONNECT.read(params)
    }

    /// The role asked for.
    pub fn role(&self) -> &str {
        self.role.as_deref().unwrap_or(ROLE_OPERATOR)
    }

    /// Whether the client speaks protocol `version`.
    pub fn speaks(&self, version: u32) -> bool {
        (self.min_protocol..=self.max_protocol).contains(&version.into())
    }

    /// Whether the client declared `cap`.
    pub fn has_cap(&self, cap: &str) -> bool {
        self.caps.iter().any(|declared| declared == cap)
    }

    /// The token as sent, which is what a device signs; empty when none was sent.
    pub fn token(&self) -> &str {
        let token = self.auth.as_ref().and_then(|auth| auth.token.as_ref());
        token.map_or("", Secret::expose)
    }

    /// The password as sent; empty when none was sent.
    pub fn password(&self) -> &str {
        let password = self.auth.as_ref().and_then(|auth| auth.password.as_ref());
        password.map_or("", Secret::expose)
    }
}

impl ClientInfo {
    /// Whether this is a command line.
    pub fn is_command_line(&self) -> bool {
        self.id == CLIENT_CLI || self.mode == MODE_CLI
    }

    /// Whether this is a chat page.
    pub fn is_webchat(&self) -> bool {
        self.mode == MODE_WEBCHAT || self.id == CLIENT_WEBCHAT_UI
    }

    /// Whether this is the page that the gateway serves.
    pub fn is_control_ui(&self) -> bool {
        self.id == CLIENT_CONTROL_UI
    }

    /// Whether this runs in a browser, so that its Origin must be checked.
    pub fn is_browser(&self) -> bool {
        self.is_webchat() || self.is_control_ui()
    }
}

/// Writes a secret into a frame for the one party that it is meant for.
pub(crate) fn expose<S: Serializer>(
    secret: &Option<Secret>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    secret.as_ref().map(Secret::expose).serialize(serializer)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn smallest() -> Value {
        json!({
            "minProtocol": 3, "maxProtocol": 3,
            "client": {"id": "cli", "version": "1", "platform": "linux", "mode": "cli"},
        })
    }

    /// Checks the problems of [`smallest`] with the value at `pointer` replaced by `value`.
    fn check(pointer: &str, value: Value, problems: &str) {
        let mut params = smallest();
        let (parent, key) = pointer.rsplit_once('/').expect("a pointer has a slash");
        params.pointer_mut(parent).expect("the parent is there")[key] = value;
        assert_eq!(ConnectParams::read(params).unwrap_err().to_string(), problems);
    }

    #[test]
    fn the_smallest_connect_is_an_operator_without_scopes() {
        let connect = ConnectParams::read(smallest()).expect("valid");
        assert_eq!(connect.role(), "operator");
        // SEC-06: what is not said is not granted.
        assert!(connect.scopes.is_empty());
        assert_eq!((connect.token(), connect.password()), ("", ""));
        assert!(connect.speaks(3) && !connect.speaks(4));
        assert!(connect.client.is_command_line() && !connect.client.is_browser());
    }

    #[test]
    fn names_from_outside_the_protocol_are_refused() {
        let options = "must be equal to constant; at /client/X: must match a schema in anyOf";
        for key in ["id", "mode"] {
            let problems = format!("at /client/{key}: {}", options.replace('X', key));
            check(&format!("/client/{key}"), json!("operator"), &problems);
        }
        check("/client/extra", json!(1), "at /client: unexpected property 'extra'");
        check("/minProtocol", json!(0), "at /minProtocol: must be >= 1");
        check("/role", json!(""), "at /role: must NOT have fewer than 1 characters");
        check(
            "/scopes",
            json!(["", 1]),
            "at /scopes/0: must NOT have fewer than 1 characters; at /scopes/1: must be string",
        );
    }

    #[test]
    fn params_that_are_no_object_are_refused() {
        for params in [Value::Null, json!([]), json!("x")] {
            assert_eq!(ConnectParams::read(params).unwrap_err().to_string(), "must be object");
        }
    }

    #[test]
    fn secrets_are_written_to_the_wire_and_nowhere_else() {
        let mut params = smallest();
        params["auth"] = json!({"token": "canary-1"});
        let connect = ConnectParams::read(params.clone()).expect("valid");
        assert!(!format!("{connect:?}").contains("canary-1"), "SEC-96");
        let written = serde_json::to_value(&connect).expect("plain data");
        assert_eq!(written["auth"], params["auth"]);
    }
}

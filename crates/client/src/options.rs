//! What a connection is made with.

use std::sync::Arc;
use std::time::Duration;

use claw_domain::Secret;
use claw_protocol::connect::{CLIENT_CLI, ClientInfo, MODE_CLI};
use claw_protocol::scope;

use crate::identity::Identity;
use crate::target::PlainText;

/// Where a gateway listens when nothing is configured.
pub const DEFAULT_URL: &str = "ws://127.0.0.1:18789";

/// How long connecting may take, and a call that names no other time.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// What a connection is made with. Credentials go to `url` and nowhere else.
#[derive(Debug, Clone)]
pub struct Options {
    /// The gateway, as `ws://host:port` or `wss://host:port`.
    pub url: String,
    /// The shared token. Without it and without a password, the device's stored token is used.
    pub token: Option<Secret>,
    /// The shared password.
    pub password: Option<Secret>,
    /// Who this device is; `None` connects without a device, which gets no scopes.
    pub identity: Option<Arc<Identity>>,
    /// The program.
    pub client: ClientInfo,
    /// Such as `tool-events`.
    pub caps: Vec<String>,
    /// The scopes to ask for.
    pub scopes: Vec<String>,
    /// Where an unencrypted connection may go.
    pub plain_text: PlainText,
    /// How long the whole of connecting may take.
    pub timeout: Duration,
}

impl Options {
    /// What a command line connects with: every operator scope that it may need, no credentials.
    pub fn command_line(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            token: None,
            password: None,
            identity: None,
            client: ClientInfo {
                id: CLIENT_CLI.into(),
                display_name: None,
                version: env!("CARGO_PKG_VERSION").into(),
                platform: std::env::consts::OS.into(),
                device_family: None,
                model_identifier: None,
                mode: MODE_CLI.into(),
                instance_id: None,
            },
            caps: Vec::new(),
            scopes: scope::COMMAND_LINE.map(Into::into).into(),
            plain_text: PlainText::LoopbackOnly,
            timeout: DEFAULT_TIMEOUT,
        }
    }

    /// Offers this token.
    pub fn token(self, token: Secret) -> Self {
        Self { token: Some(token), ..self }
    }

    /// Offers this password.
    pub fn password(self, password: Secret) -> Self {
        Self { password: Some(password), ..self }
    }

    /// Signs as this device.
    pub fn identity(self, identity: Identity) -> Self {
        Self { identity: Some(Arc::new(identity)), ..self }
    }
}

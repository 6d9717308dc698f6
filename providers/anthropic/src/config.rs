//! What must be known of one server: `models.providers.<name>`.

use claw_domain::{ModelInfo, Secret};

/// Where the vendor itself is.
pub const BASE_URL: &str = "https://api.anthropic.com";

/// What `models.providers.<name>` says.
#[derive(Debug, Clone)]
pub struct Options {
    /// The provider's name in the configuration.
    pub name: String,
    /// Where the server is, without `/v1`; [`BASE_URL`] for the vendor itself.
    pub base_url: String,
    /// The key, if the server wants one.
    pub key: Option<Secret>,
    /// Sends the key as `Authorization: Bearer` instead of `x-api-key`.
    pub auth_header: bool,
    /// Further headers; they may hold secrets too.
    pub headers: Vec<(String, Secret)>,
    /// The models that are configured.
    pub models: Vec<ModelInfo>,
}

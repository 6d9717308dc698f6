//! What must be known of one server: `models.providers.<name>`.

use claw_domain::{ModelInfo, Secret};

use crate::Compat;

/// Where the vendor itself is.
pub const BASE_URL: &str = "https://api.openai.com/v1";

/// Where Ollama listens on this machine unless told otherwise; it wants no key.
pub const OLLAMA_BASE_URL: &str = "http://127.0.0.1:11434/v1";

/// What `models.providers.<name>` says.
#[derive(Debug, Clone)]
pub struct Options {
    /// The provider's name in the configuration.
    pub name: String,
    /// Where the server is; [`BASE_URL`] for the vendor itself.
    pub base_url: String,
    /// The key; without one, no header is sent.
    pub key: Option<Secret>,
    /// Further headers; they may hold secrets too.
    pub headers: Vec<(String, Secret)>,
    /// The models that are configured. Of any other, [`Compat::of`] the server is expected.
    pub models: Vec<Model>,
}

/// A model that is configured.
#[derive(Debug, Clone)]
pub struct Model {
    /// What it takes.
    pub info: ModelInfo,
    /// In what its server differs.
    pub compat: Compat,
}

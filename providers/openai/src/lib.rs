//! OpenAI Chat Completions, and the many servers that speak like it.
//!
//! `request` and `stream` are pure: ours to theirs, and theirs to ours. Where servers differ,
//! [`Compat`] says so. Facts are from OpenAI's API reference: "Chat completions", "Streaming",
//! "Error codes"; and from the documents of the servers that are named beside a fact.
//!
//! ```no_run
//! use claw_provider::Provider;
//! use claw_provider_openai::{OLLAMA_BASE_URL, OpenAi, Options};
//!
//! # async fn list(client: reqwest::Client) -> Result<(), claw_provider::Error> {
//! let options = Options {
//!     name: "ollama".into(),
//!     base_url: OLLAMA_BASE_URL.into(),
//!     key: None,
//!     headers: Vec::new(),
//!     models: Vec::new(),
//! };
//! for model in OpenAi::new(options, client)?.models().await? {
//!     println!("{}", model.reference);
//! }
//! # Ok(())
//! # }
//! ```
#![warn(missing_docs)]

mod compat;
mod config;
mod error;
mod provider;
mod request;
mod stream;

pub use compat::{Compat, MaxTokensField, ThinkingFormat};
pub use config::{BASE_URL, Model, OLLAMA_BASE_URL, Options};
pub use provider::OpenAi;

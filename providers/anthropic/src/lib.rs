//! Anthropic Messages, and what speaks like it.
//!
//! `request` and `stream` are pure: ours to theirs, and theirs to ours. Facts are from Anthropic's
//! API reference: "Messages", "Streaming messages", "Errors", "Prompt caching", "Extended
//! thinking", "Adaptive thinking".
//!
//! ```no_run
//! use claw_domain::Secret;
//! use claw_provider::Provider;
//! use claw_provider_anthropic::{Anthropic, BASE_URL, Options};
//!
//! # async fn list(client: reqwest::Client) -> Result<(), claw_provider::Error> {
//! let options = Options {
//!     name: "anthropic".into(),
//!     base_url: BASE_URL.into(),
//!     key: Some(Secret::new("sk-ant-…")),
//!     auth_header: false,
//!     headers: Vec::new(),
//!     models: Vec::new(),
//! };
//! for model in Anthropic::new(options, client)?.models().await? {
//!     println!("{}", model.reference);
//! }
//! # Ok(())
//! # }
//! ```
#![warn(missing_docs)]

mod config;
mod error;
mod provider;
mod request;
mod stream;

pub use config::{BASE_URL, Options};
pub use provider::Anthropic;

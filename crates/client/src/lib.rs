//! A client for the gateway protocol: what our command line speaks to a gateway with.
//!
//! ```no_run
//! use std::path::Path;
//! use std::time::Duration;
//!
//! use claw_client::{Client, Identity, Options};
//! use claw_domain::Secret;
//! use serde_json::json;
//!
//! # async fn run() -> Result<(), claw_client::Error> {
//! let identity = Identity::load_or_create(Path::new("/home/me/.rusty_claw"))?;
//! let client = Client::connect(
//!     Options::command_line("ws://127.0.0.1:18789")
//!         .token(Secret::new("the gateway's token"))
//!         .identity(identity),
//! )
//! .await?;
//! let health = client.call("health", json!({}), Duration::from_secs(10)).await?;
//! println!("{health}");
//! client.close().await;
//! # Ok(())
//! # }
//! ```
#![warn(missing_docs)]

mod client;
mod connection;
mod error;
mod files;
mod handshake;
mod identity;
mod options;
mod socket;
mod target;
mod tokens;

pub use client::{Client, Events, Notice};
pub use error::Error;
pub use identity::Identity;
pub use options::{DEFAULT_TIMEOUT, DEFAULT_URL, Options};
pub use target::PlainText;

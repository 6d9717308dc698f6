//! Telegram over the Bot API: long polling in, messages out.
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use claw_channel_telegram::{Config, Telegram, TelegramOptions};
//! use claw_domain::SystemClock;
//!
//! # fn main() -> Result<(), claw_channel_telegram::ConfigError> {
//! let config: Config = serde_json::from_str(r#"{ "botToken": "123456:AA" }"#).expect("valid");
//! for account in config.accounts()? {
//!     if let Some(token) = account.token.load(None)? {
//!         let options = TelegramOptions::new(&account, token);
//!         let channel = Telegram::new(options, reqwest::Client::new(), Arc::new(SystemClock));
//!         // Hand it to the delivery room, which calls `run` and `deliver`.
//!         # drop(channel);
//!     }
//! }
//! # Ok(())
//! # }
//! ```
#![warn(missing_docs)]

mod account;
mod adapter;
mod api;
mod config;
mod error;
mod html;
mod inbound;
mod message;
mod outbound;
#[cfg(test)]
mod samples;
mod span;
mod updates;

pub use account::{Access, Account, TokenSource};
pub use adapter::{Telegram, TelegramOptions};
pub use config::{
    AccountConfig, ChunkMode, Config, DmPolicy, Group, GroupPolicy, Peer, ReplyToMode,
};
pub use error::ConfigError;

/// The channel's id, which is also its place in the configuration: `channels.telegram`.
pub const CHANNEL: &str = "telegram";

/// The environment variable that holds the token of the `default` account when no file names one.
pub const TOKEN_ENV: &str = "TELEGRAM_BOT_TOKEN";

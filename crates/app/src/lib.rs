//! From configuration to a running gateway. The only crate that knows which adapters exist.
//!
//! ```no_run
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! use claw_app::{GatewayBuilder, Home};
//!
//! let home = Home::resolve(None, &|name| std::env::var(name).ok())?;
//! let running = GatewayBuilder::new(home).start().await?;
//! println!("{}", running.banner().page);
//! running.stopped(tokio_util::sync::CancellationToken::new()).await;
//! # Ok(())
//! # }
//! ```
#![warn(missing_docs)]

mod access;
mod builder;
mod channels;
mod doctor;
mod engine;
mod error;
mod home;
mod layers;
mod local;
mod lock;
mod log;
mod migrate;
mod models;
mod receiving;
mod reload;
mod retention;
mod sections;
mod settings;
mod share;
mod stores;
mod target;
mod views;

pub use access::Overrides;
pub use builder::{Banner, Ended, GatewayBuilder, Running};
/// What a log is checked, carried and told by.
pub use claw_log::{Difference, Error as LogError, Imported, Report};
/// OpenClaw's session files.
pub use claw_openclaw as openclaw;
pub use doctor::{Check, CheckState, doctor};
pub use engine::Env;
pub use error::StartError;
pub use home::{Home, HomeError};
pub use layers::{Layer, Layers};
pub use local::{Local, LocalReply};
pub use lock::lock_holder;
pub use log::Log;
pub use migrate::{Export, MigrateError, Migrated, migrate};
pub use models::ModelsError;
pub use sections::{LogLevel, LoggingConfig, load, reference, schema, sections};
pub use settings::validate;
pub use stores::StoreUrl;
pub use target::{Target, target};

/// Our version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The port for HTTP and WebSocket unless the configuration says otherwise (OpenClaw's).
pub const PORT: u16 = 18789;

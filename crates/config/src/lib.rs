//! What people write: configuration files as a tree that knows where each value came from.
//!
//! OpenClaw has a thousand keys. They are data here: a list of paths (`data/known.txt`),
//! a table of other words ([`ALIASES`]) and the schemas that crates register for what works
//! ([`Section`]). One small engine reads all three, so that a wrong key or value is always told with
//! its file, line and column.
//!
//! ```
//! use claw_config::{Config, LoadOptions, Section};
//!
//! /// Where the gateway listens.
//! #[derive(serde::Deserialize, schemars::JsonSchema)]
//! #[serde(deny_unknown_fields)]
//! struct Gateway {
//!     /// The port of both families.
//!     port: u16,
//! }
//!
//! # let folder = tempfile::tempdir()?;
//! let path = folder.path().join("config.json");
//! std::fs::write(&path, "{ server: { port: 18789 }, discovery: { mdns: { mode: 'off' } } }")?;
//!
//! let sections = [Section::of::<Gateway>("gateway")];
//! let env = |name: &str| std::env::var(name).ok();
//! let config = Config::load(&LoadOptions { path: &path, env: &env, sections: &sections })
//!     .map_err(|problems| problems[0].clone())?;
//!
//! let gateway: Gateway = config.section("gateway").map_err(|problems| problems[0].clone())?;
//! assert_eq!(gateway.port, 18789);
//! let pending: Vec<_> = config.pending().map(|key| key.path.to_string()).collect();
//! assert_eq!(pending, ["discovery"]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod config;
mod error;

pub mod path;
mod pattern;
pub mod tree;

pub mod json5;
pub mod toml;

mod alias;
mod check;
mod env;
mod include;
mod known;
mod nearest;
mod shape;
mod typed;

pub mod edit;
mod file;
mod manual;
mod redact;
mod schema;

#[cfg(test)]
mod test;

pub use alias::{ALIASES, Alias, Rule, canonical};
pub use config::{Config, LoadOptions, Pending, Section};
pub use edit::EditError;
pub use env::expand;
pub use error::Problem;
pub use file::write_atomic;
pub use include::{FILE_BYTES_MAX, INCLUDE_DEPTH_MAX, INCLUDE_FILES_MAX};
pub use manual::reference_markdown;
pub use path::{Path, Segment};
pub use redact::{REDACTED, redact};
pub use schema::compose;
pub use tree::{Node, Origin};

//! OpenClaw's session files: read into our log, written from it, and kept up to date beside it.
//!
//! OpenClaw keeps, for each agent, a list of sessions (`agents/<id>/sessions/sessions.json`) and one
//! file of JSON lines per transcript, a tree whose newest line is its leaf. Here they are imported,
//! exported, and mirrored one way; they are never a second truth. What is read and written again
//! is equal in every field, also in those that nothing here understands.
//!
//! ```
//! # async fn example(store: &dyn claw_store::Store, fence: &claw_store::Fence) -> Result<(), claw_openclaw::Error> {
//! use std::path::Path;
//!
//! use claw_openclaw::{Wish, export, import};
//!
//! let now = claw_domain::millis(1_795_252_614_896);
//! let read = import(store, fence, now, Path::new("/home/me/.openclaw"), &Wish::default()).await?;
//! for problem in &read.problems.problems {
//!     eprintln!("{problem}");
//! }
//! export(store, Path::new("/home/me/openclaw-again")).await?;
//! # Ok(())
//! # }
//! ```
#![warn(missing_docs)]

mod difference;
mod error;
mod export;
mod files;
mod ids;
mod import;
mod layout;
mod mark;
mod mirror;
mod read;
mod record;
mod report;
mod scan;
mod transcript;
mod write;

pub use error::Error;
pub use export::export;
pub use import::{Wish, import};
pub use mirror::mirror;
pub use report::{Exported, Imported, Problem, Problems};

/// The file in a mirrored state folder that says how far the mirror is.
const CURSOR: &str = "openclaw-mirror.json";

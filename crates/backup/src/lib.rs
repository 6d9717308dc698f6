//! State folders kept elsewhere, and brought back.
//!
//! A backup is a folder, the [`Repository`]: a header, the pieces of all files under names made of
//! their content, and one list of files per snapshot. A second snapshot writes the pieces only that
//! the first did not have. With a passphrase everything in it is sealed but the parameters of the
//! lock; without one no secret gets into it.
//!
//! ```no_run
//! # async fn example() -> Result<(), claw_backup::Error> {
//! use claw_backup::{Configuration, Repository, Source, StoreSource};
//! use claw_domain::{Clock, Secret, SystemClock};
//!
//! let passphrase = Secret::new("correct horse battery staple");
//! let repository = Repository::make("/mnt/backup/claw".as_ref(), Some(&passphrase))?;
//! let source = Source {
//!     state_dir: "/home/me/.rusty_claw".into(),
//!     configuration: Configuration::Absent,
//!     store: Some(StoreSource::SqliteFile("/home/me/.rusty_claw/claw.sqlite".into())),
//!     workspaces: Vec::new(),
//! };
//! let created = claw_backup::create(repository, source, SystemClock.now()).await?;
//! println!("{}: {} new bytes", created.snapshot, created.new_bytes);
//! # Ok(())
//! # }
//! ```
#![warn(missing_docs)]

mod create;
mod restore;
mod verify;

mod config;
mod gather;
mod source;

mod chunk;
mod repository;
mod snapshot;

mod disk;
mod error;

pub use create::{Created, create};
pub use error::Error;
pub use repository::{Kind, Repository};
pub use restore::{Restored, restore};
pub use snapshot::{LeftOut, Listed, Moved, SnapshotName};
pub use source::{Configuration, Source, StoreSource};
pub use verify::{Fault, Verified, verify};

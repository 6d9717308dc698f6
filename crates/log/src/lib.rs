//! What can be done with a whole log, over any store: check every projection against it, carry it
//! to another installation, and fold what is old.
//!
//! ```
//! # use claw_domain::NodeId;
//! # use claw_store::{Fence, Store};
//! # async fn example(here: &dyn Store, there: &dyn Store, fence: &Fence) -> Result<(), Box<dyn std::error::Error>> {
//! let mut file = Vec::new();
//! claw_log::export(here, NodeId(1), &mut file).await?;
//! claw_log::import(there, fence, &*file).await?;
//! assert!(claw_log::verify(there).await?.is_clean());
//! # Ok(())
//! # }
//! ```
//!
//! An exported log is JSON Lines: a [`Header`], then one event per line in commit order. Importing
//! adds the events that are not known, as history: sessions and transcripts are folded from both
//! logs, while inbox, outbox, leases and pairing requests never travel, and who was let in elsewhere
//! is not let in here.
#![warn(missing_docs)]

mod difference;
mod error;
mod export;
mod fold;
mod import;
mod line;
mod rebuild;
mod verify;

pub use claw_store::Folded;
pub use difference::Difference;
pub use error::Error;
pub use export::{export, export_file};
pub use fold::fold;
pub use import::{Imported, import};
pub use line::Header;
pub use verify::{Report, verify};

//! The contract of every channel: feed an inbox, carry out one action, report health.
//!
//! A channel turns its platform's updates into [`claw_domain::Inbound`] and one
//! [`claw_domain::Outbound`] into platform calls. It decides nothing about who may speak and
//! retries nothing by itself; both are written once, above.
//!
//! [`contract`] holds the suite that every implementation passes.
#![warn(missing_docs)]

pub mod contract;

mod channel;
mod error;
mod fence;
mod split;

pub use channel::{Accepted, Capability, Channel, Delivered, Health, Inbox, InboxError, TextUnit};
pub use error::{Error, Retry};
pub use fence::Fence;
pub use split::{ChunkMode, split};

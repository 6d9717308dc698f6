//! The store in memory: for tests, and for a gateway that is to forget everything at its end.
//!
//! One lock around plain maps. It keeps every rule of [`claw_store::Store`] but one: nothing is on
//! disk.
//!
//! ```
//! # async fn example() -> Result<(), claw_store::Error> {
//! use claw_domain::{NodeId, millis};
//! use claw_store::{Lease, Store};
//! use claw_store_memory::Memory;
//!
//! let store = Memory::default();
//! let fence = store.claim(&Lease::Gateway, NodeId(1), millis(0), millis(60_000)).await?;
//! assert!(fence.is_some());
//! # Ok(())
//! # }
//! ```
#![warn(missing_docs)]

mod apply;
mod retention;
mod state;
mod store;

pub use store::Memory;

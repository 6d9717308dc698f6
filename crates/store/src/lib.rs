//! The contract of every store: the domain's questions, and one verb that changes anything.
//!
//! A change is a value, and [`Store::commit`] carries out a list of them in one transaction, so
//! that SQLite's single writer can join many commits into one flush, and every other store does
//! the same thing. Projections (sessions, transcripts, usage, grants, devices) are folds of the
//! event log and are written in that same transaction; inbox, outbox and leases are not events.
//!
//! [`contract::run`] is the suite that every implementation passes.
#![warn(missing_docs)]

mod change;
mod context;
pub mod contract;
mod error;
mod fold;
mod row;
mod store;

pub use change::{Change, NewEvent};
pub use context::ContextWalk;
pub use error::Error;
pub use fold::fold_session;
pub use row::{
    DeliveryState, Device, Fence, Grant, InboxRow, InboxState, Lease, OutboxRow, PairingRequest,
};
pub use store::{Committed, SessionFilter, Store, Totals};

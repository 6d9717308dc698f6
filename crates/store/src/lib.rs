//! The contract of every store: the domain's questions, and one verb that changes anything.
//!
//! A change is a value, and [`Store::commit`] carries out a list of them in one transaction, so
//! that SQLite's single writer can join many commits into one flush, and every other store does
//! the same thing. Projections (sessions, transcripts, usage, grants, devices) are folds of the
//! event log and are written in that same transaction; inbox, outbox and leases are not events.
//!
//! [`contract::run`] is the suite that every implementation passes. [`portable`] carries everything
//! from a store of one kind to one of another.
#![warn(missing_docs)]

mod change;
mod check;
mod claim;
pub mod column;
mod context;
pub mod contract;
mod error;
mod fold;
pub mod portable;
mod retention;
mod row;
mod store;

pub use change::{Change, NewEvent};
pub use check::{Contents, ExternalKey, check, external_key, is_needless};
pub use claim::Claiming;
pub use context::ContextWalk;
pub use error::Error;
pub use fold::fold_session;
pub use retention::{Base, Folded, Node, Snapshot, Verdict, before_id, first_id};
pub use row::{
    Claim, DeliveryState, Device, Fence, Grant, Holding, InboxKey, InboxRow, InboxState, Lease,
    OutboxRow, PairingRequest, RowFilter,
};
pub use store::{Committed, SessionFilter, Store, Totals};

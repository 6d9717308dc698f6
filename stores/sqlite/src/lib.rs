//! The store on SQLite: one file, for one gateway on one machine.
//!
//! A commit means on disk: WAL with `synchronous=FULL`. One thread writes, and joins all commits
//! that wait into one transaction and one flush; a few connections read beside it.
//!
//! ```no_run
//! # async fn example() -> Result<(), claw_store::Error> {
//! use claw_store::Store;
//! use claw_store_sqlite::Sqlite;
//!
//! let store = Sqlite::open("/var/lib/claw/claw.sqlite").await?;
//! println!("{} events", store.totals().await?.events);
//! store.close().await
//! # }
//! ```
#![warn(missing_docs)]

mod store;

mod readers;
mod writer;

mod commit;
mod delivery;
mod event;
mod lease;
mod people;
mod retention;
mod session;
mod transcript;

mod column;
mod copy;
mod damage;
mod error;
mod migrate;
mod open;
#[cfg(test)]
mod plans;
mod portable;
mod upgrade;

pub use copy::{check, copy};
pub use portable::Tables;
pub use store::Sqlite;

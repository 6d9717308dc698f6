//! The store on PostgreSQL: one database, for one gateway or many.
//!
//! Each process writes by one task, which joins all commits that wait into one transaction. That
//! transaction holds the one lock of the database, so that commits are numbered in their order,
//! without gaps. It asks in one round trip all that it has to know, works out what to write, and
//! writes it in a second one, however many commits there are.
//!
//! When the connection is lost, calls wait for the server and are made again; a commit whose answer
//! was lost is looked up by its token before, so that no answer is a guess.
//!
//! ```no_run
//! # async fn example() -> Result<(), claw_store::Error> {
//! use claw_domain::Secret;
//! use claw_store::Store;
//! use claw_store_postgres::{Options, Postgres};
//!
//! let url = Secret::new("postgres://claw:password@db.example/claw");
//! let store = Postgres::open(&url, Options::default()).await?;
//! println!("{} events", store.totals().await?.events);
//! store.close().await
//! # }
//! ```
#![warn(missing_docs)]

mod options;
mod store;

mod readers;
mod wakeups;
mod writer;

mod job;
mod transact;

mod commit;
mod known;
mod plan;

mod event;
mod inbox;
mod lease;
mod outbox;
mod people;
mod retention;
mod session;
mod transcript;

mod column;
mod conn;
mod error;
mod migrate;
mod place;
mod portable;
mod tls;

pub use options::Options;
pub use portable::Tables;
pub use store::Postgres;

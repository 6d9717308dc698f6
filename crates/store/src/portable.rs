//! A store as plain rows, so that all of it can be carried to a store of another kind.
//!
//! Rows travel, not what they mean: the log with its places, the projections, inbox and outbox.
//! Leases, holdings and whatever a store keeps about itself stay; nobody has the rows that arrive.
//! What only one kind of store has is derived from the rest when it is written.

mod copy;
mod table;

use async_trait::async_trait;

pub use copy::{Copied, CopyError, Report, copy, prove};
pub use table::{Column, Kind, Table};

use crate::{Error, Fence};

/// One value of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cell {
    /// Nothing.
    Null,
    /// A number, or a time in milliseconds since 1970.
    Number(i64),
    /// A text, of any characters.
    Text(String),
    /// An id; the order of the bytes is that of the ids.
    Id([u8; 16]),
    /// Yes or no.
    Flag(bool),
}

/// The cells of one row, as [`Table::columns`] names them.
pub type Row = Vec<Cell>;

/// A store whose rows can be read and written as they are.
#[async_trait]
pub trait Portable: Send + Sync {
    /// Where it is, for people: without user and password.
    fn place(&self) -> String;

    /// The names of the leases that are good now: who may be at work on it.
    async fn holders(&self) -> Result<Vec<String>, Error>;

    /// Opens a view of the whole store as it is now, whatever is committed later.
    async fn read(&self) -> Result<Box<dyn Rows>, Error>;

    /// Adds rows that are not there, all or none; that of a table of one row takes the place of
    /// what was there.
    ///
    /// # Errors
    /// [`Error::Fenced`] when `fence` is not the newest of its lease.
    async fn put(&self, fence: &Fence, table: Table, rows: Vec<Row>) -> Result<(), Error>;
}

/// One consistent view of a store.
#[async_trait]
pub trait Rows: Send {
    /// Rows in the order of their keys, behind the one that begins with the cells `after`, at most
    /// `limit`.
    async fn page(
        &mut self,
        table: Table,
        after: Option<&[Cell]>,
        limit: usize,
    ) -> Result<Vec<Row>, Error>;
}

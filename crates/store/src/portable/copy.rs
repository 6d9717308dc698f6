//! Everything of one store, written to another and read again.

use std::fmt::Write as _;

use ring::digest::{Context, SHA256};

use super::{Cell, Portable, Row, Rows, Table};
use crate::{Error, Fence};

/// Rows that are read and written together.
const PAGE: usize = 500;

/// What was copied, and how that was proved: each table was read from both stores and has as many
/// rows and the same hash there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// In the order in which they were written.
    pub tables: Vec<Copied>,
}

/// One table that is the same in both stores.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copied {
    /// Which.
    pub table: Table,
    /// Rows.
    pub rows: u64,
    /// Those of them that were there before, from a copy that was not finished.
    pub known: u64,
    /// The SHA-256 of all its cells, in hex.
    pub sha256: String,
}

/// Why a store was not copied.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// A store failed. What was copied by then stays, and a second try goes on behind it.
    #[error("{place} could not be {done}")]
    Store {
        /// Where it is.
        place: String,
        /// `read` or `written`.
        done: &'static str,
        /// What it failed with.
        #[source]
        source: Error,
    },
    /// The target holds what does not come from the source as it is now. Nothing was written.
    #[error("{place} is not empty, and its {table} are not the beginning of those of {from}")]
    Foreign {
        /// The target.
        place: String,
        /// The source.
        from: String,
        /// The first table that has such rows.
        table: Table,
    },
    /// A store does not hold what was copied.
    #[error("{expected} rows of {table} were copied, and {place} has {found}, or other ones")]
    Differs {
        /// Which store.
        place: String,
        /// Which table.
        table: Table,
        /// Rows that were copied.
        expected: u64,
        /// Rows that it has.
        found: u64,
    },
}

impl CopyError {
    /// One thing that a person can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Store { source, .. } => source.hint().or_else(|| {
                Some("the same command again goes on where this one ended".into())
            }),
            Self::Foreign { .. } => Some(
                "name an empty place; a copy that was begun cannot be gone on with once the store it \
                 comes from was written to"
                    .into(),
            ),
            Self::Differs { .. } => {
                Some("somebody writes to it: stop every gateway, and copy to an empty place".into())
            }
        }
    }
}

/// Copies all of `from` to `to` and proves it. `to` may hold the beginning of such a copy, and
/// nothing else; what it holds is compared, and not written again. `fence` is of a lease on `to`.
/// `progress` hears of each page: how many rows of a table are the same now.
///
/// # Errors
/// [`CopyError`]; `from` is never changed.
///
/// # Cancel safety
/// What was copied stays, and a later call goes on behind it.
pub async fn copy(
    from: &dyn Portable,
    to: &dyn Portable,
    fence: &Fence,
    mut progress: impl FnMut(Table, u64),
) -> Result<Report, CopyError> {
    let mut source = View::open(from).await?;
    let mut target = View::open(to).await?;
    // Looks at every table before it writes to the first one.
    let mut tallies = Vec::new();
    for table in Table::ALL {
        tallies.push(same(&mut source, &mut target, table).await?);
    }
    drop(target);
    let mut tables = Vec::new();
    for mut tally in tallies {
        let (table, known) = (tally.table, tally.rows);
        progress(table, known);
        loop {
            let rows = source.page(&tally, PAGE).await?;
            if rows.is_empty() {
                break;
            }
            tally.add(&rows);
            let written = to.put(fence, table, rows).await;
            written.map_err(failed(&to.place(), "written"))?;
            progress(table, tally.rows);
        }
        tables.push(Copied { table, rows: tally.rows, known, sha256: tally.finish() });
    }
    let report = Report { tables };
    prove(to, &report).await?;
    Ok(report)
}

/// Reads all of a store and compares it with what was copied.
///
/// # Errors
/// [`CopyError::Differs`] for the first table that is not the same.
pub async fn prove(store: &dyn Portable, report: &Report) -> Result<(), CopyError> {
    let mut view = View::open(store).await?;
    for copied in &report.tables {
        prove_table(&mut view, copied).await?;
    }
    Ok(())
}

/// Reads as far as the target goes, and refuses it when it is no beginning of the source.
async fn same(source: &mut View, target: &mut View, table: Table) -> Result<Tally, CopyError> {
    let mut tally = Tally::new(table);
    loop {
        let theirs = target.page(&tally, PAGE).await?;
        if table.is_blank(&theirs) {
            return Ok(tally);
        }
        let ours = source.page(&tally, theirs.len()).await?;
        if ours != theirs {
            let (place, from) = (target.place.clone(), source.place.clone());
            return Err(CopyError::Foreign { place, from, table });
        }
        tally.add(&ours);
    }
}

async fn prove_table(view: &mut View, copied: &Copied) -> Result<(), CopyError> {
    let mut tally = Tally::new(copied.table);
    loop {
        let rows = view.page(&tally, PAGE).await?;
        if rows.is_empty() {
            break;
        }
        tally.add(&rows);
    }
    let (table, expected, found) = (copied.table, copied.rows, tally.rows);
    if found == expected && tally.finish() == copied.sha256 {
        return Ok(());
    }
    Err(CopyError::Differs { place: view.place.clone(), table, expected, found })
}

/// A store as it was at one moment, and its name.
struct View {
    rows: Box<dyn Rows>,
    place: String,
}

impl View {
    async fn open(store: &dyn Portable) -> Result<Self, CopyError> {
        let place = store.place();
        let rows = store.read().await.map_err(failed(&place, "read"))?;
        Ok(Self { rows, place })
    }

    /// The rows behind those that were counted.
    async fn page(&mut self, tally: &Tally, limit: usize) -> Result<Vec<Row>, CopyError> {
        let rows = self.rows.page(tally.table, tally.last.as_deref(), limit).await;
        rows.map_err(failed(&self.place, "read"))
    }
}

fn failed(place: &str, done: &'static str) -> impl FnOnce(Error) -> CopyError {
    move |source| CopyError::Store { place: place.to_owned(), done, source }
}

/// The rows of a table so far: how many, what they hash to, and the key of the last one.
struct Tally {
    table: Table,
    rows: u64,
    hash: Context,
    last: Option<Row>,
}

impl Tally {
    fn new(table: Table) -> Self {
        Self { table, rows: 0, hash: Context::new(&SHA256), last: None }
    }

    fn add(&mut self, rows: &[Row]) {
        for cell in rows.iter().flatten() {
            self.hash(cell);
        }
        self.rows += rows.len() as u64;
        let key = self.table.key().len();
        self.last = rows.last().map(|row| row[..key].to_vec()).or(self.last.take());
    }

    /// Takes in a cell so that no two rows hash alike: its kind, a text's length, its bytes.
    fn hash(&mut self, cell: &Cell) {
        match cell {
            Cell::Null => self.hash.update(&[0]),
            Cell::Number(number) => {
                self.hash.update(&[1]);
                self.hash.update(&number.to_be_bytes());
            }
            Cell::Text(text) => {
                self.hash.update(&[2]);
                self.hash.update(&(text.len() as u64).to_be_bytes());
                self.hash.update(text.as_bytes());
            }
            Cell::Id(id) => {
                self.hash.update(&[3]);
                self.hash.update(id);
            }
            Cell::Flag(flag) => self.hash.update(&[4, u8::from(*flag)]),
        }
    }

    fn finish(self) -> String {
        let digest = self.hash.finish();
        digest.as_ref().iter().fold(String::with_capacity(64), |mut hex, byte| {
            write!(hex, "{byte:02x}").expect("a string takes it");
            hex
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(rows: &[Row]) -> String {
        let mut tally = Tally::new(Table::Bases);
        tally.add(rows);
        tally.finish()
    }

    #[test]
    fn what_is_not_the_same_does_not_hash_alike() {
        let text = |text: &str| Cell::Text(text.into());
        let rows = [
            vec![text("ab"), text("c")],
            vec![text("a"), text("bc")],
            vec![text("a"), Cell::Null],
            vec![text("a"), text("")],
            vec![text("a"), Cell::Flag(false)],
            vec![text("a"), Cell::Number(0)],
            vec![text("a"), Cell::Id([0; 16])],
        ];
        let hashes: std::collections::BTreeSet<_> =
            rows.iter().map(|row| hash(std::slice::from_ref(row))).collect();
        assert_eq!(hashes.len(), rows.len());
        let [first, second, ..] = rows;
        assert_ne!(hash(&[first.clone(), second.clone()]), hash(&[second, first]));
    }
}

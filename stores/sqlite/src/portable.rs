//! The file as plain rows, to be carried to another kind of store and back.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use claw_domain::{Clock as _, SystemClock};
use claw_store::{
    Error, Fence,
    portable::{Cell, Column, Kind, Portable, Row, Rows, Table},
};
use rusqlite::{
    Connection, ToSql, TransactionBehavior, params_from_iter,
    types::{ToSqlOutput, ValueRef},
};
use tokio::task::spawn_blocking;

use crate::{column, error::Fault, lease, open};

const HOLDERS: &str = "SELECT name FROM leases WHERE epoch > 0 AND until > ? ORDER BY name";
/// From the first question on, the view stays as it is.
const BEGIN: &str = "BEGIN; SELECT 1 FROM usage";

/// A store's tables.
#[derive(Debug)]
pub struct Tables {
    path: PathBuf,
    /// `None` when they are only read.
    writer: Option<Shared>,
}

impl Tables {
    /// Opens the tables of the file at `path`, which is made or upgraded as
    /// [`Sqlite::open`](crate::Sqlite::open) does.
    ///
    /// # Errors
    /// As [`Sqlite::open`](crate::Sqlite::open).
    pub async fn open(path: impl Into<PathBuf>) -> Result<Self, Error> {
        let path = path.into();
        let file = path.clone();
        let writer = at(&path, move || open::writer(&file)).await?;
        Ok(Self { path, writer: Some(Shared::new(writer)) })
    }

    /// Opens the tables of a file to be read.
    ///
    /// # Errors
    /// As [`Sqlite::open_to_read`](crate::Sqlite::open_to_read).
    pub async fn open_to_read(path: impl Into<PathBuf>) -> Result<Self, Error> {
        let path = path.into();
        let file = path.clone();
        at(&path, move || open::readable(&file)).await?;
        Ok(Self { path, writer: None })
    }

    async fn reader(&self) -> Result<Connection, Error> {
        let path = self.path.clone();
        at(&self.path, move || open::reader(&path)).await
    }
}

#[async_trait]
impl Portable for Tables {
    fn place(&self) -> String {
        self.path.display().to_string()
    }

    async fn holders(&self) -> Result<Vec<String>, Error> {
        let conn = self.reader().await?;
        let now = SystemClock.now().as_millisecond();
        let work = move || {
            let mut holders = conn.prepare(HOLDERS)?;
            let names = holders.query_map([now], |row| row.get(0))?;
            Ok(names.collect::<Result<_, _>>()?)
        };
        at(&self.path, work).await
    }

    async fn read(&self) -> Result<Box<dyn Rows>, Error> {
        let conn = self.reader().await?;
        let begun = move || {
            conn.execute_batch(BEGIN)?;
            Ok(conn)
        };
        let conn = Shared::new(at(&self.path, begun).await?);
        Ok(Box::new(View { conn, path: self.path.clone() }))
    }

    async fn put(&self, fence: &Fence, table: Table, rows: Vec<Row>) -> Result<(), Error> {
        let Some(writer) = self.writer.clone() else {
            let source = "it was opened to be read".into();
            return Err(Error::ReadOnly { path: self.path.clone(), source });
        };
        let fence = *fence;
        let work = move || writer.with(|conn| put(conn, &fence, table, &rows));
        at(&self.path, work).await
    }
}

/// A connection in a read transaction, which ends with it.
struct View {
    conn: Shared,
    path: PathBuf,
}

#[async_trait]
impl Rows for View {
    async fn page(
        &mut self,
        table: Table,
        after: Option<&[Cell]>,
        limit: usize,
    ) -> Result<Vec<Row>, Error> {
        let conn = self.conn.clone();
        let after = after.map(<[Cell]>::to_vec);
        let work = move || conn.with(|conn| page(conn, table, after.as_deref(), limit));
        at(&self.path, work).await
    }
}

/// A connection for one call at a time.
#[derive(Debug, Clone)]
struct Shared(Arc<Mutex<Connection>>);

impl Shared {
    fn new(conn: Connection) -> Self {
        Self(Arc::new(Mutex::new(conn)))
    }

    fn with<T>(&self, work: impl FnOnce(&mut Connection) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Does work that waits for the disk, off the threads of the runtime.
async fn at<T: Send + 'static>(
    path: &Path,
    work: impl FnOnce() -> Result<T, Fault> + Send + 'static,
) -> Result<T, Error> {
    let done = spawn_blocking(work).await.map_err(|panic| Error::Engine(Box::new(panic)))?;
    done.map_err(|fault| fault.at(path))
}

fn page(
    conn: &Connection,
    table: Table,
    after: Option<&[Cell]>,
    limit: usize,
) -> Result<Vec<Row>, Fault> {
    let keys = table.key().len();
    if after.is_some() && table.is_single() {
        return Ok(Vec::new());
    }
    let after = after.map(|cells| &cells[..keys]).unwrap_or_default();
    let mut select = conn.prepare_cached(&select(table, !after.is_empty()))?;
    let limit = Cell::Number(column::limit(limit));
    let values = after.iter().chain([&limit]).map(Bound);
    let columns = table.columns();
    let row = |row: &rusqlite::Row<'_>| {
        let cells = columns.iter().enumerate();
        cells.map(|(at, column)| cell(table, *column, row.get_ref(at)?)).collect()
    };
    select.query_and_then(params_from_iter(values), row)?.collect()
}

fn put(conn: &mut Connection, fence: &Fence, table: Table, rows: &[Row]) -> Result<(), Fault> {
    let transaction = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    lease::hold(&transaction, fence)?;
    {
        let mut put = transaction.prepare_cached(&insert(table))?;
        for row in rows {
            put.execute(params_from_iter(row.iter().map(Bound)))
                .map_err(|error| Fault::insert(error, "row of", table))?;
        }
    }
    Ok(transaction.commit()?)
}

/// The column's own name: rows of the outbox stand in the order of queueing.
fn name(table: Table, column: &Column) -> &'static str {
    match (table, column.name) {
        (Table::Outbox, "queued") => "rowid",
        (_, name) => name,
    }
}

fn names(table: Table, columns: &[Column]) -> Vec<&'static str> {
    columns.iter().map(|column| name(table, column)).collect()
}

fn select(table: Table, behind: bool) -> String {
    let columns = names(table, table.columns()).join(", ");
    let key = names(table, table.key());
    let marks = vec!["?"; key.len()].join(", ");
    let key = key.join(", ");
    let behind = if behind { format!("WHERE ({key}) > ({marks})") } else { String::new() };
    let order = if table.is_single() { String::new() } else { format!("ORDER BY {key}") };
    format!("SELECT {columns} FROM {table} {behind} {order} LIMIT ?")
}

fn insert(table: Table) -> String {
    let columns = names(table, table.columns());
    if table.is_single() {
        return format!("UPDATE {table} SET {} = ?", columns.join(" = ?, "));
    }
    let marks = vec!["?"; columns.len()].join(", ");
    // Nobody has the row.
    let (owner, nobody) = if table.is_held() { (", owner, epoch", ", 0, 0") } else { ("", "") };
    format!("INSERT INTO {table} ({}{owner}) VALUES ({marks}{nobody})", columns.join(", "))
}

fn cell(table: Table, column: Column, value: ValueRef<'_>) -> Result<Cell, Fault> {
    let corrupt = |why: &str| {
        let what = format!("{} in {table}", column.name);
        Fault::from(Error::Corrupt { what, source: why.into() })
    };
    Ok(match (column.kind, value) {
        (_, ValueRef::Null) => Cell::Null,
        (Kind::Number, ValueRef::Integer(number)) => Cell::Number(number),
        (Kind::Flag, ValueRef::Integer(number)) => Cell::Flag(number != 0),
        (Kind::Text, ValueRef::Text(bytes)) => {
            let text = str::from_utf8(bytes).map_err(|_| corrupt("it is no UTF-8"))?;
            Cell::Text(text.to_owned())
        }
        (Kind::Id, ValueRef::Blob(bytes)) => {
            Cell::Id(bytes.try_into().map_err(|_| corrupt("it is not 16 bytes long"))?)
        }
        _ => return Err(corrupt("it is of another type")),
    })
}

/// A cell as the value of a statement.
struct Bound<'a>(&'a Cell);

impl ToSql for Bound<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        match self.0 {
            Cell::Null => Ok(ToSqlOutput::Borrowed(ValueRef::Null)),
            Cell::Number(number) => number.to_sql(),
            Cell::Text(text) => text.to_sql(),
            Cell::Id(id) => Ok(ToSqlOutput::Borrowed(ValueRef::Blob(id))),
            Cell::Flag(flag) => flag.to_sql(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What stays where it is: who is at work on the file, and facts about it.
    const STAYS: [&str; 5] = ["epochs", "holdings", "leases", "meta", "probe"];

    #[test]
    fn every_column_travels_or_is_known_to_stay() {
        let folder = tempfile::TempDir::new().unwrap();
        let conn = open::writer(&folder.path().join("claw.sqlite")).unwrap();
        let columns = "SELECT tables.name, columns.name FROM sqlite_schema AS tables,
            pragma_table_info(tables.name) AS columns
            WHERE tables.type = 'table' AND tables.name NOT LIKE 'sqlite_%'";
        let mut columns = conn.prepare(columns).unwrap();
        let mut found: Vec<(String, String)> = columns
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap();
        found.retain(|(table, _)| !STAYS.contains(&&**table));
        let own =
            |table: Table| -> &[&str] { if table.is_held() { &["owner", "epoch"] } else { &[] } };
        let mut expected = Vec::new();
        for table in Table::ALL {
            let travel = names(table, table.columns()).into_iter().filter(|name| *name != "rowid");
            let one = table.is_single().then_some("one");
            let all = travel.chain(own(table).iter().copied()).chain(one);
            expected.extend(all.map(|name| (table.name().to_owned(), name.to_owned())));
        }
        found.sort();
        expected.sort();
        assert_eq!(found, expected);
    }
}

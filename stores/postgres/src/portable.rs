//! The database as plain rows, to be carried to another kind of store and back.

use std::{collections::HashMap, time::Duration};

use async_trait::async_trait;
use claw_domain::{Entry, EntryBody, Secret, Target};
use claw_store::{
    Error, Fence,
    portable::{Cell, Column, Kind, Portable, Row, Rows, Table},
};
use tokio::{sync::Mutex, task::spawn_blocking, time::timeout};
use tokio_postgres::{Client, GenericClient, types::ToSql};
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

use crate::{
    Options,
    column::{Columns, count, limit, node, target, text, to_event_id, to_text},
    error::Fault,
    migrate::{LOCK, migrate},
    place::Place,
};

const HOLDERS: &str = "SELECT name FROM leases
    WHERE until > floor(extract(epoch FROM clock_timestamp()) * 1000) ORDER BY name";
/// From the first question on, the view stays as it is. The other store may take its time.
const VIEW: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
    SET LOCAL idle_in_transaction_session_timeout = 0; SELECT 1 FROM log";
/// A commit means on disk, also on a server that was told that it need not.
const DURABLE: &str = "SELECT set_config('synchronous_commit', 'on', true)
    WHERE current_setting('synchronous_commit') = 'off'";
const HELD: &str = "SELECT 1 FROM leases WHERE epoch = $1 AND owner = $2";
const GROW: &str = "UPDATE log SET newest = greatest(newest, (SELECT max(seq) FROM events))";
/// New rows of the outbox are queued behind all that came.
const QUEUE_BEHIND: &str =
    "SELECT setval(pg_get_serial_sequence('outbox', 'queued'), max(queued)) FROM outbox";
/// The entries with these places that are compactions.
const COMPACTIONS: &str = "SELECT seq, body FROM events
    WHERE seq = ANY($1) AND kind = 'entryAdded' AND strpos(body, 'first_kept') > 0";

/// A value of a statement that was made for it.
type Value = Box<dyn ToSql + Sync + Send>;

/// A store's tables.
pub struct Tables {
    place: Place,
    /// Writes, one call at a time.
    writer: Mutex<Link>,
}

impl Tables {
    /// Opens the tables of the database that `url` names. Makes them or brings them up as
    /// [`Postgres::open`](crate::Postgres::open) does, but does not wait for a server that is away.
    ///
    /// # Errors
    /// As [`Postgres::open`](crate::Postgres::open).
    pub async fn open(url: &Secret, options: Options) -> Result<Self, Error> {
        let url = url.clone();
        // It reads files, for the certificates.
        let place = spawn_blocking(move || Place::of(&url, &options)).await;
        let place = place.unwrap_or_else(|panic| Err(Error::Engine(Box::new(panic))))?;
        let named = |fault: Fault| fault.at(&place.name);
        migrate(&place).await.map_err(named)?;
        let writer = Mutex::new(Link::new(&place).await.map_err(named)?);
        Ok(Self { place, writer })
    }

    fn named(&self, fault: Fault) -> Error {
        fault.at(&self.place.name)
    }
}

#[async_trait]
impl Portable for Tables {
    fn place(&self) -> String {
        self.place.name.clone()
    }

    async fn holders(&self) -> Result<Vec<String>, Error> {
        let writer = self.writer.lock().await;
        let rows = writer.client.query(HOLDERS, &[]).await;
        let rows = rows.map_err(|error| self.named(error.into()))?;
        let names: Result<_, Fault> = rows.iter().map(|row| row.value(0)).collect();
        names.map_err(|fault| self.named(fault))
    }

    async fn read(&self) -> Result<Box<dyn Rows>, Error> {
        let begun = async {
            let link = Link::new(&self.place).await?;
            link.client.batch_execute(VIEW).await?;
            let (name, answer_within) = (self.place.name.clone(), self.place.answer_within());
            Ok(View { link, name, answer_within })
        };
        Ok(Box::new(begun.await.map_err(|fault| self.named(fault))?))
    }

    async fn put(&self, fence: &Fence, table: Table, rows: Vec<Row>) -> Result<(), Error> {
        let mut writer = self.writer.lock().await;
        let done =
            timeout(self.place.answer_within(), put(&mut writer.client, fence, table, &rows));
        let done = done.await.unwrap_or_else(|_| Err(Fault::Lost("no answer in time".into())));
        done.map_err(|fault| self.named(fault))
    }
}

/// A connection, which ends with it.
struct Link {
    client: Client,
    _driver: AbortOnDropHandle<()>,
}

impl Link {
    async fn new(place: &Place) -> Result<Self, Fault> {
        let (client, connection) = place.connect().await?;
        let driver = tokio::spawn(async move {
            // How it ended is told to whoever asks something next.
            let _ended = connection.await;
        });
        Ok(Self { client, _driver: AbortOnDropHandle::new(driver) })
    }
}

/// A connection in a read transaction, which ends with it.
struct View {
    link: Link,
    name: String,
    answer_within: Duration,
}

#[async_trait]
impl Rows for View {
    async fn page(
        &mut self,
        table: Table,
        after: Option<&[Cell]>,
        limit: usize,
    ) -> Result<Vec<Row>, Error> {
        let page = timeout(self.answer_within, page(&self.link.client, table, after, limit));
        let page = page.await.unwrap_or_else(|_| Err(Fault::Lost("no answer in time".into())));
        page.map_err(|fault| fault.at(&self.name))
    }
}

async fn page(
    client: &Client,
    table: Table,
    after: Option<&[Cell]>,
    most: usize,
) -> Result<Vec<Row>, Fault> {
    let keys = table.key().len();
    if after.is_some() && table.is_single() {
        return Ok(Vec::new());
    }
    let after = after.map(|cells| &cells[..keys]).unwrap_or_default();
    let mut values: Vec<Value> = after.iter().map(value).collect();
    values.push(Box::new(limit(most)));
    let select = select(table, !after.is_empty());
    let rows = client.query(&select, &borrowed(&values)).await?;
    let cells = |row: &tokio_postgres::Row| {
        let columns = table.columns().iter().enumerate();
        columns.map(|(at, column)| cell(row, at, column.kind)).collect()
    };
    rows.iter().map(cells).collect()
}

async fn put(client: &mut Client, fence: &Fence, table: Table, rows: &[Row]) -> Result<(), Fault> {
    let transaction = client.transaction().await?;
    transaction.batch_execute(&format!("{DURABLE}; {LOCK}")).await?;
    let held = transaction.query(HELD, &[&count(fence.epoch), &node(fence.owner)]).await?;
    if held.is_empty() || *fence == Fence::NOBODY {
        return Err(Error::fenced(fence).into());
    }
    match table.is_single() {
        true => replace(&transaction, table, rows).await?,
        false => insert(&transaction, table, rows).await?,
    }
    match table {
        Table::Events => drop(transaction.execute(GROW, &[]).await?),
        Table::Outbox => drop(transaction.query(QUEUE_BEHIND, &[]).await?),
        _ => {}
    }
    Ok(transaction.commit().await?)
}

async fn replace(client: &impl GenericClient, table: Table, rows: &[Row]) -> Result<(), Fault> {
    let columns = (1..).zip(table.columns()).map(|(at, column)| format!("{} = ${at}", column.name));
    let sql = format!("UPDATE {} SET {}", name(table), columns.collect::<Vec<_>>().join(", "));
    for row in rows {
        let values: Vec<Value> = row.iter().map(value).collect();
        client.execute(&sql, &borrowed(&values)).await?;
    }
    Ok(())
}

/// Adds rows, a column of them as one value.
async fn insert(client: &impl GenericClient, table: Table, rows: &[Row]) -> Result<(), Fault> {
    let (mut names, mut kinds, mut values) = (Vec::new(), Vec::new(), Vec::<Value>::new());
    for (at, Column { name, kind }) in table.columns().iter().enumerate() {
        names.push(*name);
        kinds.push(*kind);
        values.push(array(*kind, rows.iter().map(|row| &row[at])));
    }
    if let Some((name, kind, column)) = derived(client, table, rows).await? {
        names.push(name);
        kinds.push(kind);
        values.push(column);
    }
    let arrays = (1..).zip(kinds).map(|(at, kind)| format!("${at}::{}[]", kind_name(kind)));
    // Nobody has the row.
    let (owner, nobody) = if table.is_held() { (", owner, epoch", ", 0, 0") } else { ("", "") };
    let sql = format!(
        "INSERT INTO {} ({}{owner}) OVERRIDING SYSTEM VALUE SELECT *{nobody} FROM unnest({})",
        name(table),
        names.join(", "),
        arrays.collect::<Vec<_>>().join(", ")
    );
    client.execute(&sql, &borrowed(&values)).await?;
    Ok(())
}

/// The column that only this kind of store has.
async fn derived(
    client: &impl GenericClient,
    table: Table,
    rows: &[Row],
) -> Result<Option<(&'static str, Kind, Value)>, Fault> {
    Ok(match table {
        Table::Events => {
            let of = |row: &Row| match cell_of(table, row, "id") {
                Cell::Id(id) => Some(node(to_event_id(Uuid::from_bytes(*id)).node())),
                _ => None,
            };
            Some(("node", Kind::Number, Box::new(rows.iter().map(of).collect::<Vec<_>>())))
        }
        Table::Entries => Some(("kept", Kind::Id, Box::new(kept(client, rows).await?))),
        Table::Outbox => {
            // It is a key of its own writing, so it is not written again as other texts are.
            let keys: Vec<String> = rows.iter().map(|row| target(&target_of(row))).collect();
            Some(("target", Kind::Text, Box::new(keys)))
        }
        _ => None,
    })
}

/// The oldest entry that each compaction leaves in the prompt, from its event.
async fn kept(client: &impl GenericClient, rows: &[Row]) -> Result<Vec<Option<Uuid>>, Fault> {
    let seq_of = |row: &Row| match cell_of(Table::Entries, row, "seq") {
        Cell::Number(seq) => *seq,
        _ => 0,
    };
    let seqs: Vec<i64> = rows.iter().map(seq_of).collect();
    let mut kept = HashMap::new();
    for row in client.query(COMPACTIONS, &[&seqs]).await? {
        let (seq, entry): (i64, Entry) = (row.value(0)?, row.json(1, "entry")?);
        if let EntryBody::Compaction { first_kept, .. } = entry.body {
            kept.insert(seq, first_kept.0);
        }
    }
    Ok(seqs.iter().map(|seq| kept.get(seq).copied()).collect())
}

fn target_of(row: &Row) -> Target {
    let text = |name| match cell_of(Table::Outbox, row, name) {
        Cell::Text(text) => Some(text.as_str()),
        _ => None,
    };
    Target {
        channel: text("channel").unwrap_or_default().into(),
        account: text("account").unwrap_or_default().into(),
        chat: text("chat").unwrap_or_default().into(),
        thread: text("thread").map(Into::into),
    }
}

fn cell_of<'a>(table: Table, row: &'a Row, name: &str) -> &'a Cell {
    &row[table.position(name).expect("the table has this column")]
}

/// The table's own name: the sums stand beside the log's newest place.
fn name(table: Table) -> &'static str {
    match table {
        Table::Usage => "log",
        table => table.name(),
    }
}

fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Number => "bigint",
        Kind::Text => "text",
        Kind::Id => "uuid",
        Kind::Flag => "boolean",
    }
}

fn select(table: Table, behind: bool) -> String {
    let names = |columns: &[Column]| {
        columns.iter().map(|column| column.name).collect::<Vec<_>>().join(", ")
    };
    let (columns, key) = (names(table.columns()), names(table.key()));
    let marks: Vec<_> = (1..=table.key().len()).map(|at| format!("${at}")).collect();
    let (behind, last) = match behind {
        true => (format!("WHERE ({key}) > ({})", marks.join(", ")), marks.len() + 1),
        false => (String::new(), 1),
    };
    let order = if table.is_single() { String::new() } else { format!("ORDER BY {key}") };
    format!("SELECT {columns} FROM {} {behind} {order} LIMIT ${last}", name(table))
}

fn cell(row: &tokio_postgres::Row, at: usize, kind: Kind) -> Result<Cell, Fault> {
    let cell = match kind {
        Kind::Number => row.value::<Option<i64>>(at)?.map(Cell::Number),
        Kind::Text => {
            row.value::<Option<&str>>(at)?.map(|text| Cell::Text(to_text(text).into_owned()))
        }
        Kind::Id => row.value::<Option<Uuid>>(at)?.map(|id| Cell::Id(id.into_bytes())),
        Kind::Flag => row.value::<Option<bool>>(at)?.map(Cell::Flag),
    };
    Ok(cell.unwrap_or(Cell::Null))
}

/// A cell as a value. No key holds nothing.
fn value(cell: &Cell) -> Value {
    match cell {
        Cell::Null => Box::new(None::<String>),
        Cell::Number(number) => Box::new(*number),
        Cell::Text(own) => Box::new(text(own).into_owned()),
        Cell::Id(id) => Box::new(Uuid::from_bytes(*id)),
        Cell::Flag(flag) => Box::new(*flag),
    }
}

/// Cells of one column as a value. What is of another kind is nothing, which the column refuses.
fn array<'a>(kind: Kind, cells: impl Iterator<Item = &'a Cell>) -> Value {
    macro_rules! array {
        ($cell:pat => $value:expr) => {
            Box::new(
                cells
                    .map(|cell| if let $cell = cell { Some($value) } else { None })
                    .collect::<Vec<_>>(),
            )
        };
    }
    match kind {
        Kind::Number => array!(Cell::Number(number) => *number),
        Kind::Text => array!(Cell::Text(own) => text(own).into_owned()),
        Kind::Id => array!(Cell::Id(id) => Uuid::from_bytes(*id)),
        Kind::Flag => array!(Cell::Flag(flag) => *flag),
    }
}

fn borrowed(values: &[Value]) -> Vec<&(dyn ToSql + Sync)> {
    values.iter().map(|value| &**value as &(dyn ToSql + Sync)).collect()
}

#[cfg(test)]
mod tests {
    use claw_testkit::PgServer;

    use super::*;

    /// What stays where it is: who is at work on the database, and facts about it.
    const STAYS: [&str; 4] = ["commits", "holdings", "leases", "schema_version"];

    /// What only this kind of store has.
    fn own(table: Table) -> &'static [&'static str] {
        match table {
            Table::Events => &["node"],
            Table::Entries => &["kept"],
            Table::Inbox => &["owner", "epoch"],
            Table::Outbox => &["owner", "epoch", "target"],
            Table::Usage => &["one", "newest"],
            Table::Snapshot => &["one"],
            _ => &[],
        }
    }

    #[tokio::test]
    async fn every_column_travels_or_is_known_to_stay() {
        let Some(server) = PgServer::start().await else { return };
        let url = Secret::new(server.url("postgres"));
        let tables = Tables::open(&url, Options::default()).await.unwrap();
        let columns = "SELECT table_name::text, column_name::text
            FROM information_schema.columns WHERE table_schema = 'public'";
        let rows = tables.writer.lock().await.client.query(columns, &[]).await.unwrap();
        let mut found: Vec<(String, String)> =
            rows.iter().map(|row| (row.get(0), row.get(1))).collect();
        found.retain(|(table, _)| !STAYS.contains(&&**table));
        let mut expected = Vec::new();
        for table in Table::ALL {
            let travel = table.columns().iter().map(|column| column.name);
            let all = travel.chain(own(table).iter().copied());
            expected.extend(all.map(|column| (name(table).to_owned(), column.to_owned())));
        }
        found.sort();
        expected.sort();
        assert_eq!(found, expected);
    }
}

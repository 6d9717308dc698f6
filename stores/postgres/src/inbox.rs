//! What came in, and how far it has come.

use std::collections::HashMap;

use claw_domain::{
    AccountId, ChannelId, EventBody, ExternalId, Inbound, InboxId, RunId, Timestamp, TraceId,
};
use claw_store::{Error, ExternalKey, Fence, InboxKey, InboxRow, InboxState, RowFilter};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::{
    column::{Columns, count, json, limit, node, text},
    conn::{Conn, columns, values},
    error::Fault,
    event,
    readers::Readers,
};

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, trace, inbound, run, received_at, progress, owner, epoch FROM inbox ",
            $rest
        )
    };
}

const KNOWN: &str = "SELECT id, run, state = 'closed', CASE WHEN id = ANY($2) THEN inbound END,
    id = ANY($2) AND EXISTS (SELECT 1 FROM events
        WHERE events.run = inbox.run AND events.kind = 'runStarted')
    FROM inbox WHERE id = ANY($1)";
const RECEIVED: &str = "SELECT channel, account, external_id FROM inbox
    JOIN unnest($1::text[], $2::text[], $3::text[]) AS asked (channel, account, external_id)
    USING (channel, account, external_id)";
const RECEIVE: &str = "INSERT INTO inbox (id, channel, account, external_id, run, trace,
    received_at, owner, epoch, state, progress, inbound)
    SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::uuid[],
    $7::bigint[], $8::bigint[], $9::bigint[], $10::text[], $11::text[], $12::text[])";
/// What is NULL stays as it is.
const MOVE: &str = "UPDATE inbox SET state = coalesce(new.state, inbox.state),
    progress = coalesce(new.progress, inbox.progress), owner = coalesce(new.owner, inbox.owner),
    epoch = coalesce(new.epoch, inbox.epoch), inbound = coalesce(new.inbound, inbox.inbound)
    FROM unnest($1::uuid[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::text[])
    AS new (id, state, progress, owner, epoch, inbound) WHERE inbox.id = new.id";
/// Open rows that no living gateway has.
const ORPHANS: &str = select!(
    "WHERE state <> 'closed' AND id > $1 AND NOT EXISTS
    (SELECT 1 FROM leases WHERE leases.epoch = inbox.epoch)
    ORDER BY id LIMIT $2 FOR UPDATE SKIP LOCKED"
);
/// As [`ORPHANS`], seen by who holds no lock, of the holder with this epoch at this time.
const UNHELD: &str = select!(
    "WHERE state <> 'closed' AND epoch <> ALL
    (ARRAY(SELECT epoch FROM leases WHERE epoch = $1 OR until > $2)) ORDER BY id LIMIT $3"
);
const OWN: &str = "UPDATE inbox SET owner = $1, epoch = $2 WHERE id = ANY($3)";
const ADOPT: &str = "UPDATE inbox SET owner = $1, epoch = $2 WHERE state <> 'closed'";
const OLDEST_OPEN: &str = "SELECT min(received_at) FROM inbox WHERE state <> 'closed'";
/// Looks at the oldest rows only, however few of them go.
const FORGET: &str = "DELETE FROM inbox WHERE id IN (SELECT id FROM
    (SELECT id, state, received_at FROM inbox ORDER BY id LIMIT $2) AS oldest
    WHERE state = 'closed' AND received_at < $1)";

/// What the writer asks and writes here.
pub(crate) const WRITER: [&str; 9] =
    [KNOWN, RECEIVED, RECEIVE, MOVE, ORPHANS, OWN, ADOPT, OLDEST_OPEN, FORGET];

const OPEN: &str = select!("WHERE state <> 'closed' AND id > $1 ORDER BY id LIMIT $2");
const BY_EXTERNAL: &str = select!("WHERE channel = $1 AND account = $2 AND external_id = $3");
const BY_ID: &str = select!("WHERE id = $1");
const OPEN_OF_RUN: &str = select!("WHERE state <> 'closed' AND run = $1 LIMIT 1");
const OF_TRACE: &str = select!("WHERE id BETWEEN $1 AND $2 AND trace = $3");
const NEWEST: &str =
    select!("WHERE cardinality($1::text[]) = 0 OR state = ANY($1) ORDER BY id DESC LIMIT $2");

/// What has to be known of a row that a change names.
pub(crate) struct Seen {
    pub(crate) run: RunId,
    pub(crate) closed: bool,
    /// Whether its run has begun. Known, as is the next, of rows that are to be replaced.
    pub(crate) started: bool,
    pub(crate) inbound: Option<Inbound>,
}

/// A row on its way in.
pub(crate) struct Arrival {
    id: Uuid,
    channel: String,
    account: String,
    external: String,
    run: String,
    trace: Uuid,
    received_at: i64,
    owner: i64,
    epoch: i64,
    state: &'static str,
    progress: String,
    inbound: String,
}

/// What becomes of a row.
#[derive(Default)]
pub(crate) struct Move {
    pub(crate) state: Option<InboxState>,
    pub(crate) fence: Option<Fence>,
    pub(crate) inbound: Option<String>,
}

impl Arrival {
    pub(crate) fn new(row: &InboxRow) -> Self {
        let inbound = &row.inbound;
        Self {
            id: row.id.0,
            channel: text(inbound.channel.as_str()).into_owned(),
            account: text(inbound.account.as_str()).into_owned(),
            external: text(inbound.external_id.as_str()).into_owned(),
            run: text(row.run.as_str()).into_owned(),
            trace: row.trace.0,
            received_at: row.received_at.as_millisecond(),
            owner: node(row.fence.owner),
            epoch: count(row.fence.epoch),
            state: row.state.word(),
            progress: json(&row.state),
            inbound: json(inbound),
        }
    }
}

/// What is known of these rows; more of those that are to be `replaced`.
pub(crate) async fn known(
    conn: &Conn,
    ids: &[InboxId],
    replaced: &[InboxId],
) -> Result<Vec<(InboxId, Seen)>, Fault> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let [ids, replaced] =
        [ids, replaced].map(|ids| ids.iter().map(|id| id.0).collect::<Vec<Uuid>>());
    conn.query(KNOWN, values![ids replaced]).await?.iter().map(seen).collect()
}

/// Those of these external ids that were received.
pub(crate) async fn received(conn: &Conn, keys: &[ExternalKey]) -> Result<Vec<ExternalKey>, Fault> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let channel: Vec<_> = keys.iter().map(|key| text(key.0.as_str())).collect();
    let account: Vec<_> = keys.iter().map(|key| text(key.1.as_str())).collect();
    let external: Vec<_> = keys.iter().map(|key| text(key.2.as_str())).collect();
    let rows = conn.query(RECEIVED, values![channel account external]).await?;
    rows.iter().map(|row| Ok((row.text(0)?, row.text(1)?, row.text(2)?))).collect()
}

pub(crate) async fn receive(conn: &Conn, rows: &[Arrival]) -> Result<(), Fault> {
    columns!(rows: id channel account external run trace received_at owner epoch state progress
        inbound);
    let values = values![id channel account external run trace received_at owner epoch state
        progress inbound];
    conn.execute(RECEIVE, values).await.map(drop)
}

pub(crate) async fn advance(conn: &Conn, moves: &HashMap<InboxId, Move>) -> Result<(), Fault> {
    let id: Vec<Uuid> = moves.keys().map(|id| id.0).collect();
    let state: Vec<_> = moves.values().map(|to| to.state.as_ref().map(InboxState::word)).collect();
    let progress: Vec<_> = moves.values().map(|to| to.state.as_ref().map(json)).collect();
    let owner: Vec<_> = moves.values().map(|to| to.fence.map(|fence| node(fence.owner))).collect();
    let epoch: Vec<_> = moves.values().map(|to| to.fence.map(|fence| count(fence.epoch))).collect();
    let inbound: Vec<_> = moves.values().map(|to| to.inbound.as_deref()).collect();
    conn.execute(MOVE, values![id state progress owner epoch inbound]).await.map(drop)
}

/// A page of open rows that no living gateway has, the oldest first, locked until the end of the
/// transaction.
pub(crate) async fn orphans(
    conn: &Conn,
    after: InboxId,
    most: usize,
) -> Result<Vec<InboxRow>, Fault> {
    conn.query(ORPHANS, &[&after.0, &limit(most)]).await?.iter().map(inbox_row).collect()
}

/// Open rows that a claim would look at, the oldest first.
pub(crate) async fn unheld(
    readers: &Readers,
    fence: &Fence,
    now: Timestamp,
    most: usize,
) -> Result<Vec<InboxRow>, Error> {
    let (epoch, now, most) = (count(fence.epoch), now.as_millisecond(), limit(most));
    readers.all(UNHELD, values![epoch now most], inbox_row).await
}

pub(crate) async fn own(conn: &Conn, fence: &Fence, rows: &[InboxRow]) -> Result<(), Fault> {
    let (owner, epoch) = (node(fence.owner), count(fence.epoch));
    let ids: Vec<Uuid> = rows.iter().map(|row| row.id.0).collect();
    conn.execute(OWN, values![owner epoch ids]).await.map(drop)
}

pub(crate) async fn adopt(conn: &Conn, fence: &Fence) -> Result<(), Fault> {
    conn.execute(ADOPT, &[&node(fence.owner), &count(fence.epoch)]).await.map(drop)
}

/// When the oldest open row was accepted.
pub(crate) async fn oldest_open(conn: &Conn) -> Result<Option<Timestamp>, Fault> {
    let rows = conn.query(OLDEST_OPEN, &[]).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    Ok(row.value::<Option<i64>>(0)?.map(claw_domain::millis))
}

/// Takes out old closed rows among the oldest `most`; how many went.
pub(crate) async fn forget(conn: &Conn, before: Timestamp, most: usize) -> Result<u64, Fault> {
    conn.execute(FORGET, &[&before.as_millisecond(), &limit(most)]).await
}

pub(crate) async fn open(
    readers: &Readers,
    after: Option<InboxId>,
    most: usize,
) -> Result<Vec<InboxRow>, Error> {
    let after = after.map_or(Uuid::nil(), |id| id.0);
    readers.all(OPEN, &[&after, &limit(most)], inbox_row).await
}

pub(crate) async fn by_external(
    readers: &Readers,
    channel: &ChannelId,
    account: &AccountId,
    external: &ExternalId,
) -> Result<Option<InboxRow>, Error> {
    let [channel, account, external] =
        [channel.as_str(), account.as_str(), external.as_str()].map(text);
    readers.first(BY_EXTERNAL, values![channel account external], inbox_row).await
}

pub(crate) async fn of(readers: &Readers, key: &InboxKey) -> Result<Option<InboxRow>, Error> {
    match key {
        InboxKey::Id(id) => readers.first(BY_ID, &[&id.0], inbox_row).await,
        InboxKey::Run(run) => {
            let events = event::of_run(readers, run).await?;
            let begun = events.iter().find_map(|event| match &event.body {
                EventBody::RunStarted { inbox, .. } => Some(inbox.0),
                _ => None,
            });
            match begun {
                Some(id) => readers.first(BY_ID, &[&id], inbox_row).await,
                None => readers.first(OPEN_OF_RUN, &[&text(run.as_str())], inbox_row).await,
            }
        }
        InboxKey::Trace(trace) => {
            // A row and its trace are made together, and both begin with the time of their making.
            let made = (trace.0.as_u128() >> 80) as u64;
            let at = |ms: u64| Uuid::from_u128(u128::from(ms) << 80);
            let (low, high) = (at(made.saturating_sub(1000)), at(made + 1001));
            readers.first(OF_TRACE, &[&low, &high, &trace.0], inbox_row).await
        }
    }
}

pub(crate) async fn newest(readers: &Readers, filter: &RowFilter) -> Result<Vec<InboxRow>, Error> {
    readers.all(NEWEST, &[&words(filter), &limit(filter.limit)], inbox_row).await
}

/// The states of a filter, which a person may have written.
pub(crate) fn words(filter: &RowFilter) -> Vec<std::borrow::Cow<'_, str>> {
    filter.states.iter().map(|state| text(state)).collect()
}

fn seen(row: &Row) -> Result<(InboxId, Seen), Fault> {
    let inbound = match row.value::<Option<&str>>(3)? {
        Some(_) => Some(row.json(3, "inbox row")?),
        None => None,
    };
    let seen = Seen { run: row.text(1)?, closed: row.value(2)?, started: row.value(4)?, inbound };
    Ok((InboxId(row.value(0)?), seen))
}

fn inbox_row(row: &Row) -> Result<InboxRow, Fault> {
    Ok(InboxRow {
        id: InboxId(row.value(0)?),
        trace: TraceId(row.value(1)?),
        inbound: row.json(2, "inbox row")?,
        run: row.text(3)?,
        received_at: row.time(4)?,
        state: row.json(5, "inbox row")?,
        fence: row.fence(6, 7)?,
    })
}

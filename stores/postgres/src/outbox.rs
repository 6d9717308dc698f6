//! What goes out, and how far it has come.

use std::collections::HashMap;

use claw_domain::{Outbound, OutboxId, Target, ThreadId, Timestamp, TraceId};
use claw_store::{DeliveryState, Error, Fence, OutboxRow, RowFilter};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::{
    column::{Columns, count, json, limit, node, target, text},
    conn::{Conn, columns, values},
    error::Fault,
    inbox::words,
    readers::Readers,
};

macro_rules! columns_of {
    ($before:literal, $after:literal) => {
        concat!(
            $before,
            " id, trace, channel, account, chat, thread, action, idempotency_key, place, part, ",
            "not_before, expires_at, progress, owner, epoch ",
            $after
        )
    };
}
macro_rules! select {
    ($rest:literal) => {
        columns_of!("SELECT", $rest)
    };
}

const KNOWN: &str = "SELECT id, state = 'sent' FROM outbox WHERE id = ANY($1)";
const PLACES: &str = "SELECT (SELECT max(place) FROM outbox WHERE target = asked.target)
    FROM unnest($1::text[]) WITH ORDINALITY AS asked (target, place) ORDER BY asked.place";
const ENQUEUE: &str =
    "INSERT INTO outbox (id, trace, target, channel, account, chat, thread, place,
    part, not_before, expires_at, idempotency_key, owner, epoch, state, progress, action)
    SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[],
    $7::text[], $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[], $12::text[],
    $13::bigint[], $14::bigint[], $15::text[], $16::text[], $17::text[])";
const DELIVER: &str = "UPDATE outbox SET state = new.state, progress = new.progress,
    not_before = coalesce(new.not_before, outbox.not_before)
    FROM unnest($1::uuid[], $2::text[], $3::text[], $4::bigint[])
    AS new (id, state, progress, not_before) WHERE outbox.id = new.id";
const CLAIM: &str = columns_of!(
    "WITH mine AS (
        SELECT id AS chosen FROM outbox WHERE state = 'pending' AND epoch <> $2 AND EXISTS (
            SELECT 1 FROM holdings WHERE holdings.channel = outbox.channel
            AND holdings.account = outbox.account AND holdings.epoch = $2)
        ORDER BY target, place, part LIMIT $3 FOR UPDATE SKIP LOCKED
    ), taken AS (
        UPDATE outbox SET owner = $1, epoch = $2 FROM mine WHERE id = mine.chosen RETURNING outbox.*
    ) SELECT",
    "FROM taken ORDER BY target, place, part"
);
/// Whether the lease is there and a claim would find nothing.
const IDLE: &str = "SELECT EXISTS (SELECT 1 FROM leases WHERE owner = $1 AND epoch = $2)
    AND NOT EXISTS (SELECT 1 FROM outbox WHERE state = 'pending' AND epoch <> $2 AND EXISTS (
        SELECT 1 FROM holdings WHERE holdings.channel = outbox.channel
        AND holdings.account = outbox.account AND holdings.epoch = $2))";
const ADOPT: &str = "UPDATE outbox SET owner = $1, epoch = $2 WHERE state = 'pending'";
/// Looks at the rows that were queued first only, however few of them go.
const FORGET: &str = "DELETE FROM outbox WHERE id IN (SELECT id FROM
    (SELECT id, expires_at FROM outbox WHERE state <> 'pending' ORDER BY queued LIMIT $2) AS oldest
    WHERE expires_at < $1)";

/// What the writer asks and writes here.
pub(crate) const WRITER: [&str; 7] = [KNOWN, PLACES, ENQUEUE, DELIVER, CLAIM, ADOPT, FORGET];

const PENDING: &str =
    select!("FROM outbox WHERE state = 'pending' ORDER BY target, place, part LIMIT $1");
const BY_ID: &str = select!("FROM outbox WHERE id = $1");
const OF_TRACE: &str = select!("FROM outbox WHERE trace = $1 ORDER BY queued");
const NEWEST: &str = select!(
    "FROM outbox WHERE cardinality($1::text[]) = 0 OR state = ANY($1) ORDER BY id DESC LIMIT $2"
);

/// A row on its way into the queue.
pub(crate) struct Queued {
    id: Uuid,
    trace: Uuid,
    target: String,
    channel: String,
    account: String,
    chat: String,
    thread: Option<String>,
    place: i64,
    part: i64,
    not_before: i64,
    expires_at: i64,
    idempotency_key: String,
    owner: i64,
    epoch: i64,
    state: &'static str,
    progress: String,
    action: String,
}

/// What becomes of a row: its state, and the time of the next try when that moves.
pub(crate) type Moved = (DeliveryState, Option<Timestamp>);

impl Queued {
    pub(crate) fn new(row: &OutboxRow, order: u64) -> Self {
        let to = &row.outbound.target;
        Self {
            id: row.id.0,
            trace: row.trace.0,
            target: target(to),
            channel: text(to.channel.as_str()).into_owned(),
            account: text(to.account.as_str()).into_owned(),
            chat: text(to.chat.as_str()).into_owned(),
            thread: to.thread.as_ref().map(|thread| text(thread.as_str()).into_owned()),
            place: count(order),
            part: row.part.into(),
            not_before: row.not_before.as_millisecond(),
            expires_at: row.expires_at.as_millisecond(),
            idempotency_key: text(&row.outbound.idempotency_key).into_owned(),
            owner: node(row.fence.owner),
            epoch: count(row.fence.epoch),
            state: row.state.word(),
            progress: json(&row.state),
            action: json(&row.outbound.action),
        }
    }
}

/// Those of these rows that are there, and whether they were sent.
pub(crate) async fn known(conn: &Conn, ids: &[OutboxId]) -> Result<Vec<(OutboxId, bool)>, Fault> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
    let rows = conn.query(KNOWN, &[&ids]).await?;
    rows.iter().map(|row| Ok((OutboxId(row.value(0)?), row.value(1)?))).collect()
}

/// The order of each target's newest message, for those that have one.
pub(crate) async fn places(conn: &Conn, targets: &[&Target]) -> Result<Vec<(Target, u64)>, Fault> {
    if targets.is_empty() {
        return Ok(Vec::new());
    }
    let keys: Vec<String> = targets.iter().map(|to| target(to)).collect();
    let rows = conn.query(PLACES, &[&keys]).await?;
    let mut places = Vec::new();
    for (row, &target) in rows.iter().zip(targets) {
        if row.value::<Option<i64>>(0)?.is_some() {
            places.push((target.clone(), row.number(0)?));
        }
    }
    Ok(places)
}

pub(crate) async fn enqueue(conn: &Conn, rows: &[Queued]) -> Result<(), Fault> {
    columns!(rows: id trace target channel account chat thread place part not_before expires_at
        idempotency_key owner epoch state progress action);
    let values = values![id trace target channel account chat thread place part not_before
        expires_at idempotency_key owner epoch state progress action];
    conn.execute(ENQUEUE, values).await.map(drop)
}

pub(crate) async fn deliver(conn: &Conn, moves: &HashMap<OutboxId, Moved>) -> Result<(), Fault> {
    let id: Vec<Uuid> = moves.keys().map(|id| id.0).collect();
    let state: Vec<_> = moves.values().map(|(to, _)| to.word()).collect();
    let progress: Vec<_> = moves.values().map(|(to, _)| json(to)).collect();
    let not_before: Vec<_> =
        moves.values().map(|(_, at)| at.map(Timestamp::as_millisecond)).collect();
    conn.execute(DELIVER, values![id state progress not_before]).await.map(drop)
}

/// Takes over waiting rows of the accounts held under `fence`, in order.
pub(crate) async fn claim(
    conn: &Conn,
    fence: &Fence,
    most: usize,
) -> Result<Vec<OutboxRow>, Fault> {
    let (owner, epoch, most) = (node(fence.owner), count(fence.epoch), limit(most));
    conn.query(CLAIM, values![owner epoch most]).await?.iter().map(outbox_row).collect()
}

/// Whether a claim would only find out that there is nothing, asked without the lock.
pub(crate) async fn is_idle(readers: &Readers, fence: &Fence) -> Result<bool, Error> {
    let (owner, epoch) = (node(fence.owner), count(fence.epoch));
    let idle = readers.first(IDLE, values![owner epoch], |row| row.value(0)).await?;
    Ok(idle == Some(true))
}

pub(crate) async fn adopt(conn: &Conn, fence: &Fence) -> Result<(), Fault> {
    conn.execute(ADOPT, &[&node(fence.owner), &count(fence.epoch)]).await.map(drop)
}

/// Takes out old rows among the `most` that were queued first and are done; how many went.
pub(crate) async fn forget(conn: &Conn, before: Timestamp, most: usize) -> Result<u64, Fault> {
    conn.execute(FORGET, &[&before.as_millisecond(), &limit(most)]).await
}

pub(crate) async fn pending(readers: &Readers, most: usize) -> Result<Vec<OutboxRow>, Error> {
    readers.all(PENDING, &[&limit(most)], outbox_row).await
}

pub(crate) async fn by_id(readers: &Readers, id: OutboxId) -> Result<Option<OutboxRow>, Error> {
    readers.first(BY_ID, &[&id.0], outbox_row).await
}

pub(crate) async fn of_trace(readers: &Readers, trace: TraceId) -> Result<Vec<OutboxRow>, Error> {
    readers.all(OF_TRACE, &[&trace.0], outbox_row).await
}

pub(crate) async fn newest(readers: &Readers, filter: &RowFilter) -> Result<Vec<OutboxRow>, Error> {
    readers.all(NEWEST, &[&words(filter), &limit(filter.limit)], outbox_row).await
}

fn outbox_row(row: &Row) -> Result<OutboxRow, Fault> {
    let part: i64 = row.value(9)?;
    let target = Target {
        channel: row.text(2)?,
        account: row.text(3)?,
        chat: row.text(4)?,
        thread: row.text_if::<ThreadId>(5)?,
    };
    Ok(OutboxRow {
        id: OutboxId(row.value(0)?),
        trace: TraceId(row.value(1)?),
        outbound: Outbound {
            target,
            action: row.json(6, "outbox row")?,
            idempotency_key: row.text(7)?,
        },
        order: row.number(8)?,
        part: u32::try_from(part).map_err(|error| Fault::corrupt("part", error))?,
        not_before: row.time(10)?,
        expires_at: row.time(11)?,
        state: row.json(12, "outbox row")?,
        fence: row.fence(13, 14)?,
    })
}

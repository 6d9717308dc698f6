//! The rows that act: what came in, and what goes out.

use claw_domain::{
    AccountId, ChannelId, ExternalId, InboundKind, InboxId, MessageText, Outbound, OutboxId, RunId,
    Target, Timestamp, TraceId, millis,
};
use claw_store::{DeliveryState, Error, InboxKey, InboxRow, InboxState, OutboxRow, RowFilter};
use rusqlite::{Connection, Row, ToSql, params, params_from_iter};

use crate::{
    column::{Columns, count, json, limit, node},
    error::Fault,
    event,
};

macro_rules! select_inbox {
    ($rest:literal) => {
        concat!(
            "SELECT id, trace, inbound, run, received_at, progress, owner, epoch FROM inbox ",
            $rest
        )
    };
}
macro_rules! select_outbox {
    ($rest:literal) => {
        concat!(
            "SELECT id, trace, channel, account, chat, thread, action, idempotency_key, place, part, ",
            "not_before, expires_at, progress, owner, epoch FROM outbox ",
            $rest
        )
    };
}

const RECEIVE: &str = "INSERT INTO inbox
    (id, channel, account, external_id, run, trace, received_at, owner, epoch, state, progress, inbound)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT DO NOTHING";
const ADVANCE: &str = "UPDATE inbox SET state = ?, progress = ? WHERE id = ? AND state <> 'closed'";
const LEAVE: &str = "UPDATE inbox SET owner = 0, epoch = 0 WHERE id = ?";
const REPLACE: &str = "UPDATE inbox SET inbound = ? WHERE id = ?";
const INBOX_BY_ID: &str = select_inbox!("WHERE id = ?");
const INBOX_BY_EXTERNAL: &str =
    select_inbox!("WHERE channel = ? AND account = ? AND external_id = ?");
const INBOX_OPEN: &str =
    select_inbox!("INDEXED BY inbox_open WHERE state <> 'closed' AND id > ? ORDER BY id LIMIT ?");

/// Open rows that no living gateway has.
const ORPHANS: &str = select_inbox!(
    "INDEXED BY inbox_open WHERE state <> 'closed'
    AND epoch NOT IN (SELECT epoch FROM leases WHERE epoch > 0) ORDER BY id"
);
const INBOX_OF_RUN: &str = select_inbox!(
    "WHERE id = (SELECT unhex(replace(body ->> '$.inbox', '-', '')) FROM events
        WHERE run = ?1 AND kind = 'runStarted')
    UNION ALL SELECT id, trace, inbound, run, received_at, progress, owner, epoch FROM inbox
        INDEXED BY inbox_open WHERE state <> 'closed' AND run = ?1 LIMIT 1"
);
const INBOX_OF_TRACE: &str = select_inbox!("WHERE id BETWEEN ? AND ? AND trace = ?");
const INBOX_NEWEST: &str = select_inbox!(
    "WHERE ?1 = '[]' OR state IN (SELECT value FROM json_each(?1)) ORDER BY id DESC LIMIT ?2"
);

const PLACE: &str =
    "SELECT max(place) FROM outbox WHERE channel = ? AND account = ? AND chat = ? AND thread = ?";
const PLACE_NO_THREAD: &str = "SELECT max(place) FROM outbox
    WHERE channel = ? AND account = ? AND chat = ? AND thread IS NULL";
const ENQUEUE: &str = "INSERT INTO outbox
    (id, trace, channel, account, chat, thread, place, part, not_before, expires_at, idempotency_key,
    owner, epoch, state, progress, action)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
const DELIVER: &str =
    "UPDATE outbox SET state = ?, progress = ?, not_before = coalesce(?, not_before)
    WHERE id = ? AND state <> 'sent'";
const OUTBOX_BY_ID: &str = "SELECT 1 FROM outbox WHERE id = ?";
const OUTBOX_PENDING: &str = select_outbox!(
    "INDEXED BY outbox_pending WHERE state = 'pending'
    ORDER BY channel, account, chat, thread, place, part LIMIT ?"
);
const OUTBOX_ROW: &str = select_outbox!("WHERE id = ?");
const OUTBOX_NEWEST: &str = select_outbox!(
    "WHERE ?1 = '[]' OR state IN (SELECT value FROM json_each(?1)) ORDER BY id DESC LIMIT ?2"
);
const OUTBOX_UNCLAIMED: &str = select_outbox!(
    "INDEXED BY outbox_pending WHERE state = 'pending' AND epoch <> ?1 AND EXISTS (
        SELECT 1 FROM holdings WHERE holdings.channel = outbox.channel
        AND holdings.account = outbox.account AND holdings.epoch = ?1)
    ORDER BY channel, account, chat, thread, place, part LIMIT ?2"
);
const OLDEST_OPEN: &str =
    "SELECT min(received_at) FROM inbox INDEXED BY inbox_open WHERE state <> 'closed'";
/// Looks at the oldest rows only, however few of them go.
const FORGET_INBOX: &str = "DELETE FROM inbox WHERE id IN (SELECT id FROM
    (SELECT id, state, received_at FROM inbox ORDER BY id LIMIT ?2)
    WHERE state = 'closed' AND received_at < ?1)";
const FORGET_OUTBOX: &str = "DELETE FROM outbox WHERE rowid IN (SELECT row FROM
    (SELECT rowid AS row, expires_at FROM outbox WHERE state <> 'pending' ORDER BY rowid LIMIT ?2)
    WHERE expires_at < ?1)";
const OUTBOX_OF_TRACE: &str = select_outbox!("WHERE trace = ? ORDER BY rowid");

/// Whether the row is new.
pub(crate) fn receive(conn: &Connection, row: &InboxRow) -> Result<bool, Fault> {
    let inbound = &row.inbound;
    let columns = params![
        row.id.0.as_bytes(),
        inbound.channel.as_str(),
        inbound.account.as_str(),
        inbound.external_id.as_str(),
        row.run.as_str(),
        row.trace.0.as_bytes(),
        row.received_at.as_millisecond(),
        node(row.fence.owner),
        count(row.fence.epoch),
        row.state.word(),
        json(&row.state),
        json(inbound),
    ];
    let new = conn.prepare_cached(RECEIVE)?.execute(columns)? == 1;
    // Either the external id stood in the way, or another row's id, which is a mistake.
    if !new
        && inbox_row_of(conn, &inbound.channel, &inbound.account, &inbound.external_id)?.is_none()
    {
        return Err(Error::exists("inbox row", row.id).into());
    }
    Ok(new)
}

pub(crate) fn advance(conn: &Connection, id: InboxId, to: &InboxState) -> Result<(), Fault> {
    let moved =
        conn.prepare_cached(ADVANCE)?.execute(params![to.word(), json(to), id.0.as_bytes()])?;
    if moved == 0 && !conn.prepare_cached(INBOX_BY_ID)?.exists([id.0.as_bytes()])? {
        return Err(Error::missing("inbox row", id).into());
    }
    Ok(())
}

/// Gives a row up, so that any gateway may claim it.
pub(crate) fn leave(conn: &Connection, id: InboxId) -> Result<(), Fault> {
    let left = conn.prepare_cached(LEAVE)?.execute([id.0.as_bytes()])?;
    if left == 0 { Err(Error::missing("inbox row", id).into()) } else { Ok(()) }
}

/// Whether the row was a message that still waited.
pub(crate) fn replace(conn: &Connection, id: InboxId, message: MessageText) -> Result<bool, Fault> {
    let mut find = conn.prepare_cached(INBOX_BY_ID)?;
    let found = find.query_and_then([id.0.as_bytes()], inbox_row)?.next().transpose()?;
    let mut row = found.ok_or_else(|| Error::missing("inbox row", id))?;
    let InboundKind::Message(text) = &mut row.inbound.kind else { return Ok(false) };
    if matches!(row.state, InboxState::Closed { .. }) || event::started(conn, &row.run)? {
        return Ok(false);
    }
    *text = message;
    conn.prepare_cached(REPLACE)?.execute(params![json(&row.inbound), id.0.as_bytes()])?;
    Ok(true)
}

pub(crate) fn open_inbox(
    conn: &Connection,
    after: Option<InboxId>,
    most: usize,
) -> Result<Vec<InboxRow>, Fault> {
    // No bytes at all come before every id.
    let after = after.as_ref().map_or(&[][..], |id| id.0.as_bytes());
    conn.prepare_cached(INBOX_OPEN)?
        .query_and_then(params![after, limit(most)], inbox_row)?
        .collect()
}

pub(crate) fn inbox_row_of(
    conn: &Connection,
    channel: &ChannelId,
    account: &AccountId,
    external: &ExternalId,
) -> Result<Option<InboxRow>, Fault> {
    let key = [channel.as_str(), account.as_str(), external.as_str()];
    conn.prepare_cached(INBOX_BY_EXTERNAL)?.query_and_then(key, inbox_row)?.next().transpose()
}

/// Hands over open rows that no living gateway has, the oldest first, as long as `more` says so.
pub(crate) fn each_orphan(
    conn: &Connection,
    mut more: impl FnMut(InboxRow) -> bool,
) -> Result<(), Fault> {
    let mut orphans = conn.prepare_cached(ORPHANS)?;
    for row in orphans.query_and_then([], inbox_row)? {
        if !more(row?) {
            break;
        }
    }
    Ok(())
}

pub(crate) fn inbox_of(conn: &Connection, key: &InboxKey) -> Result<Option<InboxRow>, Fault> {
    let (sql, values): (_, Vec<Box<dyn ToSql>>) = match key {
        InboxKey::Id(id) => (INBOX_BY_ID, vec![Box::new(*id.0.as_bytes())]),
        InboxKey::Run(run) => (INBOX_OF_RUN, vec![Box::new(run.to_string())]),
        InboxKey::Trace(trace) => {
            let (low, high) = made_beside(*trace);
            (INBOX_OF_TRACE, vec![Box::new(low), Box::new(high), Box::new(*trace.0.as_bytes())])
        }
    };
    conn.prepare_cached(sql)?
        .query_and_then(params_from_iter(values), inbox_row)?
        .next()
        .transpose()
}

/// The ids that were made within a second of a trace: a row and its trace are made together, and
/// both begin with the time of their making.
fn made_beside(trace: TraceId) -> ([u8; 16], [u8; 16]) {
    let made = (trace.0.as_u128() >> 80) as u64;
    let at = |ms: u64| (u128::from(ms) << 80).to_be_bytes();
    (at(made.saturating_sub(1000)), at(made + 1001))
}

pub(crate) fn inbox(conn: &Connection, filter: &RowFilter) -> Result<Vec<InboxRow>, Fault> {
    conn.prepare_cached(INBOX_NEWEST)?
        .query_and_then(params![json(&filter.states), limit(filter.limit)], inbox_row)?
        .collect()
}

pub(crate) fn outbox_by_id(conn: &Connection, id: OutboxId) -> Result<Option<OutboxRow>, Fault> {
    let mut find = conn.prepare_cached(OUTBOX_ROW)?;
    find.query_and_then([id.0.as_bytes()], outbox_row)?.next().transpose()
}

pub(crate) fn outbox(conn: &Connection, filter: &RowFilter) -> Result<Vec<OutboxRow>, Fault> {
    conn.prepare_cached(OUTBOX_NEWEST)?
        .query_and_then(params![json(&filter.states), limit(filter.limit)], outbox_row)?
        .collect()
}

/// Rows that wait on accounts held under an epoch, and belong to another one.
pub(crate) fn unclaimed_outbox(
    conn: &Connection,
    epoch: i64,
    most: i64,
) -> Result<Vec<OutboxRow>, Fault> {
    conn.prepare_cached(OUTBOX_UNCLAIMED)?.query_and_then([epoch, most], outbox_row)?.collect()
}

/// When the oldest open row was accepted.
pub(crate) fn oldest_open(conn: &Connection) -> Result<Option<Timestamp>, Fault> {
    let at: Option<i64> = conn.prepare_cached(OLDEST_OPEN)?.query_row([], |row| row.get(0))?;
    Ok(at.map(millis))
}

/// Takes out old closed rows among the oldest `most`; how many went.
pub(crate) fn forget_inbox(
    conn: &Connection,
    before: Timestamp,
    most: usize,
) -> Result<usize, Fault> {
    let span = params![before.as_millisecond(), limit(most)];
    Ok(conn.prepare_cached(FORGET_INBOX)?.execute(span)?)
}

/// Takes out old rows among the `most` that were queued first and are done; how many went.
pub(crate) fn forget_outbox(
    conn: &Connection,
    before: Timestamp,
    most: usize,
) -> Result<usize, Fault> {
    let span = params![before.as_millisecond(), limit(most)];
    Ok(conn.prepare_cached(FORGET_OUTBOX)?.execute(span)?)
}

/// Queues a row and returns the order that it was given.
pub(crate) fn enqueue(conn: &Connection, row: &OutboxRow) -> Result<u64, Fault> {
    let target = &row.outbound.target;
    let order = match (newest_order(conn, target)?, row.part) {
        (newest, 0) => newest.unwrap_or(0) + 1,
        (Some(newest), _) => newest,
        (None, _) => return Err(Error::missing("the first part before outbox row", row.id).into()),
    };
    let columns = params![
        row.id.0.as_bytes(),
        row.trace.0.as_bytes(),
        target.channel.as_str(),
        target.account.as_str(),
        target.chat.as_str(),
        target.thread.as_ref().map(claw_domain::ThreadId::as_str),
        count(order),
        row.part,
        row.not_before.as_millisecond(),
        row.expires_at.as_millisecond(),
        row.outbound.idempotency_key,
        node(row.fence.owner),
        count(row.fence.epoch),
        row.state.word(),
        json(&row.state),
        json(&row.outbound.action),
    ];
    let queued = conn.prepare_cached(ENQUEUE)?.execute(columns);
    queued.map_err(|error| Fault::insert(error, "outbox row", row.id))?;
    Ok(order)
}

pub(crate) fn deliver(
    conn: &Connection,
    id: OutboxId,
    to: &DeliveryState,
    not_before: Option<Timestamp>,
) -> Result<(), Fault> {
    let not_before = not_before.map(Timestamp::as_millisecond);
    let columns = params![to.word(), json(to), not_before, id.0.as_bytes()];
    let moved = conn.prepare_cached(DELIVER)?.execute(columns)?;
    if moved == 0 && !conn.prepare_cached(OUTBOX_BY_ID)?.exists([id.0.as_bytes()])? {
        return Err(Error::missing("outbox row", id).into());
    }
    Ok(())
}

pub(crate) fn pending_outbox(conn: &Connection, most: usize) -> Result<Vec<OutboxRow>, Fault> {
    conn.prepare_cached(OUTBOX_PENDING)?.query_and_then([limit(most)], outbox_row)?.collect()
}

pub(crate) fn outbox_of(conn: &Connection, trace: TraceId) -> Result<Vec<OutboxRow>, Fault> {
    conn.prepare_cached(OUTBOX_OF_TRACE)?
        .query_and_then([trace.0.as_bytes()], outbox_row)?
        .collect()
}

/// The order of the target's newest message. Two statements, since SQLite finds a maximum in an
/// index by `=` and by `IS NULL`, and by `IS ?` only after reading all rows of the chat.
fn newest_order(conn: &Connection, target: &Target) -> Result<Option<u64>, Fault> {
    let Target { channel, account, chat, thread } = target;
    let of_chat = [channel.as_str(), account.as_str(), chat.as_str()];
    let newest: Option<i64> = match thread {
        None => conn.prepare_cached(PLACE_NO_THREAD)?.query_row(of_chat, |row| row.get(0))?,
        Some(thread) => {
            let [channel, account, chat] = of_chat;
            let of_thread = [channel, account, chat, thread.as_str()];
            conn.prepare_cached(PLACE)?.query_row(of_thread, |row| row.get(0))?
        }
    };
    newest
        .map(|place| u64::try_from(place).map_err(|error| Fault::corrupt("order", error)))
        .transpose()
}

fn inbox_row(row: &Row<'_>) -> Result<InboxRow, Fault> {
    Ok(InboxRow {
        id: InboxId(row.uuid(0)?),
        trace: TraceId(row.uuid(1)?),
        inbound: row.json(2, "inbox row")?,
        run: row.text::<RunId>(3)?,
        received_at: row.time(4)?,
        state: row.json(5, "inbox row")?,
        fence: row.fence(6, 7)?,
    })
}

fn outbox_row(row: &Row<'_>) -> Result<OutboxRow, Fault> {
    let target = Target {
        channel: row.text(2)?,
        account: row.text(3)?,
        chat: row.text(4)?,
        thread: row.text_if(5)?,
    };
    Ok(OutboxRow {
        id: OutboxId(row.uuid(0)?),
        trace: TraceId(row.uuid(1)?),
        outbound: Outbound {
            target,
            action: row.json(6, "outbox row")?,
            idempotency_key: row.text(7)?,
        },
        order: row.number(8)?,
        part: row.get(9)?,
        not_before: row.time(10)?,
        expires_at: row.time(11)?,
        state: row.json(12, "outbox row")?,
        fence: row.fence(13, 14)?,
    })
}

/// For the test of query plans.
#[cfg(test)]
pub(crate) const HOT: [&str; 13] = [
    RECEIVE,
    ADVANCE,
    REPLACE,
    INBOX_BY_ID,
    INBOX_BY_EXTERNAL,
    INBOX_OPEN,
    PLACE,
    PLACE_NO_THREAD,
    ENQUEUE,
    DELIVER,
    OUTBOX_BY_ID,
    OUTBOX_PENDING,
    OUTBOX_OF_TRACE,
];

//! The log.

use claw_domain::{Event, EventHeader, EventId, NodeId, RunId, Seq, SessionKey, TraceId, Usage};
use claw_store::{NewEvent, Totals};
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::{
    column::{Columns, count, event_id, json, limit, to_event_id},
    error::Fault,
    retention,
};

macro_rules! select {
    ($rest:literal) => {
        concat!("SELECT seq, id, trace, cause, session, at, body, imported FROM events ", $rest)
    };
}

const APPEND: &str = "INSERT INTO events (id, trace, cause, session, kind, at, run, body, imported)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)";
const NEWEST: &str = "SELECT coalesce(max(seq), 0) FROM events";
const OF_RUN: &str = select!("WHERE run = ? ORDER BY seq");
const AFTER: &str = select!("WHERE seq > ? ORDER BY seq LIMIT ?");
const KNOWN: &str = "SELECT 1 FROM events WHERE id = ?";
const OF_TRACE: &str = select!("WHERE id BETWEEN ? AND ? AND trace = ? ORDER BY seq");
/// Reads the whole log: asked only when an event comes out of order.
const OF_SESSION: &str = select!("WHERE session = ? ORDER BY id");
const BY_ID: &str = select!("WHERE id = ?");
const BETWEEN: &str = select!("WHERE id > ? AND id < ? ORDER BY id LIMIT ?");
/// The newest event stays, since its place is where the next one's is counted from.
const FORGET: &str = "DELETE FROM events WHERE id = ? AND seq < (SELECT max(seq) FROM events)";
const FORGET_AT: &str = "DELETE FROM events WHERE seq = ?";
/// The last 8 bytes of an id are its node. Read once per start, and nearly always the first row.
const NEWEST_ID: &str = "SELECT id FROM events WHERE substr(id, 9) = ? ORDER BY id DESC LIMIT 1";
const STARTED: &str = "SELECT 1 FROM events WHERE run = ? AND kind = 'runStarted'";
const USED: &str = "UPDATE usage SET input = input + ?, output = output + ?,
    cache_read = cache_read + ?, cache_write = cache_write + ?";
/// Places are given without gaps, so what was not folded is the newest one less what was.
const TOTALS: &str = "SELECT
    (SELECT coalesce(max(seq), 0) FROM events) - (SELECT events FROM snapshot),
    (SELECT count(*) FROM inbox WHERE state <> 'closed'),
    (SELECT count(*) FROM outbox WHERE state = 'pending'),
    (SELECT count(*) FROM outbox WHERE state = 'dead'),
    input, output, cache_read, cache_write FROM usage";
const PROBE: &str = "UPDATE probe SET count = count + 1";

/// Appends to the log and returns the event's place.
pub(crate) fn append(conn: &Connection, event: &NewEvent, imported: bool) -> Result<i64, Fault> {
    let NewEvent { header, body } = event;
    let row = params![
        event_id(header.id),
        header.trace.0.as_bytes(),
        header.cause.map(event_id),
        header.session.as_ref().map(claw_domain::SessionKey::as_str),
        body.kind(),
        header.at.as_millisecond(),
        event.run().map(RunId::as_str),
        json(body),
        imported,
    ];
    match conn.prepare_cached(APPEND)?.insert(row) {
        Ok(seq) => Ok(seq),
        Err(error) => Err(Fault::insert(error, "event", header.id)),
    }
}

pub(crate) fn newest(conn: &Connection) -> Result<Seq, Fault> {
    conn.prepare_cached(NEWEST)?.query_row([], |row| Ok(row.number(0).map(Seq)))?
}

pub(crate) fn started(conn: &Connection, run: &RunId) -> Result<bool, Fault> {
    Ok(conn.prepare_cached(STARTED)?.exists([run.as_str()])?)
}

pub(crate) fn of_run(conn: &Connection, run: &RunId) -> Result<Vec<Event>, Fault> {
    conn.prepare_cached(OF_RUN)?.query_and_then([run.as_str()], event)?.collect()
}

pub(crate) fn after(conn: &Connection, after: Seq, most: usize) -> Result<Vec<Event>, Fault> {
    conn.prepare_cached(AFTER)?.query_and_then([count(after.0), limit(most)], event)?.collect()
}

pub(crate) fn known(conn: &Connection, id: EventId) -> Result<bool, Fault> {
    Ok(conn.prepare_cached(KNOWN)?.exists([event_id(id)])?)
}

/// The events that were written within a day of a trace's making, and an hour before, since ids go
/// on from the newest when the clock is set back.
pub(crate) fn of_trace(conn: &Connection, trace: TraceId) -> Result<Vec<Event>, Fault> {
    const HOUR_MS: u64 = 3_600_000;
    let made = (trace.0.as_u128() >> 80) as u64;
    let at = |ms: u64| event_id(EventId::new(ms, 0, NodeId(0)));
    let span =
        params![at(made.saturating_sub(HOUR_MS)), at(made + 24 * HOUR_MS), trace.0.as_bytes()];
    conn.prepare_cached(OF_TRACE)?.query_and_then(span, event)?.collect()
}

/// All events of a session, in the order of their ids.
pub(crate) fn of_session(conn: &Connection, key: &SessionKey) -> Result<Vec<Event>, Fault> {
    conn.prepare_cached(OF_SESSION)?.query_and_then([key.as_str()], event)?.collect()
}

pub(crate) fn by_id(conn: &Connection, id: EventId) -> Result<Option<Event>, Fault> {
    conn.prepare_cached(BY_ID)?.query_and_then([event_id(id)], event)?.next().transpose()
}

pub(crate) fn newest_id(conn: &Connection, node: NodeId) -> Result<Option<EventId>, Fault> {
    let mut newest = conn.prepare_cached(NEWEST_ID)?;
    let id = newest.query_row([node.0.to_be_bytes()], |row| row.get(0)).optional()?;
    Ok(id.map(to_event_id).max(retention::clock_of(conn, node)?))
}

/// Events whose ids are between two others, in the order of ids.
pub(crate) fn between(
    conn: &Connection,
    after: EventId,
    before: EventId,
    most: usize,
) -> Result<Vec<Event>, Fault> {
    let span = params![event_id(after), event_id(before), limit(most)];
    conn.prepare_cached(BETWEEN)?.query_and_then(span, event)?.collect()
}

/// Takes an event out of the log, unless it is the newest; how many went.
pub(crate) fn forget(conn: &Connection, id: EventId) -> Result<u64, Fault> {
    Ok(conn.prepare_cached(FORGET)?.execute([event_id(id)])? as u64)
}

pub(crate) fn forget_at(conn: &Connection, seq: Seq) -> Result<(), Fault> {
    conn.prepare_cached(FORGET_AT)?.execute([count(seq.0)])?;
    Ok(())
}

pub(crate) fn used(conn: &Connection, usage: &Usage) -> Result<(), Fault> {
    let row = [usage.input, usage.output, usage.cache_read, usage.cache_write].map(count);
    conn.prepare_cached(USED)?.execute(row)?;
    Ok(())
}

pub(crate) fn totals(conn: &Connection) -> Result<Totals, Fault> {
    conn.prepare_cached(TOTALS)?.query_row([], |row| Ok(totals_of(row)))?
}

pub(crate) fn probe(conn: &Connection) -> Result<(), Fault> {
    conn.prepare_cached(PROBE)?.execute([])?;
    Ok(())
}

fn totals_of(row: &Row<'_>) -> Result<Totals, Fault> {
    let usage = Usage {
        input: row.number(4)?,
        output: row.number(5)?,
        cache_read: row.number(6)?,
        cache_write: row.number(7)?,
    };
    Ok(Totals {
        events: row.number(0)?,
        inbox_open: row.number(1)?,
        outbox_pending: row.number(2)?,
        outbox_dead: row.number(3)?,
        usage,
    })
}

fn event(row: &Row<'_>) -> Result<Event, Fault> {
    let header = EventHeader {
        id: to_event_id(row.get(1)?),
        trace: TraceId(row.uuid(2)?),
        cause: row.get::<_, Option<_>>(3)?.map(to_event_id),
        session: row.text_if(4)?,
        at: row.time(5)?,
    };
    Ok(Event {
        seq: Seq(row.number(0)?),
        header,
        body: row.json(6, "event")?,
        imported: row.get(7)?,
    })
}

/// For the test of query plans.
#[cfg(test)]
pub(crate) const HOT: [&str; 7] = [APPEND, NEWEST, OF_RUN, AFTER, BY_ID, STARTED, USED];

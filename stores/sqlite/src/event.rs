//! The log.

use claw_domain::{Event, EventHeader, EventId, NodeId, RunId, Seq, TraceId, Usage};
use claw_store::{NewEvent, Totals};
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::{
    column::{Columns, count, event_id, json, limit, to_event_id},
    error::Fault,
};

macro_rules! select {
    ($rest:literal) => {
        concat!("SELECT seq, id, trace, cause, session, at, body FROM events ", $rest)
    };
}

const APPEND: &str = "INSERT INTO events (id, trace, cause, session, kind, at, run, body)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?)";
const NEWEST: &str = "SELECT coalesce(max(seq), 0) FROM events";
const OF_RUN: &str = select!("WHERE run = ? ORDER BY seq");
const AFTER: &str = select!("WHERE seq > ? ORDER BY seq LIMIT ?");
const BY_ID: &str = select!("WHERE id = ?");
/// The last 8 bytes of an id are its node. Read once per start, and nearly always the first row.
const NEWEST_ID: &str = "SELECT id FROM events WHERE substr(id, 9) = ? ORDER BY id DESC LIMIT 1";
const STARTED: &str = "SELECT 1 FROM events WHERE run = ? AND kind = 'runStarted'";
const USED: &str = "UPDATE usage SET input = input + ?, output = output + ?,
    cache_read = cache_read + ?, cache_write = cache_write + ?";
/// The log has no gaps, so its newest place is its length.
const TOTALS: &str = "SELECT
    (SELECT coalesce(max(seq), 0) FROM events),
    (SELECT count(*) FROM inbox WHERE state <> 'closed'),
    (SELECT count(*) FROM outbox WHERE state = 'pending'),
    (SELECT count(*) FROM outbox WHERE state = 'dead'),
    input, output, cache_read, cache_write FROM usage";
const PROBE: &str = "UPDATE probe SET count = count + 1";

/// Appends to the log and returns the event's place.
pub(crate) fn append(conn: &Connection, event: &NewEvent) -> Result<i64, Fault> {
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

pub(crate) fn by_id(conn: &Connection, id: EventId) -> Result<Option<Event>, Fault> {
    conn.prepare_cached(BY_ID)?.query_and_then([event_id(id)], event)?.next().transpose()
}

pub(crate) fn newest_id(conn: &Connection, node: NodeId) -> Result<Option<EventId>, Fault> {
    let mut newest = conn.prepare_cached(NEWEST_ID)?;
    let id = newest.query_row([node.0.to_be_bytes()], |row| row.get(0)).optional()?;
    Ok(id.map(to_event_id))
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
    Ok(Event { seq: Seq(row.number(0)?), header, body: row.json(6, "event")? })
}

/// For the test of query plans.
#[cfg(test)]
pub(crate) const HOT: [&str; 7] = [APPEND, NEWEST, OF_RUN, AFTER, BY_ID, STARTED, USED];

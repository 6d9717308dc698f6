//! The log.

use claw_domain::{Event, EventHeader, EventId, NodeId, RunId, Seq, SessionKey, TraceId, Usage};
use claw_store::{Error, NewEvent, Totals};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::{
    column::{Columns, count, event_id, json, limit, node, text, to_event_id},
    conn::{Conn, columns, values},
    error::Fault,
    readers::Readers,
};

macro_rules! select {
    ($rest:literal) => {
        concat!("SELECT seq, id, trace, cause, session, at, body, imported FROM events ", $rest)
    };
}

const APPEND: &str = "INSERT INTO events
    (seq, node, id, trace, cause, session, kind, at, run, imported, body)
    SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::uuid[], $4::uuid[], $5::uuid[],
    $6::text[], $7::text[], $8::bigint[], $9::text[], $10::boolean[], $11::text[])";
const GROW: &str = "UPDATE log SET newest = $1, input = input + $2, output = output + $3,
    cache_read = cache_read + $4, cache_write = cache_write + $5";
const KNOWN: &str = "SELECT id FROM events WHERE id = ANY($1)";
const STARTED: &str = "SELECT run FROM events WHERE run = ANY($1) AND kind = 'runStarted'";
const OF_SESSIONS: &str = select!("WHERE session = ANY($1) ORDER BY id");
const BETWEEN: &str = select!("WHERE id > $1 AND id < $2 ORDER BY id LIMIT $3");
/// The newest event stays, as in every other store.
const FORGET: &str = "DELETE FROM events WHERE id = ANY($1) AND seq < (SELECT newest FROM log)";
const FORGET_AT: &str = "DELETE FROM events WHERE seq = ANY($1)";
const PROBE: &str = "UPDATE log SET newest = newest";

/// What the writer asks and writes here.
pub(crate) const WRITER: [&str; 9] =
    [APPEND, GROW, KNOWN, STARTED, OF_SESSIONS, BETWEEN, FORGET, FORGET_AT, PROBE];

const OF_RUN: &str = select!("WHERE run = $1 ORDER BY seq");
const OF_TRACE: &str = select!("WHERE id BETWEEN $1 AND $2 AND trace = $3 ORDER BY seq");
const AFTER: &str = select!("WHERE seq > $1 ORDER BY seq LIMIT $2");
const BY_ID: &str = select!("WHERE id = $1");
const NEWEST_ID: &str = "SELECT id FROM events WHERE node = $1 ORDER BY id DESC LIMIT 1";
/// Places are given without gaps, so what was not folded is the newest one less what was.
const TOTALS: &str = "SELECT newest - (SELECT events FROM snapshot),
    (SELECT count(*) FROM inbox WHERE state <> 'closed'),
    (SELECT count(*) FROM outbox WHERE state = 'pending'),
    (SELECT count(*) FROM outbox WHERE state = 'dead'),
    input, output, cache_read, cache_write FROM log";
const NOW: &str = "SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint";

/// An event on its way into the log.
pub(crate) struct Line {
    seq: i64,
    node: i64,
    id: Uuid,
    trace: Uuid,
    cause: Option<Uuid>,
    session: Option<String>,
    kind: &'static str,
    at: i64,
    run: Option<String>,
    imported: bool,
    body: String,
}

impl Line {
    pub(crate) fn new(seq: u64, event: &NewEvent, imported: bool) -> Self {
        let NewEvent { header, body } = event;
        Self {
            seq: count(seq),
            node: node(header.id.node()),
            id: event_id(header.id),
            trace: header.trace.0,
            cause: header.cause.map(event_id),
            session: header.session.as_ref().map(|key| text(key.as_str()).into_owned()),
            kind: body.kind(),
            at: header.at.as_millisecond(),
            run: event.run().map(|run| text(run.as_str()).into_owned()),
            imported,
            body: json(body),
        }
    }
}

pub(crate) async fn append(conn: &Conn, lines: &[Line]) -> Result<(), Fault> {
    columns!(lines: seq node id trace cause session kind at run imported body);
    let values = values![seq node id trace cause session kind at run imported body];
    conn.execute(APPEND, values).await.map(drop)
}

/// Notes the newest place, and tokens that were used.
pub(crate) async fn grow(conn: &Conn, newest: u64, used: &Usage) -> Result<(), Fault> {
    let newest = count(newest);
    let [input, output, read, write] =
        [used.input, used.output, used.cache_read, used.cache_write].map(count);
    conn.execute(GROW, &[&newest, &input, &output, &read, &write]).await.map(drop)
}

/// Those of these events that the log holds.
pub(crate) async fn known(conn: &Conn, ids: &[EventId]) -> Result<Vec<EventId>, Fault> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<Uuid> = ids.iter().copied().map(event_id).collect();
    let rows = conn.query(KNOWN, &[&ids]).await?;
    rows.iter().map(|row| row.event_id(0)).collect()
}

/// Those of these runs that have begun.
pub(crate) async fn started(conn: &Conn, runs: &[&RunId]) -> Result<Vec<RunId>, Fault> {
    if runs.is_empty() {
        return Ok(Vec::new());
    }
    let runs: Vec<_> = runs.iter().map(|run| text(run.as_str())).collect();
    conn.query(STARTED, &[&runs]).await?.iter().map(|row| row.text(0)).collect()
}

/// All events of these sessions, in the order of their ids.
pub(crate) async fn of_sessions(conn: &Conn, keys: &[&SessionKey]) -> Result<Vec<Event>, Fault> {
    let keys: Vec<_> = keys.iter().map(|key| text(key.as_str())).collect();
    conn.query(OF_SESSIONS, &[&keys]).await?.iter().map(event).collect()
}

/// Events whose ids are between two others, in the order of ids.
pub(crate) async fn between(
    conn: &Conn,
    after: EventId,
    before: EventId,
    most: usize,
) -> Result<Vec<Event>, Fault> {
    let rows = conn.query(BETWEEN, &[&event_id(after), &event_id(before), &limit(most)]).await?;
    rows.iter().map(event).collect()
}

/// Takes events out of the log, but for the newest; how many went.
pub(crate) async fn forget(conn: &Conn, ids: &[EventId]) -> Result<u64, Fault> {
    let ids: Vec<Uuid> = ids.iter().copied().map(event_id).collect();
    conn.execute(FORGET, &[&ids]).await
}

pub(crate) async fn forget_at(conn: &Conn, places: &[i64]) -> Result<(), Fault> {
    conn.execute(FORGET_AT, &[&places]).await.map(drop)
}

/// Writes what cannot be read.
pub(crate) async fn probe(conn: &Conn) -> Result<(), Fault> {
    conn.execute(PROBE, &[]).await.map(drop)
}

pub(crate) async fn of_run(readers: &Readers, run: &RunId) -> Result<Vec<Event>, Error> {
    readers.all(OF_RUN, &[&text(run.as_str())], event).await
}

/// The events that were written within a day of a trace's making, and an hour before, since ids go
/// on from the newest when a clock is set back.
pub(crate) async fn of_trace(readers: &Readers, trace: TraceId) -> Result<Vec<Event>, Error> {
    const HOUR_MS: u64 = 3_600_000;
    let made = (trace.0.as_u128() >> 80) as u64;
    let at = |ms: u64| event_id(EventId::new(ms, 0, NodeId(0)));
    let (from, to) = (at(made.saturating_sub(HOUR_MS)), at(made + 24 * HOUR_MS));
    readers.all(OF_TRACE, &[&from, &to, &trace.0], event).await
}

pub(crate) async fn after(readers: &Readers, after: Seq, most: usize) -> Result<Vec<Event>, Error> {
    readers.all(AFTER, &[&count(after.0), &limit(most)], event).await
}

pub(crate) async fn by_id(readers: &Readers, id: EventId) -> Result<Option<Event>, Error> {
    readers.first(BY_ID, &[&event_id(id)], event).await
}

pub(crate) async fn newest_id(readers: &Readers, of: NodeId) -> Result<Option<EventId>, Error> {
    readers.first(NEWEST_ID, &[&node(of)], |row| row.event_id(0)).await
}

pub(crate) async fn totals(readers: &Readers) -> Result<Totals, Error> {
    let totals = readers.first(TOTALS, &[], totals_of).await?;
    totals.ok_or_else(|| Error::Corrupt { what: "log".into(), source: "it has no row".into() })
}

/// The server's clock.
pub(crate) async fn now(readers: &Readers) -> Result<claw_domain::Timestamp, Error> {
    let now = readers.first(NOW, &[], |row| row.time(0)).await?;
    now.ok_or_else(|| Error::Engine("the server did not tell the time".into()))
}

fn totals_of(row: &Row) -> Result<Totals, Fault> {
    Ok(Totals {
        events: row.number(0)?,
        inbox_open: row.number(1)?,
        outbox_pending: row.number(2)?,
        outbox_dead: row.number(3)?,
        usage: Usage {
            input: row.number(4)?,
            output: row.number(5)?,
            cache_read: row.number(6)?,
            cache_write: row.number(7)?,
        },
    })
}

fn event(row: &Row) -> Result<Event, Fault> {
    let header = EventHeader {
        id: row.event_id(1)?,
        trace: TraceId(row.value(2)?),
        cause: row.value::<Option<Uuid>>(3)?.map(to_event_id),
        session: row.text_if(4)?,
        at: row.time(5)?,
    };
    Ok(Event {
        seq: Seq(row.number(0)?),
        header,
        body: row.json(6, "event")?,
        imported: row.value(7)?,
    })
}

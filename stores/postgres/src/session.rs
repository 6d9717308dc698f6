//! Sessions: each one record, folded from its events.

use claw_domain::{AgentId, EventId, Session, SessionKey, Timestamp};
use claw_store::{Error, SessionFilter};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::{
    column::{Columns, event_id, json, limit, text, to_event_id},
    conn::{Conn, columns, values},
    error::Fault,
    readers::Readers,
};

const KNOWN: &str = "SELECT asked.key, record, newest FROM unnest($1::text[]) AS asked (key)
    LEFT JOIN sessions ON sessions.key = asked.key LEFT JOIN gone ON gone.key = asked.key";
const PUT: &str = "INSERT INTO sessions (key, agent, updated_at, record)
    SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[])
    ON CONFLICT (key) DO UPDATE SET agent = excluded.agent, updated_at = excluded.updated_at,
    record = excluded.record";
const DELETE: &str = "DELETE FROM sessions WHERE key = ANY($1)";
const PUT_GONE: &str = "INSERT INTO gone (key, newest) SELECT * FROM unnest($1::text[], $2::uuid[])
    ON CONFLICT (key) DO UPDATE SET newest = excluded.newest";

/// What the writer asks and writes here.
pub(crate) const WRITER: [&str; 4] = [KNOWN, PUT, DELETE, PUT_GONE];

const FIND: &str = "SELECT record FROM sessions WHERE key = $1";
const LIST: &str = "SELECT record FROM sessions
    WHERE updated_at >= $1 AND ($2::text IS NULL OR agent = $2)
    ORDER BY updated_at DESC, key LIMIT $3";

/// A session and how far it is folded, also when nothing is left of it.
pub(crate) struct Standing {
    pub(crate) session: Option<Session>,
    pub(crate) newest: EventId,
}

/// A session on its way into its table.
struct Record {
    key: String,
    agent: String,
    updated_at: i64,
    record: String,
}

pub(crate) async fn known(
    conn: &Conn,
    keys: &[&SessionKey],
) -> Result<Vec<(SessionKey, Standing)>, Fault> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let keys: Vec<_> = keys.iter().map(|key| text(key.as_str())).collect();
    conn.query(KNOWN, &[&keys]).await?.iter().map(standing).collect()
}

/// Writes sessions as they are now; of one that is gone, how far it was folded.
pub(crate) async fn put(conn: &Conn, all: &[(&SessionKey, &Standing)]) -> Result<(), Fault> {
    let living = all.iter().filter_map(|(key, standing)| Some((key, standing.session.as_ref()?)));
    let records: Vec<Record> = living
        .map(|(key, session)| Record {
            key: text(key.as_str()).into_owned(),
            agent: text(session.agent.as_str()).into_owned(),
            updated_at: session.updated_at.as_millisecond(),
            record: json(session),
        })
        .collect();
    let gone = all.iter().filter(|(_, standing)| standing.session.is_none());
    let (gone, newest): (Vec<_>, Vec<Uuid>) =
        gone.map(|(key, standing)| (text(key.as_str()), event_id(standing.newest))).unzip();
    let put = async {
        if records.is_empty() {
            return Ok(0);
        }
        columns!(records: key agent updated_at record);
        conn.execute(PUT, values![key agent updated_at record]).await
    };
    let forget = async {
        if gone.is_empty() {
            return Ok(0);
        }
        let deleted = async { conn.execute(DELETE, values![gone]).await };
        let put = async { conn.execute(PUT_GONE, values![gone newest]).await };
        let (put, deleted) = futures_util::join!(put, deleted);
        put.and(deleted)
    };
    let (put, forgotten) = futures_util::join!(put, forget);
    put.and(forgotten).map(drop)
}

pub(crate) async fn find(readers: &Readers, key: &SessionKey) -> Result<Option<Session>, Error> {
    readers.first(FIND, &[&text(key.as_str())], |row| row.json(0, "session")).await
}

pub(crate) async fn list(readers: &Readers, filter: &SessionFilter) -> Result<Vec<Session>, Error> {
    let since = filter.updated_since.map_or(i64::MIN, Timestamp::as_millisecond);
    let agent = filter.agent.as_ref().map(AgentId::as_str).map(text);
    let most = limit(filter.limit.unwrap_or(usize::MAX));
    readers.all(LIST, &[&since, &agent, &most], |row| row.json(0, "session")).await
}

fn standing(row: &Row) -> Result<(SessionKey, Standing), Fault> {
    let key = row.text(0)?;
    let session: Option<Session> = match row.value::<Option<&str>>(1)? {
        Some(_) => Some(row.json(1, "session")?),
        None => None,
    };
    let newest = match &session {
        Some(session) => session.newest,
        None => row.value::<Option<Uuid>>(2)?.map(to_event_id).unwrap_or_default(),
    };
    Ok((key, Standing { session, newest }))
}

//! Sessions: each one record, folded from its events.

use claw_domain::{Event, EventBody, EventHeader, EventId, Session, SessionKey};
use claw_store::{Error, SessionFilter, fold_session};
use rusqlite::{Connection, OptionalExtension, params};

use crate::{
    column::{Columns, event_id, json, limit, to_event_id},
    error::Fault,
    event, retention,
};

const FIND: &str = "SELECT record FROM sessions WHERE key = ?";
const PUT: &str = "INSERT INTO sessions (key, agent, updated_at, record) VALUES (?, ?, ?, ?)
    ON CONFLICT DO UPDATE SET agent = excluded.agent, updated_at = excluded.updated_at,
    record = excluded.record";
const DELETE: &str = "DELETE FROM sessions WHERE key = ?";
const GONE: &str = "SELECT newest FROM gone WHERE key = ?";
const PUT_GONE: &str = "INSERT INTO gone (key, newest) VALUES (?, ?)
    ON CONFLICT DO UPDATE SET newest = excluded.newest";
const LIST: &str = "SELECT record FROM sessions INDEXED BY sessions_newest
    WHERE updated_at >= ?1 AND (?2 IS NULL OR agent = ?2)
    ORDER BY updated_at DESC, key LIMIT ?3";

pub(crate) fn find(conn: &Connection, key: &SessionKey) -> Result<Option<Session>, Fault> {
    let mut find = conn.prepare_cached(FIND)?;
    find.query_and_then([key.as_str()], |row| row.json(0, "session"))?.next().transpose()
}

pub(crate) fn list(conn: &Connection, filter: &SessionFilter) -> Result<Vec<Session>, Fault> {
    let since = filter.updated_since.map_or(i64::MIN, claw_domain::Timestamp::as_millisecond);
    let agent = filter.agent.as_ref().map(claw_domain::AgentId::as_str);
    let row = params![since, agent, limit(filter.limit.unwrap_or(usize::MAX))];
    conn.prepare_cached(LIST)?.query_and_then(row, |row| row.json(0, "session"))?.collect()
}

fn gone(conn: &Connection, key: &SessionKey) -> Result<EventId, Fault> {
    let mut find = conn.prepare_cached(GONE)?;
    let newest = find.query_row([key.as_str()], |row| row.get(0)).optional()?;
    Ok(newest.map(to_event_id).unwrap_or_default())
}

/// The sessions that one commit touches: each is read once and written once, however many of its
/// events the commit logs.
#[derive(Default)]
pub(crate) struct Folds {
    touched: Vec<Touched>,
}

struct Touched {
    key: SessionKey,
    session: Option<Session>,
    /// The newest event that was folded, also when it left no session.
    newest: EventId,
    /// Whether an event came out of order, so that all have to be folded again.
    disordered: bool,
}

impl Folds {
    pub(crate) fn fold(
        &mut self,
        conn: &Connection,
        header: &EventHeader,
        body: &EventBody,
        imported: bool,
    ) -> Result<(), Fault> {
        let Some(key) = &header.session else { return Ok(()) };
        let at = match self.touched.iter().position(|touched| touched.key == *key) {
            Some(at) => at,
            None => {
                let session = find(conn, key)?;
                let newest = match &session {
                    Some(session) => session.newest,
                    None => gone(conn, key)?,
                };
                self.touched.push(Touched { key: key.clone(), session, newest, disordered: false });
                self.touched.len() - 1
            }
        };
        let touched = &mut self.touched[at];
        if header.id > touched.newest {
            touched.session = fold_session(touched.session.take(), header, body);
            touched.newest = header.id;
        } else if !imported && retention::base(conn, key)?.covers(header.id) {
            return Err(Error::exists("event", header.id).into());
        } else {
            touched.disordered = true;
        }
        Ok(())
    }

    pub(crate) fn write(self, conn: &Connection) -> Result<(), Fault> {
        for Touched { key, session, newest, disordered } in self.touched {
            match if disordered { refold(conn, &key)? } else { session } {
                Some(session) => put(conn, &session)?,
                None => {
                    conn.prepare_cached(DELETE)?.execute([key.as_str()])?;
                    conn.prepare_cached(PUT_GONE)?
                        .execute(params![key.as_str(), event_id(newest)])?;
                }
            }
        }
        Ok(())
    }
}

/// The session as its events make it, in the order of their ids.
fn refold(conn: &Connection, key: &SessionKey) -> Result<Option<Session>, Fault> {
    let base = retention::base(conn, key)?;
    let events = event::of_session(conn, key)?;
    let fold = |session, event: &Event| fold_session(session, &event.header, &event.body);
    let later = events.iter().filter(|event| !base.covers(event.header.id));
    Ok(later.fold(base.session.clone(), fold))
}

fn put(conn: &Connection, session: &Session) -> Result<(), Fault> {
    let updated_at = session.updated_at.as_millisecond();
    let row = params![session.key.as_str(), session.agent.as_str(), updated_at, json(session)];
    conn.prepare_cached(PUT)?.execute(row)?;
    Ok(())
}

/// For the test of query plans.
#[cfg(test)]
pub(crate) const HOT: [&str; 4] = [FIND, PUT, DELETE, GONE];

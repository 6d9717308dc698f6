//! Sessions: each one record, folded from its events.

use claw_domain::{EventBody, EventHeader, Session, SessionKey};
use claw_store::{SessionFilter, fold_session};
use rusqlite::{Connection, params};

use crate::{
    column::{Columns, json, limit},
    error::Fault,
};

const FIND: &str = "SELECT record FROM sessions WHERE key = ?";
const PUT: &str = "INSERT INTO sessions (key, agent, updated_at, record) VALUES (?, ?, ?, ?)
    ON CONFLICT DO UPDATE SET agent = excluded.agent, updated_at = excluded.updated_at,
    record = excluded.record";
const DELETE: &str = "DELETE FROM sessions WHERE key = ?";
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

/// The sessions that one commit touches: each is read once and written once, however many of its
/// events the commit logs.
#[derive(Default)]
pub(crate) struct Folds {
    touched: Vec<(SessionKey, Option<Session>)>,
}

impl Folds {
    pub(crate) fn fold(
        &mut self,
        conn: &Connection,
        header: &EventHeader,
        body: &EventBody,
    ) -> Result<(), Fault> {
        let Some(key) = &header.session else { return Ok(()) };
        let at = match self.touched.iter().position(|(touched, _)| touched == key) {
            Some(at) => at,
            None => {
                self.touched.push((key.clone(), find(conn, key)?));
                self.touched.len() - 1
            }
        };
        let session = &mut self.touched[at].1;
        *session = fold_session(session.take(), header, body);
        Ok(())
    }

    pub(crate) fn write(self, conn: &Connection) -> Result<(), Fault> {
        for (key, session) in self.touched {
            match session {
                Some(session) => put(conn, &session)?,
                None => drop(conn.prepare_cached(DELETE)?.execute([key.as_str()])?),
            }
        }
        Ok(())
    }
}

fn put(conn: &Connection, session: &Session) -> Result<(), Fault> {
    let updated_at = session.updated_at.as_millisecond();
    let row = params![session.key.as_str(), session.agent.as_str(), updated_at, json(session)];
    conn.prepare_cached(PUT)?.execute(row)?;
    Ok(())
}

/// For the test of query plans.
#[cfg(test)]
pub(crate) const HOT: [&str; 3] = [FIND, PUT, DELETE];

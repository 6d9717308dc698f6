//! Transcripts: walks from a head toward the root, one look-up by primary key per entry.

use std::sync::Arc;

use claw_domain::{Entry, EntryId, Seq, SessionId};
use claw_store::{ContextWalk, Error, Node};
use rusqlite::{CachedStatement, Connection, Row, params};
use uuid::Uuid;

use crate::{
    column::{Columns, count, limit},
    error::Fault,
};

const ADD: &str = "INSERT INTO entries (id, session, parent, tokens, seq) VALUES (?, ?, ?, ?, ?)";
const NODE: &str = "SELECT session, parent, tokens, seq FROM entries WHERE id = ?";
const NEWEST_OF: &str = "SELECT id, seq FROM entries WHERE session = ? ORDER BY seq DESC LIMIT ?";
const FORGET: &str = "DELETE FROM entries WHERE id = ?";
/// The body is read from its page only when it is asked for.
const STEP: &str = "SELECT entries.tokens, events.body FROM entries JOIN events USING (seq)
    WHERE entries.id = ? AND entries.session = ?";

pub(crate) fn add(conn: &Connection, entry: &Entry, seq: i64) -> Result<(), Fault> {
    let row = params![
        entry.id.0.as_bytes(),
        entry.session.0.as_bytes(),
        entry.parent.as_ref().map(|parent| parent.0.as_bytes()),
        count(entry.tokens),
        seq,
    ];
    conn.prepare_cached(ADD)?
        .execute(row)
        .map_err(|error| Fault::insert(error, "entry", entry.id))?;
    match entry.parent {
        Some(parent) if !is_known(conn, parent)? => Err(Error::missing("entry", parent).into()),
        _ => Ok(()),
    }
}

pub(crate) fn is_known(conn: &Connection, id: EntryId) -> Result<bool, Fault> {
    Ok(conn.prepare_cached(NODE)?.exists([id.0.as_bytes()])?)
}

/// An entry's place in the tree.
pub(crate) fn node(conn: &Connection, id: EntryId) -> Result<Option<Node>, Fault> {
    let node = |row: &Row<'_>| {
        let parent: Option<[u8; 16]> = row.get(1)?;
        Ok(Node {
            id,
            session: SessionId(row.uuid(0)?),
            parent: parent.map(|bytes| EntryId(Uuid::from_bytes(bytes))),
            tokens: row.number(2)?,
            seq: Seq(row.number(3)?),
        })
    };
    conn.prepare_cached(NODE)?.query_and_then([id.0.as_bytes()], node)?.next().transpose()
}

/// The entries of a life that were committed last, the newest first.
pub(crate) fn newest_of(
    conn: &Connection,
    life: SessionId,
    most: usize,
) -> Result<Vec<(EntryId, Seq)>, Fault> {
    let entry = |row: &Row<'_>| Ok((EntryId(row.uuid(0)?), Seq(row.number(1)?)));
    conn.prepare_cached(NEWEST_OF)?
        .query_and_then(params![life.0.as_bytes(), limit(most)], entry)?
        .collect()
}

pub(crate) fn forget(conn: &Connection, id: EntryId) -> Result<(), Fault> {
    conn.prepare_cached(FORGET)?.execute([id.0.as_bytes()])?;
    Ok(())
}

pub(crate) fn context(
    conn: &Connection,
    session: SessionId,
    head: EntryId,
    start: Option<EntryId>,
    tokens_max: u64,
) -> Result<Vec<Arc<Entry>>, Fault> {
    let _snapshot = conn.unchecked_transaction()?;
    let mut step = conn.prepare_cached(STEP)?;
    let mut walk = ContextWalk::new(start, tokens_max);
    let mut next = Some(head);
    while let Some(id) = next {
        let Some(entry) = look(&mut step, session, id, |tokens| walk.fits(tokens))? else { break };
        next = walk.take(entry);
    }
    Ok(walk.finish())
}

pub(crate) fn history(
    conn: &Connection,
    session: SessionId,
    head: EntryId,
    limit: usize,
) -> Result<Vec<Arc<Entry>>, Fault> {
    let _snapshot = conn.unchecked_transaction()?;
    let mut step = conn.prepare_cached(STEP)?;
    let mut entries = Vec::new();
    let mut next = Some(head);
    while let Some(id) = next.filter(|_| entries.len() < limit) {
        let Some(entry) = look(&mut step, session, id, |_| true)? else { break };
        next = entry.parent;
        entries.push(entry);
    }
    entries.reverse();
    Ok(entries)
}

/// One entry, unless it is not there or its size does not fit.
fn look(
    step: &mut CachedStatement<'_>,
    session: SessionId,
    id: EntryId,
    fits: impl FnOnce(u64) -> bool,
) -> Result<Option<Arc<Entry>>, Fault> {
    let mut rows = step.query([id.0.as_bytes(), session.0.as_bytes()])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    if !fits(row.number(0)?) {
        return Ok(None);
    }
    // An event's body is its entry with one field more, the kind, which is passed over.
    row.json(1, "entry").map(|entry| Some(Arc::new(entry)))
}

/// For the test of query plans.
#[cfg(test)]
pub(crate) const HOT: [&str; 3] = [ADD, NODE, STEP];

#[cfg(test)]
mod tests {
    use std::path::Path;

    use claw_domain::{
        EntryBody, EventBody, EventHeader, EventId, NodeId, TraceId, UserMessage, millis,
    };
    use claw_store::NewEvent;
    use rusqlite::StatementStatus;
    use uuid::Uuid;

    use super::*;
    use crate::{event, migrate::migrate};

    const SESSION: SessionId = SessionId(Uuid::from_u128(1));

    /// A store that holds one session, a chain of so many entries of one token; and its head.
    fn session_of(entries: u64) -> (Connection, EntryId) {
        let mut conn = Connection::open_in_memory().unwrap();
        migrate(&mut conn, Path::new("f")).unwrap();
        let tx = conn.transaction().unwrap();
        let mut parent = None;
        for number in 1..=entries {
            let id = EntryId(Uuid::from_u128(number.into()));
            let body = EntryBody::User(UserMessage::text("and on"));
            let entry = Entry {
                id,
                session: SESSION,
                parent,
                at: millis(0),
                run: None,
                tokens: 1,
                tokens_sum: number,
                body,
                other: serde_json::Map::new(),
            };
            let header = EventHeader {
                id: EventId::new(number, 0, NodeId(1)),
                trace: TraceId(Uuid::nil()),
                cause: None,
                session: None,
                at: millis(0),
            };
            let new = NewEvent { header, body: EventBody::EntryAdded(entry.clone()) };
            let seq = event::append(&tx, &new, false).unwrap();
            add(&tx, &entry, seq).unwrap();
            parent = Some(id);
        }
        tx.commit().unwrap();
        (conn, parent.unwrap())
    }

    /// How many of its instructions SQLite ran to find the context.
    fn cost(entries: u64, tokens_max: u64) -> (usize, i32) {
        let (conn, head) = session_of(entries);
        let found = context(&conn, SESSION, head, None, tokens_max).unwrap();
        let steps = conn.prepare_cached(STEP).unwrap().get_status(StatementStatus::VmStep);
        (found.len(), steps)
    }

    #[test]
    fn a_prompt_costs_the_same_in_a_session_of_10_and_of_10000_entries() {
        let (found, steps) = cost(10, 9);
        assert_eq!(found, 9);
        assert!(steps > 0);
        assert_eq!(cost(10_000, 9), (found, steps));
    }
}

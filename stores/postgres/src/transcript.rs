//! Transcripts: walks from a head toward the root, a page of the path in one question.

use std::sync::Arc;

use claw_domain::{Entry, EntryBody, EntryId, Seq, SessionId};
use claw_store::{ContextWalk, Error, Node};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::{
    column::{Columns, count, limit},
    conn::{Conn, columns, values},
    error::Fault,
    readers::Readers,
};

const ADD: &str = "INSERT INTO entries (id, session, parent, tokens, kept, seq)
    SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::bigint[], $5::uuid[], $6::bigint[])";
const KNOWN: &str = "SELECT id FROM entries WHERE id = ANY($1)";

const NEWEST_OF: &str = "SELECT id, seq FROM entries WHERE session = $1 ORDER BY seq DESC LIMIT $2";
const FORGET: &str = "DELETE FROM entries WHERE id = ANY($1)";

/// What the writer asks and writes here.
pub(crate) const WRITER: [&str; 4] = [ADD, KNOWN, NEWEST_OF, FORGET];

const NODES: &str =
    "SELECT id, session, parent, entries.tokens, seq FROM unnest($1::uuid[]) WITH ORDINALITY
    AS asked (id, place) JOIN entries USING (id) ORDER BY asked.place";
/// The path from `$1` within session `$2`, at most `$3` entries.
const PATH: &str = "WITH RECURSIVE path AS (
        SELECT id, parent, seq, 1::bigint AS place FROM entries WHERE id = $1 AND session = $2
        UNION ALL
        SELECT entries.id, entries.parent, entries.seq, path.place + 1
        FROM path JOIN entries ON entries.id = path.parent
        WHERE entries.session = $2 AND path.place < $3
    )
    SELECT 0::bigint, events.body FROM path JOIN events USING (seq) ORDER BY path.place";
/// The path from `$1` within session `$2`: at most `$3` entries, no entry after the first that goes
/// beyond `$4` tokens, none beyond `$5`, and none beyond what the newest compaction kept.
const WINDOW: &str = "WITH RECURSIVE path AS (
        SELECT id, parent, tokens, kept, seq, 1::bigint AS place, tokens AS sum
        FROM entries WHERE id = $1 AND session = $2
        UNION ALL
        SELECT entries.id, entries.parent, entries.tokens, coalesce(path.kept, entries.kept),
            entries.seq, path.place + 1, path.sum + entries.tokens
        FROM path JOIN entries ON entries.id = path.parent
        WHERE entries.session = $2 AND path.place < $3 AND path.sum <= $4
            AND path.id IS DISTINCT FROM $5 AND path.id IS DISTINCT FROM path.kept
    )
    SELECT path.tokens, events.body FROM path JOIN events USING (seq) ORDER BY path.place";
/// Entries in one page of a walk. Its tokens end it long before, nearly always.
const PAGE: i64 = 512;
/// No entry counts for more, so that no sum of them overflows.
const TOKENS_MAX: u64 = 1 << 40;

/// An entry on its way into the tree. What it says stands in its event.
pub(crate) struct Leaf {
    id: Uuid,
    session: Uuid,
    parent: Option<Uuid>,
    tokens: i64,
    kept: Option<Uuid>,
    seq: i64,
}

impl Leaf {
    pub(crate) fn new(seq: u64, entry: &Entry) -> Self {
        let kept = match &entry.body {
            EntryBody::Compaction { first_kept, .. } => Some(first_kept.0),
            _ => None,
        };
        Self {
            id: entry.id.0,
            session: entry.session.0,
            parent: entry.parent.map(|parent| parent.0),
            tokens: count(entry.tokens.min(TOKENS_MAX)),
            kept,
            seq: count(seq),
        }
    }
}

pub(crate) async fn add(conn: &Conn, leaves: &[Leaf]) -> Result<(), Fault> {
    columns!(leaves: id session parent tokens kept seq);
    conn.execute(ADD, values![id session parent tokens kept seq]).await.map(drop)
}

/// Those of these entries that are there.
pub(crate) async fn known(conn: &Conn, ids: &[EntryId]) -> Result<Vec<EntryId>, Fault> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
    let rows = conn.query(KNOWN, &[&ids]).await?;
    rows.iter().map(|row| Ok(EntryId(row.value(0)?))).collect()
}

/// The entries of a life that were committed last, the newest first, each with its place in the log.
pub(crate) async fn newest_of(
    conn: &Conn,
    life: Uuid,
    most: usize,
) -> Result<Vec<(Uuid, i64)>, Fault> {
    let rows = conn.query(NEWEST_OF, &[&life, &limit(most)]).await?;
    rows.iter().map(|row| Ok((row.value(0)?, row.value(1)?))).collect()
}

pub(crate) async fn forget(conn: &Conn, ids: &[Uuid]) -> Result<(), Fault> {
    conn.execute(FORGET, &[&ids]).await.map(drop)
}

/// The places in the tree of those of these entries that are there.
pub(crate) async fn nodes(readers: &Readers, ids: &[EntryId]) -> Result<Vec<Node>, Error> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
    readers.all(NODES, &[&ids], node).await
}

pub(crate) async fn context(
    readers: &Readers,
    session: SessionId,
    head: EntryId,
    start: Option<EntryId>,
    tokens_max: u64,
) -> Result<Vec<Arc<Entry>>, Error> {
    let mut walk = ContextWalk::new(start, tokens_max);
    let mut next = Some(head);
    while let Some(from) = next.take() {
        let start = start.map(|start| start.0);
        let budget = count(tokens_max);
        let values = values![from.0 session.0 PAGE budget start];
        for (tokens, entry) in readers.all(WINDOW, values, step).await? {
            if !walk.fits(tokens) {
                return Ok(walk.finish());
            }
            // A walk that goes on behind a page began it, and looks at the next entry there.
            next = walk.take(entry);
            if next.is_none() {
                return Ok(walk.finish());
            }
        }
    }
    Ok(walk.finish())
}

pub(crate) async fn history(
    readers: &Readers,
    session: SessionId,
    head: EntryId,
    most: usize,
) -> Result<Vec<Arc<Entry>>, Error> {
    if most == 0 {
        return Ok(Vec::new());
    }
    let mut path = readers.all(PATH, &[&head.0, &session.0, &limit(most)], step).await?;
    path.reverse();
    Ok(path.into_iter().map(|(_, entry)| entry).collect())
}

fn step(row: &Row) -> Result<(u64, Arc<Entry>), Fault> {
    // An event's body is its entry with one field more, the kind, which is passed over.
    Ok((row.number(0)?, Arc::new(row.json(1, "entry")?)))
}

fn node(row: &Row) -> Result<Node, Fault> {
    Ok(Node {
        id: EntryId(row.value(0)?),
        session: SessionId(row.value(1)?),
        parent: row.value::<Option<Uuid>>(2)?.map(EntryId),
        tokens: row.number(3)?,
        seq: Seq(row.number(4)?),
    })
}

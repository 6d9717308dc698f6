//! What is older than the retention: folded into the snapshot, by the rules of [`Base`].

use std::collections::HashMap;

use claw_domain::{
    EntryId, Event, EventBody, EventId, NodeId, Seq, SessionId, SessionKey, Timestamp, Usage,
};
use claw_store::{Base, Fence, Folded, NewEvent, Node, Snapshot, before_id, first_id};
use rusqlite::{Connection, Row, params};

use crate::{
    column::{Columns, count, event_id, json, limit, to_event_id},
    delivery,
    error::Fault,
    event, lease, transcript,
};

const STATE: &str =
    "SELECT looked, until, events, input, output, cache_read, cache_write FROM snapshot";
const PUT_STATE: &str = "UPDATE snapshot SET looked = ?, until = ?, events = ?, input = ?,
    output = ?, cache_read = ?, cache_write = ?";
const LOOK_AGAIN: &str = "UPDATE snapshot SET looked = ?1 WHERE looked >= ?2";
const BASE: &str = "SELECT record FROM bases WHERE key = ?";
const BASES: &str = "SELECT record FROM bases WHERE ?1 IS NULL OR key > ?1 ORDER BY key LIMIT ?2";
const PUT_BASE: &str = "INSERT INTO bases (key, record) VALUES (?, ?)
    ON CONFLICT DO UPDATE SET record = excluded.record";

const IS_ENDED: &str = "SELECT 1 FROM ended WHERE life = ? AND until >= ?";
const END: &str = "INSERT INTO ended (life, until, seq)
    SELECT ?1, max(events.id), max(seq) FROM entries JOIN events USING (seq)
        WHERE entries.session = ?1 HAVING max(seq) IS NOT NULL
    ON CONFLICT DO UPDATE SET until = excluded.until, seq = excluded.seq";
const OVER: &str = "SELECT life, seq FROM ended WHERE until <= ?";
const FORGET_ENDED: &str = "DELETE FROM ended WHERE life = ?";
const NODE_COUNT: &str = "SELECT count(*) FROM entries";

/// The row of the snapshot.
struct State {
    /// Looked at up to here. Goes back when an older event comes late.
    looked: EventId,
    until: EventId,
    events: u64,
    usage: Usage,
}

/// One step under way.
struct Step<'a> {
    conn: &'a Connection,
    state: State,
    bases: HashMap<SessionKey, Base>,
}

/// Folds, and forgets rows that are done, at most `most` of each.
pub(crate) fn fold(
    conn: &Connection,
    fence: &Fence,
    before: Timestamp,
    most: usize,
) -> Result<Folded, Fault> {
    lease::hold(conn, fence)?;
    // What a turn may still be replayed from is younger than the message that it answers.
    let open = delivery::oldest_open(conn)?;
    let cut = first_id(open.map_or(before, |open| open.min(before)));
    let mut step = Step { conn, state: state(conn)?, bases: HashMap::new() };
    let gone = step.state.events;
    let looked = step.fold_until(cut, most)?;
    let swept = step.sweep(most)?;
    let events = step.state.events - gone;
    step.write()?;
    let inbox = delivery::forget_inbox(conn, before, most)?;
    let outbox = delivery::forget_outbox(conn, before, most)?;
    let more = [looked, swept, inbox, outbox].contains(&most);
    Ok(Folded { events, rows: (inbox + outbox) as u64, more })
}

/// Where the folding of a session begins.
pub(crate) fn base(conn: &Connection, key: &SessionKey) -> Result<Base, Fault> {
    let mut find = conn.prepare_cached(BASE)?;
    let base =
        find.query_and_then([key.as_str()], |row| row.json(0, "base"))?.next().transpose()?;
    Ok(base.unwrap_or_else(|| Base::new(key.clone())))
}

pub(crate) fn bases(
    conn: &Connection,
    after: Option<&SessionKey>,
    most: usize,
) -> Result<Vec<Base>, Fault> {
    let page = params![after.map(SessionKey::as_str), limit(most)];
    conn.prepare_cached(BASES)?.query_and_then(page, |row| row.json(0, "base"))?.collect()
}

/// Whether an imported event would change nothing: of what was folded only transcripts matter.
pub(crate) fn is_needless(conn: &Connection, event: &NewEvent) -> Result<bool, Fault> {
    let Some(key) = &event.header.session else { return Ok(false) };
    if !base(conn, key)?.covers(event.header.id) {
        return Ok(false);
    }
    match &event.body {
        EventBody::EntryAdded(entry) => transcript::is_known(conn, entry.id),
        _ => Ok(true),
    }
}

/// Sees to it that an event that comes late is looked at.
pub(crate) fn look_again(conn: &Connection, id: EventId) -> Result<(), Fault> {
    conn.prepare_cached(LOOK_AGAIN)?.execute([event_id(before_id(id)), event_id(id)])?;
    Ok(())
}

/// Where the ids of a node go on from, at least.
pub(crate) fn clock_of(conn: &Connection, node: NodeId) -> Result<Option<EventId>, Fault> {
    let until = state(conn)?.until;
    let folded = until > EventId::default();
    Ok(folded.then(|| EventId::new(until.millis(), until.counter(), node)))
}

pub(crate) fn snapshot(conn: &Connection) -> Result<Snapshot, Fault> {
    let _snapshot = conn.unchecked_transaction()?;
    let State { until, events, usage, .. } = state(conn)?;
    let nodes = conn.prepare_cached(NODE_COUNT)?.query_row([], |row| Ok(row.number(0)))??;
    Ok(Snapshot { until, events, usage, nodes })
}

pub(crate) fn nodes(conn: &Connection, ids: &[EntryId]) -> Result<Vec<Node>, Fault> {
    let _snapshot = conn.unchecked_transaction()?;
    let found = ids.iter().map(|id| transcript::node(conn, *id)).filter_map(Result::transpose);
    found.collect()
}

impl Step<'_> {
    /// Folds the oldest events that were not looked at yet; how many there were.
    fn fold_until(&mut self, cut: EventId, most: usize) -> Result<usize, Fault> {
        let events = event::between(self.conn, self.state.looked, cut, most)?;
        for event in &events {
            self.state.looked = event.header.id;
            self.state.until = self.state.until.max(event.header.id);
            self.fold_one(event)?;
        }
        Ok(events.len())
    }

    fn fold_one(&mut self, event: &Event) -> Result<(), Fault> {
        let Some(key) = &event.header.session else { return Ok(()) };
        let id = event.header.id;
        if !self.bases.contains_key(key) {
            self.bases.insert(key.clone(), base(self.conn, key)?);
        }
        let verdict = self.bases.get_mut(key).expect("put in above").fold(event);
        self.state.usage.add(&verdict.used);
        if let Some(life) = verdict.ended {
            self.end(life, id)?;
        }
        for gone in verdict.gone.into_iter().chain((!verdict.stays).then_some(id)) {
            self.state.events += event::forget(self.conn, gone)?;
        }
        Ok(())
    }

    /// Notes that a life is over and how far its transcript goes, unless that is known up to `id`.
    fn end(&self, life: SessionId, id: EventId) -> Result<(), Fault> {
        let life = life.0.as_bytes();
        if !self.conn.prepare_cached(IS_ENDED)?.exists(params![life, event_id(id)])? {
            self.conn.prepare_cached(END)?.execute([life])?;
        }
        Ok(())
    }

    /// Takes out transcripts that are over and wholly old, the newest entry first, so that no entry
    /// is ever without its parent; how many entries went.
    fn sweep(&mut self, most: usize) -> Result<usize, Fault> {
        let mut over = self.conn.prepare_cached(OVER)?;
        let row = |row: &Row<'_>| Ok::<_, Fault>((SessionId(row.uuid(0)?), Seq(row.number(1)?)));
        let over = over.query_and_then([event_id(self.state.looked)], row)?;
        let over: Vec<_> = over.collect::<Result<_, _>>()?;
        let newest = event::newest(self.conn)?;
        let mut swept = 0;
        for (life, last) in over {
            let entries = transcript::newest_of(self.conn, life, most - swept)?;
            match entries.first() {
                // It grew since.
                Some((_, seq)) if *seq > last => {
                    self.conn.prepare_cached(END)?.execute([life.0.as_bytes()])?;
                    continue;
                }
                // The newest event stays, since its place is the next one's beginning.
                Some((_, seq)) if *seq == newest => continue,
                _ => {}
            }
            for (entry, seq) in &entries {
                transcript::forget(self.conn, *entry)?;
                event::forget_at(self.conn, *seq)?;
            }
            self.state.events += entries.len() as u64;
            swept += entries.len();
            if swept < most {
                self.conn.prepare_cached(FORGET_ENDED)?.execute([life.0.as_bytes()])?;
            }
        }
        Ok(swept)
    }

    fn write(self) -> Result<(), Fault> {
        let State { looked, until, events, usage } = self.state;
        let row = params![
            event_id(looked),
            event_id(until),
            count(events),
            count(usage.input),
            count(usage.output),
            count(usage.cache_read),
            count(usage.cache_write),
        ];
        self.conn.prepare_cached(PUT_STATE)?.execute(row)?;
        let mut put = self.conn.prepare_cached(PUT_BASE)?;
        for (key, base) in &self.bases {
            put.execute(params![key.as_str(), json(base)])?;
        }
        Ok(())
    }
}

fn state(conn: &Connection) -> Result<State, Fault> {
    let row = |row: &Row<'_>| {
        Ok::<_, Fault>(State {
            looked: to_event_id(row.get(0)?),
            until: to_event_id(row.get(1)?),
            events: row.number(2)?,
            usage: Usage {
                input: row.number(3)?,
                output: row.number(4)?,
                cache_read: row.number(5)?,
                cache_write: row.number(6)?,
            },
        })
    };
    let mut find = conn.prepare_cached(STATE)?;
    let state = find.query_and_then([], row)?.next().transpose()?;
    state.ok_or_else(|| Fault::from(rusqlite::Error::QueryReturnedNoRows))
}

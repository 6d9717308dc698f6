//! What is older than the retention: folded into the snapshot, by the rules of [`Base`].

use std::collections::{BTreeMap, HashMap};

use claw_domain::{Event, EventId, NodeId, SessionId, SessionKey, Timestamp, Usage};
use claw_store::{Base, Error, Fence, Folded, Snapshot, before_id, first_id};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::{
    column::{Columns, count, event_id, json, limit, text},
    conn::{Conn, values},
    error::Fault,
    event, inbox, lease, outbox,
    readers::Readers,
    transcript,
};

macro_rules! state {
    ($more:literal) => {
        concat!(
            "SELECT looked, until, events, input, output, cache_read, cache_write",
            $more,
            " FROM snapshot"
        )
    };
}

const STATE: &str = state!("");
const PUT_STATE: &str = "UPDATE snapshot SET looked = $1, until = $2, events = $3, input = $4,
    output = $5, cache_read = $6, cache_write = $7";
const LOOK_AGAIN: &str = "UPDATE snapshot SET looked = $1 WHERE looked >= $2";
const BASES_OF: &str = "SELECT record FROM bases WHERE key = ANY($1)";
const PUT_BASES: &str =
    "INSERT INTO bases (key, record) SELECT * FROM unnest($1::text[], $2::text[])
    ON CONFLICT (key) DO UPDATE SET record = excluded.record";
const ENDED: &str = "SELECT life, until FROM ended WHERE life = ANY($1)";
/// Notes how far the transcripts of these lives go.
const END: &str = "INSERT INTO ended (life, until, seq)
    SELECT entries.session, (max(events.id::text))::uuid, max(seq) FROM entries
        JOIN events USING (seq) WHERE entries.session = ANY($1) GROUP BY entries.session
    ON CONFLICT (life) DO UPDATE SET until = excluded.until, seq = excluded.seq";
const OVER: &str = "SELECT life, seq FROM ended WHERE until <= $1 ORDER BY life";
const FORGET_ENDED: &str = "DELETE FROM ended WHERE life = $1";
const NEWEST: &str = "SELECT newest FROM log";

/// What the writer asks and writes here.
pub(crate) const WRITER: [&str; 10] =
    [STATE, PUT_STATE, LOOK_AGAIN, BASES_OF, PUT_BASES, ENDED, END, OVER, FORGET_ENDED, NEWEST];

const SNAPSHOT: &str = state!(", (SELECT count(*) FROM entries)");
const UNTIL: &str = "SELECT until FROM snapshot";
const BASES: &str =
    "SELECT record FROM bases WHERE $1::text IS NULL OR key > $1 ORDER BY key LIMIT $2";

/// The row of the snapshot.
struct State {
    /// Looked at up to here. Goes back when an older event comes late.
    looked: EventId,
    until: EventId,
    events: u64,
    usage: Usage,
}

/// Folds, and forgets rows that are done, at most `most` of each.
pub(crate) async fn fold(
    conn: &Conn,
    fence: Fence,
    before: Timestamp,
    most: usize,
) -> Result<Folded, Fault> {
    lease::check(conn, &fence).await?;
    // What a turn may still be replayed from is younger than the message that it answers.
    let open = inbox::oldest_open(conn).await?;
    let cut = first_id(open.map_or(before, |open| open.min(before)));
    let mut state = state(conn).await?;
    let gone = state.events;
    let looked = fold_until(conn, &mut state, cut, most).await?;
    let swept = sweep(conn, &mut state, most).await?;
    let events = state.events - gone;
    put_state(conn, &state).await?;
    let inbox = inbox::forget(conn, before, most).await?;
    let outbox = outbox::forget(conn, before, most).await?;
    let more = [looked as u64, swept as u64, inbox, outbox].contains(&(most as u64));
    Ok(Folded { events, rows: inbox + outbox, more })
}

/// Where the folding of each of these sessions begins.
pub(crate) async fn bases_of(
    conn: &Conn,
    keys: &[&SessionKey],
) -> Result<HashMap<SessionKey, Base>, Fault> {
    let texts: Vec<_> = keys.iter().map(|key| text(key.as_str())).collect();
    let rows = conn.query(BASES_OF, &[&texts]).await?;
    let mut bases: HashMap<_, _> =
        keys.iter().map(|key| ((*key).clone(), Base::new((*key).clone()))).collect();
    for row in &rows {
        let base: Base = row.json(0, "base")?;
        bases.insert(base.key.clone(), base);
    }
    Ok(bases)
}

/// Sees to it that an event that comes late is looked at.
pub(crate) async fn look_again(conn: &Conn, id: EventId) -> Result<(), Fault> {
    conn.execute(LOOK_AGAIN, &[&event_id(before_id(id)), &event_id(id)]).await.map(drop)
}

/// Where the ids of a node go on from, at least.
pub(crate) async fn clock_of(readers: &Readers, of: NodeId) -> Result<Option<EventId>, Error> {
    let until = readers.first(UNTIL, &[], |row| row.event_id(0)).await?;
    let folded = until.filter(|until| *until > EventId::default());
    Ok(folded.map(|until| EventId::new(until.millis(), until.counter(), of)))
}

pub(crate) async fn snapshot(readers: &Readers) -> Result<Snapshot, Error> {
    let read = |row: &Row| {
        let State { until, events, usage, .. } = state_of(row)?;
        Ok(Snapshot { until, events, usage, nodes: row.number(7)? })
    };
    let snapshot = readers.first(SNAPSHOT, &[], read).await?;
    snapshot
        .ok_or_else(|| Error::Corrupt { what: "snapshot".into(), source: "it has no row".into() })
}

pub(crate) async fn bases(
    readers: &Readers,
    after: Option<&SessionKey>,
    most: usize,
) -> Result<Vec<Base>, Error> {
    let after = after.map(|key| text(key.as_str()));
    readers.all(BASES, &[&after, &limit(most)], |row| row.json(0, "base")).await
}

/// Folds the oldest events that were not looked at yet; how many there were.
async fn fold_until(
    conn: &Conn,
    state: &mut State,
    cut: EventId,
    most: usize,
) -> Result<usize, Fault> {
    let events = event::between(conn, state.looked, cut, most).await?;
    let mut keys: Vec<&SessionKey> =
        events.iter().filter_map(|event| event.header.session.as_ref()).collect();
    keys.sort_unstable();
    keys.dedup();
    let mut bases = bases_of(conn, &keys).await?;
    let mut gone = Vec::new();
    let mut ended = BTreeMap::new();
    for event in &events {
        fold_one(state, &mut bases, event, &mut gone, &mut ended);
    }
    end(conn, &ended).await?;
    state.events += event::forget(conn, &gone).await?;
    let (keys, records): (Vec<_>, Vec<_>) =
        bases.iter().map(|(key, base)| (text(key.as_str()), json(base))).unzip();
    conn.execute(PUT_BASES, values![keys records]).await?;
    Ok(events.len())
}

/// Folds one event; adds events that go to `gone`, and a life that is over to `ended`, with the
/// newest event that said so.
fn fold_one(
    state: &mut State,
    bases: &mut HashMap<SessionKey, Base>,
    event: &Event,
    gone: &mut Vec<EventId>,
    ended: &mut BTreeMap<SessionId, EventId>,
) {
    let id = event.header.id;
    state.looked = id;
    state.until = state.until.max(id);
    let Some(key) = &event.header.session else { return };
    let verdict = bases.get_mut(key).expect("bases of all these keys were read").fold(event);
    state.usage.add(&verdict.used);
    if let Some(life) = verdict.ended {
        ended.insert(life, id);
    }
    gone.extend(verdict.gone);
    if !verdict.stays {
        gone.push(id);
    }
}

/// Notes that lives are over and how far their transcripts go, unless that is known as far.
async fn end(conn: &Conn, ended: &BTreeMap<SessionId, EventId>) -> Result<(), Fault> {
    if ended.is_empty() {
        return Ok(());
    }
    let lives: Vec<Uuid> = ended.keys().map(|life| life.0).collect();
    let rows = conn.query(ENDED, &[&lives]).await?;
    let mut known = HashMap::new();
    for row in &rows {
        known.insert(SessionId(row.value(0)?), row.event_id(1)?);
    }
    let news = ended.iter().filter(|(life, id)| known.get(life).is_none_or(|until| until < *id));
    let news: Vec<Uuid> = news.map(|(life, _)| life.0).collect();
    conn.execute(END, &[&news]).await.map(drop)
}

/// Takes out transcripts that are over and wholly old, the newest entry first, so that no entry is
/// ever without its parent; how many entries went.
async fn sweep(conn: &Conn, state: &mut State, most: usize) -> Result<usize, Fault> {
    let over = conn.query(OVER, &[&event_id(state.looked)]).await?;
    let newest: i64 = match conn.query(NEWEST, &[]).await?.first() {
        Some(row) => row.value(0)?,
        None => 0,
    };
    let mut swept = 0;
    for row in &over {
        let (life, last): (Uuid, i64) = (row.value(0)?, row.value(1)?);
        let entries = transcript::newest_of(conn, life, most - swept).await?;
        match entries.first() {
            // It grew since.
            Some((_, seq)) if *seq > last => {
                conn.execute(END, &[&vec![life]]).await?;
                continue;
            }
            // The newest event stays.
            Some((_, seq)) if *seq == newest => continue,
            _ => {}
        }
        let (ids, places): (Vec<Uuid>, Vec<i64>) = entries.into_iter().unzip();
        transcript::forget(conn, &ids).await?;
        event::forget_at(conn, &places).await?;
        state.events += ids.len() as u64;
        swept += ids.len();
        if swept < most {
            conn.execute(FORGET_ENDED, &[&life]).await?;
        }
    }
    Ok(swept)
}

async fn state(conn: &Conn) -> Result<State, Fault> {
    let rows = conn.query(STATE, &[]).await?;
    let row = rows.first().ok_or_else(|| {
        Fault::Store(Error::Corrupt { what: "snapshot".into(), source: "it has no row".into() })
    })?;
    state_of(row)
}

async fn put_state(conn: &Conn, state: &State) -> Result<(), Fault> {
    let (looked, until) = (event_id(state.looked), event_id(state.until));
    let State { events, usage, .. } = state;
    let [events, input, output, read, write] =
        [*events, usage.input, usage.output, usage.cache_read, usage.cache_write].map(count);
    let values = values![looked until events input output read write];
    conn.execute(PUT_STATE, values).await.map(drop)
}

fn state_of(row: &Row) -> Result<State, Fault> {
    Ok(State {
        looked: row.event_id(0)?,
        until: row.event_id(1)?,
        events: row.number(2)?,
        usage: Usage {
            input: row.number(3)?,
            output: row.number(4)?,
            cache_read: row.number(5)?,
            cache_write: row.number(6)?,
        },
    })
}

//! Who holds what: leases, and the fences that prove them.

use claw_domain::{NodeId, Timestamp};
use claw_store::{Error, Fence, Lease};
use rusqlite::{Connection, Row, params};

use crate::{
    column::{Columns, count, node},
    error::Fault,
};

const HOLD: &str = "SELECT 1 FROM leases WHERE epoch = ? AND owner = ?";
const FIND: &str = "SELECT owner, epoch, until FROM leases WHERE name = ?";
const EPOCH_MAX: &str = "SELECT coalesce(max(epoch), 0) FROM leases";
const PUT: &str = "INSERT INTO leases (name, owner, epoch, until) VALUES (?, ?, ?, ?)
    ON CONFLICT DO UPDATE SET owner = excluded.owner, epoch = excluded.epoch, until = excluded.until";
const ADOPT_INBOX: &str = "UPDATE inbox SET owner = ?, epoch = ? WHERE state <> 'closed'";
const ADOPT_OUTBOX: &str = "UPDATE outbox SET owner = ?, epoch = ? WHERE state = 'pending'";

/// Refuses a fence that is not the newest of its lease.
pub(crate) fn hold(conn: &Connection, fence: &Fence) -> Result<(), Fault> {
    let mut held = conn.prepare_cached(HOLD)?;
    if held.exists(params![count(fence.epoch), node(fence.owner)])? {
        Ok(())
    } else {
        Err(Error::fenced(fence).into())
    }
}

pub(crate) fn claim(
    conn: &Connection,
    lease: &Lease,
    owner: NodeId,
    now: Timestamp,
    until: Timestamp,
) -> Result<Option<Fence>, Fault> {
    let name = lease.name();
    let mut find = conn.prepare_cached(FIND)?;
    let row = |row: &Row<'_>| Ok::<_, Fault>((row.fence(0, 1)?, row.time(2)?));
    let held = find.query_and_then([&name], row)?.next().transpose()?;
    let fence = match held {
        Some((held, _)) if held.owner == owner => held,
        Some((_, expires)) if expires > now => return Ok(None),
        Some(_) | None => Fence { owner, epoch: epoch_max(conn)? + 1 },
    };
    let row = params![name, node(fence.owner), count(fence.epoch), until.as_millisecond()];
    conn.prepare_cached(PUT)?.execute(row)?;
    Ok(Some(fence))
}

pub(crate) fn adopt(conn: &Connection, fence: &Fence) -> Result<(), Fault> {
    hold(conn, fence)?;
    for sql in [ADOPT_INBOX, ADOPT_OUTBOX] {
        conn.prepare_cached(sql)?.execute(params![node(fence.owner), count(fence.epoch)])?;
    }
    Ok(())
}

fn epoch_max(conn: &Connection) -> Result<u64, Fault> {
    conn.prepare_cached(EPOCH_MAX)?.query_row([], |row| Ok(row.number(0)))?
}

/// For the test of query plans.
#[cfg(test)]
pub(crate) const HOT: [&str; 4] = [HOLD, FIND, EPOCH_MAX, PUT];

//! Who holds what: leases, the fences that prove them, and what is held under them.

use claw_domain::{NodeId, Timestamp};
use claw_store::{Claim, Claiming, Error, Fence, Holding, InboxRow, Lease, OutboxRow};
use rusqlite::{Connection, Row, params};

use crate::{
    column::{Columns, count, limit, node},
    delivery,
    error::Fault,
};

const HOLD: &str = "SELECT 1 FROM leases WHERE epoch = ? AND owner = ? AND epoch > 0";
const FIND: &str = "SELECT owner, epoch, until FROM leases WHERE name = ?";
const NEXT_EPOCH: &str = "UPDATE epochs SET last = last + 1 RETURNING last";
const PUT: &str = "INSERT INTO leases (name, owner, epoch, until) VALUES (?, ?, ?, ?)
    ON CONFLICT DO UPDATE SET owner = excluded.owner, epoch = excluded.epoch, until = excluded.until";
/// `?3` is the epoch to look at, or NULL for all.
const REVOKE: &str = "UPDATE leases SET owner = 0, epoch = 0
    WHERE until <= ?1 AND epoch > 0 AND epoch <> ?2 AND (?3 IS NULL OR epoch = ?3)";
const ALIVE: &str = "SELECT 1 FROM leases WHERE epoch = ? AND epoch > 0";

const HELD: &str = "SELECT epoch FROM holdings WHERE name = ?";
const TAKE: &str = "INSERT INTO holdings (name, session, channel, account, epoch)
    VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET epoch = excluded.epoch";
const RELEASE: &str = "DELETE FROM holdings WHERE name = ? AND epoch = ?";
const LIVE: &str = "SELECT session, channel, account, epoch FROM holdings
    WHERE epoch IN (SELECT epoch FROM leases WHERE epoch > 0)";

const OWN_INBOX: &str = "UPDATE inbox SET owner = ?, epoch = ? WHERE id = ?";
const OWN_OUTBOX: &str = "UPDATE outbox SET owner = ?, epoch = ? WHERE id = ?";
const ADOPT_INBOX: &str = "UPDATE inbox SET owner = ?, epoch = ? WHERE state <> 'closed'";
const ADOPT_OUTBOX: &str = "UPDATE outbox SET owner = ?, epoch = ? WHERE state = 'pending'";

/// Refuses a fence that is not the newest of its lease.
pub(crate) fn hold(conn: &Connection, fence: &Fence) -> Result<(), Fault> {
    let mut held = conn.prepare_cached(HOLD)?;
    if held.exists(params![count(fence.epoch), node(fence.owner)])? && *fence != Fence::NOBODY {
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
        Some((held, _)) if held.owner == owner && held != Fence::NOBODY => held,
        Some((held, expires)) if expires > now && held != Fence::NOBODY => return Ok(None),
        Some(_) | None => Fence { owner, epoch: next_epoch(conn)? },
    };
    let row = params![name, node(fence.owner), count(fence.epoch), until.as_millisecond()];
    conn.prepare_cached(PUT)?.execute(row)?;
    Ok(Some(fence))
}

pub(crate) fn take(
    conn: &Connection,
    fence: &Fence,
    holding: &Holding,
    now: Timestamp,
) -> Result<bool, Fault> {
    hold(conn, fence)?;
    let mut held = conn.prepare_cached(HELD)?;
    let holder: Option<i64> =
        held.query_and_then([holding.name()], |row| row.get(0))?.next().transpose()?;
    if let Some(epoch) = holder.filter(|epoch| *epoch != count(fence.epoch)) {
        revoke(conn, fence, now, Some(epoch))?;
        if conn.prepare_cached(ALIVE)?.exists([epoch])? {
            return Ok(false);
        }
    }
    put_holding(conn, fence, holding)?;
    Ok(true)
}

pub(crate) fn release(conn: &Connection, fence: &Fence, holdings: &[Holding]) -> Result<(), Fault> {
    let mut release = conn.prepare_cached(RELEASE)?;
    for holding in holdings {
        release.execute(params![holding.name(), count(fence.epoch)])?;
    }
    Ok(())
}

pub(crate) fn claim_inbox(
    conn: &Connection,
    fence: &Fence,
    claim: &Claim,
) -> Result<Vec<InboxRow>, Fault> {
    hold(conn, fence)?;
    revoke(conn, fence, claim.now, None)?;
    let held: Vec<_> =
        conn.prepare_cached(LIVE)?.query_and_then([], held)?.collect::<Result<_, _>>()?;
    let mut claiming = Claiming::new(fence, claim, held);
    delivery::each_orphan(conn, |row| {
        claiming.offer(row);
        !claiming.is_full()
    })?;
    let (rows, holdings) = claiming.finish();
    let mut own = conn.prepare_cached(OWN_INBOX)?;
    for row in &rows {
        own.execute(params![node(fence.owner), count(fence.epoch), row.id.0.as_bytes()])?;
    }
    for holding in holdings {
        put_holding(conn, fence, &holding)?;
    }
    Ok(rows)
}

/// What somebody holds, and the holder's epoch.
fn held(row: &Row<'_>) -> Result<(Holding, u64), Fault> {
    let holding = match row.text_if(0)? {
        Some(session) => Holding::Lane(session),
        None => Holding::Account(row.text(1)?, row.text(2)?),
    };
    Ok((holding, row.number(3)?))
}

pub(crate) fn claim_outbox(
    conn: &Connection,
    fence: &Fence,
    most: usize,
) -> Result<Vec<OutboxRow>, Fault> {
    hold(conn, fence)?;
    let mut rows = delivery::unclaimed_outbox(conn, count(fence.epoch), limit(most))?;
    let mut own = conn.prepare_cached(OWN_OUTBOX)?;
    for row in &mut rows {
        own.execute(params![node(fence.owner), count(fence.epoch), row.id.0.as_bytes()])?;
        row.fence = *fence;
    }
    Ok(rows)
}

pub(crate) fn adopt(conn: &Connection, fence: &Fence) -> Result<(), Fault> {
    hold(conn, fence)?;
    for sql in [ADOPT_INBOX, ADOPT_OUTBOX] {
        conn.prepare_cached(sql)?.execute(params![node(fence.owner), count(fence.epoch)])?;
    }
    Ok(())
}

fn put_holding(conn: &Connection, fence: &Fence, holding: &Holding) -> Result<(), Fault> {
    let (session, account) = match holding {
        Holding::Lane(session) => (Some(session.as_str()), None),
        Holding::Account(channel, account) => (None, Some((channel.as_str(), account.as_str()))),
    };
    let (channel, account) = account.unzip();
    let row = params![holding.name(), session, channel, account, count(fence.epoch)];
    conn.prepare_cached(TAKE)?.execute(row)?;
    Ok(())
}

/// Ends the leases that are over, all or the one with this epoch; never this holder's own.
fn revoke(
    conn: &Connection,
    fence: &Fence,
    now: Timestamp,
    epoch: Option<i64>,
) -> Result<(), Fault> {
    let row = params![now.as_millisecond(), count(fence.epoch), epoch];
    conn.prepare_cached(REVOKE)?.execute(row)?;
    Ok(())
}

fn next_epoch(conn: &Connection) -> Result<u64, Fault> {
    conn.prepare_cached(NEXT_EPOCH)?.query_row([], |row| Ok(row.number(0)))?
}

/// For the test of query plans.
#[cfg(test)]
pub(crate) const HOT: [&str; 4] = [HOLD, FIND, PUT, HELD];

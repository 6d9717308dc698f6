//! Who holds what: leases, the fences that prove them, and what is held under them.

use claw_domain::{InboxId, NodeId, Timestamp};
use claw_store::{Claim, Claiming, Error, Fence, Holding, InboxRow, Lease, OutboxRow};
use futures_util::future::try_join_all;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::{
    column::{Columns, count, node, text},
    conn::{Conn, values},
    error::Fault,
    inbox, outbox,
    readers::Readers,
};

const KNOWN: &str = "SELECT owner, epoch FROM leases WHERE epoch = ANY($1)";
const CLAIM: &str = "INSERT INTO leases (name, owner, epoch, until)
    VALUES ($1, $2, nextval('epochs'), $4)
    ON CONFLICT (name) DO UPDATE SET owner = excluded.owner, until = excluded.until, epoch =
        CASE WHEN leases.owner = excluded.owner THEN leases.epoch ELSE excluded.epoch END
    WHERE leases.owner = excluded.owner OR leases.until <= $3
    RETURNING owner, epoch";
/// Ends the leases that are over, but never one's own.
const REVOKE: &str = "DELETE FROM leases WHERE until <= $1 AND epoch <> $2";
const REVOKE_HOLDER: &str = "DELETE FROM leases WHERE until <= $1 AND epoch <> $2
    AND epoch = (SELECT epoch FROM holdings WHERE name = $3)";
const TAKE: &str = "INSERT INTO holdings (name, session, channel, account, epoch)
    VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT (name) DO UPDATE SET epoch = excluded.epoch
    WHERE holdings.epoch = excluded.epoch
        OR NOT EXISTS (SELECT 1 FROM leases WHERE leases.epoch = holdings.epoch)";
const RELEASE: &str = "DELETE FROM holdings WHERE name = ANY($1) AND epoch = $2";
/// Holdings of leases that are gone are free, so they need no row.
const SWEEP: &str = "DELETE FROM holdings
    WHERE NOT EXISTS (SELECT 1 FROM leases WHERE leases.epoch = holdings.epoch)";
/// What is held by the holder with this epoch, and by those who live at this time.
const LIVE: &str = "SELECT session, channel, account, holdings.epoch FROM holdings
    JOIN leases USING (epoch) WHERE epoch = $1 OR until > $2";
const KNOWN_NOW: &str = "SELECT 1 FROM leases WHERE owner = $1 AND epoch = $2";

/// What the writer asks and writes here.
pub(crate) const WRITER: [&str; 8] =
    [KNOWN, CLAIM, REVOKE, REVOKE_HOLDER, TAKE, RELEASE, SWEEP, LIVE];

/// Orphans that are looked at together.
const PAGE: usize = 256;

/// Those of these fences that are the newest of their leases.
pub(crate) async fn known(
    conn: &Conn,
    fences: impl IntoIterator<Item = &Fence>,
) -> Result<Vec<Fence>, Fault> {
    let epochs: Vec<i64> = fences.into_iter().map(|fence| count(fence.epoch)).collect();
    conn.query(KNOWN, &[&epochs]).await?.iter().map(|row| row.fence(0, 1)).collect()
}

/// Refuses a fence that is not the newest of its lease.
pub(crate) async fn check(conn: &Conn, fence: &Fence) -> Result<(), Fault> {
    if known(conn, [fence]).await?.contains(fence) {
        Ok(())
    } else {
        Err(Error::fenced(fence).into())
    }
}

pub(crate) async fn claim(
    conn: &Conn,
    lease: Lease,
    owner: NodeId,
    now: Timestamp,
    until: Timestamp,
) -> Result<Option<Fence>, Fault> {
    let (name, owner) = (lease.name(), node(owner));
    let (now, until) = (now.as_millisecond(), until.as_millisecond());
    let rows = conn.query(CLAIM, values![name owner now until]).await?;
    rows.first().map(|row| row.fence(0, 1)).transpose()
}

pub(crate) async fn take(
    conn: &Conn,
    fence: Fence,
    holding: Holding,
    now: Timestamp,
) -> Result<bool, Fault> {
    let (name, epoch, now) = (holding.name(), count(fence.epoch), now.as_millisecond());
    let name = text(&name);
    let in_the_way = values![now epoch name];
    // What is done for a fence that turns out to be old is taken back with this job.
    let (fenced, revoked, taken) = futures_util::join!(
        check(conn, &fence),
        conn.execute(REVOKE_HOLDER, in_the_way),
        put(conn, fence, &holding),
    );
    fenced?;
    revoked?;
    taken
}

/// Whether the holding was free or held by `fence`, which has it now.
async fn put(conn: &Conn, fence: Fence, holding: &Holding) -> Result<bool, Fault> {
    let name = holding.name();
    let (session, account) = match holding {
        Holding::Lane(session) => (Some(text(session.as_str())), None),
        Holding::Account(channel, account) => {
            (None, Some((text(channel.as_str()), text(account.as_str()))))
        }
    };
    let (channel, account) = account.unzip();
    let (name, epoch) = (text(&name), count(fence.epoch));
    Ok(conn.execute(TAKE, values![name session channel account epoch]).await? == 1)
}

pub(crate) async fn release(
    conn: &Conn,
    fence: Fence,
    holdings: Vec<Holding>,
) -> Result<(), Fault> {
    let names: Vec<String> =
        holdings.iter().map(|holding| text(&holding.name()).into_owned()).collect();
    conn.execute(RELEASE, &[&names, &count(fence.epoch)]).await.map(drop)
}

pub(crate) async fn claim_inbox(
    conn: &Conn,
    fence: Fence,
    claim: Claim,
) -> Result<Vec<InboxRow>, Fault> {
    let (now, epoch) = (claim.now.as_millisecond(), count(fence.epoch));
    let (over, alive) = (values![now epoch], values![epoch now]);
    let (fenced, revoked, swept, live) = futures_util::join!(
        check(conn, &fence),
        conn.execute(REVOKE, over),
        conn.execute(SWEEP, &[]),
        conn.query(LIVE, alive),
    );
    fenced?;
    revoked?;
    swept?;
    let live: Vec<_> = live?.iter().map(held).collect::<Result<_, _>>()?;
    let mut claiming = Claiming::new(&fence, &claim, live);
    let mut after = InboxId(Uuid::nil());
    while !claiming.is_full() {
        let page = inbox::orphans(conn, after, PAGE).await?;
        let last = page.len() < PAGE;
        after = page.last().map_or(after, |row| row.id);
        for row in page {
            claiming.offer(row);
        }
        if last {
            break;
        }
    }
    let (rows, holdings) = claiming.finish();
    if !rows.is_empty() {
        inbox::own(conn, &fence, &rows).await?;
    }
    try_join_all(holdings.iter().map(|holding| put(conn, fence, holding))).await?;
    Ok(rows)
}

/// Whether a claim would only find out that there is nothing for this holder. Asked without the lock,
/// which every commit of every gateway waits for: most claims find nothing.
pub(crate) async fn is_idle(
    readers: &Readers,
    fence: &Fence,
    claim: &Claim,
) -> Result<bool, Error> {
    let (owner, epoch, now) = (node(fence.owner), count(fence.epoch), claim.now.as_millisecond());
    let holder = values![owner epoch];
    let (known, rows) = futures_util::join!(
        readers.first(KNOWN_NOW, holder, |_| Ok(())),
        inbox::unheld(readers, fence, claim.now, PAGE),
    );
    let rows = rows?;
    if known?.is_none() {
        return Ok(false);
    }
    if rows.is_empty() {
        return Ok(true);
    }
    let whole = rows.len() < PAGE;
    let live = readers.all(LIVE, values![epoch now], held).await?;
    let mut claiming = Claiming::new(fence, claim, live);
    for row in rows {
        claiming.offer(row);
    }
    Ok(whole && claiming.finish().0.is_empty())
}

/// What somebody holds, and the holder's epoch.
fn held(row: &Row) -> Result<(Holding, u64), Fault> {
    let holding = match row.text_if(0)? {
        Some(session) => Holding::Lane(session),
        None => Holding::Account(row.text(1)?, row.text(2)?),
    };
    Ok((holding, row.number(3)?))
}

pub(crate) async fn claim_outbox(
    conn: &Conn,
    fence: Fence,
    most: usize,
) -> Result<Vec<OutboxRow>, Fault> {
    let (fenced, rows) =
        futures_util::join!(check(conn, &fence), outbox::claim(conn, &fence, most));
    fenced?;
    rows
}

pub(crate) async fn adopt(conn: &Conn, fence: Fence) -> Result<(), Fault> {
    let (fenced, inbox, outbox) = futures_util::join!(
        check(conn, &fence),
        inbox::adopt(conn, &fence),
        outbox::adopt(conn, &fence),
    );
    fenced.and(inbox).and(outbox)
}

//! A group of commits: asked about, planned and written together.

use claw_store::{Change, Committed, Error, Fence};

use crate::{
    conn::Conn,
    error::Fault,
    event, inbox,
    known::Known,
    outbox, people,
    plan::{Plan, Writes},
    retention, session, transcript,
};

/// Plans commits in order; each is done whole or refused. To be called under the one lock.
pub(crate) async fn plan(
    conn: &Conn,
    commits: &[(Fence, &[Change])],
) -> Result<(Writes, Vec<Result<Committed, Error>>), Fault> {
    let mut plan = Plan::new(Known::load(conn, commits).await?);
    let done = commits.iter().map(|(fence, changes)| plan.add(fence, changes)).collect();
    Ok((plan.finish(), done))
}

impl Writes {
    /// Whether nothing is to be written.
    pub(crate) fn is_empty(&self) -> bool {
        self.events.is_empty()
            && self.arrived.is_empty()
            && self.moved.is_empty()
            && self.queued.is_empty()
            && self.delivered.is_empty()
            && self.pairings.is_empty()
    }

    /// Writes all of it, one statement for each table, sent together.
    pub(crate) async fn write(&self, conn: &Conn) -> Result<(), Fault> {
        let log = async {
            if self.events.is_empty() {
                return Ok(());
            }
            let (append, grow) = futures_util::join!(
                event::append(conn, &self.events),
                event::grow(conn, self.newest, &self.used),
            );
            append.and(grow)
        };
        let entries = when(!self.entries.is_empty(), transcript::add(conn, &self.entries));
        let sessions: Vec<_> = self.sessions.iter().collect();
        let sessions = when(!sessions.is_empty(), session::put(conn, &sessions));
        let arrived = when(!self.arrived.is_empty(), inbox::receive(conn, &self.arrived));
        let moved = when(!self.moved.is_empty(), inbox::advance(conn, &self.moved));
        let queued = when(!self.queued.is_empty(), outbox::enqueue(conn, &self.queued));
        let delivered = when(!self.delivered.is_empty(), outbox::deliver(conn, &self.delivered));
        let pairings = when(!self.pairings.is_empty(), people::pair(conn, &self.pairings));
        let grants = when(!self.grants.is_empty(), people::grant(conn, &self.grants));
        let devices = when(!self.devices.is_empty(), people::register(conn, &self.devices));
        let again = async {
            match self.imported {
                Some(oldest) => retention::look_again(conn, oldest).await,
                None => Ok(()),
            }
        };
        // Each sends its statement when it is first polled, in this order: rows are made before
        // they are moved.
        let (a, b, c, d, e, f, g, h, i, j, k) = futures_util::join!(
            log, entries, sessions, arrived, moved, queued, delivered, pairings, grants, devices,
            again,
        );
        // The first that failed: those after it failed because of it.
        [a, b, c, d, e, f, g, h, i, j, k].into_iter().collect()
    }
}

async fn when(
    needed: bool,
    statement: impl Future<Output = Result<(), Fault>>,
) -> Result<(), Fault> {
    if needed { statement.await } else { Ok(()) }
}

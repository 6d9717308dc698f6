//! One transaction of the writer: a group of jobs, and whether it took effect.

use std::time::Duration;

use claw_store::Change;
use futures_util::join;
use tokio::time::timeout;
use uuid::Uuid;

use crate::{
    commit,
    conn::{Conn, values},
    error::Fault,
    job::{Did, Group, Task},
    migrate::LOCK,
    wakeups::CHANNEL,
};

/// A row for each transaction, which tells its fate when its answer was lost.
const SIGN: &str = "INSERT INTO commits (token) VALUES ($1)";
const SIGNED: &str = "SELECT 1 FROM commits WHERE token = $1";
/// After an hour nobody asks.
const PRUNE: &str = "DELETE FROM commits WHERE at < clock_timestamp() - interval '1 hour'";
const NOTIFY: &str = "SELECT pg_notify($1, newest::text) FROM log";
const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE";

/// What the writer asks and writes here.
pub(crate) const WRITER: [&str; 5] = [LOCK, SIGN, SIGNED, PRUNE, NOTIFY];

/// How a transaction failed.
pub(crate) enum Broken {
    /// Nothing took effect.
    Before(Fault),
    /// The way to the server was cut when it had been asked to commit; the token tells.
    Unsure(Uuid, String),
}

/// Does a group of jobs, within `patience` of a silent server. A job that is refused spoils no other.
pub(crate) async fn transact(
    conn: &Conn,
    group: &mut Group,
    patience: Duration,
) -> Result<(), Broken> {
    let mut signed = None;
    let done = timeout(patience, attempt(conn, group, &mut signed)).await;
    match done.unwrap_or_else(|_| Err(Fault::Lost("no answer in time".into()))) {
        Ok(()) => Ok(()),
        Err(Fault::Lost(why)) => Err(match signed {
            Some(token) => Broken::Unsure(token, why),
            None => Broken::Before(Fault::Lost(why)),
        }),
        Err(fault) => Err(Broken::Before(match conn.word("ROLLBACK").await {
            Ok(()) => fault,
            Err(lost) => lost,
        })),
    }
}

/// Whether the transaction with this token took effect. Waits until it has ended either way.
pub(crate) async fn took_effect(conn: &Conn, token: Uuid) -> Result<bool, Fault> {
    let token = values![token];
    let (begun, found) = join!(begin(conn), conn.query(SIGNED, token));
    begun?;
    let found = !found?.is_empty();
    conn.word("ROLLBACK").await?;
    Ok(found)
}

/// Forgets tokens that nobody asks for any more.
pub(crate) async fn prune(conn: &Conn) -> Result<(), Fault> {
    conn.execute(PRUNE, &[]).await.map(drop)
}

/// Notes the token in `signed` before it asks the server to commit.
async fn attempt(conn: &Conn, group: &mut Group, signed: &mut Option<Uuid>) -> Result<(), Fault> {
    let Group { commits, tasks } = group;
    let mut changed = false;
    let asked: Vec<(_, &[Change])> =
        commits.iter().map(|commit| (commit.fence, &commit.changes[..])).collect();
    let (writes, done) = if tasks.is_empty() {
        let (begun, planned) = join!(begin(conn), commit::plan(conn, &asked));
        begun?;
        planned?
    } else {
        begin(conn).await?;
        for task in tasks {
            changed |= apart(conn, task.as_mut()).await? == Did::Keep;
        }
        commit::plan(conn, &asked).await?
    };
    for (commit, done) in commits.iter_mut().zip(done) {
        commit.done = Some(done);
    }
    if !changed && writes.is_empty() {
        return conn.word("COMMIT").await;
    }
    let token = Uuid::new_v4();
    *signed = Some(token);
    let token = values![token];
    let channel = values![CHANNEL];
    let (written, noted, told, committed) = join!(
        writes.write(conn),
        conn.execute(SIGN, token),
        conn.query(NOTIFY, channel),
        conn.word("COMMIT"),
    );
    // A COMMIT after a failure takes everything back and says that it went well, so the first
    // failure is what counts.
    written?;
    noted?;
    told?;
    committed
}

/// Begins, and waits for the one lock.
async fn begin(conn: &Conn) -> Result<(), Fault> {
    let (begun, locked) = join!(conn.word(BEGIN), conn.query(LOCK, &[]));
    begun?;
    locked.map(drop)
}

/// Does one task so that what it leaves half done can be taken back.
async fn apart(conn: &Conn, task: &mut dyn Task) -> Result<Did, Fault> {
    let (saved, did) = join!(conn.word("SAVEPOINT task"), task.run(conn));
    saved?;
    let did = did?;
    if did == Did::TakeBack {
        conn.word("ROLLBACK TO task").await?;
    }
    Ok(did)
}

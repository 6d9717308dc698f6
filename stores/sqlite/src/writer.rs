//! Writing: one thread, which joins all that waits into one transaction and one flush.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use claw_store::Error;
use rusqlite::{Connection, ffi};
use tokio::{
    sync::{mpsc, oneshot},
    task::spawn_blocking,
};

use crate::{
    damage::Damage,
    error::{Fault, engine},
};

/// Jobs that may wait for the writer; when there are more, their callers wait for a place.
const JOBS_WAITING_MAX: usize = 1024;
/// Jobs in one transaction, so that none waits long for its neighbours.
const GROUP_MAX: usize = 256;

pub(crate) struct Writer {
    /// `None` once closed.
    jobs: Mutex<Option<mpsc::Sender<Box<dyn Job>>>>,
    thread: Mutex<Option<thread::JoinHandle<()>>>,
    path: Arc<Path>,
    damage: Damage,
    reads_only: bool,
}

impl Writer {
    /// One that refuses every job, for a file that another process writes.
    pub(crate) fn none(path: PathBuf, damage: Damage) -> Self {
        let (jobs, thread) = (Mutex::new(None), Mutex::new(None));
        Self { jobs, thread, path: path.into(), damage, reads_only: true }
    }

    pub(crate) fn start(conn: Connection, path: PathBuf, damage: Damage) -> Result<Self, Error> {
        let (jobs, waiting) = mpsc::channel(JOBS_WAITING_MAX);
        let thread = thread::Builder::new().name("store-writer".into());
        let thread = thread
            .spawn(move || work_off(&conn, waiting))
            .map_err(|error| Error::Engine(Box::new(error)))?;
        Ok(Self {
            jobs: Mutex::new(Some(jobs)),
            thread: Mutex::new(Some(thread)),
            path: path.into(),
            damage,
            reads_only: false,
        })
    }

    /// Does one job in a transaction; the answer comes when it is on disk. A job that fails leaves
    /// nothing. When the caller no longer waits, the job is done all the same. None is done any
    /// more once the file was found to be damaged.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Error> {
        self.damage.allows_writing()?;
        let jobs = self
            .jobs
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
            .ok_or_else(|| self.refusal())?;
        let (reply, answer) = oneshot::channel();
        let job = Task { work: Some(work), done: None, reply, path: Arc::clone(&self.path) };
        jobs.send(Box::new(job)).await.map_err(|_| stopped())?;
        self.damage.note(answer.await.map_err(|_| stopped())?)
    }

    /// Waits for all jobs under way, then closes the connection.
    pub(crate) async fn close(&self) -> Result<(), Error> {
        if self.reads_only {
            return Ok(());
        }
        drop(self.jobs.lock().unwrap_or_else(PoisonError::into_inner).take().ok_or(Error::Closed)?);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        let ended = spawn_blocking(move || thread.is_none_or(|thread| thread.join().is_ok())).await;
        if ended.unwrap_or(false) { Ok(()) } else { Err(stopped()) }
    }

    fn refusal(&self) -> Error {
        match self.reads_only {
            true => Error::ReadOnly {
                path: self.path.to_path_buf(),
                source: "it was opened to be read".into(),
            },
            false => Error::Closed,
        }
    }
}

fn stopped() -> Error {
    Error::Engine("the writer stopped".into())
}

/// One job as the thread sees it.
trait Job: Send {
    /// Does it; `false` when it failed and is to be taken back.
    fn run(&mut self, conn: &Connection) -> bool;
    /// Answers, after the transaction that it was part of: `failed` when that was taken back.
    fn answer(self: Box<Self>, failed: Option<&Arc<rusqlite::Error>>);
}

struct Task<T, F> {
    work: Option<F>,
    done: Option<Result<T, Error>>,
    reply: oneshot::Sender<Result<T, Error>>,
    path: Arc<Path>,
}

impl<T: Send, F: FnOnce(&Connection) -> Result<T, Fault> + Send> Job for Task<T, F> {
    fn run(&mut self, conn: &Connection) -> bool {
        let work = self.work.take().expect("a job runs once");
        let done = work(conn).map_err(|fault| fault.at(&self.path));
        self.done.insert(done).is_ok()
    }

    fn answer(self: Box<Self>, failed: Option<&Arc<rusqlite::Error>>) {
        let answer = match (self.done, failed) {
            // Its own failure says more than that of the transaction.
            (Some(Err(error)), _) => Err(error),
            (_, Some(error)) => Err(engine(&self.path, error)),
            (Some(done), None) => done,
            (None, None) => Err(stopped()),
        };
        // The caller may have gone: what was committed stays committed.
        let _gone = self.reply.send(answer);
    }
}

fn work_off(conn: &Connection, mut waiting: mpsc::Receiver<Box<dyn Job>>) {
    let mut group = Vec::with_capacity(GROUP_MAX);
    while waiting.blocking_recv_many(&mut group, GROUP_MAX) > 0 {
        let failed = transact(conn, &mut group).err().map(Arc::new);
        for job in group.drain(..) {
            job.answer(failed.as_ref());
        }
    }
}

/// Does a group of jobs in one transaction.
fn transact(conn: &Connection, group: &mut [Box<dyn Job>]) -> Result<(), rusqlite::Error> {
    execute(conn, "BEGIN IMMEDIATE")?;
    let mut jobs = group.iter_mut();
    let done =
        jobs.try_for_each(|job| apart(conn, job.as_mut())).and_then(|()| execute(conn, "COMMIT"));
    if done.is_err() && !conn.is_autocommit() {
        execute(conn, "ROLLBACK")?;
    }
    done
}

/// Does one job so that its failure spoils none of its neighbours.
fn apart(conn: &Connection, job: &mut dyn Job) -> Result<(), rusqlite::Error> {
    execute(conn, "SAVEPOINT job")?;
    if !job.run(conn) {
        // Some failures, a full disk among them, make SQLite take back the whole transaction.
        if conn.is_autocommit() {
            let text = "a neighbour in the same transaction failed".to_owned();
            return Err(rusqlite::Error::SqliteFailure(
                ffi::Error::new(ffi::SQLITE_ABORT),
                Some(text),
            ));
        }
        execute(conn, "ROLLBACK TO job")?;
    }
    execute(conn, "RELEASE job")
}

fn execute(conn: &Connection, sql: &str) -> Result<(), rusqlite::Error> {
    conn.prepare_cached(sql)?.execute([]).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    type Work = Box<dyn FnOnce(&Connection) -> Result<(), Fault> + Send>;

    fn writer(folder: &tempfile::TempDir) -> (Writer, PathBuf) {
        let path = folder.path().join("claw.sqlite");
        let conn = crate::open::writer(&path).unwrap();
        (Writer::start(conn, path.clone(), Damage::default()).unwrap(), path)
    }

    fn put(number: i64) -> impl FnOnce(&Connection) -> Result<(), Fault> + Send + 'static {
        let sql = "INSERT INTO grants VALUES ('telegram', 'default', ?, 0)";
        move |conn| Ok(conn.prepare_cached(sql)?.execute([number.to_string()]).map(drop)?)
    }

    fn stored(path: &Path) -> i64 {
        let count = "SELECT count(*) FROM grants";
        crate::open::reader(path).unwrap().query_row(count, [], |row| row.get(0)).unwrap()
    }

    /// Stops the writer in the middle of a job, so that all that follows waits and becomes one group.
    async fn hold(
        writer: &Arc<Writer>,
    ) -> (oneshot::Sender<()>, tokio::task::JoinHandle<Result<(), Error>>) {
        let (started, running) = oneshot::channel();
        let (release, released) = oneshot::channel();
        let job = move |_: &Connection| {
            started.send(()).unwrap();
            released.blocking_recv().map_err(|_| Error::Closed.into())
        };
        let held = tokio::spawn({
            let writer = Arc::clone(writer);
            async move { writer.run(job).await }
        });
        running.await.unwrap();
        (release, held)
    }

    /// Hands jobs over in order and returns when all of them wait.
    fn queue(writer: &Writer, jobs: Vec<Work>) -> Vec<oneshot::Receiver<Result<(), Error>>> {
        let sender = writer.jobs.lock().unwrap().clone().unwrap();
        let task = |work| {
            let (reply, answer) = oneshot::channel();
            let task = Task { work: Some(work), done: None, reply, path: Arc::clone(&writer.path) };
            assert!(sender.try_send(Box::new(task)).is_ok());
            answer
        };
        jobs.into_iter().map(task).collect()
    }

    #[tokio::test]
    async fn a_failing_job_spoils_none_of_its_group() {
        let folder = tempfile::TempDir::new().unwrap();
        let (writer, path) = writer(&folder);
        let writer = Arc::new(writer);
        let (release, held) = hold(&writer).await;
        let half = |conn: &Connection| {
            put(2)(conn)?;
            put(1)(conn)
        };
        let answers = queue(&writer, vec![Box::new(put(1)), Box::new(half), Box::new(put(3))]);
        release.send(()).unwrap();
        held.await.unwrap().unwrap();
        let mut done = Vec::new();
        for answer in answers {
            done.push(answer.await.unwrap().is_ok());
        }
        assert_eq!(done, [true, false, true]);
        assert_eq!(stored(&path), 2);
    }

    #[tokio::test]
    async fn what_waits_together_is_committed_together() {
        let folder = tempfile::TempDir::new().unwrap();
        let (writer, path) = writer(&folder);
        let writer = Arc::new(writer);
        let (release, held) = hold(&writer).await;
        // The first job is done, and nobody else sees it yet.
        let look = {
            let path = path.clone();
            move |conn: &Connection| {
                let own: i64 =
                    conn.query_row("SELECT count(*) FROM grants", [], |row| row.get(0))?;
                if (own, stored(&path)) == (1, 0) { Ok(()) } else { Err(Error::Closed.into()) }
            }
        };
        let answers = queue(&writer, vec![Box::new(put(1)), Box::new(look)]);
        release.send(()).unwrap();
        held.await.unwrap().unwrap();
        for answer in answers {
            answer.await.unwrap().unwrap();
        }
        assert_eq!(stored(&path), 1);
    }

    #[tokio::test]
    async fn a_job_that_loses_the_transaction_fails_its_group_and_the_next_one_goes_on() {
        let folder = tempfile::TempDir::new().unwrap();
        let (writer, path) = writer(&folder);
        let writer = Arc::new(writer);
        let (release, held) = hold(&writer).await;
        // What SQLite does by itself when the disk is full.
        let lose = |conn: &Connection| {
            execute(conn, "ROLLBACK")?;
            Err(Error::Engine("disk full".into()).into())
        };
        let answers = queue(&writer, vec![Box::new(put(1)), Box::new(lose), Box::new(put(2))]);
        release.send(()).unwrap();
        held.await.unwrap().unwrap();
        for answer in answers {
            assert!(matches!(answer.await.unwrap(), Err(Error::Engine(_))));
        }
        assert_eq!(stored(&path), 0);
        writer.run(put(4)).await.unwrap();
        assert_eq!(stored(&path), 1);
    }

    #[tokio::test]
    async fn closing_waits_for_what_was_handed_over() {
        let folder = tempfile::TempDir::new().unwrap();
        let (writer, path) = writer(&folder);
        let writer = Arc::new(writer);
        let (release, held) = hold(&writer).await;
        let answers = queue(&writer, vec![Box::new(put(1)), Box::new(put(2))]);
        release.send(()).unwrap();
        writer.close().await.unwrap();
        assert!(matches!(writer.run(put(3)).await, Err(Error::Closed)));
        held.await.unwrap().unwrap();
        for answer in answers {
            answer.await.unwrap().unwrap();
        }
        assert_eq!(stored(&path), 2);
    }

    #[tokio::test]
    async fn a_full_file_is_said_and_nothing_is_half_written() {
        let folder = tempfile::TempDir::new().unwrap();
        let (writer, path) = writer(&folder);
        let pages = |conn: &Connection, most: i64| -> Result<(), Fault> {
            Ok(conn.pragma_update_and_check(None, "max_page_count", most, |_| Ok(()))?)
        };
        writer.run(move |conn| pages(conn, 1)).await.unwrap();
        let fill = |conn: &Connection| (0..1000).try_for_each(|number| put(number)(conn));
        assert!(matches!(writer.run(fill).await, Err(Error::Full { .. })));
        assert_eq!(stored(&path), 0);
        writer.run(move |conn| pages(conn, 1_000_000)).await.unwrap();
        writer.run(fill).await.unwrap();
        assert_eq!(stored(&path), 1000);
    }
}

//! Writing: one task, which joins all that waits into one transaction under the one lock.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI32, Ordering},
    },
    time::Duration,
};

use claw_store::{Change, Committed, Error, Fence};
use futures_util::future::BoxFuture;
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};
use uuid::Uuid;

use crate::{
    conn::Conn,
    error::Fault,
    event, inbox,
    job::{Commit, Group, Job, Work},
    known, lease, outbox, people,
    place::Place,
    retention, session,
    transact::{self, Broken, transact},
    transcript,
};

/// Jobs that may wait for the writer; when there are more, their callers wait for a place.
const JOBS_WAITING_MAX: usize = 1024;
/// Jobs in one transaction, so that none waits long for its neighbours.
const GROUP_MAX: usize = 256;
/// The pause before a lost connection is tried anew.
pub(crate) const PAUSE: Duration = Duration::from_millis(200);
/// How long callers wait to be told whether a commit took effect whose answer was lost. Longer than
/// they wait otherwise, since the alternative is that they do not know.
const UNSURE_MAX: Duration = Duration::from_secs(60);
/// How often old tokens are forgotten.
const PRUNE_EVERY: Duration = Duration::from_secs(600);

pub(crate) struct Writer {
    /// `None` once closed.
    jobs: Mutex<Option<mpsc::Sender<Job>>>,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Writer {
    /// `pid` is kept at the server's process for the writer's connection.
    pub(crate) fn start(place: Arc<Place>, conn: Conn, pid: Arc<AtomicI32>) -> Self {
        let (jobs, waiting) = mpsc::channel(JOBS_WAITING_MAX);
        pid.store(conn.pid, Ordering::Relaxed);
        let worker = Worker { place, conn: Some(conn), pid, pruned: Instant::now() };
        let task = tokio::spawn(worker.work_off(waiting));
        Self { jobs: Mutex::new(Some(jobs)), task: Mutex::new(Some(task)) }
    }

    /// Commits; the answer comes when it is on disk.
    pub(crate) async fn commit(
        &self,
        fence: Fence,
        changes: Vec<Change>,
    ) -> Result<Committed, Error> {
        let since = Instant::now();
        let (reply, answer) = oneshot::channel();
        self.hand_over(Job::Commit(Commit { fence, changes, since, done: None, reply })).await?;
        answer.await.map_err(|_| stopped())?
    }

    /// Does other work in a transaction. Work that is refused leaves nothing; when the server goes
    /// away meanwhile, it is done again.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl for<'a> Fn(&'a Conn) -> BoxFuture<'a, Result<T, Fault>> + Send + 'static,
    ) -> Result<T, Error> {
        let since = Instant::now();
        let (reply, answer) = oneshot::channel();
        self.hand_over(Job::Task(Box::new(Work { work, since, done: None, reply }))).await?;
        answer.await.map_err(|_| stopped())?
    }

    /// Waits for all jobs under way, then closes the connection.
    pub(crate) async fn close(&self) -> Result<(), Error> {
        drop(self.jobs.lock().unwrap_or_else(PoisonError::into_inner).take().ok_or(Error::Closed)?);
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        match task {
            Some(task) => task.await.map_err(|_| stopped()),
            None => Ok(()),
        }
    }

    async fn hand_over(&self, job: Job) -> Result<(), Error> {
        let jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner).clone();
        jobs.ok_or(Error::Closed)?.send(job).await.map_err(|_| stopped())
    }
}

fn stopped() -> Error {
    Error::Engine("the writer stopped".into())
}

/// Every statement of the writer.
pub(crate) fn statements() -> impl Iterator<Item = &'static str> {
    let all: [&[&str]; 10] = [
        &transact::WRITER,
        &known::WRITER,
        &event::WRITER,
        &transcript::WRITER,
        &session::WRITER,
        &inbox::WRITER,
        &outbox::WRITER,
        &lease::WRITER,
        &people::WRITER,
        &retention::WRITER,
    ];
    all.into_iter().flatten().copied()
}

struct Worker {
    place: Arc<Place>,
    conn: Option<Conn>,
    pid: Arc<AtomicI32>,
    pruned: Instant,
}

impl Worker {
    async fn work_off(mut self, mut waiting: mpsc::Receiver<Job>) {
        let mut jobs = Vec::with_capacity(GROUP_MAX);
        while waiting.recv_many(&mut jobs, GROUP_MAX).await > 0 {
            self.settle(Group::of(jobs.drain(..))).await;
            self.prune().await;
        }
        if let Some(conn) = self.conn {
            conn.end().await;
        }
    }

    /// Does jobs until each has its answer.
    async fn settle(&mut self, group: Group) {
        let mut groups = VecDeque::from([group]);
        while let Some(mut group) = groups.pop_front() {
            let broken = match self.attempt(&mut group).await {
                Ok(()) => {
                    group.answer();
                    continue;
                }
                Err(broken) => broken,
            };
            match broken {
                Broken::Before(Fault::Lost(why)) => {
                    self.conn = None;
                    let overdue = group.overdue(self.place.options.retry_for);
                    overdue.fail(|| self.named(Fault::Lost(why.clone())));
                    if group.len() > 0 {
                        sleep(PAUSE).await;
                        groups.push_front(group);
                    }
                }
                // One of them is at fault; the others go on without it.
                Broken::Before(_) if group.len() > 1 => {
                    groups.extend(group.apart());
                }
                Broken::Before(fault) => {
                    let mut error = Some(self.named(fault));
                    group.fail(|| error.take().unwrap_or_else(stopped));
                }
                Broken::Unsure(token, why) => match self.took_effect(token).await {
                    Some(true) => group.answer(),
                    Some(false) => groups.push_front(group),
                    None => group.fail(|| {
                        let lost = format!("{why}; whether the commit took effect is not known");
                        self.named(Fault::Lost(lost))
                    }),
                },
            }
        }
    }

    async fn attempt(&mut self, group: &mut Group) -> Result<(), Broken> {
        let patience = self.place.answer_within();
        let conn = self.connected().await.map_err(Broken::Before)?;
        transact(conn, group, patience).await
    }

    /// Asks until there is an answer, or for too long.
    async fn took_effect(&mut self, token: Uuid) -> Option<bool> {
        let give_up = Instant::now() + UNSURE_MAX;
        loop {
            // The old connection may be cut without knowing it.
            self.conn = None;
            let patience = self.place.answer_within();
            let asked = async { transact::took_effect(self.connected().await?, token).await };
            match timeout(patience, asked).await {
                Ok(Ok(took_effect)) => return Some(took_effect),
                _ if Instant::now() >= give_up => return None,
                _ => sleep(PAUSE).await,
            }
        }
    }

    async fn connected(&mut self) -> Result<&Conn, Fault> {
        let conn = match self.conn.take() {
            Some(conn) if !conn.is_closed() => conn,
            _ => {
                let opened = Conn::open(&self.place, statements());
                let opened = timeout(self.place.answer_within(), opened).await;
                opened.unwrap_or_else(|_| Err(Fault::Lost("no answer in time".into())))?
            }
        };
        self.pid.store(conn.pid, Ordering::Relaxed);
        Ok(self.conn.insert(conn))
    }

    async fn prune(&mut self) {
        let Some(conn) = &self.conn else { return };
        if self.pruned.elapsed() < PRUNE_EVERY {
            return;
        }
        self.pruned = Instant::now();
        if !matches!(timeout(self.place.answer_within(), transact::prune(conn)).await, Ok(Ok(()))) {
            // The next job finds out whether there is still a server.
            self.conn = None;
        }
    }

    fn named(&self, fault: Fault) -> Error {
        fault.at(&self.place.name)
    }
}

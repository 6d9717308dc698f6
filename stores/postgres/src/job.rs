//! What the writer is asked to do, and to whom it answers.

use async_trait::async_trait;
use claw_store::{Change, Committed, Error, Fence};
use futures_util::future::BoxFuture;
use tokio::{
    sync::oneshot,
    time::{Duration, Instant},
};

use crate::{conn::Conn, error::Fault};

/// A commit that waits for its answer.
pub(crate) struct Commit {
    pub(crate) fence: Fence,
    pub(crate) changes: Vec<Change>,
    pub(crate) since: Instant,
    pub(crate) done: Option<Result<Committed, Error>>,
    pub(crate) reply: oneshot::Sender<Result<Committed, Error>>,
}

/// Any other work that writes. It may be done more than once, of which the last one counts.
#[async_trait]
pub(crate) trait Task: Send {
    /// Does it; a refusal is kept as the answer, any other fault is handed up.
    async fn run(&mut self, conn: &Conn) -> Result<Did, Fault>;
    /// Answers with what was done last, or with `failed`.
    fn answer(self: Box<Self>, failed: Option<Error>);
    fn since(&self) -> Instant;
}

/// What is to become of what a task did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Did {
    Keep,
    TakeBack,
}

/// Work with one kind of answer.
pub(crate) struct Work<T, F> {
    pub(crate) work: F,
    pub(crate) since: Instant,
    pub(crate) done: Option<Result<T, Error>>,
    pub(crate) reply: oneshot::Sender<Result<T, Error>>,
}

pub(crate) enum Job {
    Commit(Commit),
    Task(Box<dyn Task>),
}

/// Jobs that are done in one transaction.
#[derive(Default)]
pub(crate) struct Group {
    pub(crate) commits: Vec<Commit>,
    pub(crate) tasks: Vec<Box<dyn Task>>,
}

#[async_trait]
impl<T, F> Task for Work<T, F>
where
    T: Send,
    F: for<'a> Fn(&'a Conn) -> BoxFuture<'a, Result<T, Fault>> + Send,
{
    async fn run(&mut self, conn: &Conn) -> Result<Did, Fault> {
        let work = (self.work)(conn);
        let (done, did) = match work.await {
            Ok(done) => (Ok(done), Did::Keep),
            Err(Fault::Store(error)) => (Err(error), Did::TakeBack),
            Err(fault) => return Err(fault),
        };
        self.done = Some(done);
        Ok(did)
    }

    fn answer(self: Box<Self>, failed: Option<Error>) {
        reply(self.reply, self.done, failed);
    }

    fn since(&self) -> Instant {
        self.since
    }
}

impl Group {
    pub(crate) fn of(jobs: impl Iterator<Item = Job>) -> Self {
        let mut group = Self::default();
        for job in jobs {
            match job {
                Job::Commit(commit) => group.commits.push(commit),
                Job::Task(task) => group.tasks.push(task),
            }
        }
        group
    }

    pub(crate) fn len(&self) -> usize {
        self.commits.len() + self.tasks.len()
    }

    /// Each job as a group of its own, in order.
    pub(crate) fn apart(self) -> impl Iterator<Item = Self> {
        let tasks =
            self.tasks.into_iter().map(|task| Self { tasks: vec![task], ..Self::default() });
        let commits =
            self.commits.into_iter().map(|one| Self { commits: vec![one], ..Self::default() });
        tasks.chain(commits)
    }

    /// Takes out the jobs that have waited for longer than `patience`.
    pub(crate) fn overdue(&mut self, patience: Duration) -> Self {
        let over = |since: Instant| since.elapsed() >= patience;
        Self {
            commits: self.commits.extract_if(.., |commit| over(commit.since)).collect(),
            tasks: self.tasks.extract_if(.., |task| over(task.since())).collect(),
        }
    }

    /// Tells everybody what was done.
    pub(crate) fn answer(self) {
        self.answer_with(|| None);
    }

    /// Tells everybody that it failed.
    pub(crate) fn fail(self, mut error: impl FnMut() -> Error) {
        self.answer_with(|| Some(error()));
    }

    fn answer_with(self, mut failed: impl FnMut() -> Option<Error>) {
        for commit in self.commits {
            reply(commit.reply, commit.done, failed());
        }
        for task in self.tasks {
            task.answer(failed());
        }
    }
}

fn reply<T>(
    to: oneshot::Sender<Result<T, Error>>,
    done: Option<Result<T, Error>>,
    failed: Option<Error>,
) {
    let answer = match (done, failed) {
        (_, Some(error)) => Err(error),
        (Some(done), None) => done,
        (None, None) => Err(Error::Engine("the writer left out a job".into())),
    };
    // The caller may have gone: what was committed stays committed.
    let _gone = to.send(answer);
}

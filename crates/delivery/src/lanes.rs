//! One turn at a time per session: who runs, who waits, and who is stopped.

use std::{
    collections::{HashMap, VecDeque},
    convert::Infallible,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwap;
use claw_domain::{
    Action, AssistantMessage, Ending, ExternalId, MessageText, Outbound, RunId, SessionKey,
    SignalKind, StopCause,
};
use tokio::sync::Semaphore;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{debug, error};

use crate::{
    Error, RetrySchedule,
    in_flight::Flight,
    job::{Job, Stop, Turns},
    outbox::Outbox,
    pulse::Pulse,
    watchdog,
};

/// Most messages that wait in one lane. Further ones are refused, and their senders told.
pub(crate) const LANE_WAITING_MAX: usize = 5_000;

/// A turn that is over sooner shows no typing mark.
const TYPING_AFTER: Duration = Duration::from_millis(400);

/// Platforms take the mark back by themselves after some 5 to 10 s.
const TYPING_EVERY: Duration = Duration::from_secs(5);

/// What a lane works on.
pub(crate) enum Work {
    /// A turn of the model.
    Turn(Box<Job>),
    /// A command that was answered already and joins the transcript.
    Note(Box<Job>, AssistantMessage),
}

impl Work {
    fn job(&self) -> &Job {
        match self {
            Self::Turn(job) | Self::Note(job, _) => job,
        }
    }
}

/// A piece of work with its place in flight, and with the word to stop that it begins with when an
/// earlier process or try had begun it.
pub(crate) struct Waiting {
    work: Work,
    stop: Stop,
    _in_flight: Flight,
}

impl Waiting {
    pub(crate) fn job(&self) -> &Job {
        self.work.job()
    }
}

struct Running {
    run: RunId,
    stop: Stop,
    pulse: Arc<Pulse>,
}

#[derive(Default)]
struct Lane {
    waiting: VecDeque<Waiting>,
    running: Option<Running>,
}

pub(crate) struct Lanes {
    lanes: Mutex<HashMap<SessionKey, Lane>>,
    turns: Arc<dyn Turns>,
    outbox: Arc<Outbox>,
    slots: Arc<Semaphore>,
    concurrent_max: usize,
    tasks: TaskTracker,
    stopping: CancellationToken,
    kill: CancellationToken,
    patience: ArcSwap<Duration>,
}

impl Lanes {
    pub(crate) fn new(
        turns: Arc<dyn Turns>,
        outbox: Arc<Outbox>,
        concurrent_max: usize,
        stopping: CancellationToken,
    ) -> Arc<Self> {
        Arc::new(Self {
            lanes: Mutex::default(),
            turns,
            outbox,
            slots: Arc::new(Semaphore::new(concurrent_max)),
            concurrent_max,
            tasks: TaskTracker::new(),
            stopping,
            kill: CancellationToken::new(),
            patience: ArcSwap::from_pointee(watchdog::PATIENCE),
        })
    }

    /// Puts work at the end of its session's lane. Returns what was there before it, or the work
    /// itself when the lane is full.
    pub(crate) fn push(self: &Arc<Self>, work: Work, in_flight: Flight) -> Result<usize, Box<Job>> {
        let session = work.job().session.clone();
        let mut lanes = self.lock();
        let fresh = !lanes.contains_key(&session);
        let lane = lanes.entry(session.clone()).or_default();
        if lane.waiting.len() >= LANE_WAITING_MAX {
            return Err(match work {
                Work::Turn(job) | Work::Note(job, _) => job,
            });
        }
        let ahead = lane.waiting.len() + usize::from(lane.running.is_some());
        lane.waiting.push_back(Waiting { work, stop: Stop::default(), _in_flight: in_flight });
        drop(lanes);
        if fresh {
            self.run_lane(session);
        }
        Ok(ahead)
    }

    /// Puts work back to where [`Self::stop`] took it from: before all that waits.
    pub(crate) fn put_back(self: &Arc<Self>, session: &SessionKey, work: VecDeque<Waiting>) {
        let mut lanes = self.lock();
        let fresh = !lanes.contains_key(session);
        let lane = lanes.entry(session.clone()).or_default();
        for waiting in work.into_iter().rev() {
            lane.waiting.push_front(waiting);
        }
        drop(lanes);
        if fresh {
            self.run_lane(session.clone());
        }
    }

    fn run_lane(self: &Arc<Self>, session: SessionKey) {
        let lanes = Arc::clone(self);
        self.tasks.spawn(async move { lanes.drain(session).await });
    }

    /// Stops the running turn of a session, or only `run`; without `run` the waiting ones too.
    /// Returns the runs that are told to stop, and the work that is taken out of the lane.
    pub(crate) fn stop(
        &self,
        session: &SessionKey,
        run: Option<&RunId>,
        cause: StopCause,
    ) -> (Vec<RunId>, VecDeque<Waiting>) {
        let mut lanes = self.lock();
        let Some(lane) = lanes.get_mut(session) else { return (Vec::new(), VecDeque::new()) };
        let wanted = |candidate: &RunId| run.is_none_or(|run| run == candidate);
        let mut stopped = Vec::new();
        if let Some(Running { run, stop, .. }) = &lane.running
            && wanted(run)
        {
            stop.ask(cause);
            stopped.push(run.clone());
        }
        let taken_out = |waiting: &Waiting| {
            let job = waiting.job();
            let stops = matches!(waiting.work, Work::Turn(_)) && wanted(&job.row.run);
            if stops && job.resume {
                // What may have begun is ended by its turn, which leaves no call without a result.
                waiting.stop.ask(cause);
                stopped.push(job.row.run.clone());
            }
            stops && !job.resume
        };
        let (dropped, kept) = std::mem::take(&mut lane.waiting).into_iter().partition(taken_out);
        lane.waiting = kept;
        (stopped, dropped)
    }

    /// Replaces the text of a message that still waits. `false` when none does.
    pub(crate) fn replace(
        &self,
        session: &SessionKey,
        of: &ExternalId,
        message: &MessageText,
    ) -> Option<Job> {
        let mut lanes = self.lock();
        let waiting = &mut lanes.get_mut(session)?.waiting;
        waiting.iter_mut().find_map(|waiting| match &mut waiting.work {
            Work::Turn(job) if job.row.inbound.external_id == *of => {
                job.words = Some(message.text.clone());
                job.row.inbound.kind = claw_domain::InboundKind::Message(message.clone());
                Some(Job::clone(job))
            }
            _ => None,
        })
    }

    /// The run of a message that waits, and that an earlier process or try may have begun.
    pub(crate) fn left_over(&self, session: &SessionKey, of: &ExternalId) -> Option<RunId> {
        let lanes = self.lock();
        let mut jobs = lanes.get(session)?.waiting.iter().map(Waiting::job);
        jobs.find(|job| job.resume && job.row.inbound.external_id == *of)
            .map(|job| job.row.run.clone())
    }

    /// The run that goes on in a session now.
    pub(crate) fn running(&self, session: &SessionKey) -> Option<RunId> {
        self.lock().get(session)?.running.as_ref().map(|running| running.run.clone())
    }

    /// How long the turn that goes on in a session has shown nothing, when that is too long.
    pub(crate) fn stalled(&self, session: &SessionKey) -> Option<Duration> {
        let silence = self.lock().get(session)?.running.as_ref()?.pulse.silence();
        (silence >= **self.patience.load()).then_some(silence)
    }

    /// How long turns may show nothing, from the next one on.
    pub(crate) fn set_patience(&self, patience: Duration) {
        self.patience.store(Arc::new(patience));
    }

    /// Whether a run is running or waiting.
    pub(crate) fn knows(&self, session: &SessionKey, run: &RunId) -> bool {
        self.lock().get(session).is_some_and(|lane| {
            lane.running.as_ref().is_some_and(|running| running.run == *run)
                || lane.waiting.iter().any(|waiting| waiting.work.job().row.run == *run)
        })
    }

    /// Whether nothing runs or waits in a session.
    pub(crate) fn is_idle(&self, session: &SessionKey) -> bool {
        !self.lock().contains_key(session)
    }

    /// How many messages wait behind the running one.
    pub(crate) fn depth(&self, session: &SessionKey) -> usize {
        self.lock().get(session).map_or(0, |lane| lane.waiting.len())
    }

    /// Runs a task that ends with the lanes.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(task);
    }

    /// Whether another lane's work would soon be done: less than twice as many are busy as may be
    /// at one time. Asked only where another gateway could do it instead.
    pub(crate) fn has_room(&self) -> bool {
        self.lock().len() < 2 * self.concurrent_max
    }

    /// Whether every lane is empty.
    pub(crate) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// Waits for the turns under way; after `grace` they are dropped where they stand, which the
    /// next start takes up from the log.
    pub(crate) async fn closed(&self, grace: Duration) {
        self.tasks.close();
        if tokio::time::timeout(grace, self.tasks.wait()).await.is_err() {
            self.kill.cancel();
            self.tasks.wait().await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SessionKey, Lane>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs one lane until it is empty or the gateway stops.
    async fn drain(self: Arc<Self>, session: SessionKey) {
        loop {
            let slot = tokio::select! {
                biased;
                () = self.stopping.cancelled() => break,
                slot = Arc::clone(&self.slots).acquire_owned() => slot.expect("the slots are never closed"),
            };
            let Some((waiting, stop)) = self.next(&session) else { return };
            self.work(&waiting.work, &stop).await;
            drop(slot);
            if self.kill.is_cancelled() {
                break;
            }
        }
        self.lock().remove(&session);
    }

    /// Takes the next work and marks it as running; removes the lane when there is none.
    fn next(&self, session: &SessionKey) -> Option<(Waiting, Stop)> {
        let mut lanes = self.lock();
        let lane = lanes.get_mut(session)?;
        let Some(waiting) = lane.waiting.pop_front() else {
            lanes.remove(session);
            return None;
        };
        let (job, stop) = (waiting.job(), waiting.stop.clone());
        job.pulse.moved();
        let (run, pulse) = (job.row.run.clone(), Arc::clone(&job.pulse));
        lane.running = Some(Running { run, stop: stop.clone(), pulse });
        Some((waiting, stop))
    }

    /// Does one piece of work, again after a pause as long as the store fails.
    async fn work(&self, work: &Work, stop: &Stop) {
        let mut attempts = 0;
        let mut job = work.job().clone();
        loop {
            let done = match work {
                Work::Turn(_) => self.turn(&job, stop).await,
                Work::Note(_, answer) => self.turns.note(&job, answer.clone()).await,
            };
            let Err(failure) = done else { return };
            attempts += 1;
            job.resume = true;
            error!(session = %job.session, run = %job.row.run, attempts, error = %failure, "the store failed in a turn; it will go on from the log");
            let wait = RetrySchedule::default().wait(attempts, &job.row.inbound.external_id);
            tokio::select! {
                biased;
                () = self.stopping.cancelled() => return,
                () = self.kill.cancelled() => return,
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Runs a turn in a task of its own, so that a panic in it stays there and is told.
    async fn turn(&self, job: &Job, stop: &Stop) -> Result<(), Error> {
        let mut task = tokio::spawn({
            let (turns, job, stop) = (Arc::clone(&self.turns), job.clone(), stop.clone());
            async move { turns.run(&job, &stop).await }
        });
        tokio::select! {
            biased;
            () = self.kill.cancelled() => {
                task.abort();
                Ok(())
            }
            finished = &mut task => match finished {
                Ok(result) => result.map(drop),
                Err(panicked) => {
                    error!(run = %job.row.run, error = %panicked, "a turn broke");
                    let error = "Something broke inside the gateway while answering. Send it again.".to_owned();
                    let ending = Ending::Failed { error, code: "internal".into() };
                    job.finish(&ending, Vec::new()).await?;
                    job.core.tell(&job.row.run, &job.session, SignalKind::Finished(ending));
                    Ok(())
                }
            },
            never = self.keep_typing(job) => match never {},
            never = watchdog::watch(job, **self.patience.load(), &self.tasks) => match never {},
        }
    }

    /// Shows the typing mark again and again, where the channel has one.
    async fn keep_typing(&self, job: &Job) -> Infallible {
        let channel = job.target().and_then(|target| {
            let channel = self.outbox.channel(&target.channel, &target.account)?;
            channel.capability().typing.then_some((channel, target))
        });
        let Some((channel, target)) = channel else { return std::future::pending().await };
        let outbound = Outbound {
            target,
            action: Action::Typing,
            idempotency_key: format!("typing:{}", job.row.id),
        };
        tokio::time::sleep(TYPING_AFTER).await;
        loop {
            if let Ok(Err(error)) =
                tokio::time::timeout(TYPING_EVERY, channel.deliver(&outbound)).await
            {
                debug!(%error, "could not show that an answer is on its way");
            }
            tokio::time::sleep(TYPING_EVERY).await;
        }
    }
}

//! How parts get out: in order per target, retried as the platform asks, never after they expire.

use std::{
    collections::{HashMap, VecDeque},
    hash::{DefaultHasher, Hash, Hasher},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use claw_channel::{Channel, Error as ChannelError, Retry};
use claw_domain::{AccountId, ChannelId, OutboxId, Target, Timestamp};
use claw_store::{Change, DeliveryState, Fence, OutboxRow, Store};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{debug, info, warn};

use crate::{Error, OutboxConfig, Scribe, hands::Hands, sharing::Sharing, unsure};

/// Most parts that wait at one time. When full, turns wait with their last commit.
const WAITING_MAX: usize = 10_000;

/// Most rows that are claimed at a time.
const CLAIM_MAX: usize = 500;

/// How long one delivery may take before it counts as lost on the way.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(30);

/// The channel accounts that run now.
pub(crate) type Channels = HashMap<(ChannelId, AccountId), Arc<dyn Channel>>;

/// When to try again. Pure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetrySchedule {
    /// The first wait.
    pub min: Duration,
    /// The longest wait.
    pub max: Duration,
}

impl Default for RetrySchedule {
    /// 1 s doubling to 60 s.
    fn default() -> Self {
        Self { min: Duration::from_secs(1), max: Duration::from_secs(60) }
    }
}

impl RetrySchedule {
    /// How long to wait after the `attempts`th failure (from 1): doubling, then spread over the
    /// last quarter by who waits, so that many targets do not come back at the same instant.
    pub fn wait(&self, attempts: u32, who: &impl Hash) -> Duration {
        let doubled =
            self.min.saturating_mul(1 << attempts.saturating_sub(1).min(20)).min(self.max);
        let mut hasher = DefaultHasher::new();
        (attempts, who).hash(&mut hasher);
        let spread = (hasher.finish() % 256) as u32;
        doubled * 3 / 4 + doubled / 4 * spread / 256
    }
}

pub(crate) struct Outbox {
    store: Arc<dyn Store>,
    fence: Fence,
    scribe: Scribe,
    channels: ArcSwap<Channels>,
    schedule: RetrySchedule,
    /// Where gateways share the store, rows are sent by whoever holds their account.
    sharing: Option<Arc<Sharing>>,
    /// Whether the store may have given rows that nothing here knows of.
    unsure: AtomicBool,
    waiting: Mutex<HashMap<Target, VecDeque<Waiting>>>,
    pub(crate) hands: Hands,
    /// How long replies are worth sending.
    pub(crate) config: ArcSwap<OutboxConfig>,
    room: Arc<Semaphore>,
    tasks: TaskTracker,
    /// Nothing is waited for any more; what can be sent at once still is.
    stop: CancellationToken,
    /// Nothing more is sent.
    late: CancellationToken,
}

struct Waiting {
    part: Part,
    _room: OwnedSemaphorePermit,
}

/// A row with its times as this process measures them, so that a clock that is set while a part
/// waits neither silences its target nor kills it.
#[derive(Clone)]
struct Part {
    row: OutboxRow,
    due: Instant,
    expires: Instant,
}

impl Part {
    /// A row as it is taken up at `now`. What an earlier process put off for longer than any
    /// back-off, or with a clock that was ahead, is tried after the longest back-off.
    fn new(row: OutboxRow, now: Timestamp, schedule: RetrySchedule, age_max: Duration) -> Self {
        let until = |at: Timestamp| Duration::try_from(at.duration_since(now)).unwrap_or_default();
        let begin = Instant::now();
        Self {
            due: begin + until(row.not_before).min(schedule.max),
            expires: begin + until(row.expires_at).min(age_max),
            row,
        }
    }
}

impl Outbox {
    pub(crate) fn new(
        store: Arc<dyn Store>,
        fence: Fence,
        scribe: Scribe,
        channels: Channels,
        schedule: RetrySchedule,
        sharing: Option<Arc<Sharing>>,
        stop: CancellationToken,
    ) -> Arc<Self> {
        Arc::new(Self {
            store,
            fence,
            scribe,
            channels: ArcSwap::from_pointee(channels),
            schedule,
            sharing,
            unsure: AtomicBool::new(false),
            waiting: Mutex::default(),
            hands: Hands::default(),
            config: ArcSwap::default(),
            room: Arc::new(Semaphore::new(WAITING_MAX)),
            tasks: TaskTracker::new(),
            stop,
            late: CancellationToken::new(),
        })
    }

    /// Commits `changes` with `rows` queued, then begins to send them. Waits while it is full.
    pub(crate) async fn commit_and_send(
        self: &Arc<Self>,
        changes: Vec<Change>,
        rows: Vec<OutboxRow>,
    ) -> Result<(), Error> {
        if let Some(sharing) = &self.sharing {
            // The store knows the order of what several gateways queue for one target, so rows come
            // back by claiming them.
            let left = rows.into_iter().map(|row| OutboxRow { fence: Fence::NOBODY, ..row });
            self.enqueue(changes, &left.collect::<Vec<_>>()).await?;
            sharing.poke();
            return Ok(());
        }
        let mut room = Vec::with_capacity(rows.len());
        for _ in &rows {
            room.push(self.room.clone().acquire_owned().await.map_err(|_closed| Error::Stopping)?);
        }
        let orders = self.enqueue(changes, &rows).await?;
        for ((mut row, order), room) in rows.into_iter().zip(orders).zip(room) {
            row.order = order;
            self.push(row, room);
        }
        Ok(())
    }

    /// Commits `changes` with `rows` queued, and gives the order of each.
    async fn enqueue(
        &self,
        mut changes: Vec<Change>,
        rows: &[OutboxRow],
    ) -> Result<Vec<u64>, claw_store::Error> {
        changes.extend(rows.iter().map(|row| Change::Enqueue(Box::new(row.clone()))));
        let error = match self.store.commit(&self.fence, changes).await {
            Ok(committed) => return Ok(committed.orders),
            Err(error) => error,
        };
        if !error.may_pass() || rows.is_empty() {
            return Err(error);
        }
        let mut orders = Vec::with_capacity(rows.len());
        for row in rows {
            let kept = unsure::ask(&self.stop, || self.store.outbox_row(row.id)).await;
            let Some(kept) = kept.flatten() else { return Err(error) };
            orders.push(kept.order);
        }
        Ok(orders)
    }

    /// Takes over what waits on the accounts that this gateway holds, as far as there is room.
    pub(crate) async fn claim(self: &Arc<Self>) -> Result<usize, Error> {
        let mut count = 0;
        loop {
            if self.unsure.swap(true, Ordering::SeqCst) {
                count += self.find().await?;
            }
            let most = self.room.available_permits().min(CLAIM_MAX);
            let rows = match most {
                0 => Vec::new(),
                most => self.store.claim_outbox(&self.fence, most).await?,
            };
            self.unsure.store(false, Ordering::SeqCst);
            let found = rows.len();
            count += self.push_all(rows).await?;
            if found < most.max(1) {
                return Ok(count);
            }
        }
    }

    /// Takes up what an earlier process left to be sent.
    pub(crate) async fn recover(self: &Arc<Self>) -> Result<usize, Error> {
        let rows = self.store.pending_outbox(WAITING_MAX).await?;
        self.push_all(rows).await
    }

    /// Takes up what is this gateway's by the store and is not here: the answer to a claim was lost,
    /// and it would never be claimed again.
    async fn find(self: &Arc<Self>) -> Result<usize, Error> {
        let mine = |row: &OutboxRow| row.fence == self.fence;
        let mut found = Vec::new();
        for row in self.store.pending_outbox(WAITING_MAX).await?.into_iter().filter(mine) {
            if self.has(&row.outbound.target, row.id) {
                continue;
            }
            // It may have been sent since it was read, but nothing brings it here now.
            let row = self.store.outbox_row(row.id).await?.filter(mine);
            found.extend(row.filter(|row| matches!(row.state, DeliveryState::Pending { .. })));
        }
        self.push_all(found).await
    }

    async fn push_all(self: &Arc<Self>, rows: Vec<OutboxRow>) -> Result<usize, Error> {
        let count = rows.len();
        for row in rows {
            let room =
                self.room.clone().acquire_owned().await.map_err(|_closed| Error::Stopping)?;
            self.push(row, room);
        }
        Ok(count)
    }

    /// The channel account that runs now.
    pub(crate) fn channel(
        &self,
        channel: &ChannelId,
        account: &AccountId,
    ) -> Option<Arc<dyn Channel>> {
        self.channels.load().get(&(channel.clone(), account.clone())).cloned()
    }

    pub(crate) fn set_channels(&self, channels: Channels) {
        self.channels.store(Arc::new(channels));
    }

    /// Waits until every target has sent what can be sent at once; after `grace` no more is begun.
    /// What is left, and what waits for another try, stays in the store for the next start.
    pub(crate) async fn closed(&self, grace: Duration) {
        self.tasks.close();
        if tokio::time::timeout(grace, self.tasks.wait()).await.is_err() {
            self.late.cancel();
            self.tasks.wait().await;
        }
    }

    /// Whether a part of this target waits here, or is on its way.
    pub(crate) fn has(&self, target: &Target, id: OutboxId) -> bool {
        self.lock()
            .get(target)
            .is_some_and(|queue| queue.iter().any(|waiting| waiting.part.row.id == id))
    }

    /// Fires when nothing is waited for any more.
    pub(crate) fn stopping(&self) -> &CancellationToken {
        &self.stop
    }

    /// Whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Target, VecDeque<Waiting>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(self: &Arc<Self>, row: OutboxRow, room: OwnedSemaphorePermit) {
        let target = row.outbound.target.clone();
        let age_max = self.config.load().longest();
        let part = Part::new(row, self.scribe.now(), self.schedule, age_max);
        let waiting = Waiting { part, _room: room };
        let mut targets = self.lock();
        if let Some(queue) = targets.get_mut(&target) {
            queue.push_back(waiting);
            return;
        }
        targets.insert(target.clone(), VecDeque::from([waiting]));
        drop(targets);
        let outbox = Arc::clone(self);
        self.tasks.spawn(async move { outbox.drain(target).await });
    }

    /// Sends one target's rows in order until none is left or the gateway stops.
    async fn drain(self: Arc<Self>, target: Target) {
        loop {
            let front = self
                .lock()
                .get(&target)
                .and_then(|queue| queue.front().map(|waiting| waiting.part.clone()));
            let Some(part) = front else { return };
            if !self.carry(part).await {
                return;
            }
            let mut targets = self.lock();
            let Some(queue) = targets.get_mut(&target) else { return };
            queue.pop_front();
            if queue.is_empty() {
                targets.remove(&target);
                return;
            }
        }
    }

    /// Tries one part until it is sent or dead, or its owner drops it. `false` when the gateway
    /// stops first.
    async fn carry(&self, mut part: Part) -> bool {
        while let DeliveryState::Pending { attempts, .. } = part.row.state {
            let id = part.row.id;
            if !self.wait_until(part.due, id).await || !self.may_send().await {
                return false;
            }
            if !self.hands.take(id).await {
                return true;
            }
            let again = self.attempt(&mut part, attempts + 1).await;
            let not_before = again.map(|wait| later(self.scribe.now(), wait));
            let change = Change::Deliver(id, part.row.state.clone(), not_before);
            let marked = self.mark(change).await;
            self.hands.let_go(id);
            if !marked {
                return false;
            }
            part.due = Instant::now() + again.unwrap_or_default();
        }
        true
    }

    /// One try; moves the row's state on and returns how long to wait for the next, if there is one.
    async fn attempt(&self, part: &mut Part, attempts: u32) -> Option<Duration> {
        let Part { row, expires, .. } = part;
        let dead = |reason: String, attempts| DeliveryState::Dead {
            reason,
            attempts,
            at: self.scribe.now(),
        };
        let target = &row.outbound.target;
        if Instant::now() >= *expires {
            warn!(%target.channel, %target.chat, "a reply expired before it could be sent");
            row.state = dead("it could not be sent in time".into(), attempts - 1);
            return None;
        }
        let error = match self.deliver(row).await {
            Ok(delivered) => {
                debug!(%target.channel, %target.chat, part = row.part, "part delivered");
                row.state = DeliveryState::Sent {
                    external_id: delivered.external_id,
                    attempts,
                    at: self.scribe.now(),
                };
                return None;
            }
            Err(error) => error,
        };
        let wait = match error.retry() {
            Retry::Never => {
                warn!(%target.channel, %target.chat, %error, "a reply was refused");
                row.state = dead(error.to_string(), attempts);
                return None;
            }
            Retry::Later => self.schedule.wait(attempts, &(target, row.order, row.part)),
            Retry::After(wait) => wait,
        };
        info!(%target.channel, %target.chat, attempts, wait_ms = wait.as_millis() as u64, %error, "will send again");
        row.state = DeliveryState::Pending { attempts, error: Some(error.to_string()) };
        Some(wait.min(expires.saturating_duration_since(Instant::now())))
    }

    async fn deliver(&self, row: &OutboxRow) -> Result<claw_channel::Delivered, ChannelError> {
        let target = &row.outbound.target;
        let name = || target.channel.to_string();
        let Some(channel) = self.channel(&target.channel, &target.account) else {
            return Err(ChannelError::Network {
                channel: name(),
                detail: "its account is not running".into(),
            });
        };
        let deadline = self.deadline();
        match tokio::time::timeout(deadline, channel.deliver(&row.outbound)).await {
            Ok(result) => result,
            Err(_elapsed) => Err(ChannelError::Network {
                channel: name(),
                detail: format!("no answer within {} s", deadline.as_secs()),
            }),
        }
    }

    /// How long one delivery may take before it counts as lost on the way.
    fn deadline(&self) -> Duration {
        let sharing = self.sharing.as_ref();
        let lease = sharing.map(|sharing| sharing.membership.send_deadline());
        lease.map_or(DELIVERY_TIMEOUT, |lease| lease.min(DELIVERY_TIMEOUT))
    }

    /// Whether this gateway may send: another one must not take over while it does, so its lease
    /// has to last for twice as long as a delivery may take. Waits for the lease to be renewed.
    async fn may_send(&self) -> bool {
        let Some(sharing) = &self.sharing else { return true };
        tokio::select! {
            biased;
            () = self.late.cancelled() => false,
            good = sharing.membership.good_for(2 * self.deadline()) => good,
        }
    }

    /// Waits for a part's time, or until its owner drops it. `false` when the gateway stops first.
    async fn wait_until(&self, due: Instant, id: OutboxId) -> bool {
        if due <= Instant::now() {
            return !self.late.is_cancelled();
        }
        tokio::select! {
            biased;
            () = self.stop.cancelled() => false,
            () = tokio::time::sleep_until(due) => true,
            () = self.hands.dropped(id) => true,
        }
    }

    /// Commits a row's new state, as often as it takes. `false` when the gateway stops first.
    async fn mark(&self, change: Change) -> bool {
        let mut attempts = 0;
        loop {
            let Err(error) = self.store.commit(&self.fence, vec![change.clone()]).await else {
                return true;
            };
            attempts += 1;
            warn!(%error, attempts, "the store did not keep the state of a delivery");
            if let Some(sharing) = &self.sharing {
                sharing.membership.was_fenced(&error);
            }
            if matches!(error, claw_store::Error::Fenced { .. } | claw_store::Error::Closed) {
                return false;
            }
            tokio::select! {
                biased;
                () = self.late.cancelled() => return false,
                () = tokio::time::sleep(self.schedule.wait(attempts, &())) => {}
            }
        }
    }
}

/// `wait` after `now`; the end of time when that is out of range.
pub(crate) fn later(now: Timestamp, wait: Duration) -> Timestamp {
    now.checked_add(wait).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_are_spread() {
        let schedule = RetrySchedule::default();
        for (attempts, full_s) in [(1, 1), (2, 2), (3, 4), (6, 32), (7, 60), (40, 60)] {
            for who in ["a", "b", "c", "d"] {
                let wait = schedule.wait(attempts, &who);
                let full = Duration::from_secs(full_s);
                assert!(wait >= full * 3 / 4 && wait < full, "{attempts} {who} {wait:?}");
            }
        }
        assert_ne!(schedule.wait(1, &"a"), schedule.wait(1, &"b"));
    }
}

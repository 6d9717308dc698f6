//! How parts get out: in order per target, retried as the platform asks, never after they expire.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwap;
use claw_channel::{Channel, Error as ChannelError, Retry};
use claw_domain::{AccountId, ChannelId, Target, Timestamp};
use claw_store::{Change, DeliveryState, Fence, OutboxRow, Store};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{debug, info, warn};

use crate::{Error, Scribe};

/// Most parts that wait at one time. When full, turns wait with their last commit.
const WAITING_MAX: usize = 10_000;

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
    /// last quarter by `seed`, so that many targets do not come back at the same instant.
    pub fn wait(&self, attempts: u32, seed: u128) -> Duration {
        let doubled =
            self.min.saturating_mul(1 << attempts.saturating_sub(1).min(20)).min(self.max);
        let spread = (seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(u128::from(attempts))
            >> 32)
            % 256;
        doubled * 3 / 4 + doubled / 4 * u32::try_from(spread).unwrap_or(0) / 256
    }
}

pub(crate) struct Outbox {
    store: Arc<dyn Store>,
    fence: Fence,
    scribe: Scribe,
    channels: ArcSwap<Channels>,
    schedule: RetrySchedule,
    waiting: Mutex<HashMap<Target, VecDeque<Waiting>>>,
    room: Arc<Semaphore>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

struct Waiting {
    row: OutboxRow,
    _room: OwnedSemaphorePermit,
}

impl Outbox {
    pub(crate) fn new(
        store: Arc<dyn Store>,
        fence: Fence,
        scribe: Scribe,
        channels: Channels,
        schedule: RetrySchedule,
        stop: CancellationToken,
    ) -> Arc<Self> {
        Arc::new(Self {
            store,
            fence,
            scribe,
            channels: ArcSwap::from_pointee(channels),
            schedule,
            waiting: Mutex::default(),
            room: Arc::new(Semaphore::new(WAITING_MAX)),
            tasks: TaskTracker::new(),
            stop,
        })
    }

    /// Commits `changes` with `rows` queued, then begins to send them. Waits while it is full.
    pub(crate) async fn commit_and_send(
        self: &Arc<Self>,
        mut changes: Vec<Change>,
        rows: Vec<OutboxRow>,
    ) -> Result<(), Error> {
        let mut room = Vec::with_capacity(rows.len());
        for _ in &rows {
            room.push(self.room.clone().acquire_owned().await.map_err(|_closed| Error::Stopping)?);
        }
        changes.extend(rows.iter().map(|row| Change::Enqueue(Box::new(row.clone()))));
        let committed = self.store.commit(&self.fence, changes).await?;
        for ((mut row, order), room) in rows.into_iter().zip(committed.orders).zip(room) {
            row.order = order;
            self.push(row, room);
        }
        Ok(())
    }

    /// Takes up what an earlier process left to be sent.
    pub(crate) async fn recover(self: &Arc<Self>) -> Result<usize, Error> {
        let rows = self.store.pending_outbox(WAITING_MAX).await?;
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

    /// Waits until every target has sent what it can, or has noticed the stop.
    pub(crate) async fn closed(&self) {
        self.tasks.close();
        self.tasks.wait().await;
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
        let waiting = Waiting { row, _room: room };
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
                .and_then(|queue| queue.front().map(|waiting| waiting.row.clone()));
            let Some(row) = front else { return };
            if !self.carry(row).await {
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

    /// Tries one row until it is sent or dead. `false` when the gateway stops first.
    async fn carry(&self, mut row: OutboxRow) -> bool {
        while let DeliveryState::Pending { attempts, .. } = row.state {
            if !self.wait_until(row.not_before).await {
                return false;
            }
            let again = self.attempt(&mut row, attempts + 1).await;
            let change = Change::Deliver(row.id, row.state.clone(), again);
            if !self.mark(change).await {
                return false;
            }
            row.not_before = again.unwrap_or(row.not_before);
        }
        true
    }

    /// One try; moves the row's state on and returns the time of the next try, if there is one.
    async fn attempt(&self, row: &mut OutboxRow, attempts: u32) -> Option<Timestamp> {
        let dead = |reason: String| DeliveryState::Dead { reason, at: self.scribe.now() };
        let target = &row.outbound.target;
        if self.scribe.now() >= row.expires_at {
            warn!(%target.channel, %target.chat, "a reply expired before it could be sent");
            row.state = dead("it could not be sent in time".into());
            return None;
        }
        let error = match self.deliver(row).await {
            Ok(delivered) => {
                debug!(%target.channel, %target.chat, part = row.part, "part delivered");
                row.state = DeliveryState::Sent {
                    external_id: delivered.external_id,
                    at: self.scribe.now(),
                };
                return None;
            }
            Err(error) => error,
        };
        let wait = match error.retry() {
            Retry::Never => {
                warn!(%target.channel, %target.chat, %error, "a reply was refused");
                row.state = dead(error.to_string());
                return None;
            }
            Retry::Later => self.schedule.wait(attempts, row.id.0.as_u128()),
            Retry::After(wait) => wait,
        };
        info!(%target.channel, %target.chat, attempts, wait_ms = wait.as_millis() as u64, %error, "will send again");
        row.state = DeliveryState::Pending { attempts, error: Some(error.to_string()) };
        Some(later(self.scribe.now(), wait).min(row.expires_at))
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
        match tokio::time::timeout(DELIVERY_TIMEOUT, channel.deliver(&row.outbound)).await {
            Ok(result) => result,
            Err(_elapsed) => Err(ChannelError::Network {
                channel: name(),
                detail: format!("no answer within {} s", DELIVERY_TIMEOUT.as_secs()),
            }),
        }
    }

    /// Waits for a row's time. `false` when the gateway stops first.
    async fn wait_until(&self, at: Timestamp) -> bool {
        let wait =
            Duration::try_from(at.duration_since(self.scribe.now())).unwrap_or(Duration::ZERO);
        if wait.is_zero() {
            return !self.stop.is_cancelled();
        }
        tokio::select! {
            () = self.stop.cancelled() => false,
            () = tokio::time::sleep(wait) => true,
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
            if matches!(error, claw_store::Error::Fenced { .. } | claw_store::Error::Closed) {
                return false;
            }
            tokio::select! {
                () = self.stop.cancelled() => return false,
                () = tokio::time::sleep(self.schedule.wait(attempts, 0)) => {}
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
            for seed in [0, 1, u128::MAX, 0x0199_0000_0000_7000_8000_0000_0000_1234] {
                let wait = schedule.wait(attempts, seed);
                let full = Duration::from_secs(full_s);
                assert!(wait >= full * 3 / 4 && wait < full, "{attempts} {seed} {wait:?}");
            }
        }
        assert_ne!(schedule.wait(1, 1), schedule.wait(1, 2));
    }
}

//! What keeps channel accounts receiving: at this gateway, or at another one of its store.

use std::{sync::Arc, time::Duration};

use claw_channel::{Channel, Inbox, Retry};
use claw_delivery::RetrySchedule;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{error, info, warn};

use crate::{Ended, engine::Engine};

/// How often the gateways that do not hold a channel account ask whether it is free.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// How long an account must have run for its failures before to be forgotten.
const HEALTHY_AFTER: Duration = Duration::from_secs(60);

/// Keeps accounts receiving until they are stopped: an account that fails is run again with
/// back-off, or given up when its error says so; either way `went_down` is called.
pub(crate) fn run_all(
    engine: &Arc<Engine>,
    inbox: &Arc<dyn Inbox>,
    tasks: &TaskTracker,
    stop: &CancellationToken,
    went_down: impl Fn() + Clone + Send + 'static,
) {
    for channel in &engine.channels {
        let (channel, inbox, stop) = (Arc::clone(channel), Arc::clone(inbox), stop.child_token());
        let (engine, went_down) = (Arc::clone(engine), went_down.clone());
        tasks.spawn(async move {
            if engine.hold_account(&*channel, &stop).await {
                keep_running(channel, inbox, stop, went_down).await;
            }
        });
    }
}

async fn keep_running(
    channel: Arc<dyn Channel>,
    inbox: Arc<dyn Inbox>,
    stop: CancellationToken,
    went_down: impl Fn(),
) {
    let schedule = RetrySchedule::default();
    let mut attempts = 0;
    loop {
        info!(channel = %channel.id(), account = %channel.account(), "receiving");
        let began = tokio::time::Instant::now();
        let Err(failure) = channel.run(&*inbox, stop.child_token()).await else { return };
        if stop.is_cancelled() {
            return;
        }
        went_down();
        attempts = if began.elapsed() > HEALTHY_AFTER { 1 } else { attempts + 1 };
        let wait = match failure.retry() {
            Retry::Never => {
                let hint = failure.hint().unwrap_or_default();
                error!(channel = %channel.id(), account = %channel.account(), error = %failure, hint, "gave up receiving");
                return;
            }
            Retry::Later => schedule.wait(attempts, &(channel.id(), channel.account())),
            Retry::After(wait) => wait,
        };
        warn!(channel = %channel.id(), account = %channel.account(), error = %failure, wait_ms = wait.as_millis() as u64, "will receive again");
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(wait) => {}
        }
    }
}

impl Engine {
    /// Waits until this gateway is the one that receives and sends on an account. `false` when it
    /// stops first.
    pub(crate) async fn hold_account(
        &self,
        channel: &dyn claw_channel::Channel,
        stop: &CancellationToken,
    ) -> bool {
        let key = (channel.id().clone(), channel.account().clone());
        loop {
            match self.delivery.hold_account(&key.0, &key.1).await {
                Ok(true) => {
                    self.elsewhere.lock().remove(&key);
                    return true;
                }
                Ok(false) => {
                    if self.elsewhere.lock().insert(key.clone()) {
                        info!(channel = %key.0, account = %key.1, "another gateway receives here");
                    }
                }
                Err(error) => {
                    warn!(channel = %key.0, account = %key.1, %error, "could not ask who receives here");
                }
            }
            tokio::select! {
                () = stop.cancelled() => return false,
                () = tokio::time::sleep(ASK_EVERY) => {}
            }
        }
    }

    /// Waits for `stop`, or until the place among the gateways is lost.
    pub(crate) async fn until_lost(&self, stop: &CancellationToken) -> Ended {
        let Some(membership) = &self.membership else {
            stop.cancelled().await;
            return Ended::Stopped;
        };
        tokio::select! {
            () = stop.cancelled() => Ended::Stopped,
            () = membership.lost().cancelled() => Ended::Lost,
        }
    }
}

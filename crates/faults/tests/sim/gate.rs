//! Whether one process lives and runs. Whatever it does to the world passes here.

use std::{
    future::pending,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::world::lock;

/// A process that can be killed, stopped, or cut off from its store between any two of its effects.
///
/// Once it is dead, each of its calls stays where it stands for ever: nothing of it goes on, no
/// destructor that matters runs, nothing reaches the world. That is what `kill -9` leaves behind.
/// A process that is stopped stays where it stands for a while, as between `SIGSTOP` and `SIGCONT`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Gate(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    dead: CancellationToken,
    wakes: Mutex<Option<Instant>>,
    cut_until: Mutex<Option<Instant>>,
}

impl Gate {
    pub(crate) fn kill(&self) {
        self.0.dead.cancel();
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.0.dead.is_cancelled()
    }

    /// Returns when the process dies.
    pub(crate) async fn dies(&self) {
        self.0.dead.cancelled().await;
    }

    /// Returns at once while the process runs, when it wakes while it is stopped, and never when it
    /// is dead.
    pub(crate) async fn alive(&self) {
        loop {
            if self.is_dead() {
                pending::<()>().await;
            }
            match self.stopped_for() {
                Duration::ZERO => return,
                rest => tokio::time::sleep(rest).await,
            }
        }
    }

    /// Stops the process for a while.
    pub(crate) fn stop(&self, time: Duration) {
        *lock(&self.0.wakes) = Some(Instant::now() + time);
    }

    /// How long the process stays stopped.
    pub(crate) fn stopped_for(&self) -> Duration {
        until(&self.0.wakes)
    }

    /// Has every question to the store fail for a while.
    pub(crate) fn cut_off(&self, time: Duration) {
        *lock(&self.0.cut_until) = Some(Instant::now() + time);
    }

    pub(crate) fn is_cut_off(&self) -> bool {
        !until(&self.0.cut_until).is_zero()
    }
}

fn until(time: &Mutex<Option<Instant>>) -> Duration {
    lock(time).map_or(Duration::ZERO, |at| at.saturating_duration_since(Instant::now()))
}

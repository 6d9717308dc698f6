//! What a turn shows of itself.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{sync::OwnedMutexGuard, time::Instant};

/// What a turn shows of itself: when it moved last, and whether its sender was told something.
#[derive(Debug)]
pub(crate) struct Pulse {
    moved: Mutex<Instant>,
    /// Held while a notice or the end is committed, so that no notice follows the answer.
    told: Arc<tokio::sync::Mutex<Told>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    Nothing,
    Notice,
    End,
}

/// The right to commit a notice to the sender, or the turn's end.
pub(crate) struct Telling {
    told: OwnedMutexGuard<Told>,
    what: Told,
}

impl Pulse {
    pub(crate) fn new() -> Arc<Self> {
        let told = Arc::new(tokio::sync::Mutex::new(Told::Nothing));
        Arc::new(Self { moved: Mutex::new(Instant::now()), told })
    }

    pub(crate) fn moved(&self) {
        *self.moved.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// How long the turn has shown nothing.
    pub(crate) fn silence(&self) -> Duration {
        self.moved.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }

    /// To be asked for before a turn's end is committed: waits for a notice under way.
    pub(crate) async fn ending(&self) -> Telling {
        let told = Arc::clone(&self.told).lock_owned().await;
        Telling { told, what: Told::End }
    }

    /// To be asked for before the notice: `None` when it was told, or the end is on its way.
    pub(crate) fn notice(&self) -> Option<Telling> {
        let told = Arc::clone(&self.told).try_lock_owned().ok()?;
        (*told == Told::Nothing).then_some(Telling { told, what: Told::Notice })
    }
}

impl Telling {
    /// It is committed: no notice follows.
    pub(crate) fn committed(mut self) {
        *self.told = self.what;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn silence_is_counted_from_the_last_movement() {
        let pulse = Pulse::new();
        tokio::time::advance(Duration::from_secs(50)).await;
        assert_eq!(pulse.silence(), Duration::from_secs(50));
        pulse.moved();
        assert_eq!(pulse.silence(), Duration::ZERO);
    }
}

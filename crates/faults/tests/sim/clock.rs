//! Made-up time: the wall clocks go with the runtime's paused time, and may be wrong.

use std::time::Duration;

use claw_domain::{Clock, Timestamp, millis};
use tokio::time::Instant;

/// When every history begins: 2026-01-01, noon.
const BEGIN_MS: i64 = 1_767_268_800_000;

/// How far a clock that is set back goes back.
const BACK_MS: i64 = 3_600_000;

#[derive(Debug, Clone, Copy)]
pub(crate) struct MadeUpClock {
    begin: Instant,
    back_at: Option<Duration>,
    ahead_ms: i64,
}

impl MadeUpClock {
    /// A clock that is set back at this time of the history, if at any.
    pub(crate) fn begin(back_at_ms: Option<u64>) -> Self {
        let back_at = back_at_ms.map(Duration::from_millis);
        Self { begin: Instant::now(), back_at, ahead_ms: 0 }
    }

    /// Another machine's clock, which is ahead of this one, or behind it.
    pub(crate) fn ahead(self, ahead_ms: i64) -> Self {
        Self { ahead_ms, ..self }
    }

    /// How long the history has gone on, whatever the clock says. Unit: milliseconds.
    pub(crate) fn elapsed(&self) -> u64 {
        self.begin.elapsed().as_millis() as u64
    }
}

impl Clock for MadeUpClock {
    fn now(&self) -> Timestamp {
        let elapsed = self.begin.elapsed();
        let back = self.back_at.filter(|at| elapsed >= *at).map_or(0, |_set| BACK_MS);
        millis(BEGIN_MS + elapsed.as_millis() as i64 - back + self.ahead_ms)
    }
}

//! Made-up time: the wall clock goes with the runtime's paused time and may be set back once.

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
}

impl MadeUpClock {
    pub(crate) fn begin(back_at_ms: Option<u64>) -> Self {
        Self { begin: Instant::now(), back_at: back_at_ms.map(Duration::from_millis) }
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
        millis(BEGIN_MS + elapsed.as_millis() as i64 - back)
    }
}

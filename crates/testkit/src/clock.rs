//! A clock that stands still until the test moves it.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use claw_domain::{Clock, Timestamp};

use crate::book::lock;

/// Where a new clock stands: 2026-01-01T00:00:00Z, in seconds since the Unix epoch.
const START_SECS: i64 = 1_767_225_600;

/// A clock for tests. Clones show the same time.
#[derive(Debug, Clone)]
pub struct MockClock(Arc<Mutex<Timestamp>>);

impl MockClock {
    /// A clock at 2026-01-01T00:00:00Z.
    pub fn new() -> Self {
        Self::at(Timestamp::constant(START_SECS, 0))
    }

    /// A clock at `now`.
    pub fn at(now: Timestamp) -> Self {
        Self(Arc::new(Mutex::new(now)))
    }

    /// Moves the clock forward.
    ///
    /// # Panics
    /// Beyond the year 9999.
    pub fn advance(&self, by: Duration) {
        let mut now = lock(&self.0);
        *now = now.checked_add(by).expect("tests stay within the calendar");
    }

    /// Sets the clock, back too.
    pub fn set(&self, now: Timestamp) {
        *lock(&self.0) = now;
    }
}

impl Default for MockClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for MockClock {
    fn now(&self) -> Timestamp {
        *lock(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_moves_only_when_told_and_for_all_clones() {
        let clock = MockClock::new();
        let same = clock.clone();
        assert_eq!(clock.now().to_string(), "2026-01-01T00:00:00Z");
        same.advance(Duration::from_millis(90_500));
        assert_eq!(clock.now().to_string(), "2026-01-01T00:01:30.5Z");
        clock.set(Timestamp::UNIX_EPOCH);
        assert_eq!(same.now(), Timestamp::UNIX_EPOCH);
    }
}

//! A clock with a point before and after it is read.

use std::sync::Arc;

use claw_domain::{Clock, Timestamp};

use crate::Points;

/// Passes `clock.now`. Time itself cannot fail.
pub struct FaultyClock {
    inner: Arc<dyn Clock>,
    points: Points,
}

impl FaultyClock {
    /// Wraps `inner`.
    pub fn new(inner: Arc<dyn Clock>, points: Points) -> Self {
        Self { inner, points }
    }
}

impl Clock for FaultyClock {
    fn now(&self) -> Timestamp {
        self.points.around_now("clock.now", "", || self.inner.now())
    }
}

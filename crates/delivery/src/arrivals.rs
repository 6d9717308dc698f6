//! Ids that ascend with acceptance, also when the clock is set back.

use std::sync::{Mutex, PoisonError};

use claw_domain::{InboxId, TraceId};
use uuid::Uuid;

/// Gives out the ids of inbox rows. Rows are taken up again in the order of their ids, so an id is
/// never less than one before it, of an earlier process either.
#[derive(Debug, Default)]
pub(crate) struct Arrivals(Mutex<u128>);

impl Arrivals {
    /// Goes on after this row.
    pub(crate) fn observe(&self, newest: InboxId) {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *last = (*last).max(newest.0.as_u128());
    }

    /// The ids of the next row and of its trace, made together.
    pub(crate) fn next(&self) -> (InboxId, TraceId) {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // The lowest bits of such an id are random, so counting on from them clashes with nobody.
        let id = Uuid::now_v7().as_u128().max(*last + 1);
        *last = id + 1;
        (InboxId(Uuid::from_u128(id)), TraceId(Uuid::from_u128(id + 1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_ascend_after_a_row_that_was_accepted_with_a_clock_ahead() {
        let arrivals = Arrivals::default();
        let hour = 3_600_000_u128 << 80;
        let ahead = InboxId(Uuid::from_u128(Uuid::now_v7().as_u128() + hour));
        arrivals.observe(ahead);
        let (first, trace) = arrivals.next();
        let (second, _) = arrivals.next();
        assert!(ahead < first && first < second, "{ahead} {first} {second}");
        assert_eq!(first.0.as_u128() + 1, trace.0.as_u128());
    }
}

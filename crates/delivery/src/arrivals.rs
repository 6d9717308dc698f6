//! Ids that ascend with acceptance, also when the clock is set back.

use std::sync::{Mutex, PoisonError};

use claw_domain::{InboxId, Timestamp, TraceId};
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

    /// The ids of the next row and of its trace, made together at this time.
    pub(crate) fn next(&self, now: Timestamp) -> (InboxId, TraceId) {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // The lowest bits of such an id are random, so counting on from them clashes with nobody.
        let id = version_7(now).as_u128().max(*last + 1);
        *last = id + 1;
        (InboxId(Uuid::from_u128(id)), TraceId(Uuid::from_u128(id + 1)))
    }
}

/// An id that begins with this time (RFC 9562, version 7).
fn version_7(at: Timestamp) -> Uuid {
    let millis = u64::try_from(at.as_millisecond()).unwrap_or(0);
    let [random @ .., _, _, _, _, _, _] = Uuid::new_v4().into_bytes();
    uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
}

#[cfg(test)]
mod tests {
    use claw_domain::millis;

    use super::*;

    #[test]
    fn ids_ascend_after_a_row_that_was_accepted_with_a_clock_ahead() {
        let arrivals = Arrivals::default();
        let (now, hour_later) = (millis(1_790_000_000_000), millis(1_790_003_600_000));
        let (ahead, _) = Arrivals::default().next(hour_later);
        arrivals.observe(ahead);
        let (first, trace) = arrivals.next(now);
        let (second, _) = arrivals.next(now);
        assert!(ahead < first && first < second, "{ahead} {first} {second}");
        assert_eq!(first.0.as_u128() + 1, trace.0.as_u128());
    }
}

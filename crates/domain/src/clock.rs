//! Where time and new ids come from: passed in, so that a history can be replayed exactly.

use std::sync::Mutex;

use crate::id::{EventId, NodeId};

/// A wall-clock instant. The log keeps milliseconds since 1970.
pub type Timestamp = jiff::Timestamp;

/// The instant at `ms` milliseconds since 1970; out of range is clamped to the ends of time.
pub fn millis(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(ms).unwrap_or(if ms < 0 { Timestamp::MIN } else { Timestamp::MAX })
}

/// Tells the time.
pub trait Clock: Send + Sync {
    /// The wall-clock time now. It may go backwards when the machine's clock is set back.
    fn now(&self) -> Timestamp;
}

/// The machine's own clock.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

/// Makes event ids: a hybrid logical clock that never goes back, joined with the node's id.
///
/// When the wall clock stands still or is set back, the counter goes on from the last id, so ids
/// of one node stay strictly ascending.
#[derive(Debug)]
pub struct IdSource {
    node: NodeId,
    last: Mutex<(u64, u16)>,
}

impl IdSource {
    /// A source for this node; `after` is the newest id that the node's store holds.
    pub fn new(node: NodeId, after: Option<EventId>) -> Self {
        let last = after.map_or((0, 0), |id| (id.millis(), id.counter()));
        Self { node, last: Mutex::new(last) }
    }

    /// The node that these ids name.
    pub fn node(&self) -> NodeId {
        self.node
    }

    /// Makes every later id greater than this one, which another node may have written.
    pub fn observe(&self, id: EventId) {
        let mut last = self.last.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *last = (*last).max((id.millis(), id.counter()));
    }

    /// The next id, later than all before it.
    pub fn next(&self, now: Timestamp) -> EventId {
        let wall = u64::try_from(now.as_millisecond()).unwrap_or(0);
        let mut last = self.last.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *last = match *last {
            (ms, _) if wall > ms => (wall, 0),
            (ms, u16::MAX) => (ms + 1, 0),
            (ms, counter) => (ms, counter + 1),
        };
        EventId::new(last.0, last.1, self.node)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_ascend_when_the_clock_is_set_back_an_hour() {
        let source = IdSource::new(NodeId(7), None);
        let first = source.next(millis(7_200_000));
        let second = source.next(millis(3_600_000));
        assert!(second > first);
        assert_eq!((second.millis(), second.counter()), (7_200_000, 1));
    }

    #[test]
    fn ids_come_after_what_another_node_wrote_with_a_clock_ahead() {
        let source = IdSource::new(NodeId(1), None);
        let theirs = EventId::new(7_200_000, 3, NodeId(9));
        source.observe(theirs);
        assert!(source.next(millis(3_600_000)) > theirs);
        let newest = source.next(millis(9_000_000));
        source.observe(theirs);
        assert!(source.next(millis(0)) > newest);
    }

    #[test]
    fn a_full_counter_moves_on_to_the_next_millisecond() {
        let full = EventId::new(5, u16::MAX, NodeId(1));
        let next = IdSource::new(NodeId(1), Some(full)).next(millis(5));
        assert_eq!((next.millis(), next.counter()), (6, 0));
    }
}

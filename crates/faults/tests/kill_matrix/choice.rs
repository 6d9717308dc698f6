//! Which of the points that a conversation passes are killed at.

use std::{collections::HashSet, fmt};

use claw_faults::{Passed, Phase};

/// How many kills a normal run makes of those points that are passed again and again, beside one
/// at the first of each kind.
const REPEATED_MAX: usize = 40;

/// How many times a normal run kills the process that recovers as well.
const SECOND_MAX: usize = 16;

/// Questions to the store that change nothing: a kill there is one between two other points.
const READS: &[&str] = &[
    "store.accounts_held",
    "store.all_grants",
    "store.bases",
    "store.context",
    "store.device",
    "store.devices",
    "store.event",
    "store.events",
    "store.granted",
    "store.grants",
    "store.history",
    "store.inbox",
    "store.inbox_of",
    "store.inbox_row",
    "store.last_event_id",
    "store.nodes",
    "store.now",
    "store.open_inbox",
    "store.outbox",
    "store.outbox_of",
    "store.outbox_row",
    "store.pairings",
    "store.pending_outbox",
    "store.run_events",
    "store.session",
    "store.sessions",
    "store.snapshot",
    "store.totals",
    "store.trace_events",
];

/// One point at one time.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Spot {
    pub(crate) name: String,
    pub(crate) phase: Phase,
    pub(crate) occurrence: u64,
}

impl fmt::Display for Spot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}@{}", self.name, self.phase, self.occurrence)
    }
}

/// How many points are killed at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    /// The first of each kind, and an even sample of the others; no clocks and no questions.
    Sample,
    /// Every point, each time that it is passed.
    All,
}

/// The points of a run without kills at which the next runs are killed.
pub(crate) fn spots(passed: &[Passed], extent: Extent) -> Vec<Spot> {
    if extent == Extent::All {
        return passed.iter().map(spot).collect();
    }
    let mut kinds = HashSet::new();
    let acting = passed.iter().filter(|point| acts(point));
    let (mut chosen, rest): (Vec<_>, Vec<_>) =
        acting.partition(|point| kinds.insert((&point.name, point.phase, point.kind())));
    chosen.extend(evenly(&rest, REPEATED_MAX));
    chosen.into_iter().map(spot).collect()
}

/// Pairs of points: the first process dies at the first one, its successor at the second, which is
/// one that such a successor passed.
pub(crate) fn pairs(first: &[(Spot, Vec<Passed>)], extent: Extent) -> Vec<[Spot; 2]> {
    let count = if extent == Extent::All { first.len() / 4 } else { SECOND_MAX };
    let firsts = evenly(&first.iter().collect::<Vec<_>>(), count);
    let count = firsts.len();
    let pair = |(number, (spot_a, passed)): (usize, &(Spot, Vec<Passed>))| {
        let acting: Vec<_> = passed.iter().filter(|point| acts(point)).collect();
        // Spread over the whole of recovery, another place for each pair.
        let at = acting.len() * (2 * number + 1) / (2 * count);
        let spot_b = acting.get(at)?;
        Some([spot_a.clone(), spot(spot_b)])
    };
    firsts.into_iter().enumerate().filter_map(pair).collect()
}

fn acts(point: &Passed) -> bool {
    !point.name.starts_with("clock.") && !READS.contains(&point.name.as_str())
}

fn spot(point: &Passed) -> Spot {
    Spot { name: point.name.clone(), phase: point.phase, occurrence: point.occurrence }
}

/// At most `count` of `all`, at even distances.
fn evenly<T: Copy>(all: &[T], count: usize) -> Vec<T> {
    let count = count.min(all.len());
    (0..count).map(|number| all[number * all.len() / count]).collect()
}

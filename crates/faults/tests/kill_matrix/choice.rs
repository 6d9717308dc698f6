//! Which of the points that a conversation passes are killed at.

use std::{
    collections::{BTreeMap, HashSet},
    fmt,
};

use claw_faults::{FAULT_FAIL, FAULT_KILL, Passed, Phase};

/// How many kills a normal run makes at each name and phase beside one at the first of each kind:
/// with these a run takes less than a minute without optimization.
const REPEATED_MAX: usize = 8;

/// How many times a normal run kills the process that recovers as well.
const SECOND_MAX: usize = 24;

/// Of how many first kills the full run takes one that is followed by a second.
const SECOND_EVERY: usize = 4;

/// Where recovery ends and the platform is listened to again.
const RECOVERED: &str = "channel.run";

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
    pub(crate) blow: Blow,
}

/// What happens there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Blow {
    /// The process dies.
    Kill,
    /// The call fails: before it was made, or though it was.
    Fail,
}

impl Blow {
    /// The variable that asks for it.
    pub(crate) fn variable(self) -> &'static str {
        match self {
            Self::Kill => FAULT_KILL,
            Self::Fail => FAULT_FAIL,
        }
    }
}

impl Spot {
    /// Where it stands in a trace.
    pub(crate) fn place_in(&self, passed: &[Passed]) -> Option<usize> {
        passed.iter().position(|point| {
            (&point.name, point.phase, point.occurrence)
                == (&self.name, self.phase, self.occurrence)
        })
    }
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
    let mut chosen = first_of_each_kind(passed);
    let mut others: BTreeMap<_, Vec<&Passed>> = BTreeMap::new();
    for point in passed.iter().filter(|point| acts(point)) {
        if !chosen.contains(&spot(point)) {
            others.entry((&point.name, point.phase)).or_default().push(point);
        }
    }
    chosen.extend(others.values().flat_map(|others| evenly(others, REPEATED_MAX)).map(spot));
    chosen
}

/// The points at which a call is made to fail: the first of each kind, from where the gateway runs;
/// a failure before is the end of a start, which says so.
pub(crate) fn failures(passed: &[Passed]) -> Vec<Spot> {
    let begins = passed.iter().position(|point| point.name == RECOVERED).unwrap_or(0);
    let fails = |spot: &Spot| !spot.name.starts_with("tool.") && spot.name != "store.close";
    let spots = first_of_each_kind(&passed[begins..]).into_iter().filter(fails);
    spots.map(|spot| Spot { blow: Blow::Fail, ..spot }).collect()
}

fn first_of_each_kind(passed: &[Passed]) -> Vec<Spot> {
    let mut kinds = HashSet::new();
    let acting = passed.iter().filter(|point| acts(point));
    acting
        .filter(|point| kinds.insert((&point.name, point.phase, point.kind())))
        .map(spot)
        .collect()
}

/// Pairs of points: the first process dies at the first one, its successor at the second, which is
/// one that such a successor passed: by turns while it recovered and later.
pub(crate) fn pairs(first: &[(Spot, Vec<Passed>)], extent: Extent) -> Vec<[Spot; 2]> {
    let count = match extent {
        Extent::Sample => SECOND_MAX,
        Extent::All => first.len() / SECOND_EVERY,
    };
    let firsts = evenly(&first.iter().collect::<Vec<_>>(), count);
    let count = firsts.len();
    let pair = |(number, (spot_a, passed)): (usize, &(Spot, Vec<Passed>))| {
        let begins = passed.iter().position(|point| point.name == RECOVERED)?;
        let (recovery, later) = passed.split_at(begins);
        let part = if number % 2 == 0 { recovery } else { later };
        let acting: Vec<_> = part.iter().filter(|point| acts(point)).collect();
        // Another place for each pair, spread over the whole of the part.
        let spot_b = acting.get(acting.len() * number / count)?;
        Some([spot_a.clone(), spot(spot_b)])
    };
    firsts.into_iter().enumerate().filter_map(pair).collect()
}

fn acts(point: &Passed) -> bool {
    !point.name.starts_with("clock.") && !READS.contains(&point.name.as_str())
}

fn spot(point: &Passed) -> Spot {
    let Passed { name, phase, occurrence, .. } = point.clone();
    Spot { name, phase, occurrence, blow: Blow::Kill }
}

/// At most `count` of `all`, at even distances.
fn evenly<T: Copy>(all: &[T], count: usize) -> Vec<T> {
    let count = count.min(all.len());
    (0..count).map(|number| all[number * all.len() / count]).collect()
}

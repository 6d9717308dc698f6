//! Which of the points that a conversation passes are killed at.

use std::{
    collections::{BTreeMap, HashMap},
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

/// Questions to the store that change nothing: a kill there is one between two other points.
const READS: &[&str] = &[
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

/// One point at one time, counted among those of its kind, which is steadier from one conversation
/// to the next than the count of all.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Spot {
    pub(crate) name: String,
    pub(crate) phase: Phase,
    pub(crate) occurrence: usize,
    pub(crate) kind: String,
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
        let like = |(_, point): &(usize, &Passed)| {
            (&point.name, point.phase, point.kind()) == (&self.name, self.phase, &self.kind)
        };
        passed.iter().enumerate().filter(like).map(|(place, _)| place).nth(self.occurrence - 1)
    }
}

impl fmt::Display for Spot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, phase, occurrence, kind, .. } = self;
        write!(f, "{name}:{phase}@{occurrence}")?;
        if kind.is_empty() { Ok(()) } else { write!(f, " {kind}") }
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
    let all = every(passed);
    if extent == Extent::All {
        return all;
    }
    let acting = all.into_iter().filter(acts);
    let (mut chosen, others): (Vec<_>, Vec<_>) = acting.partition(|spot| spot.occurrence == 1);
    let mut groups: BTreeMap<_, Vec<Spot>> = BTreeMap::new();
    for spot in others {
        groups.entry((spot.name.clone(), spot.phase)).or_default().push(spot);
    }
    chosen.extend(groups.values().flat_map(|group| evenly(group, REPEATED_MAX)));
    chosen
}

/// The points at which a call is made to fail: the first of each kind, from where the gateway runs;
/// a failure before is the end of a start, which says so.
pub(crate) fn failures(passed: &[Passed]) -> Vec<Spot> {
    let begins = begin_of_receiving(passed).unwrap_or(0);
    let fails = |spot: &Spot| {
        let runs = spot.place_in(passed).is_some_and(|place| place >= begins);
        spot.occurrence == 1
            && runs
            && !spot.name.starts_with("tool.")
            && spot.name != "store.close"
    };
    let spots = every(passed).into_iter().filter(acts).filter(fails);
    spots.map(|spot| Spot { blow: Blow::Fail, ..spot }).collect()
}

/// Pairs of points: the first process dies at the first one, its successor at the second, which is
/// one that such a successor passed: by turns while it recovered and later.
pub(crate) fn pairs(first: &[(Spot, Vec<Passed>)], extent: Extent) -> Vec<[Spot; 2]> {
    let count = match extent {
        Extent::Sample => SECOND_MAX,
        Extent::All => first.len() / SECOND_EVERY,
    };
    let firsts = evenly(first, count);
    let count = firsts.len();
    let pair = |(number, (spot_a, passed)): (usize, (Spot, Vec<Passed>))| {
        let begins = begin_of_receiving(&passed)?;
        let is_early = |spot: &Spot| spot.place_in(&passed).is_some_and(|place| place < begins);
        let acting = every(&passed).into_iter().filter(acts);
        let part: Vec<_> = acting.filter(|spot| is_early(spot) == (number % 2 == 0)).collect();
        // Another place for each pair, spread over the whole of the part.
        let spot_b = part.get(part.len() * number / count)?;
        Some([spot_a, spot_b.clone()])
    };
    firsts.into_iter().enumerate().filter_map(pair).collect()
}

/// Where recovery ends and the platform is listened to.
fn begin_of_receiving(passed: &[Passed]) -> Option<usize> {
    passed.iter().position(|point| point.name == "channel.run")
}

fn every(passed: &[Passed]) -> Vec<Spot> {
    let mut counts: HashMap<_, usize> = HashMap::new();
    let spot = |point: &Passed| {
        let (name, phase, kind) = (point.name.clone(), point.phase, point.kind().to_owned());
        let count = counts.entry((name.clone(), phase, kind.clone())).or_default();
        *count += 1;
        Spot { name, phase, occurrence: *count, kind, blow: Blow::Kill }
    };
    passed.iter().map(spot).collect()
}

fn acts(spot: &Spot) -> bool {
    !spot.name.starts_with("clock.") && !READS.contains(&spot.name.as_str())
}

/// At most `count` of `all`, at even distances.
fn evenly<T: Clone>(all: &[T], count: usize) -> Vec<T> {
    let count = count.min(all.len());
    (0..count).map(|number| all[number * all.len() / count].clone()).collect()
}

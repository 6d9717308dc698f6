//! What the matrix prints: a line for each point, and the figures.

use std::{
    collections::{BTreeMap, HashSet},
    fmt,
    time::Duration,
};

use claw_faults::{Passed, Phase};

use crate::{
    choice::Spot,
    judge::Verdict,
    world::{Life, Story},
};

/// All conversations together.
#[derive(Default)]
pub(crate) struct Report {
    rows: BTreeMap<(String, Phase), Row>,
    total: Row,
    /// How many doubles came of a death at a point, by its name and kind.
    doubles: BTreeMap<String, usize>,
    widths: Vec<Duration>,
    conversations: usize,
    planned: usize,
    faults: Vec<String>,
}

#[derive(Default, Clone, Copy)]
struct Row {
    struck: usize,
    messages: usize,
    lost: usize,
    doubled: usize,
    died_in_window: usize,
    doubles: usize,
    unknown: usize,
}

impl Row {
    fn add(&mut self, struck: usize, verdict: &Verdict) {
        self.struck += struck;
        self.messages += verdict.messages;
        self.lost += verdict.lost;
        self.doubled += verdict.doubled;
        self.died_in_window += verdict.died_in_window;
        self.doubles += verdict.doubles.len();
        self.unknown += verdict.unknown;
    }
}

impl Report {
    /// Adds a conversation, which counts for the last point at which one of its processes was
    /// struck.
    pub(crate) fn add(&mut self, story: &Story, verdict: Verdict) {
        let struck: Vec<&Passed> = story.lives.iter().filter_map(Life::struck_at).collect();
        if let Some(point) = struck.last() {
            let row = self.rows.entry((point.name.clone(), point.phase)).or_default();
            row.add(struck.len(), &verdict);
        }
        self.conversations += 1;
        self.planned += story.spots.len();
        self.total.add(struck.len(), &verdict);
        for name in verdict.doubles {
            *self.doubles.entry(name).or_default() += 1;
        }
        self.widths.extend(verdict.widths);
        let names = names(&story.spots);
        self.faults.extend(verdict.faults.into_iter().map(|fault| format!("[{names}] {fault}")));
    }

    /// Adds a conversation that came to no end.
    pub(crate) fn failed(&mut self, spots: &[Spot], why: &str) {
        self.conversations += 1;
        self.planned += spots.len();
        self.faults.push(format!("[{}] {why}", names(spots)));
    }

    /// What is going on, in one line.
    pub(crate) fn progress(&self) -> Option<String> {
        const EVERY: usize = 25;
        self.conversations.is_multiple_of(EVERY).then(|| {
            let (struck, faults) = (self.total.struck, self.faults.len());
            format!("{} conversations, {struck} points struck, {faults} faults", self.conversations)
        })
    }

    /// The sums, for the page of figures: lines of `figure: what = value`.
    pub(crate) fn figures(&self, struck: &str) -> String {
        let (p50, p99, longest) = self.width();
        let Row { messages, lost, doubled, died_in_window, doubles, unknown, .. } = self.total;
        let figures = [
            (struck, self.total.struck.to_string()),
            ("conversations", self.conversations.to_string()),
            ("messages", messages.to_string()),
            ("lost", lost.to_string()),
            ("doubled", doubled.to_string()),
            ("processes struck in the window", died_in_window.to_string()),
            ("doubles in the window", doubles.to_string()),
            ("tool calls whose outcome was unknown, and told so", unknown.to_string()),
            ("width of the window", format!("p50 {p50:.1?}, p99 {p99:.1?}, longest {longest:.1?}")),
        ];
        let line = |(what, value)| format!("figure: {what} = {value}\n");
        figures.map(line).concat()
    }

    /// How long it is from sent to marked: the middle one, the 99th of 100, and the longest.
    fn width(&self) -> (Duration, Duration, Duration) {
        let mut widths = self.widths.clone();
        widths.sort_unstable();
        let at = |percent: usize| {
            let last = widths.len().saturating_sub(1);
            widths.get((widths.len() * percent / 100).min(last)).copied().unwrap_or_default()
        };
        (at(50), at(99), at(100))
    }

    /// Fails the test when something is wrong, or when too little was struck to say so.
    ///
    /// Each name and phase of `chosen` must have been reached, and nine in ten of all points: two
    /// conversations are never quite the same, so some of the later times that a point is passed
    /// may not come.
    #[track_caller]
    pub(crate) fn demand(&self, chosen: &[Spot]) {
        assert!(self.faults.is_empty(), "{}", self.faults.join("\n"));
        let points: HashSet<_> =
            chosen.iter().map(|spot| (spot.name.clone(), spot.phase)).collect();
        let missed: Vec<_> = points.iter().filter(|point| !self.rows.contains_key(point)).collect();
        assert!(missed.is_empty(), "never reached: {missed:?}");
        assert!(self.total.struck * 10 >= self.planned * 9, "too few of the points were reached");
    }
}

fn names(spots: &[Spot]) -> String {
    spots.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let heads = ["struck", "messages", "lost", "doubled", "in window", "doubles", "unknown"];
        write!(f, "{:<26}", "point")?;
        heads.iter().try_for_each(|head| write!(f, "{head:>11}"))?;
        writeln!(f)?;
        for ((name, phase), row) in &self.rows {
            line(f, &format!("{name}:{phase}"), row)?;
        }
        line(f, "all", &self.total)?;
        let (conversations, planned) = (self.conversations, self.planned);
        writeln!(f, "{conversations} conversations, {planned} points were to be struck")?;
        for (name, doubles) in &self.doubles {
            writeln!(f, "doubles in the window, struck at {name}: {doubles}")?;
        }
        let (p50, p99, longest) = self.width();
        let count = self.widths.len();
        writeln!(
            f,
            "from sent to marked: p50 {p50:?}, p99 {p99:?}, longest {longest:?}, of {count} sendings"
        )
    }
}

fn line(f: &mut fmt::Formatter<'_>, name: &str, row: &Row) -> fmt::Result {
    let Row { struck, messages, lost, doubled, died_in_window, doubles, unknown } = row;
    let figures = [struck, messages, lost, doubled, died_in_window, doubles, unknown];
    write!(f, "{name:<26}")?;
    figures.iter().try_for_each(|figure| write!(f, "{figure:>11}"))?;
    writeln!(f)
}

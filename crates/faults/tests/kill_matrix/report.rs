//! What the matrix prints: a line for each point, and the figures.

use std::{collections::BTreeMap, fmt, time::Duration};

use claw_faults::Passed;

use crate::{judge::Verdict, world::Story};

/// All conversations together.
#[derive(Default)]
pub(crate) struct Report {
    rows: BTreeMap<(String, &'static str), Row>,
    total: Row,
    windows: BTreeMap<String, usize>,
    widths: Vec<Duration>,
    conversations: usize,
    not_reached: usize,
    pub(crate) faults: Vec<String>,
}

#[derive(Default, Clone, Copy)]
struct Row {
    kills: usize,
    messages: usize,
    lost: usize,
    doubled: usize,
    died_in_window: usize,
    doubled_in_window: usize,
    unknown: usize,
}

impl Row {
    fn add(&mut self, kills: usize, verdict: &Verdict) {
        self.kills += kills;
        self.messages += verdict.messages;
        self.lost += verdict.lost;
        self.doubled += verdict.doubled;
        self.died_in_window += verdict.died_in_window;
        self.doubled_in_window += verdict.doubled_in_window;
        self.unknown += verdict.unknown;
    }
}

impl Report {
    /// How many processes were killed.
    pub(crate) fn kills(&self) -> usize {
        self.total.kills
    }

    /// How many conversations there were.
    pub(crate) fn conversations(&self) -> usize {
        self.conversations
    }

    /// Adds a conversation, which counts for the point at which its last killed process died.
    pub(crate) fn add(&mut self, story: &Story, verdict: Verdict) {
        let names = story.spots.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        self.conversations += 1;
        let died: Vec<&Passed> = story
            .lives
            .iter()
            .zip(&story.spots)
            .filter(|(life, _)| life.killed)
            .filter_map(|(life, spot)| {
                life.passed.iter().rev().find(|point| {
                    (&point.name, point.phase, point.occurrence)
                        == (&spot.name, spot.phase, spot.occurrence)
                })
            })
            .collect();
        self.not_reached += story.spots.len() - died.len();
        if let Some(point) = died.last() {
            let row = self.rows.entry((point.name.clone(), point.phase.word())).or_default();
            row.add(died.len(), &verdict);
            if verdict.doubled_in_window > 0 {
                let name = format!("{}:{} {}", point.name, point.phase, point.kind());
                *self.windows.entry(name).or_default() += verdict.doubled_in_window;
            }
        }
        self.total.add(died.len(), &verdict);
        self.widths.extend(verdict.widths);
        self.faults.extend(verdict.faults.into_iter().map(|fault| format!("[{names}] {fault}")));
    }

    /// Adds a conversation that came to no end.
    pub(crate) fn failed(&mut self, spots: &str, why: &str) {
        self.conversations += 1;
        self.faults.push(format!("[{spots}] {why}"));
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let heads =
            ["kills", "messages", "lost", "doubled", "in window", "doubles there", "unknown"];
        write!(f, "{:<32}", "point")?;
        heads.iter().try_for_each(|head| write!(f, "{head:>14}"))?;
        writeln!(f)?;
        for ((name, phase), row) in &self.rows {
            line(f, &format!("{name}:{phase}"), row)?;
        }
        line(f, "all", &self.total)?;
        writeln!(
            f,
            "{} conversations, {} points not reached",
            self.conversations, self.not_reached
        )?;
        for (name, doubles) in &self.windows {
            writeln!(f, "double in the window at {name}: {doubles}")?;
        }
        let mut widths = self.widths.clone();
        widths.sort_unstable();
        let at = |percent: usize| {
            widths.get((widths.len() * percent / 100).min(widths.len().saturating_sub(1)))
        };
        writeln!(
            f,
            "window from sent to marked: p50 {:?}, p99 {:?}, longest {:?}, of {} sendings",
            at(50).copied().unwrap_or_default(),
            at(99).copied().unwrap_or_default(),
            at(100).copied().unwrap_or_default(),
            widths.len()
        )
    }
}

fn line(f: &mut fmt::Formatter<'_>, name: &str, row: &Row) -> fmt::Result {
    let Row { kills, messages, lost, doubled, died_in_window, doubled_in_window, unknown } = row;
    let figures = [kills, messages, lost, doubled, died_in_window, doubled_in_window, unknown];
    write!(f, "{name:<32}")?;
    figures.iter().try_for_each(|figure| write!(f, "{figure:>14}"))?;
    writeln!(f)
}

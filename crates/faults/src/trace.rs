//! Which points a process passed: one line of a file for each, written before the plan acts.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    path::Path,
    time::{Duration, Instant},
};

use crate::{Action, Phase, Plan, Point};

/// A plan that writes every point down and then does what another one says.
pub struct Trace<P> {
    file: File,
    began: Instant,
    then: P,
}

impl<P: Plan> Trace<P> {
    /// Appends to the file at `path`.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn append(path: &Path, then: P) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        Ok(Self { file, began: Instant::now(), then })
    }
}

impl<P: Plan> Plan for Trace<P> {
    fn decide(&self, point: &Point<'_>) -> Action {
        let Point { name, phase, occurrence, detail } = point;
        let at_us = self.began.elapsed().as_micros();
        // One write, so that lines of several threads never mix and a kill leaves whole lines.
        let line = format!("{at_us} {name}:{phase}@{occurrence} {detail}\n");
        // A trace that ends early is seen by whoever reads it.
        let _written = (&self.file).write_all(line.as_bytes());
        self.then.decide(point)
    }
}

/// A line of a trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passed {
    /// When, by the process's own monotonic clock from its start.
    pub at: Duration,
    /// As in [`Point::name`].
    pub name: String,
    /// As in [`Point::phase`].
    pub phase: Phase,
    /// As in [`Point::occurrence`].
    pub occurrence: u64,
    /// As in [`Point::detail`].
    pub detail: String,
}

impl Passed {
    /// The lines of a trace, oldest first.
    ///
    /// # Errors
    /// When the file cannot be read or a line is not of this form.
    pub fn read(path: &Path) -> io::Result<Vec<Self>> {
        let text = std::fs::read_to_string(path)?;
        let lines = text.lines().map(|line| {
            Self::parse(line).ok_or_else(|| io::Error::other(format!("no line of a trace: {line}")))
        });
        lines.collect()
    }

    fn parse(line: &str) -> Option<Self> {
        let (at_us, rest) = line.split_once(' ')?;
        let (point, detail) = rest.split_once(' ')?;
        let (name, phase, occurrence) = parse_point(point)?;
        Some(Self {
            at: Duration::from_micros(at_us.parse().ok()?),
            name: name.into(),
            phase,
            occurrence,
            detail: detail.into(),
        })
    }

    /// The kind of call: the first word of the detail.
    pub fn kind(&self) -> &str {
        self.detail.split(' ').next().unwrap_or_default()
    }
}

/// The parts of `name:phase@occurrence`.
pub(crate) fn parse_point(text: &str) -> Option<(&str, Phase, u64)> {
    let (rest, occurrence) = text.split_once('@')?;
    let (name, phase) = rest.split_once(':')?;
    Some((name, Phase::of_word(phase)?, occurrence.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Points;

    #[test]
    fn what_was_passed_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trace");
        let points = Points::new(Trace::append(&path, |_: &Point<'_>| Action::GoOn).unwrap());
        points.pass("store.commit", Phase::Before, "receive+advance sent=7");
        points.pass("store.commit", Phase::Before, "");
        points.pass("clock.now", Phase::After, "");
        let passed = Passed::read(&path).unwrap();
        let drawn: Vec<_> = passed
            .iter()
            .map(|line| (line.name.as_str(), line.phase, line.occurrence, line.kind()))
            .collect();
        let expected = [
            ("store.commit", Phase::Before, 1, "receive+advance"),
            ("store.commit", Phase::Before, 2, ""),
            ("clock.now", Phase::After, 1, ""),
        ];
        assert_eq!(drawn, expected);
        assert_eq!(passed[0].detail, "receive+advance sent=7");
    }

    #[test]
    fn a_line_that_is_none_is_an_error() {
        for line in
            ["", "1", "1 a:before@1", "x a:before@1 ", "1 a:never@1 ", "1 a:before ", "1 a@1 "]
        {
            assert_eq!(Passed::parse(line), None, "{line:?}");
        }
    }
}

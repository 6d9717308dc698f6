//! What a process is told through its environment: where to die, where to fail, and where to write
//! its points.

use std::{
    io,
    path::PathBuf,
    sync::atomic::{AtomicU64, Ordering},
};

use crate::{Action, Phase, Plan, Point, Points, Trace, trace::parse_point};

/// The variable that names the point to die at: `store.commit:before@3` is the third time that the
/// point is passed, `store.commit:before@3 receive` the third time with a detail of this kind.
pub const FAULT_KILL: &str = "FAULT_KILL";

/// The variable that names the point at which a call fails, in the same form.
pub const FAULT_FAIL: &str = "FAULT_FAIL";

/// The variable that names the file for the points that are passed.
pub const FAULT_TRACE: &str = "FAULT_TRACE";

/// An environment that cannot be followed.
#[derive(Debug, thiserror::Error)]
pub enum BadPlan {
    /// A point of another form.
    #[error("{variable} is `{value}` and not like `store.commit:before@3`")]
    Point {
        /// Which variable.
        variable: &'static str,
        /// What it holds.
        value: String,
    },
    /// A file that cannot be opened.
    #[error("{FAULT_TRACE} names {}, which cannot be written", path.display())]
    Trace {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Does one thing at one point, one time that it is passed.
#[derive(Debug)]
struct Once {
    name: String,
    phase: Phase,
    occurrence: u64,
    /// The first word of the detail; any when it is empty.
    kind: String,
    action: Action,
    /// How often a point like this was passed.
    passed: AtomicU64,
}

impl Once {
    fn parse(variable: &'static str, value: String, action: Action) -> Result<Self, BadPlan> {
        let (point, kind) = value.split_once(' ').unwrap_or((&value, ""));
        match parse_point(point) {
            Some((name, phase, occurrence)) => {
                let (name, kind, passed) = (name.into(), kind.into(), AtomicU64::new(0));
                Ok(Self { name, phase, occurrence, kind, action, passed })
            }
            None => Err(BadPlan::Point { variable, value }),
        }
    }

    /// Counts the point when it is like this one; whether its time has come.
    fn is_now(&self, point: &Point<'_>) -> bool {
        let is_like = (point.name, point.phase) == (self.name.as_str(), self.phase)
            && (self.kind.is_empty() || self.kind == point.kind());
        is_like && self.passed.fetch_add(1, Ordering::Relaxed) + 1 == self.occurrence
    }
}

impl Plan for Vec<Once> {
    fn decide(&self, point: &Point<'_>) -> Action {
        self.iter().find(|once| once.is_now(point)).map_or(Action::GoOn, |once| once.action)
    }
}

/// The points that an environment asks for; `None` when it asks for none.
///
/// # Errors
/// [`BadPlan`] when a variable is set and cannot be followed.
pub fn from_env(env: &dyn Fn(&str) -> Option<String>) -> Result<Option<Points>, BadPlan> {
    let once = |variable: &'static str, action| {
        env(variable).map(|value| Once::parse(variable, value, action)).transpose()
    };
    let all = [once(FAULT_KILL, Action::Kill)?, once(FAULT_FAIL, Action::Fail)?];
    let plan: Vec<Once> = all.into_iter().flatten().collect();
    match env(FAULT_TRACE).map(PathBuf::from) {
        None if plan.is_empty() => Ok(None),
        None => Ok(Some(Points::new(plan))),
        Some(path) => match Trace::append(&path, plan) {
            Ok(trace) => Ok(Some(Points::new(trace))),
            Err(source) => Err(BadPlan::Trace { path, source }),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(set: &'static [(&str, &str)]) -> Result<Option<Points>, BadPlan> {
        from_env(&|name| {
            set.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn a_point_is_met_at_its_one_time() {
        let points = with(&[(FAULT_FAIL, "store.commit:after@2")]).unwrap().unwrap();
        let pass = |name, phase| points.pass(name, phase, "x");
        assert_eq!(pass("store.commit", Phase::After), Action::GoOn);
        assert_eq!(pass("store.commit", Phase::Before), Action::GoOn);
        assert_eq!(pass("store.commit", Phase::Before), Action::GoOn);
        assert_eq!(pass("store.close", Phase::After), Action::GoOn);
        assert_eq!(pass("store.commit", Phase::After), Action::Fail);
        assert_eq!(pass("store.commit", Phase::After), Action::GoOn);
    }

    #[test]
    fn a_point_with_a_kind_counts_only_those_of_its_kind() {
        let points = with(&[(FAULT_FAIL, "store.commit:after@2 receive")]).unwrap().unwrap();
        let pass = |detail| points.pass("store.commit", Phase::After, detail);
        let all = ["receive", "advance", "", "receive+advance", "receive id", "receive"].map(pass);
        let expected = [Action::GoOn; 4].into_iter().chain([Action::Fail, Action::GoOn]);
        assert!(all.into_iter().eq(expected), "{all:?}");
    }

    #[test]
    fn an_environment_that_cannot_be_followed_is_an_error_and_never_ignored() {
        assert!(matches!(with(&[("OTHER", "x")]), Ok(None)));
        assert!(matches!(with(&[(FAULT_KILL, "a:before@1")]), Ok(Some(_))));
        assert!(matches!(with(&[(FAULT_KILL, "a:before")]), Err(BadPlan::Point { .. })));
        assert!(matches!(with(&[(FAULT_FAIL, "a@1")]), Err(BadPlan::Point { .. })));
        let trace = with(&[(FAULT_TRACE, "/nonexistent/trace")]);
        assert!(matches!(trace, Err(BadPlan::Trace { .. })));
    }
}

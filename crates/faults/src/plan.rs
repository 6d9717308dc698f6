//! What a process is told through its environment: where to die, where to fail, and where to write
//! its points.

use std::{io, path::PathBuf};

use crate::{Action, Phase, Plan, Point, Points, Trace, trace::parse_point};

/// The variable that names the point to die at: `store.commit:before@3`.
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
#[derive(Debug, Clone, PartialEq, Eq)]
struct Once {
    name: String,
    phase: Phase,
    occurrence: u64,
    action: Action,
}

impl Once {
    fn parse(variable: &'static str, value: String, action: Action) -> Result<Self, BadPlan> {
        match parse_point(&value) {
            Some((name, phase, occurrence)) => {
                Ok(Self { name: name.into(), phase, occurrence, action })
            }
            None => Err(BadPlan::Point { variable, value }),
        }
    }
}

impl Plan for Vec<Once> {
    fn decide(&self, point: &Point<'_>) -> Action {
        let here = |once: &&Once| {
            (point.name, point.phase, point.occurrence)
                == (once.name.as_str(), once.phase, once.occurrence)
        };
        self.iter().find(here).map_or(Action::GoOn, |once| once.action)
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
    fn an_environment_that_cannot_be_followed_is_an_error_and_never_ignored() {
        assert!(matches!(with(&[("OTHER", "x")]), Ok(None)));
        assert!(matches!(with(&[(FAULT_KILL, "a:before@1")]), Ok(Some(_))));
        assert!(matches!(with(&[(FAULT_KILL, "a:before")]), Err(BadPlan::Point { .. })));
        assert!(matches!(with(&[(FAULT_FAIL, "a@1")]), Err(BadPlan::Point { .. })));
        let trace = with(&[(FAULT_TRACE, "/nonexistent/trace")]);
        assert!(matches!(trace, Err(BadPlan::Trace { .. })));
    }
}

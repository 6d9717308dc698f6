//! What a process is told through its environment: where to die, and where to write its points.

use std::{io, path::PathBuf, str::FromStr};

use crate::{Action, Phase, Plan, Point, Points, Trace, trace::parse_point};

/// The variable that names the point to die at: `store.commit:before@3`.
pub const FAULT_KILL: &str = "FAULT_KILL";

/// The variable that names the file for the points that are passed.
pub const FAULT_TRACE: &str = "FAULT_TRACE";

/// An environment that cannot be followed.
#[derive(Debug, thiserror::Error)]
pub enum BadPlan {
    /// A point of another form.
    #[error("{FAULT_KILL} is `{0}` and not like `store.commit:before@3`")]
    Kill(String),
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

/// Kills the process at one point, the `occurrence`th time that it is passed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KillAt {
    /// As in [`Point::name`].
    pub name: String,
    /// As in [`Point::phase`].
    pub phase: Phase,
    /// As in [`Point::occurrence`].
    pub occurrence: u64,
}

impl Plan for KillAt {
    fn decide(&self, point: &Point<'_>) -> Action {
        let here = (point.name, point.phase, point.occurrence)
            == (self.name.as_str(), self.phase, self.occurrence);
        if here { Action::Kill } else { Action::GoOn }
    }
}

impl FromStr for KillAt {
    type Err = BadPlan;

    fn from_str(text: &str) -> Result<Self, BadPlan> {
        let (name, phase, occurrence) =
            parse_point(text).ok_or_else(|| BadPlan::Kill(text.into()))?;
        Ok(Self { name: name.into(), phase, occurrence })
    }
}

/// The points that an environment asks for; `None` when it asks for none.
///
/// # Errors
/// [`BadPlan`] when a variable is set and cannot be followed.
pub fn from_env(env: &dyn Fn(&str) -> Option<String>) -> Result<Option<Points>, BadPlan> {
    let kill: Option<KillAt> = env(FAULT_KILL).map(|text| text.parse()).transpose()?;
    let trace = env(FAULT_TRACE).map(PathBuf::from);
    if kill.is_none() && trace.is_none() {
        return Ok(None);
    }
    let plan =
        move |point: &Point<'_>| kill.as_ref().map_or(Action::GoOn, |kill| kill.decide(point));
    let Some(path) = trace else { return Ok(Some(Points::new(plan))) };
    match Trace::append(&path, plan) {
        Ok(trace) => Ok(Some(Points::new(trace))),
        Err(source) => Err(BadPlan::Trace { path, source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kill_names_one_point() {
        let kill: KillAt = "store.commit:after@2".parse().unwrap();
        let decide =
            |name, phase, occurrence| kill.decide(&Point { name, phase, occurrence, detail: "x" });
        assert_eq!(decide("store.commit", Phase::After, 2), Action::Kill);
        assert_eq!(decide("store.commit", Phase::After, 1), Action::GoOn);
        assert_eq!(decide("store.commit", Phase::Before, 2), Action::GoOn);
        assert_eq!(decide("store.close", Phase::After, 2), Action::GoOn);
    }

    #[test]
    fn an_environment_that_cannot_be_followed_is_an_error_and_never_ignored() {
        let with = |name: &'static str, value: &'static str| {
            from_env(&move |asked| (asked == name).then(|| value.to_owned()))
        };
        assert!(matches!(with("OTHER", "x"), Ok(None)));
        assert!(matches!(with(FAULT_KILL, "store.commit"), Err(BadPlan::Kill(_))));
        assert!(matches!(with(FAULT_TRACE, "/nonexistent/trace"), Err(BadPlan::Trace { .. })));
        assert!(matches!(with(FAULT_KILL, "a:before@1"), Ok(Some(_))));
    }
}

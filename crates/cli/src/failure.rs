//! How a command says that it failed: what, why, and what to do about it.

use std::{error::Error, fmt, process::ExitCode};

use claw_app::{HomeError, StartError};
use claw_config::{EditError, Problem};

use crate::output;

/// A command that failed. Everything of it goes to standard error.
#[derive(Debug)]
pub(crate) struct Failure {
    /// The first line, whole.
    what: String,
    /// Each a line of its own, indented.
    why: Vec<String>,
    /// Where it happened, each a line of its own.
    place: Vec<String>,
    hint: Option<String>,
}

impl Failure {
    /// `what` in our words: lower case, no full stop.
    pub(crate) fn new(what: impl fmt::Display) -> Self {
        Self::said(format!("error: {what}"))
    }

    /// A first line that others wrote.
    pub(crate) fn said(what: String) -> Self {
        Self { what, why: Vec::new(), place: Vec::new(), hint: None }
    }

    /// Adds `source` and what is below it.
    pub(crate) fn because(mut self, source: &dyn Error) -> Self {
        let mut cause = Some(source);
        while let Some(error) = cause {
            self.why.push(error.to_string());
            cause = error.source();
        }
        self
    }

    /// Adds one reason.
    pub(crate) fn why(mut self, why: impl fmt::Display) -> Self {
        self.why.push(why.to_string());
        self
    }

    /// Adds lines that say where.
    pub(crate) fn place(mut self, place: Vec<String>) -> Self {
        self.place = place;
        self
    }

    /// One thing that a person can do about it.
    pub(crate) fn hint(self, hint: impl Into<String>) -> Self {
        self.hint_if(Some(hint.into()))
    }

    /// As [`Failure::hint`], where there is something to do.
    pub(crate) fn hint_if(mut self, hint: Option<String>) -> Self {
        self.hint = hint;
        self
    }

    /// An error of a lower room, with its chain.
    pub(crate) fn of(error: &dyn Error, hint: Option<String>) -> Self {
        let failure = Self::new(error).hint_if(hint);
        match error.source() {
            Some(source) => failure.because(source),
            None => failure,
        }
    }

    /// A configuration that is wrong at these places.
    pub(crate) fn config(problems: &[Problem]) -> Self {
        let what = match problems.len() {
            1 => "the configuration has a problem".to_owned(),
            many => format!("the configuration has {many} problems"),
        };
        let hint = "mend the file; `rusty-claw config validate` checks it again";
        let failure = Self::new(what).hint(hint);
        problems.iter().fold(failure, |failure, problem| failure.why(problem))
    }

    /// The first line, for machines.
    pub(crate) fn what(&self) -> &str {
        &self.what
    }

    /// Says it, and gives the exit code.
    pub(crate) fn exit(self) -> ExitCode {
        use std::io::Write as _;
        // Where standard error is closed, the exit code alone must tell.
        let _ = std::io::stderr().lock().write_all(self.to_string().as_bytes());
        ExitCode::FAILURE
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", output::plain(&self.what))?;
        for why in &self.why {
            writeln!(f, "  {}", output::plain(why).replace('\n', "\n  "))?;
        }
        for place in &self.place {
            writeln!(f, "{}", output::plain(place))?;
        }
        match &self.hint {
            Some(hint) => writeln!(f, "hint: {}", output::plain(hint)),
            None => Ok(()),
        }
    }
}

impl From<HomeError> for Failure {
    fn from(error: HomeError) -> Self {
        Self::of(&error, error.hint())
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        match error.problems() {
            [] => Self::of(&error, error.hint()),
            problems => Self::config(problems),
        }
    }
}

impl From<claw_app::openclaw::Error> for Failure {
    fn from(error: claw_app::openclaw::Error) -> Self {
        Self::of(&error, error.hint())
    }
}

impl From<claw_delivery::Error> for Failure {
    fn from(error: claw_delivery::Error) -> Self {
        Self::of(&error, error.hint())
    }
}

impl From<Vec<Problem>> for Failure {
    fn from(problems: Vec<Problem>) -> Self {
        Self::config(&problems)
    }
}

impl From<EditError> for Failure {
    fn from(error: EditError) -> Self {
        Self::of(&error, error.hint())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_says_what_why_where_and_what_to_do() {
        let cause = std::io::Error::other("the disk\nis full");
        let failure = Failure::new("it cannot be kept")
            .because(&cause)
            .place(vec!["Config: /c".into()])
            .hint("make room");
        assert_eq!(
            failure.to_string(),
            "error: it cannot be kept\n  the disk\n  is full\nConfig: /c\nhint: make room\n"
        );
    }

    #[test]
    fn what_others_wrote_cannot_steer_the_terminal() {
        // SEC-98
        let failure = Failure::said("Gateway call failed: Error: \u{1b}[2J".into()).why("\u{9b}1m");
        assert_eq!(failure.to_string(), "Gateway call failed: Error: [2J\n  1m\n");
    }
}

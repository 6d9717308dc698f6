//! What an import or export did, for people and machines.

use serde::Serialize;

/// Most problems that are told one by one; further ones are counted.
const PROBLEMS_MAX: usize = 1000;

/// Longest description of a problem; what it quotes of a file is cut. Unit: characters.
const WHAT_MAX: usize = 300;

/// What was read.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Imported {
    /// Sessions with a transcript.
    pub sessions: u64,
    /// Transcripts that no list of sessions names: earlier lives, kept in the log and shown nowhere.
    pub unlisted: u64,
    /// Lines that were understood, headers aside.
    pub entries: u64,
    /// Entries among them that were not here yet.
    pub added: u64,
    /// Archived copies (`.reset.`, `.deleted.`, `.bak.`) that were left alone.
    pub archived: u64,
    /// What could not be understood.
    #[serde(flatten)]
    pub problems: Problems,
}

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Exported {
    /// Sessions in the lists.
    pub sessions: u64,
    /// Transcripts, those of earlier lives included.
    pub transcripts: u64,
    /// Lines, headers aside.
    pub entries: u64,
    /// What could not be written.
    #[serde(flatten)]
    pub problems: Problems,
}

/// Places that were passed over, in the order in which they were found.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Problems {
    /// The first thousand.
    pub problems: Vec<Problem>,
    /// How many more there are.
    pub problems_left_out: u64,
}

/// One place that was passed over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The file, as a path within the folder.
    pub file: String,
    /// The line, from 1, where one is to blame.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// What is wrong.
    pub what: String,
}

impl Problems {
    /// Notes one more.
    pub(crate) fn add(&mut self, file: &str, line: Option<u64>, what: impl Into<String>) {
        if self.problems.len() < PROBLEMS_MAX {
            let what = what.into().chars().take(WHAT_MAX).collect();
            self.problems.push(Problem { file: file.into(), line, what });
        } else {
            self.problems_left_out += 1;
        }
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}: {}", self.file, self.what),
            None => write!(f, "{}: {}", self.file, self.what),
        }
    }
}

//! Exactly what a tool would do: a closed list.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

/// What will be executed, as one value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Plan {
    /// Run a program.
    Command(CommandPlan),
    /// Read or change one file.
    File(FilePlan),
}

/// A program to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandPlan {
    /// The program and its arguments, as the system gets them.
    pub argv: Vec<String>,
    /// Where it starts, relative to the workspace; resolved beneath it when it is opened.
    pub directory: PathBuf,
    /// Its whole environment; nothing is inherited.
    pub environment: BTreeMap<String, String>,
    /// When it is killed.
    pub timeout: Duration,
}

/// One file to read or change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilePlan {
    /// Which, relative to the workspace; resolved beneath it when it is opened.
    pub path: PathBuf,
    /// What to do with it.
    pub action: FileAction,
}

/// What to do with a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileAction {
    /// Read lines.
    Read {
        /// The first line, from 1.
        offset: usize,
        /// How many lines at most.
        limit: usize,
    },
    /// Make the file hold exactly this, parents included.
    Write {
        /// The whole content.
        content: String,
    },
    /// Add to the end, making the file if need be.
    Append {
        /// What to add.
        content: String,
    },
    /// Replace one passage that occurs exactly once.
    Edit {
        /// The passage.
        old: String,
        /// What takes its place.
        new: String,
    },
}

//! What can go wrong while a tool runs, in words that a model can act on.

use std::{io, path::PathBuf};

use claw_tool::Output;

/// A tool could not do what was planned.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The path, or a link on it, leads out of the workspace.
    #[error("`{}` is outside the workspace; only files beneath it can be reached", .0.display())]
    Outside(PathBuf),
    /// There is nothing at the path.
    #[error("`{}` does not exist", .0.display())]
    Missing(PathBuf),
    /// There is something that holds no bytes to read or replace.
    #[error("`{}` is not a regular file", .0.display())]
    NotAFile(PathBuf),
    /// The file is not text.
    #[error("`{}` is a binary file, not text", .0.display())]
    Binary(PathBuf),
    /// The file is too large to be taken as a whole.
    #[error("`{}` has more than {max} bytes, too many for this tool", path.display())]
    TooLarge {
        /// Which file.
        path: PathBuf,
        /// The limit. Unit: bytes.
        max: u64,
    },
    /// Adding to the file would change another one too.
    #[error("`{}` has a second name elsewhere (a hard link); write it as a whole instead of adding to it", .0.display())]
    HardLinked(PathBuf),
    /// The file has fewer lines than were to be skipped.
    #[error("`{}` has only {lines} lines; line {offset} is beyond its end", path.display())]
    BeyondEnd {
        /// Which file.
        path: PathBuf,
        /// How many lines it has.
        lines: usize,
        /// The line that was asked for, from 1.
        offset: usize,
    },
    /// The passage to replace is not there.
    #[error("the text to replace does not occur in `{}`; read the file and give it exactly as it stands there", .0.display())]
    NoMatch(PathBuf),
    /// The passage to replace is not the only one.
    #[error("the text to replace occurs {times} times in `{}`; give more of what stands around it", path.display())]
    ManyMatches {
        /// Which file.
        path: PathBuf,
        /// How often.
        times: usize,
    },
    /// The system said no.
    #[error("`{}` cannot be used", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The program that runs commands did not start.
    #[error("the command could not be started")]
    Start(#[source] io::Error),
    /// The program that runs commands ended without saying how the command did.
    #[error("the command's outcome is unknown: what watched over it ended without a report")]
    NoReport,
    /// The plan is for another tool.
    #[error("this plan is not for `{0}`")]
    ForeignPlan(&'static str),
}

impl Error {
    /// Says which file the system refused, and why, in our words where we have some.
    pub(crate) fn file(path: impl Into<PathBuf>, source: io::Error) -> Self {
        let path = path.into();
        match source.kind() {
            // Resolving beneath a directory refuses an escape by itself, without the system.
            io::ErrorKind::PermissionDenied if source.raw_os_error().is_none() => {
                Self::Outside(path)
            }
            io::ErrorKind::NotFound => Self::Missing(path),
            io::ErrorKind::IsADirectory => Self::NotAFile(path),
            _ => Self::File { path, source },
        }
    }
}

impl From<Error> for Output {
    fn from(error: Error) -> Self {
        match std::error::Error::source(&error) {
            Some(source) => Self::error(format!("{error}: {source}")),
            None => Self::error(error.to_string()),
        }
    }
}

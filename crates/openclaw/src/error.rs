//! Why files could not be read or written as a whole.

use std::{io, path::PathBuf};

/// Why an import, an export or a mirror ended. What is wrong with single lines is told in a report.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The folder is not OpenClaw's, or the agent that was asked for has no sessions in it.
    #[error("{} holds no sessions of OpenClaw", folder.display())]
    NoSessions {
        /// Where they were looked for.
        folder: PathBuf,
    },
    /// The folder is kept by a mirror, so all that it holds is known.
    #[error("{} is the mirror of a Rusty Claw", folder.display())]
    Mirror {
        /// The state folder.
        folder: PathBuf,
    },
    /// Files would be overwritten that somebody else may have made.
    #[error("{} holds files already", folder.display())]
    Occupied {
        /// The sessions' folder.
        folder: PathBuf,
    },
    /// A file could not be read or written.
    #[error("{} cannot be used", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The store failed.
    #[error("the store failed")]
    Store(#[from] claw_store::Error),
}

impl Error {
    /// A file that failed.
    pub(crate) fn file(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        |source| Self::File { path, source }
    }

    /// One thing that a person can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NoSessions { .. } => {
                Some("name OpenClaw's state folder, such as ~/.openclaw".into())
            }
            Self::Mirror { .. } => {
                Some("`rusty-claw events import` takes another Rusty Claw's log".into())
            }
            Self::Occupied { .. } => Some("choose an empty folder".into()),
            Self::File { .. } => None,
            Self::Store(error) => error.hint(),
        }
    }
}

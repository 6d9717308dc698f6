//! Why a log was not carried over.

use std::{io, path::PathBuf};

/// Why a log was not exported or not imported to its end.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store did not answer, or did not take an event.
    #[error(transparent)]
    Store(#[from] claw_store::Error),
    /// The file cannot be written.
    #[error("{} cannot be written", path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The other end of the output is gone or full.
    #[error("the log cannot be written")]
    Output(#[source] io::Error),
    /// The input cannot be read on.
    #[error("line {line} cannot be read")]
    Input {
        /// Which, from 1.
        line: u64,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// What was given is no exported log.
    #[error("this is no log that rusty-claw exported: its first line is no header")]
    NoLog,
    /// A newer program exported it.
    #[error("the log has format version {found}, this program knows up to {known}")]
    Newer {
        /// Its version.
        found: u32,
        /// The newest that this program knows.
        known: u32,
    },
    /// A line is no event. All before it was taken in.
    #[error("line {line} is no event that this program knows")]
    Line {
        /// Which, from 1.
        line: u64,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// A line is longer than any event is.
    #[error("line {line} is longer than {} MiB", max_bytes >> 20)]
    TooLong {
        /// Which, from 1.
        line: u64,
        /// The longest that is read. Unit: bytes.
        max_bytes: u64,
    },
    /// The store refused an event among these lines. All before the first of them was taken in.
    #[error("the events of lines {first} to {last} do not fit this store")]
    Refused {
        /// The first line, from 1.
        first: u64,
        /// The last one.
        last: u64,
        /// What does not fit.
        #[source]
        source: claw_store::Error,
    },
    /// The file ends early. What is there was taken in.
    #[error("the log was cut: {found} of {expected} events are there")]
    Cut {
        /// Events that were there.
        found: u64,
        /// Events that the header promises.
        expected: u64,
    },
    /// There is more than the header promises. What it promises was taken in.
    #[error("line {line} is one too many: the header promises {expected} events")]
    TooMany {
        /// The first line too many, from 1.
        line: u64,
        /// Events that the header promises.
        expected: u64,
    },
    /// Retention took events out of the log while it was exported.
    #[error("the log changed while it was exported")]
    Changed,
}

impl Error {
    /// One thing that a person can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Store(error) => error.hint(),
            Self::Refused { .. } | Self::NoLog => {
                Some("give a file that `rusty-claw events export` wrote, unchanged".into())
            }
            Self::Newer { .. } => Some("import it with the newer rusty-claw that wrote it".into()),
            Self::Line { .. } | Self::Cut { .. } | Self::TooMany { .. } | Self::TooLong { .. } => {
                Some("export it again and import the whole file: what is here already is passed over".into())
            }
            Self::Changed => Some("export it again".into()),
            Self::Write { .. } | Self::Output(_) | Self::Input { .. } => None,
        }
    }
}

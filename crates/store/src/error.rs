//! What a store can fail with.

use std::{fmt, path::PathBuf};

use crate::Fence;

/// Why a store did not answer or did not commit. Nothing of a failed commit is kept.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Somebody else holds the lease now; what this holder knew is out of date.
    #[error("{what} was lost to another holder")]
    Fenced {
        /// Which lease, for people.
        what: String,
    },
    /// The file was written by a newer program.
    #[error("the store at {} has schema version {found}, this program knows up to {known}", path.display())]
    Newer {
        /// Where.
        path: PathBuf,
        /// The version in the file.
        found: i64,
        /// The newest version that this program knows.
        known: i64,
    },
    /// The place cannot be written.
    #[error("the store at {} cannot be written", path.display())]
    ReadOnly {
        /// Where.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// What is stored does not read as it should.
    #[error("the store holds a broken {what}")]
    Corrupt {
        /// Which kind of record.
        what: String,
        /// How it is broken.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A change names a session or row that does not exist, which is our own mistake.
    #[error("a change names {what}, which does not exist")]
    Missing {
        /// What.
        what: String,
    },
    /// A change makes a row or event that is there already, which is our own mistake.
    #[error("a change makes {what}, which exists already")]
    Exists {
        /// What.
        what: String,
    },
    /// The engine below the store failed: a full disk, a file lock that was never let go.
    #[error("the store failed")]
    Engine(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
}

impl Error {
    /// The refusal of a commit whose fence is no longer, or never was, the newest of its lease.
    pub fn fenced(fence: &Fence) -> Self {
        Self::Fenced { what: format!("the lease of epoch {}", fence.epoch) }
    }

    /// A change names what does not exist.
    pub fn missing(kind: &str, id: impl fmt::Display) -> Self {
        Self::Missing { what: format!("{kind} {id}") }
    }

    /// A change makes what exists.
    pub fn exists(kind: &str, id: impl fmt::Display) -> Self {
        Self::Exists { what: format!("{kind} {id}") }
    }

    /// One thing that a person can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Newer { .. } => {
                Some("use the newer rusty-claw that wrote it, or another state folder".into())
            }
            Self::ReadOnly { path, .. } => Some(format!(
                "make {} writable for this user, or move it with RUSTY_CLAW_HOME",
                path.display()
            )),
            Self::Corrupt { .. } => Some("run `rusty-claw doctor`".into()),
            Self::Fenced { .. }
            | Self::Missing { .. }
            | Self::Exists { .. }
            | Self::Engine(_)
            | Self::Closed => None,
        }
    }
}

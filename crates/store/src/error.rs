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
    #[error("the store at {} has schema {found}{}, and this program knows schemas up to {known}", path.display(), written_by(program.as_deref()))]
    Newer {
        /// Where.
        path: PathBuf,
        /// The schema's version in the file.
        found: i64,
        /// The newest version that this program knows.
        known: i64,
        /// The version of the program that gave the file its schema, where the file tells it.
        program: Option<String>,
    },
    /// The store has to be upgraded, and the disk has no room for the copy that this is done on.
    #[error("the store at {} needs an upgrade, which takes {} of free disk space, and {} are free", path.display(), size(*needed), size(*free))]
    NoRoom {
        /// Where.
        path: PathBuf,
        /// What the upgrade takes. Unit: bytes.
        needed: u64,
        /// What there is. Unit: bytes.
        free: u64,
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
    /// The disk, or the user's share of it, is full.
    #[error("the disk that holds {} is full", path.display())]
    Full {
        /// Where.
        path: PathBuf,
        /// What the engine said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Another process kept the store to itself for longer than a commit waits.
    #[error("another process keeps the store at {} locked", path.display())]
    Locked {
        /// Where.
        path: PathBuf,
        /// What the engine said.
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
    /// The engine below the store failed.
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

    /// Whether the same commit may succeed later, once the machine has room or time again.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::ReadOnly { .. } | Self::Full { .. } | Self::Locked { .. } | Self::Engine(_) => {
                true
            }
            Self::Fenced { .. }
            | Self::Newer { .. }
            | Self::NoRoom { .. }
            | Self::Corrupt { .. }
            | Self::Missing { .. }
            | Self::Exists { .. }
            | Self::Closed => false,
        }
    }

    /// The failure without any name or place, for those who may not know more.
    pub fn in_short(&self) -> &'static str {
        match self {
            Self::Full { .. } | Self::NoRoom { .. } => "the disk is full",
            Self::Locked { .. } => "another process keeps it locked",
            Self::ReadOnly { .. } => "it cannot be written",
            Self::Corrupt { .. } => "it is damaged",
            Self::Fenced { .. } => "another gateway holds it",
            Self::Newer { .. } => "a newer program wrote it",
            Self::Closed => "it is closed",
            Self::Missing { .. } | Self::Exists { .. } | Self::Engine(_) => "it failed",
        }
    }

    /// One thing that a person can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Newer { program: Some(program), .. } => {
                Some(format!("use rusty-claw {program} or newer, or another state folder"))
            }
            Self::Newer { program: None, .. } => {
                Some("use the newer rusty-claw that wrote it, or another state folder".into())
            }
            Self::NoRoom { .. } => {
                Some("make room on that disk and start again; nothing was changed".into())
            }
            Self::Full { .. } => {
                Some("make room on that disk; a running gateway goes on by itself".into())
            }
            Self::Locked { .. } => {
                Some("end what holds it, such as a database shell or a copying program".into())
            }
            Self::ReadOnly { path, .. } => Some(format!(
                "make {} writable for this user, or move it with RUSTY_CLAW_HOME",
                path.display()
            )),
            // Short, since it has to fit into the reason of a closed WebSocket, of 123 bytes.
            Self::Corrupt { .. } => {
                Some("bring a backup back with `rusty-claw backup restore PATH`".into())
            }
            Self::Fenced { .. }
            | Self::Missing { .. }
            | Self::Exists { .. }
            | Self::Engine(_)
            | Self::Closed => None,
        }
    }
}

fn written_by(program: Option<&str>) -> String {
    program.map_or_else(String::new, |program| format!(", given by rusty-claw {program}"))
}

/// In whole KiB, or MiB from 10 of them on: nobody needs it finer to make room.
fn size(bytes: u64) -> String {
    match bytes >> 10 {
        kib @ ..10_240 => format!("{kib} KiB"),
        kib => format!("{} MiB", kib >> 10),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newer_store_says_which_program_to_use() {
        let newer = |program: Option<&str>| Error::Newer {
            path: "/s/claw.sqlite".into(),
            found: 7,
            known: 2,
            program: program.map(Into::into),
        };
        assert_eq!(
            newer(Some("0.3.0")).to_string(),
            "the store at /s/claw.sqlite has schema 7, given by rusty-claw 0.3.0, and this program \
             knows schemas up to 2"
        );
        let hint = newer(Some("0.3.0")).hint().unwrap();
        assert_eq!(hint, "use rusty-claw 0.3.0 or newer, or another state folder");
        assert!(newer(None).hint().unwrap().starts_with("use the newer rusty-claw"));
    }

    #[test]
    fn a_broken_store_names_the_way_back() {
        let error = Error::Corrupt { what: "database file".into(), source: "page 7".into() };
        assert!(error.hint().unwrap().contains("`rusty-claw backup restore PATH`"));
        assert!(!error.may_pass());
    }
}

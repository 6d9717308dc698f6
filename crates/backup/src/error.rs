//! Why a backup was not made, read or restored.

use std::{
    io,
    path::{Path, PathBuf},
};

/// Why a backup was not made, read or restored.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or folder could not be read or written.
    #[error("{} cannot be {verb}", path.display())]
    Disk {
        /// Which.
        path: PathBuf,
        /// What was to be done with it, as in "read".
        verb: &'static str,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// There is no backup in this folder.
    #[error("{} holds no backup", path.display())]
    NoBackup {
        /// The folder.
        path: PathBuf,
    },
    /// The folder holds something else.
    #[error("{} holds other things than a backup", path.display())]
    Foreign {
        /// The folder.
        path: PathBuf,
    },
    /// A newer program wrote the backup.
    #[error("the backup has format {found}, and this program knows formats up to {known}")]
    Newer {
        /// The format that was found.
        found: u32,
        /// The newest format that this program knows.
        known: u32,
    },
    /// The backup is encrypted, and no passphrase was given.
    #[error("the backup is encrypted, and no passphrase was given")]
    PassphraseMissing,
    /// A passphrase was given for a backup in the clear.
    #[error("the backup is not encrypted, though a passphrase was given")]
    NotEncrypted,
    /// The passphrase is wrong, or the backup's lock is broken.
    #[error("the backup cannot be unlocked")]
    Lock(#[source] claw_crypto::Error),
    /// Something could not be sealed.
    #[error("the backup cannot be sealed")]
    Seal(#[source] claw_crypto::Error),
    /// Something in the backup is missing, or not as it was written.
    #[error("the backup's {what} {why}")]
    Damaged {
        /// Which part.
        what: String,
        /// What is wrong with it.
        why: String,
    },
    /// A snapshot names what no honest snapshot names.
    #[error("the snapshot {snapshot} is refused: {why}")]
    Refused {
        /// Which.
        snapshot: String,
        /// What it does.
        why: String,
    },
    /// The backup has no snapshot of this name.
    #[error("the backup has no snapshot {name}")]
    NoSnapshot {
        /// The name.
        name: String,
    },
    /// The backup has no snapshot at all.
    #[error("the backup has no snapshot")]
    Empty,
    /// The folder to restore into holds something.
    #[error("{} is not empty, and a restore replaces nothing", path.display())]
    TargetNotEmpty {
        /// The folder.
        path: PathBuf,
    },
    /// The folder to restore into cannot be replaced by the finished one.
    #[error("{} cannot be put in place at once, since it is a mount point", path.display())]
    TargetMounted {
        /// The folder.
        path: PathBuf,
    },
    /// Another process copies this state folder.
    #[error("another backup of {} is under way", path.display())]
    Busy {
        /// The state folder.
        path: PathBuf,
    },
    /// There is nothing to back up.
    #[error("there is no state folder at {}", path.display())]
    NoState {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// More files than a snapshot lists.
    #[error("there are more than {max} files, folders and links to back up")]
    TooMany {
        /// The limit.
        max: usize,
    },
    /// The configuration was changed between two looks at it.
    #[error("the configuration was changed while it was read")]
    ConfigurationChanged,
    /// The database cannot be copied, or is damaged.
    #[error("the database cannot be backed up")]
    Store(#[source] claw_store::Error),
    /// Something of ours broke.
    #[error("the work broke off")]
    Broken(#[source] tokio::task::JoinError),
}

impl Error {
    pub(crate) fn disk(path: &Path, verb: &'static str) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Disk { path, verb, source }
    }

    pub(crate) fn damaged(what: impl Into<String>, why: impl Into<String>) -> Self {
        Self::Damaged { what: what.into(), why: why.into() }
    }

    /// One thing that a person can do about it.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::NoBackup { .. } => "check the path; `rusty-claw backup create PATH` makes one",
            Self::Foreign { .. } => "name an empty folder, or one that is not there yet",
            Self::Newer { .. } => "use the program that wrote it, or a newer one",
            Self::PassphraseMissing => {
                "give it with --passphrase-file or RUSTY_CLAW_BACKUP_PASSPHRASE"
            }
            Self::NotEncrypted => {
                "leave the passphrase out, or make an encrypted backup in another folder"
            }
            Self::Lock(error) | Self::Seal(error) => return error.hint().map(Into::into),
            Self::Damaged { .. } => {
                "`rusty-claw backup verify PATH` lists all damage; take another copy of the backup, \
                 or another snapshot with --snapshot"
            }
            Self::Refused { .. } => {
                "this program never writes such a snapshot: do not trust where it came from"
            }
            Self::NoSnapshot { .. } | Self::Empty => {
                "`rusty-claw backup list PATH` lists the snapshots"
            }
            Self::TargetNotEmpty { .. } => {
                "move what is there elsewhere, or name another folder with RUSTY_CLAW_HOME"
            }
            Self::TargetMounted { .. } => "name a folder below it with RUSTY_CLAW_HOME",
            Self::Busy { .. } => "wait for its end",
            Self::NoState { .. } => "name the state folder with RUSTY_CLAW_HOME",
            Self::TooMany { .. } => "move what needs no backup out of the workspaces",
            Self::ConfigurationChanged => "try again",
            Self::Store(error) => {
                let restore = "restore an earlier snapshot with `rusty-claw backup restore PATH`";
                return match error {
                    claw_store::Error::Corrupt { .. } => Some(restore.into()),
                    _ => error.hint(),
                };
            }
            Self::Disk { .. } | Self::Broken(_) => return None,
        };
        Some(hint.into())
    }
}

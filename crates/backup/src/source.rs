//! What is backed up, as the caller knows it.

use std::path::PathBuf;

use claw_config::Config;

/// The name under which a gateway looks for its database in the state folder, whatever name it had.
pub(crate) const DATABASE: &str = "claw.sqlite";

/// What is backed up.
#[derive(Debug, Clone)]
pub struct Source {
    /// The state folder. All of it is taken, but for the database (see `store`), what lies beside
    /// that under a longer name, and locks; in the clear, only what is known to hold no secret.
    pub state_dir: PathBuf,
    /// The configuration in force.
    pub configuration: Configuration,
    /// The store; `None` where there is none yet.
    pub store: Option<StoreSource>,
    /// Every folder that the configuration names as a workspace. Those outside the state folder
    /// come into the backup beside the others.
    pub workspaces: Vec<PathBuf>,
}

/// The configuration in force.
#[derive(Debug, Clone)]
pub enum Configuration {
    /// There is no file.
    Absent,
    /// The file and what it includes were read.
    Sound(Box<Config>),
    /// This file cannot be read as a configuration. It is kept in an encrypted backup only, since
    /// nobody can say which part of it is secret.
    Broken(PathBuf),
}

/// The store, and how it is copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreSource {
    /// An SQLite database, which a gateway may write to meanwhile.
    SqliteFile(PathBuf),
}

//! All of a store, carried to another place: for good, or for a backup.

use std::{fs, io, path::PathBuf};

use claw_config::Config;
use claw_domain::{NodeId, Timestamp};
use claw_store::{
    Error, Fence, Lease,
    portable::{CopyError, Portable, Report, Table, copy, prove},
};
use uuid::Uuid;

use crate::{
    Home, HomeError, StartError,
    lock::StateLock,
    sections::StoreConfig,
    stores::{Access, StoreUrl},
};

/// What lies in the state folder while a store is backed up that is no file. Backups pass over
/// names that begin so, since they have their own copy under such a name.
const EXPORT: &str = ".backup-copy-of-server";

/// What was carried where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Migrated {
    /// The configured store, without user and password.
    pub from: String,
    /// The other one, likewise.
    pub to: String,
    /// What was copied.
    pub report: Report,
}

/// Why a store was not carried.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// The configuration, the state folder or one of the stores cannot be used.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The store is to become what it is.
    #[error("this is the configured store already")]
    Same,
    /// Nothing can be carried there.
    #[error("a store in memory keeps nothing")]
    Forgetful,
    /// Others write to it.
    #[error("a gateway is at work on {place} ({})", holders.join(", "))]
    InUse {
        /// Which store.
        place: String,
        /// The names of the leases that say so.
        holders: Vec<String>,
    },
    /// It was not copied.
    #[error("the store was not copied")]
    Copy(#[from] CopyError),
}

impl MigrateError {
    /// One thing that a person can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Start(error) => error.hint(),
            Self::Same | Self::Forgetful => Some("name another place with --to".into()),
            Self::InUse { .. } => Some(
                "stop every gateway that shares it; one that died is forgotten after \
                 `store.leaseSeconds`, and then the same command goes on"
                    .into(),
            ),
            Self::Copy(error) => error.hint(),
        }
    }
}

impl From<Error> for MigrateError {
    fn from(error: Error) -> Self {
        Self::Start(error.into())
    }
}

/// Copies the configured store to another place and proves the copy. Neither the configured store
/// nor the configuration is changed. Goes on with a copy that was begun. `progress` hears how many
/// rows of a table are there.
///
/// # Errors
/// [`MigrateError`], among others when a gateway runs on the state folder, or on either store.
///
/// # Cancel safety
/// What was copied stays, and a later call goes on behind it.
pub async fn migrate(
    home: &Home,
    config: &Config,
    to: &StoreUrl,
    progress: impl FnMut(Table, u64),
) -> Result<Migrated, MigrateError> {
    home.prepare().map_err(StartError::Home)?;
    let _lock = StateLock::take(&home.state_dir).map_err(StartError::from)?;
    let config: StoreConfig = config.section("store").map_err(StartError::Config)?;
    let from = StoreUrl::configured(&config, home).map_err(StartError::StoreUrl)?;
    if from.is_same(to) {
        return Err(MigrateError::Same);
    }
    if matches!(to, StoreUrl::Memory) {
        return Err(MigrateError::Forgetful);
    }
    let _locks = [beside(home, &from)?, beside(home, to)?];
    let source = from.tables(Access::Read).await?;
    let target = to.tables(Access::Write).await?;
    for store in [&*source, &*target] {
        nobody_has(store).await?;
    }
    let fence = hold(to, home.node().map_err(StartError::Home)?).await?;
    let report = copy(&*source, &*target, &fence, progress).await?;
    // Nothing keeps a gateway elsewhere from starting meanwhile; what it wrote would be missing.
    for store in [&*source, &*target] {
        nobody_has(store).await?;
    }
    prove(&*source, &report).await?;
    Ok(Migrated { from: source.place(), to: target.place(), report })
}

/// A copy of a store in a file of the state folder, for as long as this lives.
#[derive(Debug)]
pub struct Export {
    folder: PathBuf,
    _lock: StateLock,
}

impl Export {
    /// Copies the store as it is now; gateways may be at work on it.
    ///
    /// # Errors
    /// [`MigrateError`], among others when another copy is being made.
    pub async fn make(home: &Home, from: &StoreUrl) -> Result<Self, MigrateError> {
        let folder = home.state_dir.join(EXPORT);
        let lock = StateLock::take_beside(&folder).map_err(|error| match error.into() {
            StartError::Held { pid } => {
                StartError::Internal(format!("another backup (process {pid}) is being made"))
            }
            other => other,
        })?;
        let export = Self { folder, _lock: lock };
        export.begin().map_err(|source| {
            StartError::Home(HomeError::Unusable { path: export.folder.clone(), source })
        })?;
        let to = StoreUrl::Sqlite(export.file());
        let fence = hold(&to, home.node().map_err(StartError::Home)?).await?;
        let (source, target) = (from.tables(Access::Read).await?, to.tables(Access::Write).await?);
        copy(&*source, &*target, &fence, |_, _| {}).await?;
        Ok(export)
    }

    /// The copy, an SQLite database.
    pub fn file(&self) -> PathBuf {
        self.folder.join("claw.sqlite")
    }

    /// Makes the folder for its owner alone, without what a process left that was killed.
    fn begin(&self) -> io::Result<()> {
        use std::os::unix::fs::DirBuilderExt as _;
        match fs::remove_dir_all(&self.folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        fs::DirBuilder::new().mode(0o700).create(&self.folder)
    }
}

impl Drop for Export {
    fn drop(&mut self) {
        // What cannot be removed fails the next export with a reason.
        let _gone = fs::remove_dir_all(&self.folder);
    }
}

/// The right to write to a store. The lease is over at once: a gateway that comes takes it away,
/// and the copy ends there.
async fn hold(url: &StoreUrl, node: NodeId) -> Result<Fence, MigrateError> {
    let store = url.open().await?;
    let now = store.now().await?;
    let claimed = match url {
        StoreUrl::Postgres(_) => {
            // As every gateway does, so that a dead process of this node is shut out.
            let holder = NodeId(Uuid::new_v4().as_u64_pair().0 | 1);
            store.claim(&Lease::Member(node), holder, Timestamp::MAX, now).await?
        }
        StoreUrl::Sqlite(_) | StoreUrl::Memory => {
            store.claim(&Lease::Gateway, node, now, now).await?
        }
    };
    store.close().await?;
    Ok(claimed.ok_or(StartError::StoreHeld)?)
}

async fn nobody_has(store: &dyn Portable) -> Result<(), MigrateError> {
    let holders = store.holders().await?;
    match holders.is_empty() {
        true => Ok(()),
        false => Err(MigrateError::InUse { place: store.place(), holders }),
    }
}

/// The lock of a file other than the state folder's own, which the folder's lock keeps.
fn beside(home: &Home, url: &StoreUrl) -> Result<Option<StateLock>, StartError> {
    match url {
        StoreUrl::Sqlite(path) if *path != home.database() => {
            Ok(Some(StateLock::take_beside(path)?))
        }
        _ => Ok(None),
    }
}

//! Which store, where it is, and this gateway's right to write to it.

use std::{
    path::{Path, PathBuf},
    str::FromStr,
    sync::Arc,
    time::Duration,
};

use claw_delivery::Membership;
use claw_domain::{Clock, NodeId, Secret};
use claw_store::{Fence, Lease, Store, portable::Portable};
use claw_store_memory::Memory;
use claw_store_sqlite::{Sqlite, Tables};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{
    Home, Layers, StartError,
    lock::StateLock,
    sections::{StoreBackend, StoreConfig},
};

/// Where a store is.
#[derive(Debug, Clone)]
pub enum StoreUrl {
    /// A file.
    Sqlite(PathBuf),
    /// A server that many gateways may share. The address may hold a password.
    Postgres(Secret),
    /// Nowhere.
    Memory,
}

/// What a store's tables are opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    Read,
    Write,
}

impl FromStr for StoreUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (scheme, rest) = text.split_once(':').unwrap_or((text, ""));
        match scheme {
            "sqlite" => {
                let path = Path::new(rest.strip_prefix("//").unwrap_or(rest));
                match path.is_absolute() {
                    true => Ok(Self::Sqlite(path.to_owned())),
                    false => Err(
                        "a sqlite URL names a file by its full path: sqlite:///path/to/claw.sqlite"
                            .into(),
                    ),
                }
            }
            "postgres" | "postgresql" => Ok(Self::Postgres(Secret::new(text))),
            "memory" => Ok(Self::Memory),
            // The text may hold a password, so it is not repeated.
            _ => Err("a store URL begins with postgres:// or sqlite:///".into()),
        }
    }
}

impl StoreUrl {
    /// The configured place; without one a file in the state folder.
    pub(crate) fn configured(config: &StoreConfig, home: &Home) -> Result<Self, String> {
        // A backup in the clear leaves an empty text where a secret was.
        let url = config.url.as_ref().filter(|url| !url.expose().is_empty());
        match (url, config.backend) {
            (Some(url), _) => url.expose().parse(),
            (None, StoreBackend::Sqlite) => Ok(Self::Sqlite(home.database())),
            (None, StoreBackend::Memory) => Ok(Self::Memory),
        }
    }

    /// Opens the store to be read, beside whoever writes it.
    pub(crate) async fn open_to_read(&self) -> Result<Arc<dyn Store>, StartError> {
        match self {
            Self::Sqlite(path) => Ok(Arc::new(Sqlite::open_to_read(path).await?)),
            Self::Postgres(_) => self.open().await,
            Self::Memory => Err(StartError::Forgetful),
        }
    }

    /// Opens the store.
    pub(crate) async fn open(&self) -> Result<Arc<dyn Store>, StartError> {
        Ok(match self {
            Self::Sqlite(path) => Arc::new(Sqlite::open(path).await?),
            Self::Memory => Arc::new(Memory::default()),
            #[cfg(feature = "postgres")]
            Self::Postgres(url) => {
                use claw_store_postgres::{Options, Postgres};
                Arc::new(Postgres::open(url, Options::default()).await?)
            }
            #[cfg(not(feature = "postgres"))]
            Self::Postgres(_url) => {
                return Err(StartError::NotHere("PostgreSQL (this build is without it)"));
            }
        })
    }

    /// Opens the store's tables. A server's are made and brought up to this program's either way.
    pub(crate) async fn tables(&self, access: Access) -> Result<Box<dyn Portable>, StartError> {
        Ok(match (self, access) {
            (Self::Sqlite(path), Access::Read) => Box::new(Tables::open_to_read(path).await?),
            (Self::Sqlite(path), Access::Write) => Box::new(Tables::open(path).await?),
            (Self::Memory, _) => return Err(StartError::Forgetful),
            #[cfg(feature = "postgres")]
            (Self::Postgres(url), _) => {
                use claw_store_postgres::{Options, Tables};
                Box::new(Tables::open(url, Options::default()).await?)
            }
            #[cfg(not(feature = "postgres"))]
            (Self::Postgres(_url), _) => {
                return Err(StartError::NotHere("PostgreSQL (this build is without it)"));
            }
        })
    }

    /// Whether both surely name the same place.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Sqlite(one), Self::Sqlite(other)) => {
                let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
                real(one) == real(other)
            }
            (Self::Postgres(one), Self::Postgres(other)) => one.expose() == other.expose(),
            _ => false,
        }
    }
}

/// An open store and the right to write to it.
pub(crate) struct Opened {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) fence: Fence,
    /// The place among the gateways, where several share the store.
    pub(crate) membership: Option<Arc<Membership>>,
    /// Renews that place as long as the store is held open here.
    _keeper: Option<DropGuard>,
    _lock: Option<StateLock>,
}

impl Opened {
    pub(crate) async fn open(
        home: &Home,
        config: &StoreConfig,
        node: NodeId,
        clock: &dyn Clock,
        layers: &Layers,
    ) -> Result<Self, StartError> {
        let url = StoreUrl::configured(config, home).map_err(StartError::StoreUrl)?;
        // The state folder's own file is kept by the folder's lock.
        let lock = match &url {
            StoreUrl::Sqlite(path) if *path != home.database() => {
                Some(StateLock::take_beside(path)?)
            }
            _ => None,
        };
        let store = (layers.store)(url.open().await?);
        if store.wakeups().is_some() {
            let span = Duration::from_secs(config.lease_seconds.get().into());
            let membership = Membership::join(Arc::clone(&store), node, span).await?;
            let fence = membership.fence();
            let stop = CancellationToken::new();
            let (keeper, stopped) = (Arc::clone(&membership), stop.clone());
            tokio::spawn(async move { keeper.keep(stopped).await });
            let _keeper = Some(stop.drop_guard());
            return Ok(Self { store, fence, membership: Some(membership), _keeper, _lock: lock });
        }
        // The lock keeps others off; the lease is over at once, so that a store that was moved here
        // from another installation can be taken.
        let now = clock.now();
        let claimed = store.claim(&Lease::Gateway, node, now, now).await?;
        let fence = claimed.ok_or(StartError::StoreHeld)?;
        Ok(Self { store, fence, membership: None, _keeper: None, _lock: lock })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_its_store_and_no_error_repeats_it() {
        let parse = |text: &str| text.parse::<StoreUrl>();
        assert!(
            matches!(parse("sqlite:///srv/claw.sqlite"), Ok(StoreUrl::Sqlite(path)) if path == Path::new("/srv/claw.sqlite"))
        );
        for url in ["postgres://me:hush@db/claw", "postgresql://db"] {
            assert!(matches!(parse(url), Ok(StoreUrl::Postgres(_))), "{url}");
        }
        for wrong in ["sqlite://claw.sqlite", "mysql://me:hush@db", "hush", ""] {
            let error = parse(wrong).unwrap_err();
            assert!(!error.contains("hush"), "{error}");
        }
    }
}

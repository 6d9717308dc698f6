//! The log of a state folder, read beside whoever writes it.

use std::{io::Write, path::Path, sync::Arc};

use claw_config::Config;
use claw_domain::NodeId;
use claw_store::Store;

use crate::{Home, StartError, settings::Settings, stores::StoreUrl};

/// A log that is open to be read. A gateway may be at work on it.
pub struct Log {
    store: Arc<dyn Store>,
    node: NodeId,
}

impl Log {
    /// Opens the configured store and changes nothing of it.
    ///
    /// # Errors
    /// When the configuration has problems, or the store cannot be opened or keeps nothing.
    pub async fn open(home: &Home, config: &Config) -> Result<Self, StartError> {
        let settings = Settings::read(config).map_err(StartError::Config)?;
        let url = StoreUrl::configured(&settings.store, home).map_err(StartError::StoreUrl)?;
        let store = url.open_to_read().await?;
        Ok(Self { store, node: home.node()? })
    }

    /// Compares every projection with the log.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn verify(&self) -> Result<claw_log::Report, StartError> {
        Ok(claw_log::verify(&*self.store).await?)
    }

    /// Writes the log into a file, which appears whole or not at all; how many events it has.
    ///
    /// # Errors
    /// As [`claw_log::export_file`].
    pub async fn export(&self, path: &Path) -> Result<u64, claw_log::Error> {
        claw_log::export_file(&*self.store, self.node, path).await
    }

    /// Writes the log as it goes; how many events it has.
    ///
    /// # Errors
    /// As [`claw_log::export`].
    pub async fn export_to(&self, out: &mut dyn Write) -> Result<u64, claw_log::Error> {
        claw_log::export(&*self.store, self.node, out).await
    }

    /// Lets go of the store.
    ///
    /// # Errors
    /// When the store fails to close.
    pub async fn close(self) -> Result<(), StartError> {
        Ok(self.store.close().await?)
    }
}

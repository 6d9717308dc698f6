//! What the gateway's clients may see of the configuration and the channel accounts.

use std::sync::Arc;

use arc_swap::ArcSwap;
use claw_channel::Channel;
use claw_config::Config;
use claw_gateway::{ChannelAccount, ChannelsView, ConfigIssue, ConfigSnapshot, ConfigView};
use ring::digest::{SHA256, digest};

use crate::share::Elsewhere;

/// The configuration in force.
pub(crate) struct File(ArcSwap<Config>);

impl File {
    pub(crate) fn new(config: Config) -> Self {
        Self(ArcSwap::from_pointee(config))
    }

    pub(crate) fn config(&self) -> Arc<Config> {
        self.0.load_full()
    }

    /// Every file that was read.
    pub(crate) fn files(&self) -> Vec<std::path::PathBuf> {
        self.0.load().files().to_vec()
    }

    pub(crate) fn replace(&self, config: Config) {
        self.0.store(Arc::new(config));
    }
}

impl ConfigView for File {
    fn snapshot(&self) -> ConfigSnapshot {
        let config = self.0.load();
        let path = config.files().first().cloned().unwrap_or_default();
        let root = claw_config::Path::default();
        let shown = config.shown(&root).unwrap_or_default();
        let hash = digest(&SHA256, config.source().as_bytes());
        let pending = config.pending().map(|key| ConfigIssue {
            path: key.path.to_string(),
            message: "accepted, but without effect yet".into(),
        });
        ConfigSnapshot {
            exists: path.exists(),
            path: path.display().to_string(),
            // The text as written may hold secrets anywhere, so it is shown as what it says.
            raw: serde_json::to_string_pretty(&shown).ok(),
            parsed: shown.clone(),
            resolved: shown.clone(),
            config: shown,
            hash: hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect(),
            issues: Vec::new(),
            warnings: pending.collect(),
        }
    }
}

/// The channel accounts of a running gateway.
pub(crate) struct Accounts {
    channels: Vec<Arc<dyn Channel>>,
    elsewhere: Elsewhere,
}

impl Accounts {
    pub(crate) fn new(channels: &[Arc<dyn Channel>], elsewhere: Elsewhere) -> Self {
        Self { channels: channels.to_vec(), elsewhere }
    }
}

impl ChannelsView for Accounts {
    fn accounts(&self) -> Vec<ChannelAccount> {
        let elsewhere = self.elsewhere.lock();
        let shown = |channel: &Arc<dyn Channel>| {
            let key = (channel.id().clone(), channel.account().clone());
            let elsewhere = elsewhere.contains(&key);
            let health = channel.health();
            let ms = |at: Option<claw_domain::Timestamp>| at.map(|at| at.as_millisecond());
            ChannelAccount {
                channel: channel.id().to_string(),
                label: label(channel.id().as_str()),
                account: channel.account().to_string(),
                name: health.identity,
                enabled: true,
                configured: true,
                running: health.connected || elsewhere,
                connected: health.connected || elsewhere,
                last_error: health.last_error,
                last_start_at: ms(health.connected_at),
                last_inbound_at: ms(health.last_inbound_at),
                last_outbound_at: ms(health.last_outbound_at),
                dm_policy: None,
            }
        };
        self.channels.iter().map(shown).collect()
    }
}

/// A channel's name for people.
fn label(id: &str) -> String {
    let mut letters = id.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

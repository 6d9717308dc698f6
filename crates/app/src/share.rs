//! A gateway among others: which accounts are whose, which agents run elsewhere, and when it is over.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use claw_agent::AgentEntry;
use claw_domain::{AccountId, AgentId, ChannelId};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{Ended, engine::Engine, settings::Settings};

/// How often the gateways that do not hold a channel account ask whether it is free.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// The channel accounts that another living gateway holds.
#[derive(Debug, Clone, Default)]
pub(crate) struct Elsewhere(Arc<Mutex<HashSet<(ChannelId, AccountId)>>>);

impl Elsewhere {
    pub(crate) fn lock(&self) -> MutexGuard<'_, HashSet<(ChannelId, AccountId)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Engine {
    /// Waits until this gateway is the one that receives and sends on an account. `false` when it
    /// stops first.
    pub(crate) async fn hold_account(
        &self,
        channel: &dyn claw_channel::Channel,
        stop: &CancellationToken,
    ) -> bool {
        let key = (channel.id().clone(), channel.account().clone());
        loop {
            match self.delivery.hold_account(&key.0, &key.1).await {
                Ok(true) => {
                    self.elsewhere.lock().remove(&key);
                    return true;
                }
                Ok(false) => {
                    if self.elsewhere.lock().insert(key.clone()) {
                        info!(channel = %key.0, account = %key.1, "another gateway receives here");
                    }
                }
                Err(error) => {
                    warn!(channel = %key.0, account = %key.1, %error, "could not ask who receives here");
                }
            }
            tokio::select! {
                () = stop.cancelled() => return false,
                () = tokio::time::sleep(ASK_EVERY) => {}
            }
        }
    }

    /// Waits for `stop`, or until the place among the gateways is lost.
    pub(crate) async fn until_lost(&self, stop: &CancellationToken) -> Ended {
        let Some(membership) = &self.membership else {
            stop.cancelled().await;
            return Ended::Stopped;
        };
        tokio::select! {
            () = stop.cancelled() => Ended::Stopped,
            () = membership.lost().cancelled() => Ended::Lost,
        }
    }
}

/// The agents that are pinned to other gateways.
pub(crate) fn agents_elsewhere(settings: &Settings) -> Vec<AgentId> {
    let name = settings.gateway.name.clone().unwrap_or_else(host_name);
    let elsewhere =
        |entry: &&AgentEntry| entry.gateway.as_ref().is_some_and(|gateway| *gateway != name);
    settings.agents.list.iter().filter(elsewhere).map(|entry| entry.id.as_str().into()).collect()
}

/// The machine's name.
pub(crate) fn host_name() -> String {
    nix::unistd::gethostname()
        .map_or_else(|_unknown| "localhost".into(), |name| name.to_string_lossy().into_owned())
}

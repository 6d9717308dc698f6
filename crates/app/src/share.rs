//! A gateway among others: which accounts are whose, and which agents run elsewhere.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use claw_agent::AgentEntry;
use claw_domain::{AccountId, AgentId, ChannelId};

use crate::settings::Settings;

/// The channel accounts that another living gateway holds.
#[derive(Debug, Clone, Default)]
pub(crate) struct Elsewhere(Arc<Mutex<HashSet<(ChannelId, AccountId)>>>);

impl Elsewhere {
    pub(crate) fn lock(&self) -> MutexGuard<'_, HashSet<(ChannelId, AccountId)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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

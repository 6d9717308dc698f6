//! How the gateway is doing: found out seldom, shown often.

use std::{collections::HashMap, sync::Mutex};

use claw_domain::{AgentId, Session};
use claw_protocol::{
    health::{AgentHealth, HealthSummary, RecentSession, SessionsHealth},
    limits::HEALTH_INTERVAL,
};
use claw_store::SessionFilter;
use serde_json::{Map, Value, json};
use tokio::{sync::Notify, time::timeout};

use crate::{
    ChannelAccount,
    gateway::Core,
    hub::News,
    limits::{NEWS_INTERVAL, READY_TIMEOUT},
    locked,
    methods::with_hint,
};

/// Sessions that health shows of each agent.
const RECENT_MAX: usize = 5;

/// The summary that was found out last.
#[derive(Debug, Default)]
pub(crate) struct Health {
    last: Mutex<Option<(i64, Value)>>,
    /// Held by the one who finds out.
    asking: tokio::sync::Mutex<()>,
    /// Rings when everybody is to hear of it anew.
    pub(crate) changed: Notify,
}

/// How old a summary may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Age {
    /// As old as an unasked broadcast.
    Cached,
    /// A second, so that a thousand clients that connect at once cost one look.
    Fresh,
}

impl Age {
    fn ms_max(self) -> i64 {
        let max = match self {
            Self::Cached => HEALTH_INTERVAL,
            Self::Fresh => NEWS_INTERVAL,
        };
        max.as_millis() as i64
    }
}

impl Health {
    /// What was found out may be true no more.
    pub(crate) fn forget(&self) {
        *locked(&self.last) = None;
    }
}

impl Core {
    /// The health summary, at most so old.
    ///
    /// # Errors
    /// When the store does not answer.
    pub(crate) async fn health(&self, age: Age) -> Result<Value, claw_store::Error> {
        let known = |now: i64| {
            let last = locked(&self.health.last);
            last.as_ref()
                .filter(|(at, health)| {
                    // What is wrong is looked at again soon, so that it is not told for too long.
                    let age = if health["ok"] == true { age } else { Age::Fresh };
                    (now - at).abs() < age.ms_max()
                })
                .map(|(_, health)| health.clone())
        };
        if let Some(health) = known(self.now_ms()) {
            return Ok(health);
        }
        let _asking = self.health.asking.lock().await;
        // Somebody else may have found out meanwhile.
        match known(self.now_ms()) {
            Some(health) => Ok(health),
            None => self.look().await,
        }
    }

    /// Finds out how everything is now.
    async fn look(&self) -> Result<Value, claw_store::Error> {
        let began = self.now_ms();
        let sessions = self.store.sessions(&SessionFilter::default()).await?;
        let store_error = match timeout(READY_TIMEOUT, self.store.writable()).await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(with_hint(&error, error.hint())),
            Err(_late) => Some("the store does not answer".to_owned()),
        };
        let now = self.now_ms();
        let accounts = self.channels.accounts();
        let (channel_order, channel_labels) = channels_in_order(&accounts);
        let router = self.delivery.router();
        let path = self.about.state_dir.display().to_string();
        let mut by_agent: HashMap<AgentId, Vec<&Session>> = HashMap::new();
        for session in &sessions {
            by_agent.entry(session.agent.clone()).or_default().push(session);
        }
        let of = |agent: &AgentId| {
            let sessions = by_agent.get(agent).map_or(&[][..], Vec::as_slice);
            SessionsHealth {
                path: path.clone(),
                count: sessions.len(),
                recent: sessions
                    .iter()
                    .take(RECENT_MAX)
                    .map(|session| recent(session, now))
                    .collect(),
            }
        };
        let agents = self.agents.specs().into_iter().map(|spec| AgentHealth {
            agent_id: spec.id.to_string(),
            name: spec.name.clone(),
            is_default: spec.id == *router.default_agent(),
            heartbeat: json!({"enabled": false, "every": "0m", "everyMs": null, "prompt": "", "target": "none", "ackMaxChars": 0}),
            sessions: of(&spec.id),
        });
        let summary = HealthSummary {
            ok: store_error.is_none(),
            store_error,
            ts: now,
            duration_ms: u64::try_from(now - began).unwrap_or(0),
            channels: channels(&accounts),
            channel_order,
            channel_labels,
            heartbeat_seconds: 0,
            default_agent_id: router.default_agent().to_string(),
            agents: agents.collect(),
            sessions: of(router.default_agent()),
        };
        let summary = json!(summary);
        *locked(&self.health.last) = Some((now, summary.clone()));
        self.bus.hub().changed(News::Health);
        Ok(summary)
    }
}

fn recent(session: &Session, now: i64) -> RecentSession {
    let updated_at = session.updated_at.as_millisecond();
    RecentSession {
        key: session.key.to_string(),
        updated_at: Some(updated_at),
        age: Some(u64::try_from(now - updated_at).unwrap_or(0)),
    }
}

/// Each channel's id once, in order, and their names for people.
pub(crate) fn channels_in_order(accounts: &[ChannelAccount]) -> (Vec<String>, Map<String, Value>) {
    let mut order: Vec<String> = Vec::new();
    let mut labels = Map::new();
    for account in accounts {
        if !order.contains(&account.channel) {
            order.push(account.channel.clone());
            labels.insert(account.channel.clone(), account.label.as_str().into());
        }
    }
    (order, labels)
}

/// Each channel's own summary: the sum of its accounts.
pub(crate) fn channels(accounts: &[ChannelAccount]) -> Map<String, Value> {
    let (order, _) = channels_in_order(accounts);
    let summary = |channel: String| {
        let all: Vec<_> = accounts.iter().filter(|account| account.channel == channel).collect();
        let error = all.iter().find_map(|account| account.last_error.as_deref());
        let mut summary = json!({
            "configured": all.iter().any(|account| account.configured),
            "running": all.iter().any(|account| account.running),
            "connected": all.iter().any(|account| account.connected),
        });
        if let Some(error) = error {
            summary["lastError"] = error.into();
        }
        (channel, summary)
    };
    order.into_iter().map(summary).collect()
}

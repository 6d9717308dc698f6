//! How the gateway is doing: `health`, `status`, `system-presence`.

use claw_agent::AgentSpec;
use claw_domain::Session;
use claw_guard::Scope;
use claw_store::SessionFilter;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{ANYTHING, Answer, Call, Method, Reply, failed, operator};
use crate::{gateway::Core, health::Age};

/// Sessions that `status` shows.
const RECENT_MAX: usize = 10;

pub(super) const METHODS: &[Method] = &[
    Method {
        name: "health",
        required: operator(Scope::Read),
        params: "{probe?: bool}",
        run: |call| Box::pin(health(call)),
    },
    Method {
        name: "status",
        required: operator(Scope::Read),
        params: ANYTHING,
        run: |call| Box::pin(status(call)),
    },
    Method {
        name: "system-presence",
        required: operator(Scope::Read),
        params: ANYTHING,
        run: |call| Box::pin(async { Ok(Reply::With(json!(call.core.present()))) }),
    },
];

#[derive(Deserialize)]
struct Health {
    probe: Option<bool>,
}

/// The summary as it is known; then it is found out anew for everybody.
async fn health(call: &Call) -> Answer {
    let params: Health = call.read()?;
    let age = if params.probe == Some(true) { Age::Fresh } else { Age::Cached };
    let health = call.core.health(age).await.map_err(failed)?;
    call.core.health.changed.notify_one();
    Ok(Reply::With(health))
}

async fn status(call: &Call) -> Answer {
    let core = &call.core;
    let unsent = core.delivery.unsent().await.map_err(failed)?;
    let sessions = core.store.sessions(&SessionFilter::default()).await.map_err(failed)?;
    let path = core.about.state_dir.display().to_string();
    let agents = core.agents.specs();
    let defaults = &agents[0];
    let recent = |sessions: &mut dyn Iterator<Item = &Session>| -> Vec<Value> {
        sessions.take(RECENT_MAX).map(|session| row(core, session)).collect()
    };
    let by_agent = agents.iter().map(|agent| {
        let of_agent = || sessions.iter().filter(|session| session.agent == agent.id);
        let (count, recent) = (of_agent().count(), recent(&mut of_agent()));
        json!({"agentId": agent.id, "path": path, "count": count, "recent": recent})
    });
    let heartbeat = |agent: &AgentSpec| json!({"agentId": agent.id, "enabled": false, "every": "0m", "everyMs": null});
    let summary = core.channels.accounts().into_iter().map(|account| {
        let state = match (account.enabled, account.connected) {
            (false, _) => "off",
            (true, true) => "connected",
            (true, false) => "not connected",
        };
        format!("{} {}: {state}", account.label, account.account)
    });
    Ok(Reply::With(json!({
        "heartbeat": {
            "defaultAgentId": defaults.id,
            "agents": agents.iter().map(|agent| heartbeat(agent)).collect::<Vec<_>>(),
        },
        "channelSummary": summary.collect::<Vec<_>>(),
        "queuedSystemEvents": [],
        // Ours: replies that wait, and those that were given up.
        "outbox": {"pending": unsent.pending, "dead": unsent.dead},
        "sessions": {
            "paths": [path],
            "count": sessions.len(),
            "defaults": {"model": defaults.model.model, "contextTokens": window(core, defaults, None)},
            "recent": recent(&mut sessions.iter()),
            "byAgent": by_agent.collect::<Vec<_>>(),
        },
    })))
}

fn row(core: &Core, session: &Session) -> Value {
    let agent = core.agents.spec(&session.agent);
    let model = core.agents.model_of(&agent, Some(session));
    let window = window(core, &agent, Some(session));
    let (used, updated_at) = (session.prompt_tokens, session.updated_at.as_millisecond());
    json!({
        "agentId": session.agent, "key": session.key, "kind": super::sessions::kind_of(session),
        "sessionId": session.id, "updatedAt": updated_at, "age": core.now_ms() - updated_at,
        "thinkingLevel": session.settings.thinking_level,
        "verboseLevel": session.settings.verbose_level,
        "systemSent": session.prefix.is_some(), "abortedLastRun": session.aborted_last_run,
        "inputTokens": session.usage.prompt(), "outputTokens": session.usage.output,
        "totalTokens": used, "totalTokensFresh": true,
        "remainingTokens": window.map(|window| window.saturating_sub(used)),
        "percentUsed": window.and_then(|window| (used * 100).checked_div(window)),
        "model": model.model, "contextTokens": window, "flags": [],
    })
}

/// The window of the model that a session's next turn asks, where it is known. Unit: tokens.
pub(super) fn window(core: &Core, agent: &AgentSpec, session: Option<&Session>) -> Option<u64> {
    let model = core.agents.model_of(agent, session);
    let window = core.agents.models().resolve(&model)?.info.context_window;
    Some(agent.context_tokens.map_or(window, |max| max.min(window)))
}

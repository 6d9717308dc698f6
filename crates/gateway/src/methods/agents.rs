//! Who answers and with what: `models.list`, `agents.list`, `agent.identity.get`.

use claw_agent::AgentSpec;
use claw_domain::AgentId;
use claw_guard::Scope;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Answer, Call, Method, NOTHING, Reply, operator, scope_word};

pub(super) const METHODS: &[Method] = &[
    Method {
        name: "models.list",
        required: operator(Scope::Read),
        params: NOTHING,
        run: |call| Box::pin(models(call)),
    },
    Method {
        name: "agents.list",
        required: operator(Scope::Read),
        params: NOTHING,
        run: |call| Box::pin(agents(call)),
    },
    Method {
        name: "agent.identity.get",
        required: operator(Scope::Read),
        params: "{agentId?: str+, sessionKey?: str}",
        run: |call| Box::pin(identity(call)),
    },
];

async fn models(call: &Call) -> Answer {
    let models = call.core.agents.models().list().into_iter().map(|model| {
        let input: &[&str] = if model.images { &["text", "image"] } else { &["text"] };
        json!({
            "id": model.reference.model, "name": model.name,
            "provider": model.reference.provider, "contextWindow": model.context_window,
            "reasoning": model.reasoning, "input": input,
        })
    });
    Ok(Reply::With(json!({"models": models.collect::<Vec<_>>()})))
}

async fn agents(call: &Call) -> Answer {
    let router = call.core.delivery.router();
    let agents: Vec<Value> = call.core.agents.specs().iter().map(|agent| listed(agent)).collect();
    Ok(Reply::With(json!({
        "defaultId": router.default_agent(),
        "mainKey": router.session_config().main_key,
        "scope": scope_word(router.session_config().scope),
        "agents": agents,
    })))
}

fn listed(agent: &AgentSpec) -> Value {
    let mut listed = json!({"id": agent.id});
    if let Some(name) = &agent.name {
        listed["name"] = name.as_str().into();
    }
    let identity = &agent.identity;
    let known = [
        ("name", &identity.name),
        ("theme", &identity.theme),
        ("emoji", &identity.emoji),
        ("avatar", &identity.avatar),
    ];
    for (key, value) in known {
        if let Some(value) = value {
            listed["identity"][key] = value.as_str().into();
        }
    }
    listed
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Identity {
    agent_id: Option<String>,
    session_key: Option<String>,
}

async fn identity(call: &Call) -> Answer {
    let params: Identity = call.read()?;
    let router = call.core.delivery.router();
    let id = match (params.agent_id, params.session_key) {
        (Some(agent), _) => AgentId::from(agent),
        (None, Some(key)) => router.agent_of(&call.session_key(&key)?),
        (None, None) => router.default_agent().clone(),
    };
    let agent = call.core.agents.spec(&id);
    let identity = &agent.identity;
    let name = identity.name.as_ref().or(agent.name.as_ref());
    let mut shown = json!({
        "agentId": agent.id,
        "name": name.map_or("Assistant", String::as_str),
        "avatar": identity.avatar.as_deref().unwrap_or("A"),
    });
    if let Some(emoji) = &identity.emoji {
        shown["emoji"] = emoji.as_str().into();
    }
    Ok(Reply::With(shown))
}

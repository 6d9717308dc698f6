//! Running the agent and waiting for it: `agent`, `agent.wait`.

use std::{sync::Arc, time::Duration};

use claw_delivery::Submitted;
use claw_domain::{
    AgentId, Ending, EntryBody, Event, EventBody, RunId, SessionId, SessionKey, Usage,
};
use claw_guard::Scope;
use claw_protocol::frame::{ErrorShape, Response};
use claw_store::{InboxState, SessionFilter};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::{
    Answer, Call, Failure, Method, Reply,
    chat::{self, ACCOUNT, CHANNEL, Message, is_success, readable, run_of, submit},
    failed, operator, refused,
};
use crate::{
    gateway::Core,
    limits::{WAIT_DEFAULT, WAIT_MAX},
    runs::{Asker, End},
};

pub(super) const METHODS: &[Method] = &[
    Method {
        name: "agent",
        required: operator(Scope::Write),
        params: r#"{
            message: str+, agentId?: str+, to?: str, replyTo?: str, sessionId?: str,
            sessionKey?: str, thinking?: str, deliver?: bool, attachments?: any[], channel?: str,
            replyChannel?: str, accountId?: str, replyAccountId?: str, threadId?: str,
            groupId?: str, groupChannel?: str, groupSpace?: str, timeout?: int[0..], lane?: str,
            extraSystemPrompt?: str,
            inputProvenance?: {
                kind: "external_user" | "inter_session" | "internal_system",
                sourceSessionKey?: str, sourceChannel?: str, sourceTool?: str
            },
            idempotencyKey: str+, label?: str+≤64, spawnedBy?: str
        }"#,
        run: |call| Box::pin(agent(call)),
    },
    Method {
        name: "agent.wait",
        required: operator(Scope::Write),
        params: "{runId: str+, timeoutMs?: int[0..]}",
        run: |call| Box::pin(wait(call)),
    },
];

/// What is acted on. The rest routes a reply to a channel, which does not happen here yet.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Agent {
    message: String,
    agent_id: Option<String>,
    to: Option<String>,
    session_id: Option<String>,
    session_key: Option<String>,
    thinking: Option<String>,
    #[serde(default)]
    deliver: bool,
    attachments: Option<Vec<Value>>,
    /// Unit: seconds.
    timeout: Option<u64>,
    extra_system_prompt: Option<String>,
    input_provenance: Option<Value>,
    idempotency_key: String,
    label: Option<String>,
    spawned_by: Option<String>,
}

impl Agent {
    /// A parameter that asks for what is not done here, rather than doing less in silence.
    fn unsupported(&self) -> Option<&'static str> {
        let given = [
            (self.deliver, "deliver"),
            (self.label.is_some(), "label"),
            // SEC-20: where a run comes from is not a client's to say.
            (self.input_provenance.is_some(), "inputProvenance"),
            (self.spawned_by.is_some(), "spawnedBy"),
            (self.to.is_some() && self.session_key.is_none() && self.session_id.is_none(), "to"),
        ];
        given.into_iter().find(|(given, _)| *given).map(|(_, name)| name)
    }
}

/// Runs one turn: answered at once with `accepted`, and again at the end.
async fn agent(call: &Call) -> Answer {
    let params: Agent = call.read()?;
    if let Some(name) = params.unsupported() {
        let message = format!("invalid agent params: {name} is not supported");
        return Err(refused(message));
    }
    let message = Message {
        session: session_of(call, &params).await?,
        text: readable(&params.message, params.attachments.as_deref())?,
        run: run_of(&params.idempotency_key)?,
        thinking: params.thinking,
        extra_system_prompt: params.extra_system_prompt,
        timeout_ms: params.timeout.filter(|secs| *secs > 0).map(|secs| secs.saturating_mul(1000)),
        asker: Asker::Agent,
    };
    let (run, session) = (message.run.clone(), message.session.clone());
    let core = &call.core;
    let (submitted, hold) = submit(call, message).await?;
    match submitted {
        Submitted::Started | Submitted::InFlight => {}
        Submitted::Stopped(stopped) => {
            core.bus.abort(&stopped, claw_domain::StopCause::Command, core.scribe.now());
            return Ok(Reply::With(
                json!({"runId": run, "status": "ok", "summary": "completed", "result": {"payloads": [], "meta": {"aborted": !stopped.is_empty()}}}),
            ));
        }
        Submitted::Closed { outcome, detail } => {
            let error = (!is_success(&outcome)).then_some(detail);
            let end = End { error, started_at: None, ended_at: core.now_ms(), text: None };
            call.respond(finished(core, &call.id, &run, &session, end).await);
            return Ok(Reply::Sent);
        }
    }
    let accepted = json!({"runId": run, "status": "accepted", "acceptedAt": core.now_ms()});
    call.respond(Response::ok(&*call.id, accepted));
    hold.release();
    // The wait for the end takes no place among the calls of the socket.
    let (core, peer, id) = (Arc::clone(core), Arc::clone(&call.peer), call.id.clone());
    call.core.tasks.spawn(async move {
        let end = tokio::select! {
            end = core.bus.ended(&run) => end,
            () = core.stopping.cancelled() => return,
        };
        peer.mailbox.response(finished(&core, &id, &run, &session, end).await.encode().into());
    });
    Ok(Reply::Sent)
}

/// The session that is meant: by its key, its id, or as an agent's main one.
async fn session_of(call: &Call, params: &Agent) -> Result<SessionKey, Failure> {
    let core = &call.core;
    let refuse = |message: String| Err(refused(message));
    if let Some(key) = params.session_key.as_deref().filter(|key| !key.trim().is_empty()) {
        return call.session_key(key);
    }
    if let Some(id) = &params.session_id {
        let id: Option<SessionId> = id.parse().ok();
        let sessions = core.store.sessions(&SessionFilter::default()).await.map_err(failed)?;
        let found = sessions.into_iter().find(|session| Some(session.id) == id);
        return match found {
            Some(session) => Ok(session.key),
            None => refuse("No session found for sessionId".into()),
        };
    }
    let router = core.delivery.router();
    match &params.agent_id {
        None => Ok(router.main_session()),
        Some(id) if router.agents().contains(&AgentId::from(id.as_str())) => {
            Ok(router.canonical(&format!("agent:{id}:{}", router.session_config().main_key)))
        }
        Some(id) => refuse(format!("invalid agent params: unknown agent id \"{id}\"")),
    }
}

/// The last answer of `agent`.
async fn finished(core: &Core, id: &str, run: &RunId, session: &SessionKey, end: End) -> Response {
    if let Some(error) = end.error {
        let payload = json!({"runId": run, "status": "error", "summary": error});
        let error = ErrorShape::unavailable(error);
        return Response { payload: Some(payload), ..Response::error(id, error) };
    }
    let (events, session) =
        match (core.store.run_events(run).await, core.store.session(session).await) {
            (Ok(events), Ok(session)) => (events, session),
            (Err(error), _) | (_, Err(error)) => return Response::error(id, *failed(error)),
        };
    let story = Story::read(&events);
    let text = end.text.or(story.text).unwrap_or_default();
    let silent = text.trim().is_empty() || text.trim() == claw_delivery::SILENT_REPLY;
    let payloads = if silent { vec![] } else { vec![json!({"text": text, "mediaUrl": null})] };
    let (model, usage) = (story.model, story.usage);
    Response::ok(
        id,
        json!({
            "runId": run, "status": "ok", "summary": "completed",
            "result": {
                "payloads": payloads,
                "meta": {
                    "durationMs": story.took_ms,
                    "agentMeta": {
                        "sessionId": session.map(|session| session.id),
                        "provider": model.as_ref().map(|model| &model.provider),
                        "model": model.as_ref().map(|model| &model.model),
                        "usage": {
                            "input": usage.input, "output": usage.output,
                            "cacheRead": usage.cache_read, "cacheWrite": usage.cache_write,
                            "total": usage.total(),
                        },
                        "promptTokens": story.prompt_tokens,
                    },
                    "aborted": story.aborted,
                },
            },
        }),
    )
}

/// What the log says of a run.
#[derive(Default)]
struct Story {
    text: Option<String>,
    aborted: bool,
    usage: Usage,
    prompt_tokens: u64,
    model: Option<claw_domain::ModelRef>,
    took_ms: i64,
}

impl Story {
    fn read(events: &[Event]) -> Self {
        let mut story = Self::default();
        let at = |event: &Event| event.header.at.as_millisecond();
        if let [first, .., last] = events {
            story.took_ms = at(last) - at(first);
        }
        for event in events {
            match &event.body {
                EventBody::Used(record) => {
                    story.usage.add(&record.usage);
                    story.prompt_tokens = record.usage.prompt();
                    story.model = Some(record.model.clone());
                }
                EventBody::EntryAdded(entry) => {
                    if let EntryBody::Assistant(message) = &entry.body {
                        story.text = Some(message.text());
                    }
                }
                EventBody::RunFinished { ending, .. } => match ending {
                    Ending::Replied { text } => story.text = Some(text.clone()),
                    Ending::Stopped { text, .. } => {
                        story.text = Some(text.clone());
                        story.aborted = true;
                    }
                    Ending::Failed { .. } => {}
                },
                _ => {}
            }
        }
        story
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wait {
    run_id: String,
    timeout_ms: Option<u64>,
}

async fn wait(call: &Call) -> Answer {
    let Wait { run_id, timeout_ms } = call.read()?;
    let core = &call.core;
    let run = core.bus.behind(&chat::run_of(&run_id)?);
    let limit = timeout_ms.map_or(WAIT_DEFAULT, Duration::from_millis).min(WAIT_MAX);
    let end = match closed(core, &run).await? {
        Some(end) => Some(core.bus.known_end(&run).unwrap_or(end)),
        None => tokio::select! {
            end = timeout(limit, core.bus.ended(&run)) => end.ok(),
            () = core.stopping.cancelled() => None,
        },
    };
    let Some(end) = end else {
        return Ok(Reply::With(json!({"runId": run_id, "status": "timeout"})));
    };
    let status = if end.error.is_some() { "error" } else { "ok" };
    let mut payload = json!({"runId": run_id, "status": status});
    if let Some(started_at) = end.started_at {
        payload["startedAt"] = started_at.into();
    }
    payload["endedAt"] = end.ended_at.into();
    if let Some(error) = end.error {
        payload["error"] = error.into();
    }
    Ok(Reply::With(payload))
}

/// How a client's run ended, from the inbox, which outlives the process.
async fn closed(core: &Core, run: &RunId) -> Result<Option<End>, Failure> {
    let (channel, account, external) = (CHANNEL.into(), ACCOUNT.into(), run.as_str().into());
    let row = core.store.inbox_row(&channel, &account, &external).await.map_err(failed)?;
    Ok(row.and_then(|row| match row.state {
        InboxState::Closed { outcome, detail, at, .. } => Some(End {
            error: (!is_success(&outcome)).then_some(detail),
            started_at: None,
            ended_at: at.as_millisecond(),
            text: None,
        }),
        InboxState::Received | InboxState::Admitted { .. } => None,
    }))
}

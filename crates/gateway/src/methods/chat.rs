//! Talking to the agent: `chat.history`, `chat.abort`, `chat.send`.

use claw_agent::ThinkingLevel;
use claw_delivery::Submitted;
use claw_domain::{
    Inbound, InboundKind, MessageText, Operator, Origin, RunId, SessionKey, Settings, StopCause,
};
use claw_guard::Scope;
use claw_protocol::{
    frame::{ErrorShape, Response},
    history, text,
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Answer, Call, Failure, Method, Reply, failed, not_taken, operator, refused, sessions, within,
};
use crate::{
    bus::Hold,
    history::message,
    limits::{IDEMPOTENCY_KEY_CHARS_MAX, MESSAGE_BYTES_MAX},
    runs::Asker,
};

/// The channel and account under which the messages of gateway clients are kept.
pub(super) const CHANNEL: &str = "webchat";
pub(super) const ACCOUNT: &str = "default";

pub(super) const METHODS: &[Method] = &[
    Method {
        name: "chat.history",
        required: operator(Scope::Read),
        params: "{sessionKey: str+, limit?: int[1..1000]}",
        run: |call| Box::pin(history(call)),
    },
    Method {
        name: "chat.abort",
        required: operator(Scope::Write),
        params: "{sessionKey: str+, runId?: str+}",
        run: |call| Box::pin(abort(call)),
    },
    Method {
        name: "chat.send",
        required: operator(Scope::Write),
        params: "{sessionKey: str+, message: str, thinking?: str, deliver?: bool, \
                 attachments?: any[], timeoutMs?: int[0..], idempotencyKey: str+}",
        run: |call| Box::pin(send(call)),
    },
];

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct History {
    session_key: String,
    limit: Option<usize>,
}

async fn history(call: &Call) -> Answer {
    let History { session_key, limit } = call.read()?;
    let core = &call.core;
    let key = call.session_key(&session_key)?;
    let session = core.store.session(&key).await.map_err(failed)?;
    let agent = core.agents.spec(&core.delivery.router().agent_of(&key));
    let model = core.agents.model_of(&agent, session.as_ref());
    let info = core.agents.models().resolve(&model).map(|resolved| resolved.info);
    let thinking = info.map_or(ThinkingLevel::Off, |info| {
        core.agents.thinking_of(&agent, session.as_ref(), &info)
    });
    let mut shown = json!({"sessionKey": session_key});
    let mut messages = Vec::new();
    if let Some(session) = &session {
        shown["sessionId"] = json!(session.id);
        let limit = limit.unwrap_or(history::MESSAGES_DEFAULT);
        if let Some(head) = session.head {
            let entries = core.store.history(session.id, head, limit).await.map_err(failed)?;
            messages = entries.iter().filter_map(|entry| message(entry)).collect();
        }
    }
    shown["messages"] = history::fit(messages).into();
    shown["thinkingLevel"] = thinking.as_str().into();
    if let Some(level) = session.and_then(|session| session.settings.verbose_level) {
        shown["verboseLevel"] = level.into();
    }
    Ok(Reply::With(shown))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Abort {
    session_key: String,
    run_id: Option<String>,
}

/// Stops one run, or all of a session. Everybody hears of it before the caller is answered.
async fn abort(call: &Call) -> Answer {
    let Abort { session_key, run_id } = call.read()?;
    let core = &call.core;
    let session = call.session_key(&session_key)?;
    let run = run_id.map(|run| core.bus.behind(&RunId::from(run)));
    if let Some(run) = &run
        && core.bus.session_of(run).is_some_and(|of| of != session)
    {
        return Err(refused("runId does not match sessionKey"));
    }
    let cause = StopCause::Rpc;
    let stopped = core.delivery.stop(&session, run.as_ref(), cause).await.map_err(failed)?;
    Ok(Reply::With(told(call, &stopped, cause)))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Send {
    session_key: String,
    message: String,
    thinking: Option<String>,
    attachments: Option<Vec<Value>>,
    timeout_ms: Option<u64>,
    idempotency_key: String,
}

async fn send(call: &Call) -> Answer {
    let params: Send = call.read()?;
    let message = Message {
        session: call.session_key(&params.session_key)?,
        text: readable(&params.message, params.attachments.as_deref())?,
        run: run_of(&params.idempotency_key)?,
        thinking: params.thinking,
        extra_system_prompt: None,
        timeout_ms: params.timeout_ms.filter(|ms| *ms > 0),
        asker: Asker::Chat { session_key: params.session_key },
    };
    let run = message.run.clone();
    let answer = |status: &str| json!({"runId": run, "status": status});
    let (submitted, hold) = submit(call, message).await?;
    let word = match submitted {
        Submitted::Started => "started",
        Submitted::InFlight => "in_flight",
        Submitted::Stopped(stopped) => {
            return Ok(Reply::With(told(call, &stopped, StopCause::Command)));
        }
        Submitted::Closed { outcome, detail } => {
            if is_success(&outcome) {
                return Ok(Reply::With(answer("ok")));
            }
            let mut payload = answer("error");
            payload["summary"] = detail.as_str().into();
            let error = ErrorShape::unavailable(detail);
            let refused = Response { payload: Some(payload), ..Response::error(&*call.id, error) };
            call.respond(refused);
            return Ok(Reply::Sent);
        }
    };
    call.respond(Response::ok(&*call.id, answer(word)));
    hold.release();
    Ok(Reply::Sent)
}

/// What a client asks the agent.
pub(super) struct Message {
    pub(super) session: SessionKey,
    pub(super) text: String,
    pub(super) run: RunId,
    pub(super) thinking: Option<String>,
    pub(super) extra_system_prompt: Option<String>,
    pub(super) timeout_ms: Option<u64>,
    pub(super) asker: Asker,
}

/// Hands a message to delivery. The run's events are kept back until the caller has answered.
pub(super) async fn submit(call: &Call, message: Message) -> Result<(Submitted, Hold), Failure> {
    let core = &call.core;
    let Message { session, text, run, thinking, extra_system_prompt, timeout_ms, asker } = message;
    if let Some(level) = thinking {
        think(call, &session, &level).await?;
    }
    call.peer.follow(&session);
    let inbound = Inbound {
        channel: CHANNEL.into(),
        account: ACCOUNT.into(),
        external_id: run.as_str().into(),
        at: core.scribe.now(),
        origin: Origin::Operator(Operator {
            client: call.peer.client.to_string(),
            session: session.clone(),
            run: run.clone(),
            extra_system_prompt,
            timeout_ms,
        }),
        kind: InboundKind::Message(MessageText { text, ..MessageText::default() }),
    };
    let hold = core.bus.hold(&run, &session, asker);
    let submitted = core.delivery.submit(inbound).await.map_err(|error| not_taken(core, &error))?;
    Ok((submitted, hold))
}

/// Keeps a thinking level that came with a message as the session's own, as OpenClaw does.
async fn think(call: &Call, session: &SessionKey, level: &str) -> Result<(), Failure> {
    let level = sessions::thinking_level(level)?;
    sessions::change(call, session, |settings: &mut Settings| {
        settings.thinking_level = Some(level);
    })
    .await
    .map(drop)
}

/// Tells everybody that these runs were stopped; the caller's answer.
fn told(call: &Call, stopped: &[RunId], cause: StopCause) -> Value {
    let runs = call.core.bus.abort(stopped, cause, call.core.scribe.now());
    json!({"ok": true, "aborted": !runs.is_empty(), "runIds": runs})
}

/// Whether a message that came before was answered, be it by a stop.
pub(super) fn is_success(outcome: &str) -> bool {
    matches!(outcome, "replied" | "stopped" | "command")
}

/// The run's id, which is the client's idempotency key.
pub(super) fn run_of(idempotency_key: &str) -> Result<RunId, Failure> {
    within("idempotencyKey", idempotency_key, IDEMPOTENCY_KEY_CHARS_MAX)?;
    Ok(RunId::from(idempotency_key))
}

/// The message as everything else reads it.
pub(super) fn readable(message: &str, attachments: Option<&[Value]>) -> Result<String, Failure> {
    let refuse = |message: String| Err(refused(message));
    if attachments.is_some_and(|attachments| !attachments.is_empty()) {
        return refuse("attachments are not supported yet".into());
    }
    if message.len() > MESSAGE_BYTES_MAX {
        let bytes = message.len();
        return refuse(format!(
            "the message has {bytes} bytes, and at most {MESSAGE_BYTES_MAX} fit"
        ));
    }
    match text::normalise(message) {
        Err(error) => refuse(error.to_string()),
        Ok(text) if text.trim().is_empty() => refuse(text::TextError::Empty.to_string()),
        Ok(text) => Ok(text),
    }
}

//! Changing sessions: `sessions.patch`, `sessions.reset`, `sessions.delete`.

use claw_domain::{
    ChatKind, EventBody, ModelRef, Session, SessionId, SessionKey, Settings, StopCause,
};
use claw_protocol::frame::ErrorShape;
use claw_store::SessionFilter;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::time::{Duration, interval, timeout};

use super::{Answer, Call, Failure, Reply, failed, refused, settings::apply, within};
use crate::{gateway::Core, limits::RESET_WAIT_MAX};

/// Longest label, in characters.
const LABEL_CHARS_MAX: usize = 64;

/// How often it is looked whether a run that was stopped has ended.
const IDLE_LOOK: Duration = Duration::from_millis(20);

pub(super) async fn patch(call: &Call) -> Answer {
    let mut patch: Map<String, Value> = call.read()?;
    let key = patch.shift_remove("key").and_then(|key| key.as_str().map(str::to_owned));
    let key = call.session_key(&key.unwrap_or_default())?;
    let core = &call.core;
    if let Some(label) = patch.get("label").and_then(Value::as_str) {
        within("label", label, LABEL_CHARS_MAX)?;
        label_is_free(core, &key, label.trim()).await?;
    }
    let mut wanted = current(core, &key).await?.map(|session| session.settings).unwrap_or_default();
    apply(&mut wanted, &patch, |name| model_named(core, name))?;
    let session = change(call, &key, |settings| *settings = wanted).await?;
    let agent = core.agents.spec(&session.agent);
    let model = core.agents.model_of(&agent, Some(&session));
    Ok(Reply::With(json!({
        "ok": true,
        "path": core.about.state_dir.display().to_string(),
        "key": key,
        "entry": entry(&session),
        "resolved": {"modelProvider": model.provider, "model": model.model},
    })))
}

/// Changes a session's settings, beginning the session where there is none; the session after it.
pub(in crate::methods) async fn change(
    call: &Call,
    key: &SessionKey,
    change: impl FnOnce(&mut Settings),
) -> Result<Session, Failure> {
    let core = &call.core;
    let before = current(core, key).await?;
    let mut settings = before.as_ref().map(|session| session.settings.clone()).unwrap_or_default();
    change(&mut settings);
    let opened = before.is_none().then(|| opened(core, key, "first", ChatKind::Direct));
    let set = EventBody::SessionSet { settings };
    core.log(Some(key), opened.into_iter().chain([set])).await.map_err(failed)?;
    let session = current(core, key).await?.ok_or_else(|| failed("the session is gone"))?;
    core.bus.learn(&session);
    Ok(session)
}

#[derive(Deserialize)]
struct Reset {
    key: String,
    reason: Option<String>,
}

/// Begins a new life of a session; its settings live on, its transcript stays in the log.
pub(super) async fn reset(call: &Call) -> Answer {
    let Reset { key, reason } = call.read()?;
    let key = call.session_key(&key)?;
    let core = &call.core;
    stop_and_wait(core, &key).await?;
    let kind = current(core, &key).await?.map_or(ChatKind::Direct, |session| session.kind);
    let opened = opened(core, &key, reason.as_deref().unwrap_or("reset"), kind);
    core.log(Some(&key), [opened]).await.map_err(failed)?;
    let session = current(core, &key).await?.ok_or_else(|| failed("the session is gone"))?;
    Ok(Reply::With(json!({"ok": true, "key": key, "entry": entry(&session)})))
}

#[derive(Deserialize)]
struct Delete {
    key: String,
}

/// Forgets a session. Its transcript stays in the log, whatever `deleteTranscript` says.
pub(super) async fn delete(call: &Call) -> Answer {
    let Delete { key } = call.read()?;
    let key = call.session_key(&key)?;
    let core = &call.core;
    if key == core.delivery.router().main_session() {
        let message = format!("Cannot delete the main session ({key}).");
        return Err(refused(message));
    }
    stop_and_wait(core, &key).await?;
    let deleted = current(core, &key).await?.is_some();
    if deleted {
        core.log(Some(&key), [EventBody::SessionDeleted]).await.map_err(failed)?;
    }
    Ok(Reply::With(json!({"ok": true, "key": key, "deleted": deleted, "archived": []})))
}

/// Stops what runs and waits in a session, at whichever gateway, and waits until it is still.
async fn stop_and_wait(core: &Core, key: &SessionKey) -> Result<(), Failure> {
    let stopped = core.delivery.stop(key, None, StopCause::Rpc).await.map_err(failed)?;
    core.bus.abort(&stopped, StopCause::Rpc, core.scribe.now());
    let still = async {
        let mut look = interval(IDLE_LOOK);
        while !core.delivery.is_still(key).await.map_err(failed)? {
            look.tick().await;
        }
        Ok(())
    };
    timeout(RESET_WAIT_MAX, still).await.unwrap_or_else(|_late| {
        let message = format!("Session {key} is still active; try again in a moment.");
        Err(Failure::from(ErrorShape::unavailable(message)))
    })
}

async fn current(core: &Core, key: &SessionKey) -> Result<Option<Session>, Failure> {
    let session = core.store.session(key).await.map_err(failed)?;
    if let Some(session) = &session {
        // Another gateway may have written to it with a clock that is ahead of ours.
        core.scribe.observe(session.newest);
    }
    Ok(session)
}

fn opened(core: &Core, key: &SessionKey, why: &str, chat: ChatKind) -> EventBody {
    EventBody::SessionOpened {
        id: SessionId::generate(),
        agent: core.delivery.router().agent_of(key),
        chat,
        why: why.to_owned(),
    }
}

async fn label_is_free(core: &Core, key: &SessionKey, label: &str) -> Result<(), Failure> {
    let sessions = core.store.sessions(&SessionFilter::default()).await.map_err(failed)?;
    let taken = sessions
        .iter()
        .any(|session| session.key != *key && session.settings.label.as_deref() == Some(label));
    if taken {
        return Err(refused(format!("label already in use: {label}")));
    }
    Ok(())
}

/// The model that a client means by a name: `provider/model`, or the model alone.
fn model_named(core: &Core, name: &str) -> Option<ModelRef> {
    let models = core.agents.models();
    let full = name.parse().ok().filter(|reference| models.resolve(reference).is_some());
    full.or_else(|| {
        let named = models.list().into_iter().find(|model| &*model.reference.model == name);
        named.map(|model| model.reference)
    })
}

/// The session as OpenClaw keeps it.
fn entry(session: &Session) -> Value {
    let settings = &session.settings;
    let mut entry = json!({
        "sessionId": session.id,
        "updatedAt": session.updated_at.as_millisecond(),
    });
    let known = [
        ("label", json!(settings.label)),
        ("displayName", json!(settings.display_name)),
        ("thinkingLevel", json!(settings.thinking_level)),
        ("verboseLevel", json!(settings.verbose_level)),
        ("providerOverride", json!(settings.model.as_ref().map(|model| &model.provider))),
        ("modelOverride", json!(settings.model.as_ref().map(|model| &model.model))),
    ];
    let kept = settings.other.iter().map(|(key, value)| (key.as_str(), value.clone()));
    for (key, value) in known.into_iter().chain(kept).filter(|(_, value)| !value.is_null()) {
        entry[key] = value;
    }
    entry
}

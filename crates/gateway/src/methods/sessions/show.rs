//! Looking at sessions: `sessions.list`, `sessions.preview`, `sessions.resolve`.

use claw_domain::{Session, SessionId, Timestamp, millis};
use claw_protocol::{history::MESSAGES_MAX, session::SessionRow};
use claw_store::SessionFilter;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Answer, Call, Failure, Reply, failed, kind_of, refused};
use crate::{gateway::Core, history::line, methods::health::window};

/// Longest derived title and last message, in characters.
const TITLE_CHARS_MAX: usize = 60;
const LAST_CHARS_MAX: usize = 120;

/// Entries among which the last message and the first one are looked for.
const LAST_ENTRIES: usize = 20;

/// Lines of a preview when the caller names no number, the most that are shown, and how long.
const PREVIEW_LINES: usize = 12;
const PREVIEW_LINES_MAX: usize = 200;
const PREVIEW_CHARS: usize = 240;
const PREVIEW_CHARS_MAX: usize = 4000;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct List {
    limit: Option<usize>,
    active_minutes: Option<i64>,
    include_global: bool,
    include_unknown: bool,
    include_derived_titles: bool,
    include_last_message: bool,
    label: Option<String>,
    spawned_by: Option<String>,
    agent_id: Option<String>,
    search: Option<String>,
}

impl List {
    fn wants(&self, session: &Session) -> bool {
        let settings = &session.settings;
        let special = match session.key.as_str() {
            "global" => self.include_global,
            "unknown" => self.include_unknown,
            _ => true,
        };
        let label = self.label.is_none() || self.label == settings.label;
        // Nothing here spawns sessions yet.
        let spawned = self.spawned_by.is_none();
        special && label && spawned && self.finds(session)
    }

    fn finds(&self, session: &Session) -> bool {
        let Some(search) = self.search.as_deref().map(str::trim).filter(|text| !text.is_empty())
        else {
            return true;
        };
        let (search, id) = (search.to_lowercase(), session.id.to_string());
        let settings = &session.settings;
        let texts = [
            Some(session.key.as_str()),
            settings.label.as_deref(),
            settings.display_name.as_deref(),
            Some(id.as_str()),
        ];
        texts.into_iter().flatten().any(|text| text.to_lowercase().contains(&search))
    }
}

pub(super) async fn list(call: &Call) -> Answer {
    let params: List = call.read()?;
    let core = &call.core;
    let now = core.now_ms();
    let since =
        |minutes: i64| -> Timestamp { millis(now.saturating_sub(minutes.saturating_mul(60_000))) };
    let filter = SessionFilter {
        agent: params.agent_id.as_deref().map(Into::into),
        updated_since: params.active_minutes.map(since),
        limit: None,
    };
    let mut sessions = core.store.sessions(&filter).await.map_err(failed)?;
    sessions.retain(|session| params.wants(session));
    sessions.truncate(params.limit.unwrap_or(usize::MAX));
    let mut rows = Vec::with_capacity(sessions.len());
    for session in &sessions {
        let mut row = row(core, session);
        if params.include_derived_titles {
            row.derived_title = Some(title(core, session).await?);
        }
        if params.include_last_message {
            let lines = lines(core, session, LAST_ENTRIES).await?;
            row.last_message_preview =
                lines.into_iter().next_back().map(|(_, text)| cut(&text, LAST_CHARS_MAX));
        }
        rows.push(row);
    }
    let agents = core.agents.specs();
    let model = &agents[0].model;
    Ok(Reply::With(json!({
        "ts": now,
        "path": core.about.state_dir.display().to_string(),
        "count": rows.len(),
        "defaults": {
            "modelProvider": model.provider, "model": model.model,
            "contextTokens": window(core, &agents[0], None),
        },
        "sessions": rows,
    })))
}

fn row(core: &Core, session: &Session) -> SessionRow {
    let agent = core.agents.spec(&session.agent);
    let model = core.agents.model_of(&agent, Some(session));
    let settings = &session.settings;
    let reasoning = settings.other.get("reasoningLevel").and_then(Value::as_str);
    SessionRow {
        key: session.key.to_string(),
        kind: kind_of(session),
        label: settings.label.clone(),
        display_name: settings.display_name.clone(),
        channel: session.last_target.as_ref().map(|target| target.channel.to_string()),
        updated_at: Some(session.updated_at.as_millisecond()),
        session_id: Some(session.id.to_string()),
        system_sent: Some(session.prefix.is_some()),
        aborted_last_run: Some(session.aborted_last_run),
        thinking_level: settings.thinking_level.clone(),
        verbose_level: settings.verbose_level.clone(),
        reasoning_level: reasoning.map(Into::into),
        input_tokens: Some(session.usage.prompt()),
        output_tokens: Some(session.usage.output),
        total_tokens: Some(session.prompt_tokens),
        total_tokens_fresh: Some(true),
        model_provider: Some(model.provider.to_string()),
        model: Some(model.model.to_string()),
        context_tokens: window(core, &agent, Some(session)),
        ..SessionRow::default()
    }
}

/// A name for a session that has none: its first words, or the beginning of its id.
async fn title(core: &Core, session: &Session) -> Result<String, Failure> {
    if let Some(name) = &session.settings.display_name {
        return Ok(name.clone());
    }
    let lines = lines(core, session, MESSAGES_MAX).await?;
    let first = lines.into_iter().find(|(role, _)| *role == "user");
    Ok(first.map_or_else(
        || session.id.to_string().chars().take(8).collect(),
        |(_, text)| cut(&text, TITLE_CHARS_MAX),
    ))
}

/// The lines of a session's newest entries, oldest first.
async fn lines(
    core: &Core,
    session: &Session,
    entries: usize,
) -> Result<Vec<(&'static str, String)>, Failure> {
    let Some(head) = session.head else { return Ok(Vec::new()) };
    let entries = core.store.history(session.id, head, entries).await.map_err(failed)?;
    Ok(entries.iter().filter_map(|entry| line(entry)).collect())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Preview {
    keys: Vec<String>,
    limit: Option<usize>,
    max_chars: Option<usize>,
}

pub(super) async fn preview(call: &Call) -> Answer {
    let params: Preview = call.read()?;
    let core = &call.core;
    let limit = params.limit.unwrap_or(PREVIEW_LINES).min(PREVIEW_LINES_MAX);
    let chars = params.max_chars.unwrap_or(PREVIEW_CHARS).min(PREVIEW_CHARS_MAX);
    let mut previews = Vec::with_capacity(params.keys.len());
    for key in params.keys {
        let session = core.store.session(&call.session_key(&key)?).await.map_err(failed)?;
        let (status, lines) = match &session {
            None => ("missing", Vec::new()),
            Some(session) => match lines(core, session, limit).await? {
                lines if lines.is_empty() => ("empty", lines),
                lines => ("ok", lines),
            },
        };
        let items = lines
            .iter()
            .map(|(role, text)| json!({"role": role, "text": cut(text, chars)}))
            .collect::<Vec<_>>();
        previews.push(json!({"key": key, "status": status, "items": items}));
    }
    Ok(Reply::With(json!({"ts": core.now_ms(), "previews": previews})))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Resolve {
    key: Option<String>,
    session_id: Option<String>,
    label: Option<String>,
    agent_id: Option<String>,
}

pub(super) async fn resolve(call: &Call) -> Answer {
    let params: Resolve = call.read()?;
    let store = &call.core.store;
    let filter = SessionFilter {
        agent: params.agent_id.as_deref().map(Into::into),
        ..SessionFilter::default()
    };
    let (found, wanted) = match (params.key, params.session_id, params.label) {
        (Some(key), None, None) => {
            (store.session(&call.session_key(&key)?).await.map_err(failed)?, key)
        }
        (None, Some(id), None) => {
            let wanted: Option<SessionId> = id.parse().ok();
            let sessions = store.sessions(&filter).await.map_err(failed)?;
            (sessions.into_iter().find(|session| Some(session.id) == wanted), id)
        }
        (None, None, Some(label)) => {
            let sessions = store.sessions(&filter).await.map_err(failed)?;
            let labelled = |session: &Session| session.settings.label.as_ref() == Some(&label);
            (sessions.into_iter().find(labelled), label)
        }
        (None, None, None) => {
            return Err(refused("Either key, sessionId or label is required"));
        }
        _ => {
            let message = "Provide either key, sessionId, or label (not multiple)";
            return Err(refused(message));
        }
    };
    match found {
        Some(session) => Ok(Reply::With(json!({"ok": true, "key": session.key}))),
        None => Err(refused(format!("No session found: {wanted}"))),
    }
}

/// The text, cut after so many characters.
fn cut(text: &str, chars_max: usize) -> String {
    match text.char_indices().nth(chars_max) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

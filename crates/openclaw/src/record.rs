//! A session's record in the list of sessions: theirs to ours and back. Pure.
//!
//! Few of its fields have a word here; the whole is kept as it was read and is what an export
//! begins with. Nothing of it acts: not the elevation of commands, not the policies.

use claw_domain::{ChatKind, ModelRef, Session, SessionKey, Settings, Target, Timestamp, millis};
use serde_json::{Map, Value, json};

use crate::{ids::session_id, read::text};

/// What is understood of a record.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Record {
    /// The session's id in their words.
    pub(crate) session: String,
    /// The transcript's path, when the record names one.
    pub(crate) file: Option<String>,
    pub(crate) updated_at: Option<Timestamp>,
    pub(crate) chat: ChatKind,
    pub(crate) settings: Settings,
    /// Where an answer goes.
    pub(crate) target: Option<Target>,
}

/// Reads a record; `None` when it names no session.
pub(crate) fn read(key: &SessionKey, record: &Map<String, Value>) -> Option<Record> {
    let owned = |name| text(record, name).map(str::to_owned);
    let model = text(record, "providerOverride").zip(text(record, "modelOverride"));
    let settings = Settings {
        label: owned("label"),
        display_name: owned("displayName"),
        model: model
            .map(|(provider, model)| ModelRef { provider: provider.into(), model: model.into() }),
        thinking_level: owned("thinkingLevel"),
        verbose_level: owned("verboseLevel"),
        other: Map::new(),
    };
    let named = |word: &str| key.as_str().contains(&format!(":{word}:"));
    let chat = match text(record, "chatType") {
        Some("group") => ChatKind::Group,
        Some("channel") => ChatKind::Channel,
        None if named("group") => ChatKind::Group,
        None if named("channel") => ChatKind::Channel,
        _ => ChatKind::Direct,
    };
    Some(Record {
        session: owned("sessionId")?,
        file: owned("sessionFile"),
        updated_at: record.get("updatedAt").and_then(Value::as_i64).map(millis),
        chat,
        settings,
        target: target(record),
    })
}

fn target(record: &Map<String, Value>) -> Option<Target> {
    let (channel, to) = (text(record, "lastChannel")?, text(record, "lastTo")?);
    let thread = record.get("lastThreadId").and_then(|id| match id {
        Value::String(id) => Some(id.clone()),
        Value::Number(id) => Some(id.to_string()),
        _ => None,
    });
    Some(Target {
        channel: channel.into(),
        account: text(record, "lastAccountId").unwrap_or("default").into(),
        chat: to.strip_prefix(&format!("{channel}:")).unwrap_or(to).into(),
        thread: thread.map(Into::into),
    })
}

/// Writes the record of a session over the one that was there before it, of which stays what we
/// have no word for.
pub(crate) fn write(session: &Session, before: Option<&Map<String, Value>>) -> Map<String, Value> {
    let mut record = before.cloned().unwrap_or_default();
    let same = |id: &str| session_id(id) == session.id;
    if !text(&record, "sessionId").is_some_and(same) {
        // Another life has another file, and what its name was says nothing of this one's.
        record.shift_remove("sessionFile");
        record.insert("sessionId".into(), json!(session.id));
    }
    record.insert("updatedAt".into(), session.updated_at.as_millisecond().into());
    set_choices(&mut record, &session.settings);
    let counted = json!({
        "chatType": session.kind,
        "abortedLastRun": session.aborted_last_run,
        "inputTokens": session.usage.prompt(),
        "outputTokens": session.usage.output,
        "totalTokens": session.prompt_tokens,
        "totalTokensFresh": true,
        "modelProvider": session.model.as_ref().map(|model| &model.provider),
        "model": session.model.as_ref().map(|model| &model.model),
        "compactionCount": session.compactions,
    });
    if let Value::Object(counted) = counted {
        record.extend(counted.into_iter().filter(|(_, value)| !value.is_null()));
    }
    if let Some(last) = &session.last_target
        && target(&record).as_ref() != Some(last)
    {
        set_target(&mut record, last);
    }
    record
}

/// What its people chose; a choice that was taken back leaves no field.
fn set_choices(record: &mut Map<String, Value>, settings: &Settings) {
    let choices = [
        ("label", json!(settings.label)),
        ("displayName", json!(settings.display_name)),
        ("thinkingLevel", json!(settings.thinking_level)),
        ("verboseLevel", json!(settings.verbose_level)),
        ("providerOverride", json!(settings.model.as_ref().map(|model| &model.provider))),
        ("modelOverride", json!(settings.model.as_ref().map(|model| &model.model))),
    ];
    for (name, value) in choices {
        match value {
            Value::Null => drop(record.shift_remove(name)),
            value => drop(record.insert(name.into(), value)),
        }
    }
    record.extend(settings.other.iter().map(|(name, value)| (name.clone(), value.clone())));
}

fn set_target(record: &mut Map<String, Value>, target: &Target) {
    let Target { channel, account, chat, thread } = target;
    // Telegram's addresses bear the channel's name in OpenClaw.
    let to = match channel.as_str() {
        "telegram" => format!("telegram:{chat}"),
        _ => chat.to_string(),
    };
    let last =
        [("lastChannel", json!(channel)), ("lastTo", json!(to)), ("lastAccountId", json!(account))];
    let context = [("channel", json!(channel)), ("to", json!(to)), ("accountId", json!(account))];
    let owned = |(name, value): (&str, Value)| (name.to_owned(), value);
    let mut context: Map<String, Value> = context.into_iter().map(owned).collect();
    record.extend(last.into_iter().map(owned));
    match thread {
        Some(thread) => {
            record.insert("lastThreadId".into(), json!(thread));
            context.insert("threadId".into(), json!(thread));
        }
        None => drop(record.shift_remove("lastThreadId")),
    }
    record.insert("deliveryContext".into(), Value::Object(context));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(key: &str, record: Value) -> Record {
        read(&key.into(), record.as_object().expect("an object")).expect("a record")
    }

    #[test]
    fn what_people_chose_is_understood_and_what_could_act_is_not() {
        // SEC-63
        let record = check(
            "agent:main:telegram:group:-7:topic:3",
            json!({
                "sessionId": "s", "updatedAt": 5, "label": "home", "thinkingLevel": "high",
                "providerOverride": "a", "modelOverride": "b/c",
                "elevatedLevel": "full", "execSecurity": "full", "execAsk": "off", "sendPolicy": "allow",
                "lastChannel": "telegram", "lastTo": "telegram:-7", "lastThreadId": 3,
            }),
        );
        assert_eq!(record.settings.other, Map::new());
        assert_eq!(record.settings.model.map(|model| model.to_string()).as_deref(), Some("a/b/c"));
        assert_eq!((record.chat, record.updated_at), (ChatKind::Group, Some(millis(5))));
        let target = record.target.expect("a target");
        assert_eq!((target.chat, target.thread), ("-7".into(), Some("3".into())));
        assert_eq!(target.account, "default".into());
    }

    #[test]
    fn a_record_without_a_session_is_none() {
        assert_eq!(read(&"global".into(), json!({"updatedAt": 1}).as_object().unwrap()), None);
    }
}

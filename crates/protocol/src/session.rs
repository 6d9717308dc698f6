//! How a session is listed.

use serde::{Deserialize, Serialize};

/// A row of `sessions.list`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SessionRow {
    /// The session's key, such as `agent:main:main`.
    pub key: String,
    /// Who it is with.
    pub kind: SessionKind,
    /// A name that a person gave it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// A name for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// A title made from its first message, when asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub derived_title: Option<String>,
    /// The beginning of its last message, when asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_message_preview: Option<String>,
    /// The channel it is on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    /// When it was last used, in milliseconds since 1970; `null` when never.
    pub updated_at: Option<i64>,
    /// The transcript.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_id: Option<String>,
    /// Whether the model has been given its instructions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system_sent: Option<bool>,
    /// Whether the last run was stopped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aborted_last_run: Option<bool>,
    /// How long the model thinks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thinking_level: Option<String>,
    /// How much of the tools is shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verbose_level: Option<String>,
    /// Whether thinking is shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning_level: Option<String>,
    /// Tokens sent to the model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input_tokens: Option<u64>,
    /// Tokens it wrote.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_tokens: Option<u64>,
    /// Tokens in its window.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_tokens: Option<u64>,
    /// Whether `totalTokens` is of the last run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_tokens_fresh: Option<bool>,
    /// The model's provider.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model_provider: Option<String>,
    /// The model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Size of its window, in tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context_tokens: Option<u64>,
}

/// Who a session is with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum SessionKind {
    /// One person.
    Direct,
    /// A group.
    Group,
    /// Everybody, when all share one session.
    Global,
    /// Nobody can tell.
    #[default]
    Unknown,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_writes_what_is_known_and_when_it_was_used() {
        let row = SessionRow {
            key: "agent:main:main".into(),
            kind: SessionKind::Direct,
            session_id: Some("s".into()),
            ..SessionRow::default()
        };
        let text = serde_json::to_string(&row).expect("plain data");
        assert_eq!(
            text,
            r#"{"key":"agent:main:main","kind":"direct","updatedAt":null,"sessionId":"s"}"#
        );
        assert_eq!(serde_json::from_str::<SessionRow>(&text).expect("it reads back"), row);
    }
}

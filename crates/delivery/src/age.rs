//! How long a reply is worth sending: the keys under `outbox`.

use std::{num::NonZeroU32, time::Duration};

use claw_domain::ChatKind;
use schemars::JsonSchema;
use serde::Deserialize;

/// How replies wait to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct OutboxConfig {
    /// How long a reply is worth sending, by the kind of chat that it goes to. What could not be
    /// sent by then is given up; `outbox list` shows it and `outbox retry` sends it all the same.
    pub max_age_minutes: MaxAge,
}

/// How long a reply is worth sending.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct MaxAge {
    /// To one person.
    ///
    /// Unit: minutes. Default: 15.
    pub direct: NonZeroU32,
    /// To a group or a broadcast channel.
    ///
    /// Unit: minutes. Default: 15.
    pub group: NonZeroU32,
}

impl Default for MaxAge {
    fn default() -> Self {
        let quarter = NonZeroU32::new(15).expect("15 is not 0");
        Self { direct: quarter, group: quarter }
    }
}

impl OutboxConfig {
    /// How long a reply to this kind of chat is worth sending.
    pub(crate) fn max_age(&self, chat: ChatKind) -> Duration {
        let MaxAge { direct, group } = self.max_age_minutes;
        let minutes = match chat {
            ChatKind::Direct => direct,
            ChatKind::Group | ChatKind::Channel => group,
        };
        Duration::from_secs(60 * u64::from(minutes.get()))
    }

    /// How long any reply is worth sending.
    pub(crate) fn longest(&self) -> Duration {
        self.max_age(ChatKind::Direct).max(self.max_age(ChatKind::Group))
    }
}

//! What people write under `channels.telegram`.

use std::{collections::BTreeMap, num::NonZeroU32, path::PathBuf};

use claw_domain::Secret;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};

/// The keys that the channel and each of its accounts share are written once, here.
macro_rules! with_account_keys {
    ($(#[$doc:meta])* pub struct $name:ident { $($own:tt)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
        #[serde(rename_all = "camelCase", deny_unknown_fields, default)]
        pub struct $name {
            /// Whether this account receives and sends. Default: true.
            pub enabled: Option<bool>,
            /// A name for people, shown in status. Default: the bot's own name.
            pub name: Option<String>,
            /// The bot's token, as BotFather gave it: `123456789:AA…`. A secret; prefer
            /// `tokenFile` or the environment variable `TELEGRAM_BOT_TOKEN`, which counts for the
            /// `default` account when neither key is given.
            #[schemars(with = "Option<String>")]
            pub bot_token: Option<Secret>,
            /// A file that holds the token and nothing else. Wins over `botToken` beside it.
            pub token_file: Option<PathBuf>,
            /// Where the Bot API is: a server of your own, or a test server.
            /// Default: `https://api.telegram.org`.
            pub api_root: Option<String>,
            /// Who may write to the bot directly. `pairing`: a stranger gets a code once, and you
            /// approve it. `allowlist`: only `allowFrom`. `open`: everybody, and `allowFrom` must
            /// hold `"*"`. `disabled`: nobody. Default: `pairing`.
            pub dm_policy: Option<DmPolicy>,
            /// Numeric user ids that may write directly; `"*"` is everybody. Usernames are not
            /// taken, because they can change hands. Default: nobody.
            pub allow_from: Option<Vec<Peer>>,
            /// Which group messages are heard. `allowlist`: only from senders in `groupAllowFrom`.
            /// `open`: from every sender. `disabled`: none. Default: `allowlist`.
            pub group_policy: Option<GroupPolicy>,
            /// Numeric user ids that are heard in groups; `"*"` is everybody. An approved pairing
            /// counts in direct messages only. Default: the ids of `allowFrom`.
            pub group_allow_from: Option<Vec<Peer>>,
            /// Rules for single groups, by chat id; `"*"` is every other group. As soon as one
            /// entry stands here, groups without an entry are not heard. Default: no rules.
            pub groups: Option<BTreeMap<String, Group>>,
            /// Longest text of one message; a longer answer is split. Unit: UTF-16 code units, as
            /// Telegram counts. At most 4096. Default: 4000.
            pub text_chunk_limit: Option<NonZeroU32>,
            /// Where a long answer is split. `length`: only where the limit asks for it.
            /// `newline`: at every blank line. Default: `length`.
            pub chunk_mode: Option<ChunkMode>,
            /// Which parts of an answer are shown as a reply to the question. `off`: none.
            /// `first`: the first part. `all`: every part. Default: `off`.
            pub reply_to_mode: Option<ReplyToMode>,
            /// Whether Telegram shows a preview of the first link. Default: true.
            pub link_preview: Option<bool>,
            /// How long one call to Telegram may take; waiting for messages takes up to 30 s more.
            /// Unit: seconds. Default: 30.
            pub timeout_seconds: Option<NonZeroU32>,
            $($own)*
        }
    };
}

with_account_keys! {
    /// The Telegram channel. What stands here is the default for every account.
    pub struct Config {
        /// Several bots, by a name of your choice. Each takes the same keys, and what it leaves
        /// out it takes from above. Default: one account named `default`.
        pub accounts: BTreeMap<String, AccountConfig>,
        /// The account that sends when a message names none. Default: `default` if there is one,
        /// else the first by name.
        pub default_account: Option<String>,
    }
}

with_account_keys! {
    /// One bot.
    pub struct AccountConfig {}
}

/// Who may write to the bot directly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DmPolicy {
    /// A stranger gets a code that the owner approves.
    #[default]
    Pairing,
    /// Only who is listed.
    Allowlist,
    /// Everybody.
    Open,
    /// Nobody.
    Disabled,
}

/// Which group messages are heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum GroupPolicy {
    /// From every sender.
    Open,
    /// None.
    Disabled,
    /// From listed senders.
    #[default]
    Allowlist,
}

/// Where a long answer is split.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ChunkMode {
    /// Only where the limit asks for it.
    #[default]
    Length,
    /// At every blank line.
    Newline,
}

/// Which parts of an answer are shown as a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ReplyToMode {
    /// None.
    #[default]
    Off,
    /// The first.
    First,
    /// Every one.
    All,
}

/// Rules for one group.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Group {
    /// Whether the bot answers only when it is mentioned or replied to. Default: true.
    pub require_mention: Option<bool>,
    /// Whether the group is heard at all. Default: true.
    pub enabled: Option<bool>,
    /// Numeric user ids that are heard in this group. Default: those of `groupAllowFrom`.
    pub allow_from: Option<Vec<Peer>>,
    /// Which messages of this group are heard: `allowlist`, `open` or `disabled`. Default: the
    /// account's `groupPolicy`.
    pub group_policy: Option<GroupPolicy>,
}

/// A numeric user id, or `"*"` for everybody. Written as a number or a string; the prefixes
/// `telegram:` and `tg:` are dropped.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema)]
#[schemars(untagged)]
pub enum Peer {
    /// As a string.
    Text(String),
    /// As a number.
    Number(i64),
}

impl Peer {
    /// The id as the access rules compare it.
    pub fn id(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Number(id) => id.to_string(),
        }
    }

    /// Whether access rules can ever match it.
    pub(crate) fn is_valid(&self) -> bool {
        let id = self.id();
        id == "*" || id.parse::<i64>().is_ok()
    }
}

impl<'de> Deserialize<'de> for Peer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Text(String),
            Number(i64),
        }
        Ok(match Written::deserialize(deserializer)? {
            Written::Number(id) => Self::Number(id),
            Written::Text(text) => {
                let id = text.trim();
                let id = id.strip_prefix("telegram:").or(id.strip_prefix("tg:")).unwrap_or(id);
                Self::Text(id.to_owned())
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_misspelt_key_is_refused() {
        for config in
            [json!({ "botTokn": "x" }), json!({ "accounts": { "a": { "accounts": {} } } })]
        {
            assert!(serde_json::from_value::<Config>(config.clone()).is_err(), "{config}");
        }
    }

    #[test]
    fn the_schema_says_that_a_token_is_a_string_and_a_peer_a_string_or_a_number() {
        let schema = serde_json::to_value(schemars::schema_for!(Config)).unwrap();
        assert_eq!(schema["properties"]["botToken"]["type"], json!(["string", "null"]));
        assert_eq!(schema["additionalProperties"], json!(false));
        let peer = schema["$defs"]["Peer"]["anyOf"]
            .as_array()
            .unwrap()
            .iter()
            .map(|kind| kind["type"].clone());
        assert_eq!(peer.collect::<Vec<_>>(), [json!("string"), json!("integer")]);
    }

    #[test]
    fn the_environment_variable_is_named_in_the_manual() {
        let schema = schemars::schema_for!(Config).to_value().to_string();
        assert!(schema.contains(crate::TOKEN_ENV));
    }
}

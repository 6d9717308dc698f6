//! What Telegram's answers mean in our terms, and what can be wrong with the configuration.

use std::{path::PathBuf, time::Duration};

use claw_channel::Error;

use crate::CHANNEL;

/// How long to wait when Telegram says "too many requests" and not how long.
const WAIT_UNSAID: Duration = Duration::from_secs(5);

/// A call of the Bot API that did not succeed. Texts hold no token.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiError {
    /// Telegram answered with an error.
    #[error("{code}: {description}")]
    Answer {
        code: u64,
        description: String,
        retry_after: Option<Duration>,
        /// The new id of a group that became a supergroup.
        migrated_to: Option<i64>,
    },
    /// No answer came, or none that can be read.
    #[error("{0}")]
    Transport(String),
}

impl ApiError {
    /// Whether `getUpdates` is refused because a webhook is set.
    pub(crate) fn is_webhook_in_the_way(&self) -> bool {
        self.says(409, "webhook")
    }

    /// Whether our HTML is refused.
    pub(crate) fn is_markup_refused(&self) -> bool {
        self.says(400, "can't parse entities")
    }

    /// Whether a message says already what an edit would make it say.
    pub(crate) fn is_edit_without_change(&self) -> bool {
        self.says(400, "message is not modified")
    }

    /// Whether the message to delete does not exist (any more).
    pub(crate) fn is_gone(&self) -> bool {
        self.says(400, "message to delete not found") || self.says(400, "message_id_invalid")
    }

    /// Telegram has no error codes finer than the status, only words.
    fn says(&self, status: u64, words: &str) -> bool {
        match self {
            Self::Answer { code, description, .. } => {
                *code == status && description.to_ascii_lowercase().contains(words)
            }
            Self::Transport(_) => false,
        }
    }
}

impl From<ApiError> for Error {
    /// The one table from status to meaning.
    fn from(error: ApiError) -> Self {
        let channel = CHANNEL.to_owned();
        let (code, detail, retry_after, migrated_to) = match error {
            ApiError::Transport(detail) => return Self::Network { channel, detail },
            ApiError::Answer { code, description, retry_after, migrated_to } => {
                (code, description, retry_after, migrated_to)
            }
        };
        match code {
            // A malformed token is answered with 404.
            401 | 404 => Self::Unauthorized { channel, detail },
            409 => Self::Conflict { channel },
            429 => Self::Throttled { channel, wait: retry_after.unwrap_or(WAIT_UNSAID) },
            500.. => Self::Network { channel, detail: format!("{code}: {detail}") },
            _ => {
                let moved = migrated_to.map(|id| format!("; the group's id is now {id}"));
                Self::Refused { channel, detail: detail + &moved.unwrap_or_default() }
            }
        }
    }
}

/// Why the configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// `open` is not meant by accident.
    #[error("dmPolicy `open` needs \"*\" in allowFrom")]
    OpenWithoutStar,
    /// A list of senders holds something that is no id.
    #[error("{key} takes numeric user ids, not `{value}`")]
    NotAnId {
        /// Which list.
        key: &'static str,
        /// What stands there.
        value: String,
    },
    /// Parts would be refused by Telegram.
    #[error("textChunkLimit is {limit}, but Telegram takes at most 4096")]
    ChunkTooLong {
        /// What was asked for.
        limit: usize,
    },
    /// The Bot API's address has no scheme that we speak.
    #[error("apiRoot of account `{account}` is no http or https address")]
    ApiRoot {
        /// Which account.
        account: String,
    },
    /// Two bots would steal each other's messages.
    #[error("the accounts `{first}` and `{second}` share one token")]
    SharedToken {
        /// One of them.
        first: String,
        /// Another.
        second: String,
    },
    /// The account that should send does not exist.
    #[error("defaultAccount names `{name}`, which is not under accounts")]
    UnknownAccount {
        /// The name.
        name: String,
    },
    /// The token file cannot be read.
    #[error("the token file {} cannot be read", path.display())]
    TokenFile {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The token file holds no token.
    #[error("the token file {} holds no token", path.display())]
    TokenFileContent {
        /// Which.
        path: PathBuf,
    },
}

impl ConfigError {
    /// One thing that a person can do about it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::OpenWithoutStar => {
                "add \"*\" to allowFrom if everybody may write, else use `pairing`".into()
            }
            Self::NotAnId { .. } => {
                "usernames can change hands; write to the bot and read your id in `pairing list`"
                    .into()
            }
            Self::ChunkTooLong { .. } => "leave textChunkLimit out, or set at most 4096".into(),
            Self::ApiRoot { .. } => "write it like https://api.telegram.org".into(),
            Self::SharedToken { .. } => {
                "give each account a botToken or tokenFile of its own".into()
            }
            Self::UnknownAccount { .. } => {
                "name one of the accounts, or leave defaultAccount out".into()
            }
            Self::TokenFile { .. } | Self::TokenFileContent { .. } => {
                "write the token that BotFather gave you into the file, readable by you alone"
                    .into()
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use claw_channel::Retry;

    use super::*;

    #[test]
    fn every_status_has_one_meaning() {
        let secs = Duration::from_secs;
        for (code, retry_after, said, retry) in [
            (401, None, "telegram refused our credentials: why", Retry::Never),
            (404, None, "telegram refused our credentials: why", Retry::Never),
            (
                409,
                None,
                "telegram is being read by another program with the same token",
                Retry::Later,
            ),
            (
                429,
                Some(secs(86_400)),
                "telegram asked us to wait 86400 s",
                Retry::After(secs(86_400)),
            ),
            (429, None, "telegram asked us to wait 5 s", Retry::After(WAIT_UNSAID)),
            (500, None, "telegram could not be reached: 500: why", Retry::Later),
            (502, None, "telegram could not be reached: 502: why", Retry::Later),
            (400, None, "telegram refused the action: why", Retry::Never),
            (403, None, "telegram refused the action: why", Retry::Never),
            (413, None, "telegram refused the action: why", Retry::Never),
        ] {
            let error = Error::from(ApiError::Answer {
                code,
                description: "why".into(),
                retry_after,
                migrated_to: None,
            });
            assert_eq!((error.to_string().as_str(), error.retry()), (said, retry), "{code}");
        }
        let lost = Error::from(ApiError::Transport("cut".into()));
        assert_eq!(
            (lost.to_string().as_str(), lost.retry()),
            ("telegram could not be reached: cut", Retry::Later)
        );
    }

    #[test]
    fn a_group_that_moved_tells_its_new_id() {
        let description = "group chat was upgraded to a supergroup chat".into();
        let error = ApiError::Answer {
            code: 400,
            description,
            retry_after: None,
            migrated_to: Some(-1007),
        };
        let said = Error::from(error).to_string();
        assert_eq!(
            said,
            "telegram refused the action: group chat was upgraded to a supergroup chat; the group's id is now -1007"
        );
    }
}

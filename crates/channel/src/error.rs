//! What a channel can fail with, and what may be done next.

use std::time::Duration;

/// Why a platform did not do what was asked. Texts hold no secrets.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The token or login is not accepted.
    #[error("{channel} refused our credentials: {detail}")]
    Unauthorized {
        /// The channel.
        channel: String,
        /// The platform's words.
        detail: String,
    },
    /// The platform asked us to wait.
    #[error("{channel} asked us to wait {} s", wait.as_secs())]
    Throttled {
        /// The channel.
        channel: String,
        /// How long.
        wait: Duration,
    },
    /// The platform could not be reached, or failed on its own side.
    #[error("{channel} could not be reached: {detail}")]
    Network {
        /// The channel.
        channel: String,
        /// What happened, without addresses that hold tokens.
        detail: String,
    },
    /// Somebody else receives with the same credentials.
    #[error("{channel} is being read by another program with the same token")]
    Conflict {
        /// The channel.
        channel: String,
    },
    /// The platform understood and said no.
    #[error("{channel} refused the action: {detail}")]
    Refused {
        /// The channel.
        channel: String,
        /// The platform's words.
        detail: String,
    },
    /// The channel cannot do this at all.
    #[error("{channel} cannot {action}")]
    Unsupported {
        /// The channel.
        channel: String,
        /// What.
        action: &'static str,
    },
    /// The inbox did not keep an update.
    #[error(transparent)]
    Inbox(#[from] crate::InboxError),
}

/// What the caller may do after a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// The same will fail again.
    Never,
    /// Later, with back-off.
    Later,
    /// Not before this long.
    After(Duration),
}

impl Error {
    /// What the caller may do next. The retry layers read this and nothing else.
    pub fn retry(&self) -> Retry {
        match self {
            Self::Throttled { wait, .. } => Retry::After(*wait),
            Self::Network { .. } | Self::Conflict { .. } | Self::Inbox(_) => Retry::Later,
            Self::Unauthorized { .. } | Self::Refused { .. } | Self::Unsupported { .. } => {
                Retry::Never
            }
        }
    }

    /// One thing that a person can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Unauthorized { channel, .. } => {
                Some(format!("check the token under channels.{channel} in the configuration"))
            }
            Self::Conflict { .. } => {
                Some("stop the other program, or give this one a token of its own".into())
            }
            Self::Throttled { .. }
            | Self::Network { .. }
            | Self::Refused { .. }
            | Self::Unsupported { .. }
            | Self::Inbox(_) => None,
        }
    }
}

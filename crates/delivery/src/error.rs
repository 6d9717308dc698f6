//! What delivery can fail with.

use claw_domain::ChannelId;

/// Why something was not taken or not done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store did not answer or did not commit.
    #[error(transparent)]
    Store(#[from] claw_store::Error),
    /// New work is refused since the gateway is stopping.
    #[error("the gateway is stopping")]
    Stopping,
    /// No pairing request has this code.
    #[error("no pending pairing request on `{channel}` has the code {code}")]
    NoSuchCode {
        /// The channel.
        channel: ChannelId,
        /// What was typed.
        code: String,
    },
    /// Too many wrong codes were tried.
    #[error("too many wrong pairing codes were tried")]
    TooManyTries,
}

impl Error {
    /// One thing that a person can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Store(error) => error.hint(),
            Self::Stopping => Some("start it again with `rusty-claw gateway run`".into()),
            Self::NoSuchCode { channel, .. } => Some(format!(
                "see what waits with `rusty-claw pairing list {channel}`; codes expire after an hour"
            )),
            Self::TooManyTries => Some("wait a minute and try again".into()),
        }
    }
}

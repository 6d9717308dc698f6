//! What delivery can fail with.

use claw_domain::{ChannelId, OutboxId};

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
    /// No row of the outbox has this id.
    #[error("no outbox row has the id {id}")]
    NoSuchPart {
        /// What was asked for.
        id: OutboxId,
    },
    /// The row has come too far, or not far enough, for what was asked.
    #[error("the outbox row {id} is {state}, not {wanted}")]
    WrongState {
        /// Which row.
        id: OutboxId,
        /// How far it has come.
        state: &'static str,
        /// What it would have to be.
        wanted: &'static str,
    },
    /// The row is being sent, or somebody else decides about it.
    #[error("the outbox row {id} is being sent right now")]
    Busy {
        /// Which row.
        id: OutboxId,
    },
    /// Another gateway sends the row.
    #[error("another gateway has the outbox row {id}")]
    Elsewhere {
        /// Which row.
        id: OutboxId,
    },
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
            Self::NoSuchPart { .. } | Self::WrongState { .. } => {
                Some("see what there is with `rusty-claw outbox list --state all`".into())
            }
            Self::Busy { .. } => Some("look again in a moment".into()),
            Self::Elsewhere { .. } => Some("ask the gateway that holds its account".into()),
        }
    }
}

//! What goes out: one action on a platform.

use serde::{Deserialize, Serialize};

use crate::{AccountId, ChannelId, ChatId, ExternalId, ThreadId};

/// Where something goes. Order is kept per target.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Target {
    /// The channel.
    pub channel: ChannelId,
    /// Our account there.
    pub account: AccountId,
    /// The chat.
    pub chat: ChatId,
    /// The thread within it.
    pub thread: Option<ThreadId>,
}

/// One action to carry out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outbound {
    /// Where.
    pub target: Target,
    /// What.
    pub action: Action,
    /// The same key again is the same action, on platforms that can tell.
    pub idempotency_key: String,
}

/// What to do on a platform.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "do")]
pub enum Action {
    /// Send a text that already fits the channel's limit.
    Send {
        /// Markdown.
        text: String,
        /// The message that it answers.
        reply_to: Option<ExternalId>,
        /// Whether to spare the reader a sound.
        silent: bool,
    },
    /// Replace the text of a message of ours.
    Edit {
        /// Which.
        message: ExternalId,
        /// Markdown.
        text: String,
    },
    /// Delete a message of ours. Deleting what is gone succeeds.
    Delete {
        /// Which.
        message: ExternalId,
    },
    /// Set our reaction on a message; `None` takes it back.
    React {
        /// Which.
        message: ExternalId,
        /// The emoji.
        emoji: Option<String>,
    },
    /// Show that an answer is on its way. Never queued, never retried.
    Typing,
}

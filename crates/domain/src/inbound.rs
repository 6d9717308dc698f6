//! What came in: one update of a platform or one request of an operator, in our own words.

use serde::{Deserialize, Serialize};

use crate::{
    AccountId, ChannelId, ChatId, ExternalId, PeerId, RunId, SessionKey, ThreadId, Timestamp,
};

/// One thing that somebody did, before anybody decided whether they may.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Inbound {
    /// The channel that it came through.
    pub channel: ChannelId,
    /// Our account there.
    pub account: AccountId,
    /// Unique within channel and account; the same id again is the same event.
    pub external_id: ExternalId,
    /// When the platform says that it happened.
    pub at: Timestamp,
    /// Who did it, and where.
    pub origin: Origin,
    /// What was done.
    pub kind: InboundKind,
}

/// Where an inbound event came from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "from")]
pub enum Origin {
    /// A person on a channel; access is decided by that channel's policy.
    Person {
        /// Who.
        sender: Sender,
        /// Where, and where an answer goes.
        address: Address,
    },
    /// A gateway client that has authenticated; access was decided by its scopes.
    Operator(Operator),
}

/// A person or bot as the platform names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sender {
    /// The stable id. Allowlists compare this and nothing else.
    pub id: PeerId,
    /// The name for people, shown to the model as untrusted text.
    pub name: Option<String>,
    /// The changeable handle without `@`.
    pub username: Option<String>,
}

/// Where a conversation takes place.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Address {
    /// The chat.
    pub chat: ChatId,
    /// What kind of chat.
    pub kind: ChatKind,
    /// The thread or topic within it.
    pub thread: Option<ThreadId>,
    /// The chat's title, for people.
    pub title: Option<String>,
}

/// How many listen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChatKind {
    /// Two: the sender and us.
    Direct,
    /// Several people.
    Group,
    /// A broadcast room.
    Channel,
}

/// An authenticated gateway client's request to run the agent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Operator {
    /// The client's id as it connected (`cli`, `openclaw-control-ui`), shown to the model as sender.
    pub client: String,
    /// The session that it asked for, canonical.
    pub session: SessionKey,
    /// The run's id: the client's idempotency key.
    pub run: RunId,
    /// Text that joins the prompt of this run only.
    pub extra_system_prompt: Option<String>,
    /// How long the run may take; `None` is the configured limit. Unit: milliseconds.
    pub timeout_ms: Option<u64>,
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "kind")]
pub enum InboundKind {
    /// A new message.
    Message(MessageText),
    /// A message was changed; `of` is the external id under which it first came.
    Edit {
        /// The message that was changed.
        of: ExternalId,
        /// What it says now.
        message: MessageText,
    },
    /// A reaction was set or taken back.
    Reaction {
        /// The message that it stands on.
        of: ExternalId,
        /// The emoji.
        emoji: String,
        /// Whether it was taken back.
        removed: bool,
    },
    /// A button of ours was pressed.
    Button {
        /// What we put behind the button.
        payload: String,
    },
    /// Somebody joined or left the chat.
    MemberChange {
        /// Who.
        member: PeerId,
        /// Whether they are in now.
        joined: bool,
    },
}

/// The text of a message and what its platform knows about it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct MessageText {
    /// The text as written, our own mention removed from a command word.
    pub text: String,
    /// Whether it names us by the platform's own mention, or replies to us.
    pub mentions_us: bool,
    /// The message that it answers.
    pub quoted: Option<Quoted>,
}

/// The message that another one answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quoted {
    /// The platform's id of it.
    pub id: ExternalId,
    /// Who wrote it, for people.
    pub sender: Option<String>,
    /// Its text, cut to what is useful as context.
    pub text: String,
}

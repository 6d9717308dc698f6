//! The trait, and what a channel can do as data.

use async_trait::async_trait;
use claw_domain::{AccountId, ChannelId, ExternalId, Inbound, Outbound, Timestamp};
use tokio_util::sync::CancellationToken;

use crate::Error;

/// One account on one platform.
#[async_trait]
pub trait Channel: Send + Sync {
    /// Which platform.
    fn id(&self) -> &ChannelId;

    /// Which of our accounts there.
    fn account(&self) -> &AccountId;

    /// What it can do. Never changes while it runs.
    fn capability(&self) -> &Capability;

    /// Receives until `stop` fires, feeding every update to `inbox`.
    ///
    /// The platform's cursor or acknowledgement moves only after `inbox` has taken the update.
    /// When `inbox` fails, the update is offered again later. Returns `Ok` once stopped.
    ///
    /// # Errors
    /// Whatever ends receiving; [`Error::retry`] says whether and when to call again.
    async fn run(&self, inbox: &dyn Inbox, stop: CancellationToken) -> Result<(), Error>;

    /// Carries out one action, once.
    ///
    /// A text must fit [`Capability::text_max`]; deleting what is already gone succeeds.
    ///
    /// # Errors
    /// [`Error::retry`] says what may be done next.
    ///
    /// # Cancel safety
    /// Not cancel-safe: the platform may have taken the action already.
    async fn deliver(&self, outbound: &Outbound) -> Result<Delivered, Error>;

    /// How it is doing, from memory, at once.
    fn health(&self) -> Health;
}

/// Where a channel's updates go.
#[async_trait]
pub trait Inbox: Send + Sync {
    /// Takes updates durably, in order, all or none. A known update is a no-op.
    ///
    /// # Errors
    /// When nothing was kept, so that the channel must offer the updates again.
    async fn accept(&self, updates: Vec<Inbound>) -> Result<Accepted, InboxError>;
}

/// What became of offered updates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Accepted {
    /// Seen for the first time.
    pub new: usize,
    /// Known already.
    pub known: usize,
}

/// The inbox could not keep the updates.
#[derive(Debug, thiserror::Error)]
#[error("the updates could not be kept: {0}")]
pub struct InboxError(pub Box<dyn std::error::Error + Send + Sync>);

/// What the platform said to an action.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Delivered {
    /// The platform's id of what was sent.
    pub external_id: Option<ExternalId>,
}

/// What a channel can do, as data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capability {
    /// Longest text of one message, in `text_unit`, before our Markdown is rendered.
    pub text_max: usize,
    /// How the platform counts text.
    pub text_unit: TextUnit,
    /// Whether our messages can be changed later.
    pub edits: bool,
    /// Whether our messages can be deleted.
    pub deletes: bool,
    /// Whether we can react to messages.
    pub reactions: bool,
    /// Whether chats have threads or topics.
    pub threads: bool,
    /// Whether it shows that an answer is on its way.
    pub typing: bool,
    /// Whether the platform refuses a second message with the same idempotency key.
    pub idempotent_sends: bool,
}

/// How a platform counts text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextUnit {
    /// Unicode scalar values.
    Chars,
    /// UTF-16 code units.
    Utf16,
    /// UTF-8 bytes.
    Bytes,
}

impl TextUnit {
    /// The length of a text.
    pub fn measure(self, text: &str) -> usize {
        match self {
            Self::Bytes => text.len(),
            Self::Chars | Self::Utf16 => {
                text.chars().map(|character| self.measure_char(character)).sum()
            }
        }
    }

    /// The length of one character.
    pub fn measure_char(self, character: char) -> usize {
        match self {
            Self::Chars => 1,
            Self::Utf16 => character.len_utf16(),
            Self::Bytes => character.len_utf8(),
        }
    }
}

/// How a channel account is doing.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Health {
    /// Whether it is receiving now.
    pub connected: bool,
    /// Since when.
    pub connected_at: Option<Timestamp>,
    /// When the last update came.
    pub last_inbound_at: Option<Timestamp>,
    /// When the last action was carried out.
    pub last_outbound_at: Option<Timestamp>,
    /// What went wrong last, in words without secrets; `None` once it works again.
    pub last_error: Option<String>,
    /// Our own name on the platform, for people.
    pub identity: Option<String>,
}

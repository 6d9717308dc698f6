//! What the log holds: each event once, in the words that every projection is folded from.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    AccountId, AgentId, ChannelId, ChatKind, DeviceId, Ending, Entry, EntryId, EventId, InboxId,
    ModelRef, PeerId, RunId, Seq, SessionId, SessionKey, Settings, StopCause, Target, Timestamp,
    ToolCallId, TraceId,
};

/// One committed event.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// This store's commit order.
    pub seq: Seq,
    /// Who, when and why.
    pub header: EventHeader,
    /// What.
    pub body: EventBody,
    /// Whether it comes from another installation's log: history, which lets nobody in here.
    pub imported: bool,
}

/// An event's identity and its place in the story.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventHeader {
    /// Identity, and order when logs are merged.
    pub id: EventId,
    /// Joins all that one inbound event caused.
    pub trace: TraceId,
    /// The event that led to this one.
    pub cause: Option<EventId>,
    /// The session that it belongs to, if any.
    pub session: Option<SessionKey>,
    /// When.
    pub at: Timestamp,
}

/// What happened. Folding these gives every projection.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "kind")]
pub enum EventBody {
    /// A key got its first life or, after a reset, a new one. Settings live on.
    SessionOpened {
        /// The new life.
        id: SessionId,
        /// Who answers.
        agent: AgentId,
        /// What kind of chat.
        chat: ChatKind,
        /// Why: `first`, `new`, `reset`, `daily`, `idle`.
        why: String,
    },
    /// Its people chose something.
    SessionSet {
        /// All settings as they are now.
        settings: Settings,
    },
    /// The key is gone; transcripts stay in the log.
    SessionDeleted,
    /// Where the session's last message came from.
    SessionSeen {
        /// Where an answer goes.
        target: Target,
    },
    /// The transcript grew at its head. With a run, this is that run's input: what was said to it,
    /// the model's whole answer, or a tool's result.
    EntryAdded(Entry),
    /// Prompts begin at `start` from now on, since the window was overfull.
    ContextTrimmed {
        /// The first entry that prompts still hold.
        start: EntryId,
        /// How many entries were left out.
        dropped: u64,
    },
    /// The prompt's prefix changed, so the provider's cache begins anew. Prompts use this text until
    /// the next epoch, whatever happens to the files that it was made from.
    PrefixEpoch {
        /// The model that it is for.
        model: ModelRef,
        /// The system prompt.
        system: Arc<str>,
        /// Digest of the tools' names and schemas.
        tools: String,
        /// What began it: `first`, `reset`, `compaction`, `model`, `tools`.
        why: String,
    },
    /// A run began; its inputs follow under the same run id.
    RunStarted {
        /// The run.
        run: RunId,
        /// The inbox row that it answers.
        inbox: InboxId,
    },
    /// The model failed for good.
    AnswerFailed {
        /// The run.
        run: RunId,
        /// What is told to people.
        error: String,
        /// The stable code.
        code: String,
    },
    /// A tool is about to run. Without a result after it, its outcome is unknown.
    ToolStarted {
        /// The run.
        run: RunId,
        /// The call.
        call: ToolCallId,
    },
    /// Somebody asked the run to stop, or its time was up.
    StopAsked {
        /// The run.
        run: RunId,
        /// Who or what.
        cause: StopCause,
        /// What the model had said of an answer that will not be whole.
        said: String,
    },
    /// The run is over.
    RunFinished {
        /// The run.
        run: RunId,
        /// How.
        ending: Ending,
    },
    /// A model call was paid for.
    Used(UsageRecord),
    /// A sender may speak to us in direct messages from now on.
    GrantGiven {
        /// The channel.
        channel: ChannelId,
        /// Our account there.
        account: AccountId,
        /// Who.
        peer: PeerId,
        /// By whom: `pairing`, `cli`.
        by: String,
    },
    /// A device was paired, or its roles and scopes changed.
    DevicePaired {
        /// Which.
        device: DeviceId,
        /// All that is known of it, in OpenClaw's words.
        record: Value,
    },
    /// A device may no longer connect.
    DeviceRemoved {
        /// Which.
        device: DeviceId,
    },
}

impl EventBody {
    /// The kind's name as stored in its own column.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::SessionOpened { .. } => "sessionOpened",
            Self::SessionSet { .. } => "sessionSet",
            Self::SessionDeleted => "sessionDeleted",
            Self::SessionSeen { .. } => "sessionSeen",
            Self::EntryAdded(_) => "entryAdded",
            Self::ContextTrimmed { .. } => "contextTrimmed",
            Self::PrefixEpoch { .. } => "prefixEpoch",
            Self::RunStarted { .. } => "runStarted",
            Self::AnswerFailed { .. } => "answerFailed",
            Self::ToolStarted { .. } => "toolStarted",
            Self::StopAsked { .. } => "stopAsked",
            Self::RunFinished { .. } => "runFinished",
            Self::Used(_) => "used",
            Self::GrantGiven { .. } => "grantGiven",
            Self::DevicePaired { .. } => "devicePaired",
            Self::DeviceRemoved { .. } => "deviceRemoved",
        }
    }
}

/// Tokens by kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Usage {
    /// Fresh input.
    pub input: u64,
    /// Output, thinking included.
    pub output: u64,
    /// Input read from the provider's cache.
    pub cache_read: u64,
    /// Input written to the provider's cache.
    pub cache_write: u64,
}

impl Usage {
    /// All input, cached or not: the size of the prompt.
    pub fn prompt(&self) -> u64 {
        self.input + self.cache_read + self.cache_write
    }

    /// All tokens.
    pub fn total(&self) -> u64 {
        self.prompt() + self.output
    }

    /// Adds another call's tokens.
    pub fn add(&mut self, other: &Self) {
        self.input += other.input;
        self.output += other.output;
        self.cache_read += other.cache_read;
        self.cache_write += other.cache_write;
    }
}

/// One model call on the bill.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UsageRecord {
    /// The run.
    pub run: RunId,
    /// Who answered.
    pub model: ModelRef,
    /// Tokens by kind.
    pub usage: Usage,
    /// The price, where the model's cost is configured. Unit: US dollars.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<f64>,
    /// From asking to the last byte. Unit: milliseconds.
    pub took_ms: u64,
    /// The wire interface.
    pub api: Arc<str>,
}

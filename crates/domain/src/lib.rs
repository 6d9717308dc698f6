//! Ids and plain data of our own: the words in which every other room speaks.
//!
//! Nothing here does input or output, and nothing of ours stands below it. Types that the event
//! log stores derive `serde`: their shape is a promise to every store that was ever written, so a
//! field is only added with a default and never renamed without a migration.
//!
//! ```
//! use claw_domain::{AgentId, SessionKey};
//!
//! let key = SessionKey::main(&AgentId::from("main"));
//! assert_eq!(key.as_str(), "agent:main:main");
//! ```
#![warn(missing_docs)]

mod clock;
mod event;
mod id;
mod inbound;
mod message;
mod model;
mod outbound;
mod secret;
mod session;
mod signal;

pub use clock::{Clock, IdSource, SystemClock, Timestamp, millis};
pub use event::{Event, EventBody, EventHeader, Usage, UsageRecord};
pub use id::{
    AccountId, AgentId, ChannelId, ChatId, DeviceId, EntryId, EventId, ExternalId, InboxId, NodeId,
    OutboxId, PeerId, RunId, Seq, SessionId, SessionKey, ThreadId, ToolCallId, TraceId,
};
pub use inbound::{
    Address, ChatKind, Inbound, InboundKind, MessageText, Operator, Origin, Quoted, Sender,
};
pub use message::{AssistantMessage, Block, Entry, EntryBody, StopReason, ToolResult, UserMessage};
pub use model::{Cost, ModelInfo, ModelRef, ModelRefError};
pub use outbound::{Action, Outbound, Target};
pub use secret::Secret;
pub use session::{Session, Settings};
pub use signal::{Ending, Signal, SignalKind, StopCause};

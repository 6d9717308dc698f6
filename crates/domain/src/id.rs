//! What things are called: one type per kind of name, so that two cannot be confused.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

macro_rules! text_id {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str { &self.0 }
        }
        impl From<&str> for $name { fn from(text: &str) -> Self { Self(text.into()) } }
        impl From<String> for $name { fn from(text: String) -> Self { Self(text.into()) } }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.write_str(&self.0) }
        }
    )*};
}

text_id! {
    /// A platform that people write on: `telegram`, `webchat`.
    ChannelId;
    /// One of our accounts on a channel; `default` when there is only one.
    AccountId;
    /// A chat, group or room, in the platform's own words.
    ChatId;
    /// A thread or topic within a chat.
    ThreadId;
    /// A person or bot on a platform: its stable id, never a name that can change.
    PeerId;
    /// What makes one update unique within a channel account.
    ExternalId;
    /// An agent as configured: `main`.
    AgentId;
    /// Where a conversation lives: `agent:main:main`. Lower case.
    SessionKey;
    /// One run of the agent. Clients choose it (their idempotency key), so it is text.
    RunId;
    /// A tool call, in the model's own words.
    ToolCallId;
    /// A paired device: lower-case hex SHA-256 of its public key.
    DeviceId;
}

impl SessionKey {
    /// The key of an agent's main conversation.
    pub fn main(agent: &AgentId) -> Self {
        Self::from(format!("agent:{agent}:main"))
    }

    /// The agent that the key names, when it has the form `agent:<id>:…`.
    pub fn agent(&self) -> Option<AgentId> {
        let rest = self.as_str().strip_prefix("agent:")?;
        let (agent, _) = rest.split_once(':')?;
        (!agent.is_empty()).then(|| AgentId::from(agent))
    }
}

macro_rules! uuid_id {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl $name {
            /// A new id, ascending with the time of its making (UUID version 7).
            pub fn generate() -> Self { Self(Uuid::now_v7()) }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { self.0.fmt(f) }
        }
        impl FromStr for $name {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<Self, Self::Err> { text.parse().map(Self) }
        }
    )*};
}

uuid_id! {
    /// One life of a session key: a reset begins a new one.
    SessionId;
    /// One entry of a transcript.
    EntryId;
    /// One accepted inbound event.
    InboxId;
    /// One part of a reply on its way out.
    OutboxId;
    /// What joins all that one inbound event caused.
    TraceId;
}

/// The order in which this store committed. The only cursor; never compared between stores.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, Default,
)]
#[serde(transparent)]
pub struct Seq(pub u64);

/// The installation that wrote an event: random, kept in the state folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NodeId(pub u64);

/// An event's identity and its place when logs are merged.
///
/// 48 bits of milliseconds since 1970, 16 bits of counter, 64 bits of node, most significant
/// first: sorting the bytes sorts the events. Written as 32 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct EventId(u128);

impl EventId {
    /// Joins the parts; milliseconds beyond 48 bits (the year 10889) are cut off.
    pub fn new(millis: u64, counter: u16, node: NodeId) -> Self {
        let time = u128::from(millis & ((1 << 48) - 1)) << 80;
        Self(time | u128::from(counter) << 64 | u128::from(node.0))
    }

    /// Milliseconds since 1970.
    pub fn millis(self) -> u64 {
        (self.0 >> 80) as u64
    }

    /// The place among the events of one millisecond.
    pub fn counter(self) -> u16 {
        (self.0 >> 64) as u16
    }

    /// The bytes that sort as the events do.
    pub fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    /// The id of these bytes.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(u128::from_be_bytes(bytes))
    }

    /// The installation that wrote the event.
    pub fn node(self) -> NodeId {
        NodeId(self.0 as u64)
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for EventId {
    type Err = std::num::ParseIntError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        u128::from_str_radix(text, 16).map(Self)
    }
}

impl Serialize for EventId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for EventId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_id_survives_its_text_and_keeps_its_parts() {
        let id = EventId::new(1_795_252_614_896, 513, NodeId(u64::MAX));
        assert_eq!(id.to_string().parse::<EventId>().unwrap(), id);
        assert_eq!(
            (id.millis(), id.counter(), id.node()),
            (1_795_252_614_896, 513, NodeId(u64::MAX))
        );
    }

    #[test]
    fn a_session_key_names_its_agent() {
        assert_eq!(SessionKey::from("agent:ops:telegram:group:7").agent(), Some("ops".into()));
        assert_eq!(SessionKey::from("global").agent(), None);
        assert_eq!(SessionKey::from("agent::main").agent(), None);
    }
}

//! The rows that act: inbox, outbox, leases, pairings. They never travel to another store.

use claw_domain::{
    AccountId, AgentId, ChannelId, DeviceId, ExternalId, Inbound, InboxId, NodeId, Origin,
    Outbound, OutboxId, PeerId, RunId, SessionKey, Timestamp, TraceId,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One accepted inbound event and how far it has come.
#[derive(Debug, Clone, PartialEq)]
pub struct InboxRow {
    /// Its identity; ascending with acceptance.
    pub id: InboxId,
    /// Joins all that it causes.
    pub trace: TraceId,
    /// What came in. `(channel, account, external id)` is unique.
    pub inbound: Inbound,
    /// The run that answers it, if one does.
    pub run: RunId,
    /// When it was accepted.
    pub received_at: Timestamp,
    /// How far it has come.
    pub state: InboxState,
    /// The holder of the row.
    pub fence: Fence,
}

impl InboxRow {
    /// The session that it is on its way to, where that is known before it is looked at.
    pub fn lane(&self) -> Option<&SessionKey> {
        match (&self.state, &self.inbound.origin) {
            (InboxState::Admitted { session, .. }, _) => Some(session),
            (_, Origin::Operator(operator)) => Some(&operator.session),
            (_, Origin::Person { .. }) => None,
        }
    }
}

/// How far an inbound event has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "state")]
pub enum InboxState {
    /// Accepted, nothing decided.
    Received,
    /// Admitted and waiting for, or in, its turn.
    Admitted {
        /// Which rule let it in.
        rule: String,
        /// Where it was routed.
        session: SessionKey,
        /// When.
        at: Timestamp,
    },
    /// Nothing more will be done.
    Closed {
        /// Why: `replied`, `stopped`, `failed`, `refused`, `command`, `replaced`, `ignored`.
        outcome: String,
        /// The rule or error behind it, for people.
        detail: String,
        /// Which rule had let it in; `None` when it was refused at the door.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        rule: Option<String>,
        /// When.
        at: Timestamp,
    },
}

impl InboxState {
    /// The word in the store's own column.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Received => "received",
            Self::Admitted { .. } => "admitted",
            Self::Closed { .. } => "closed",
        }
    }
}

/// One part of a reply and how far it has come.
#[derive(Debug, Clone, PartialEq)]
pub struct OutboxRow {
    /// Its identity.
    pub id: OutboxId,
    /// Joins it with what caused it.
    pub trace: TraceId,
    /// What to do. Rows of one target are carried out in the order of `(order, part)`.
    pub outbound: Outbound,
    /// The place among the target's messages; the store assigns it at commit, ascending.
    pub order: u64,
    /// The part of a split message, from 0.
    pub part: u32,
    /// Not to be tried earlier.
    pub not_before: Timestamp,
    /// Not to be sent later.
    pub expires_at: Timestamp,
    /// How far it has come.
    pub state: DeliveryState,
    /// The holder of the row.
    pub fence: Fence,
}

/// How far a part of a reply has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "state")]
pub enum DeliveryState {
    /// Waiting for its first or next try.
    Pending {
        /// Tries so far.
        attempts: u32,
        /// What the last try failed with.
        error: Option<String>,
    },
    /// The platform took it.
    Sent {
        /// The platform's id of it, when it gave one.
        external_id: Option<ExternalId>,
        /// With which try, from 1.
        #[serde(default)]
        attempts: u32,
        /// When.
        at: Timestamp,
    },
    /// Given up.
    Dead {
        /// Why.
        reason: String,
        /// After how many tries.
        #[serde(default)]
        attempts: u32,
        /// When.
        at: Timestamp,
    },
}

impl DeliveryState {
    /// The word in the store's own column.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Pending { .. } => "pending",
            Self::Sent { .. } => "sent",
            Self::Dead { .. } => "dead",
        }
    }
}

/// Proof of holding a lease: commits that carry an older one are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Fence {
    /// The holder.
    pub owner: NodeId,
    /// Grows with every change of holder. One count for all leases of a store, so that it names
    /// its lease as well.
    pub epoch: u64,
}

impl Fence {
    /// The fence of a row that no gateway has.
    pub const NOBODY: Self = Self { owner: NodeId(0), epoch: 0 };
}

/// A gateway's right to work on a store, for a while at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lease {
    /// The whole store, by the one gateway on it.
    Gateway,
    /// A place among the gateways that share the store.
    Member(NodeId),
}

impl Lease {
    /// The lease's name in the store.
    pub fn name(&self) -> String {
        match self {
            Self::Gateway => "gateway".into(),
            Self::Member(node) => format!("member:{:016x}", node.0),
        }
    }
}

/// What one gateway at a time holds under its lease. It is free when that lease is gone or over.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Holding {
    /// A session's lane.
    Lane(SessionKey),
    /// A channel account.
    Account(ChannelId, AccountId),
}

impl Holding {
    /// The holding's name in the store.
    pub fn name(&self) -> String {
        match self {
            Self::Lane(key) => format!("lane:{key}"),
            Self::Account(channel, account) => format!("account:{channel}:{account}"),
        }
    }
}

/// Which inbox rows a gateway takes over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The time by the store's clock: leases that are over are revoked.
    pub now: Timestamp,
    /// Most rows.
    pub limit: usize,
    /// Agents that are pinned to other gateways: their rows are left.
    pub agents_elsewhere: Vec<AgentId>,
}

/// Which rows people want to see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowFilter {
    /// In the words of [`InboxState::word`] and [`DeliveryState::word`]; empty is all.
    pub states: Vec<String>,
    /// Only the newest so many.
    pub limit: usize,
}

/// What an inbox row is known by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InboxKey {
    /// Its own id.
    Id(InboxId),
    /// The run that answers it.
    Run(RunId),
    /// What joins it with all that it caused.
    Trace(TraceId),
}

/// A stranger's wish to speak to us, waiting for the owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PairingRequest {
    /// The channel.
    pub channel: ChannelId,
    /// Our account there.
    pub account: AccountId,
    /// Who asks.
    pub peer: PeerId,
    /// The name for people.
    pub name: Option<String>,
    /// What the owner types: 8 characters.
    pub code: String,
    /// When it was asked.
    pub created_at: Timestamp,
    /// When the code stops working.
    pub expires_at: Timestamp,
}

/// A sender who may speak to us in direct messages. Says nothing about groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// The channel.
    pub channel: ChannelId,
    /// Our account there.
    pub account: AccountId,
    /// Who.
    pub peer: PeerId,
    /// Since when.
    pub at: Timestamp,
}

/// A paired device.
#[derive(Debug, Clone, PartialEq)]
pub struct Device {
    /// Its id.
    pub id: DeviceId,
    /// All that is known of it, in OpenClaw's words. Holds no token.
    pub record: Value,
}

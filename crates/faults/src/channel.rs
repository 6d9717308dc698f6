//! A channel with points around receiving, around each offer to the inbox, and around each action.

use std::sync::Arc;

use async_trait::async_trait;
use claw_channel::{Accepted, Capability, Channel, Delivered, Error, Health, Inbox, InboxError};
use claw_domain::{AccountId, Action, ChannelId, Inbound, Outbound};
use tokio_util::sync::CancellationToken;

use crate::{Phase, Points, digest};

/// Passes `channel.run`, `channel.deliver` and `inbox.accept`; fails as a network does.
///
/// The detail of a delivery is `send KEY CHAT DIGEST`, where the digest is [`digest`] of the text;
/// other actions have their own first word and no digest.
pub struct FaultyChannel {
    inner: Arc<dyn Channel>,
    points: Points,
}

impl FaultyChannel {
    /// Wraps `inner`.
    pub fn new(inner: Arc<dyn Channel>, points: Points) -> Self {
        Self { inner, points }
    }
}

#[async_trait]
impl Channel for FaultyChannel {
    fn id(&self) -> &ChannelId {
        self.inner.id()
    }

    fn account(&self) -> &AccountId {
        self.inner.account()
    }

    fn capability(&self) -> &Capability {
        self.inner.capability()
    }

    async fn run(&self, inbox: &dyn Inbox, stop: CancellationToken) -> Result<(), Error> {
        let inbox = FaultyInbox { inner: inbox, points: &self.points };
        let call = self.inner.run(&inbox, stop);
        self.points.around("channel.run", String::new(), failure, call).await
    }

    async fn deliver(&self, outbound: &Outbound) -> Result<Delivered, Error> {
        let call = self.inner.deliver(outbound);
        self.points.around("channel.deliver", detail(outbound), failure, call).await
    }

    fn health(&self) -> Health {
        self.inner.health()
    }
}

/// The inbox that a wrapped channel is handed.
struct FaultyInbox<'a> {
    inner: &'a dyn Inbox,
    points: &'a Points,
}

#[async_trait]
impl Inbox for FaultyInbox<'_> {
    async fn accept(&self, updates: Vec<Inbound>) -> Result<Accepted, InboxError> {
        let detail = format!("updates {}", updates.len());
        let failure = |phase| InboxError(fault(phase).into());
        self.points.around("inbox.accept", detail, failure, self.inner.accept(updates)).await
    }
}

fn detail(outbound: &Outbound) -> String {
    let (key, chat) = (&outbound.idempotency_key, &outbound.target.chat);
    match &outbound.action {
        Action::Send { text, .. } => format!("send {key} {chat} {}", digest(text)),
        Action::Edit { .. } => format!("edit {key} {chat}"),
        Action::Delete { .. } => format!("delete {key} {chat}"),
        Action::React { .. } => format!("react {key} {chat}"),
        Action::Typing => format!("typing {key} {chat}"),
    }
}

fn failure(phase: Phase) -> Error {
    Error::Network { channel: "faults".into(), detail: fault(phase) }
}

fn fault(phase: Phase) -> String {
    format!("a fault {phase} the call")
}

//! Everything that can be changed, as values.

use claw_domain::{
    AccountId, ChannelId, EventBody, EventHeader, InboxId, OutboxId, PeerId, Timestamp,
};

use crate::{DeliveryState, InboxRow, InboxState, OutboxRow, PairingRequest};

/// One change. A list of them is one transaction.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// Append to the log; the projections follow from the body.
    Log(NewEvent),
    /// Accept an inbound event. A no-op when `(channel, account, external id)` is known.
    Receive(Box<InboxRow>),
    /// Move an inbox row on. Closing a closed row is a no-op.
    Advance(InboxId, InboxState),
    /// Replace the message of a row that no run has begun to answer; otherwise a no-op.
    Replace(InboxId, claw_domain::MessageText),
    /// Queue one part of a reply; the store assigns `order`.
    Enqueue(Box<OutboxRow>),
    /// Move an outbox row on; `Some` also moves the time of the next try.
    Deliver(OutboxId, DeliveryState, Option<Timestamp>),
    /// Keep a pairing request; one per `(channel, account, peer)`, the newer replaces the older.
    PutPairing(PairingRequest),
    /// Forget a pairing request. Forgetting what is gone succeeds.
    DropPairing(ChannelId, AccountId, PeerId),
}

/// An event before the store gives it its place.
#[derive(Debug, Clone, PartialEq)]
pub struct NewEvent {
    /// Who, when and why.
    pub header: EventHeader,
    /// What.
    pub body: EventBody,
}

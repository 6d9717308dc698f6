//! Everything that can be changed, as values.

use claw_domain::{
    AccountId, ChannelId, EventBody, EventHeader, InboxId, MessageText, OutboxId, PeerId, RunId,
    Timestamp,
};

use crate::{DeliveryState, InboxRow, InboxState, OutboxRow, PairingRequest};

/// One change. A list of them is one transaction.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// Append to the log; the projections follow from the body. An entry's parent must be there
    /// before it, so that every path ends at a root, and its session must not be folded beyond it.
    Log(NewEvent),
    /// Append an event of another installation's log, for sessions and transcripts; who it let in is
    /// not let in here. A no-op when its id is known, or when its session was folded beyond it; then
    /// an entry is added to its transcript all the same. An entry's parent must be there before it.
    Import(NewEvent),
    /// Accept an inbound event. A no-op when `(channel, account, external id)` is known.
    Receive(Box<InboxRow>),
    /// Move an inbox row on. A closed row stays as it was closed.
    Advance(InboxId, InboxState),
    /// Give a row up: [`Fence::NOBODY`](crate::Fence::NOBODY) has it, and any gateway may claim it.
    Leave(InboxId),
    /// Replace the message of an open row whose run has not started; otherwise, and for a row that
    /// is no message, a no-op.
    Replace(InboxId, MessageText),
    /// Queue one part of a reply. The store assigns `order`: part 0 begins a new message of its
    /// target, a later part joins the target's newest message.
    Enqueue(Box<OutboxRow>),
    /// Move an outbox row on; `Some` also moves the time of the next try. What was sent stays sent;
    /// what was given up may wait again.
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

impl NewEvent {
    /// The run whose story this event belongs to.
    pub fn run(&self) -> Option<&RunId> {
        match &self.body {
            EventBody::EntryAdded(entry) => entry.run.as_ref(),
            EventBody::Used(record) => Some(&record.run),
            EventBody::RunStarted { run, .. }
            | EventBody::AnswerFailed { run, .. }
            | EventBody::ToolStarted { run, .. }
            | EventBody::StopAsked { run, .. }
            | EventBody::RunFinished { run, .. } => Some(run),
            EventBody::SessionOpened { .. }
            | EventBody::SessionSet { .. }
            | EventBody::SessionDeleted
            | EventBody::SessionSeen { .. }
            | EventBody::ContextTrimmed { .. }
            | EventBody::PrefixEpoch { .. }
            | EventBody::GrantGiven { .. }
            | EventBody::DevicePaired { .. }
            | EventBody::DeviceRemoved { .. } => None,
        }
    }
}

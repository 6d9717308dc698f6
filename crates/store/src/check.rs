//! Whether a list of changes can be carried out whole, asked before the first one is.

use std::collections::HashSet;

use claw_domain::{
    AccountId, ChannelId, EntryId, EventBody, EventId, ExternalId, InboxId, OutboxId, Target,
};

use crate::{Change, Error, InboxRow, NewEvent, OutboxRow};

/// What makes an inbound event unique.
pub type ExternalKey = (ChannelId, AccountId, ExternalId);

/// What a store holds already of what a list of changes names.
pub trait Contents {
    /// The event is in the log.
    fn has_event(&self, id: EventId) -> bool;
    /// The entry is in the tree of transcripts.
    fn has_entry(&self, id: EntryId) -> bool;
    /// The session's events were folded beyond this one.
    fn is_folded(&self, event: &NewEvent) -> bool;
    /// An inbox row has this external id.
    fn was_received(&self, key: &ExternalKey) -> bool;
    /// The inbox row is there.
    fn has_inbox(&self, id: InboxId) -> bool;
    /// The outbox row is there.
    fn has_outbox(&self, id: OutboxId) -> bool;
    /// Something was queued for the target before.
    fn has_order(&self, target: &Target) -> bool;
}

/// Fails as carrying out `changes` in order would fail.
///
/// # Errors
/// [`Error::Missing`] and [`Error::Exists`], of the first change that does not fit.
pub fn check(known: &impl Contents, changes: &[Change]) -> Result<(), Error> {
    let mut check = Check { known, new: New::default() };
    changes.iter().try_for_each(|change| check.change(change))
}

/// The key of a row.
pub fn external_key(row: &InboxRow) -> ExternalKey {
    let inbound = &row.inbound;
    (inbound.channel.clone(), inbound.account.clone(), inbound.external_id.clone())
}

struct Check<'a, K> {
    known: &'a K,
    new: New<'a>,
}

/// What earlier changes of the same list make.
#[derive(Default)]
struct New<'a> {
    events: HashSet<EventId>,
    entries: HashSet<EntryId>,
    received: HashSet<ExternalKey>,
    inbox: HashSet<InboxId>,
    outbox: HashSet<OutboxId>,
    targets: HashSet<&'a Target>,
}

/// Whether an imported event would change nothing: of what was folded only transcripts matter.
pub fn is_needless(known: &impl Contents, event: &NewEvent) -> bool {
    let new_entry = match &event.body {
        EventBody::EntryAdded(entry) => !known.has_entry(entry.id),
        _ => false,
    };
    known.is_folded(event) && !new_entry
}

impl<'a, K: Contents> Check<'a, K> {
    fn change(&mut self, change: &'a Change) -> Result<(), Error> {
        match change {
            Change::Import(event) if self.has_event(event.header.id) => Ok(()),
            Change::Import(event) if is_needless(self.known, event) => Ok(()),
            Change::Log(event) if self.known.is_folded(event) => {
                Err(Error::exists("event", event.header.id))
            }
            Change::Log(event) | Change::Import(event) => self.log(event),
            Change::Receive(row) => self.receive(row),
            Change::Advance(id, _) | Change::Replace(id, _) | Change::Leave(id) => self.inbox(*id),
            Change::Enqueue(row) => self.enqueue(row),
            Change::Deliver(id, ..) => self.outbox(*id),
            Change::PutPairing(_) | Change::DropPairing(..) => Ok(()),
        }
    }

    fn log(&mut self, event: &NewEvent) -> Result<(), Error> {
        let id = event.header.id;
        if self.known.has_event(id) || !self.new.events.insert(id) {
            return Err(Error::exists("event", id));
        }
        let EventBody::EntryAdded(entry) = &event.body else { return Ok(()) };
        if self.has_entry(entry.id) {
            return Err(Error::exists("entry", entry.id));
        }
        if let Some(parent) = entry.parent.filter(|parent| !self.has_entry(*parent)) {
            return Err(Error::missing("entry", parent));
        }
        self.new.entries.insert(entry.id);
        Ok(())
    }

    fn receive(&mut self, row: &InboxRow) -> Result<(), Error> {
        let key = external_key(row);
        if self.known.was_received(&key) || !self.new.received.insert(key) {
            return Ok(());
        }
        if self.known.has_inbox(row.id) || !self.new.inbox.insert(row.id) {
            return Err(Error::exists("inbox row", row.id));
        }
        Ok(())
    }

    fn enqueue(&mut self, row: &'a OutboxRow) -> Result<(), Error> {
        let target = &row.outbound.target;
        if row.part == 0 {
            self.new.targets.insert(target);
        } else if !self.known.has_order(target) && !self.new.targets.contains(target) {
            return Err(Error::missing("the first part before outbox row", row.id));
        }
        if self.known.has_outbox(row.id) || !self.new.outbox.insert(row.id) {
            return Err(Error::exists("outbox row", row.id));
        }
        Ok(())
    }

    fn has_event(&self, id: EventId) -> bool {
        self.known.has_event(id) || self.new.events.contains(&id)
    }

    fn has_entry(&self, id: EntryId) -> bool {
        self.known.has_entry(id) || self.new.entries.contains(&id)
    }

    fn inbox(&self, id: InboxId) -> Result<(), Error> {
        let known = self.known.has_inbox(id) || self.new.inbox.contains(&id);
        known.then_some(()).ok_or_else(|| Error::missing("inbox row", id))
    }

    fn outbox(&self, id: OutboxId) -> Result<(), Error> {
        let known = self.known.has_outbox(id) || self.new.outbox.contains(&id);
        known.then_some(()).ok_or_else(|| Error::missing("outbox row", id))
    }
}

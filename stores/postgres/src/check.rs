//! Whether a list of changes can be carried out whole, asked before the first one is.

use std::collections::HashSet;

use claw_domain::{EntryId, EventBody, EventId, InboxId, OutboxId, Target};
use claw_store::{Change, Error, Fence, InboxRow, NewEvent, OutboxRow};

use crate::{
    inbox::{ExternalKey, external_key},
    known::Known,
};

/// Fails as carrying out `changes` in order would fail.
pub(crate) fn check(known: &Known, fence: &Fence, changes: &[Change]) -> Result<(), Error> {
    if !known.fences.contains(fence) {
        return Err(Error::fenced(fence));
    }
    let mut check = Check { known, new: New::default() };
    changes.iter().try_for_each(|change| check.change(change))
}

struct Check<'a> {
    known: &'a Known,
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

impl<'a> Check<'a> {
    fn change(&mut self, change: &'a Change) -> Result<(), Error> {
        match change {
            Change::Import(event) if self.has_event(event.header.id) => Ok(()),
            Change::Import(event) if self.known.is_needless(event) => Ok(()),
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
        if self.known.events.contains(&id) || !self.new.events.insert(id) {
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
        if self.known.received.contains(&key) || !self.new.received.insert(key) {
            return Ok(());
        }
        if self.known.inbox.contains_key(&row.id) || !self.new.inbox.insert(row.id) {
            return Err(Error::exists("inbox row", row.id));
        }
        Ok(())
    }

    fn enqueue(&mut self, row: &'a OutboxRow) -> Result<(), Error> {
        let target = &row.outbound.target;
        if row.part == 0 {
            self.new.targets.insert(target);
        } else if !self.known.orders.contains_key(target) && !self.new.targets.contains(target) {
            return Err(Error::missing("the first part before outbox row", row.id));
        }
        if self.known.outbox.contains_key(&row.id) || !self.new.outbox.insert(row.id) {
            return Err(Error::exists("outbox row", row.id));
        }
        Ok(())
    }

    fn has_event(&self, id: EventId) -> bool {
        self.known.events.contains(&id) || self.new.events.contains(&id)
    }

    fn has_entry(&self, id: EntryId) -> bool {
        self.known.entries.contains(&id) || self.new.entries.contains(&id)
    }

    fn inbox(&self, id: InboxId) -> Result<(), Error> {
        let known = self.known.inbox.contains_key(&id) || self.new.inbox.contains(&id);
        known.then_some(()).ok_or_else(|| Error::missing("inbox row", id))
    }

    fn outbox(&self, id: OutboxId) -> Result<(), Error> {
        let known = self.known.outbox.contains_key(&id) || self.new.outbox.contains(&id);
        known.then_some(()).ok_or_else(|| Error::missing("outbox row", id))
    }
}

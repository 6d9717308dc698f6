//! A platform that behaves, and its books: what people wrote, what arrived, what it was told.

use std::{collections::BTreeSet, sync::Mutex};

use claw_domain::Inbound;
use tokio::sync::Notify;

use super::world::lock;

/// Most updates in one answer.
const UPDATES_MAX: usize = 10;

#[derive(Default)]
pub(crate) struct Platform {
    books: Mutex<Books>,
    written: Notify,
}

/// What a platform knows, and nobody else's word for it.
#[derive(Debug, Default, Clone)]
pub(crate) struct Books {
    /// What people did, in order; the place is the update's number.
    pub(crate) updates: Vec<Inbound>,
    /// Updates below this number were acknowledged.
    pub(crate) acknowledged: usize,
    /// What arrived, in order.
    pub(crate) arrivals: Vec<Arrival>,
    /// The keys of what was refused for good.
    pub(crate) refused: BTreeSet<String>,
    /// The keys whose "sent" the store has kept.
    marked: BTreeSet<String>,
}

/// One text that arrived in a chat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Arrival {
    /// Unit: milliseconds from the beginning of the history.
    pub(crate) at: u64,
    pub(crate) chat: String,
    /// The sender's idempotency key. This platform does not look at it.
    pub(crate) key: String,
    pub(crate) text: String,
    /// Which process sent it.
    pub(crate) life: u32,
    /// Whether that process was told so.
    pub(crate) told: bool,
    /// Whether it had come before.
    pub(crate) again: Again,
}

/// When and by whom a part was sent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sent {
    /// Unit: milliseconds from the beginning of the history.
    pub(crate) at: u64,
    /// The process.
    pub(crate) life: u32,
    /// Whether it was stopped just before it wrote, and could not know what others did meanwhile.
    pub(crate) woken: bool,
}

/// What is to be thought of a part that comes again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Again {
    /// It came for the first time.
    No,
    /// The sender could not know that it had arrived: in the window between the send and its mark,
    /// or between its last look at its lease and the send.
    InWindow,
    /// The sender had been told, or had kept, that it had arrived.
    Wrongly,
}

impl Platform {
    /// A person does something.
    pub(crate) fn write(&self, update: Inbound) {
        lock(&self.books).updates.push(update);
        self.written.notify_waiters();
    }

    /// The updates from a number on, with the number of the first. What is below `offset` is
    /// acknowledged; `again` offers some of that once more. Waits until there is one.
    pub(crate) async fn poll(&self, offset: usize, again: usize) -> (usize, Vec<Inbound>) {
        loop {
            let mut written = std::pin::pin!(self.written.notified());
            written.as_mut().enable();
            {
                let mut books = lock(&self.books);
                books.acknowledged = books.acknowledged.max(offset);
                let from = books.acknowledged.saturating_sub(again);
                let updates: Vec<_> =
                    books.updates.iter().skip(from).take(UPDATES_MAX).cloned().collect();
                if !updates.is_empty() {
                    return (from, updates);
                }
            }
            written.await;
        }
    }

    /// Takes a text, and says where it stands in the books.
    pub(crate) fn receive(&self, sent: Sent, chat: &str, key: &str, text: &str) -> usize {
        let Sent { at, life, woken } = sent;
        let mut books = lock(&self.books);
        let before = books.arrivals.iter().rev().find(|arrival| arrival.key == key);
        let again = match before {
            None => Again::No,
            Some(_) if woken => Again::InWindow,
            Some(before) if books.marked.contains(key) || (before.told && before.life == life) => {
                Again::Wrongly
            }
            Some(_) => Again::InWindow,
        };
        books.arrivals.push(Arrival {
            at,
            chat: chat.into(),
            key: key.into(),
            text: text.into(),
            life,
            told: false,
            again,
        });
        books.arrivals.len() - 1
    }

    /// The sender of this arrival has its answer.
    pub(crate) fn told(&self, arrival: usize) {
        lock(&self.books).arrivals[arrival].told = true;
    }

    /// Refuses a part for good.
    pub(crate) fn refuse(&self, key: &str) {
        lock(&self.books).refused.insert(key.into());
    }

    /// The store has kept that this part was sent.
    pub(crate) fn marked(&self, key: &str) {
        lock(&self.books).marked.insert(key.into());
    }

    /// Whether everything that people did was acknowledged.
    pub(crate) fn is_read(&self) -> bool {
        let books = lock(&self.books);
        books.acknowledged >= books.updates.len()
    }

    pub(crate) fn books(&self) -> Books {
        lock(&self.books).clone()
    }
}

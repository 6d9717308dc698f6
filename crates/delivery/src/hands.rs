//! Who has an outbox row in hand: the one who sends it, or its owner who drops or repeats it.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use claw_domain::OutboxId;
use tokio::sync::Notify;

/// The rows that are in somebody's hand now.
#[derive(Debug, Default)]
pub(crate) struct Hands {
    held: Mutex<HashMap<OutboxId, Hold>>,
    changed: Notify,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hold {
    /// It is on its way to the platform, or its new state to the store.
    Sending,
    /// Its owner decides about it.
    Owner,
    /// Its owner dropped it, which whoever would send it has not noticed yet.
    Dropped,
}

impl Hands {
    /// Takes a row to send it, after its owner has decided. `false` when it was dropped.
    pub(crate) async fn take(&self, id: OutboxId) -> bool {
        loop {
            // Made before the look, so that no change in between is missed.
            let changed = self.changed.notified();
            {
                let mut held = self.lock();
                match held.get(&id) {
                    None => {
                        held.insert(id, Hold::Sending);
                        return true;
                    }
                    Some(Hold::Dropped) => {
                        held.remove(&id);
                        return false;
                    }
                    Some(Hold::Owner | Hold::Sending) => {}
                }
            }
            changed.await;
        }
    }

    /// Takes a row to decide about it. `false` when it is in another hand.
    pub(crate) fn reserve(&self, id: OutboxId) -> bool {
        let mut held = self.lock();
        let free = !held.contains_key(&id);
        if free {
            held.insert(id, Hold::Owner);
        }
        free
    }

    /// Gives a row back.
    pub(crate) fn let_go(&self, id: OutboxId) {
        self.lock().remove(&id);
        self.changed.notify_waiters();
    }

    /// Tells whoever would send a reserved row that it was dropped.
    pub(crate) fn drop_it(&self, id: OutboxId) {
        self.lock().insert(id, Hold::Dropped);
        self.changed.notify_waiters();
    }

    /// Waits until a row is dropped.
    pub(crate) async fn dropped(&self, id: OutboxId) {
        loop {
            let changed = self.changed.notified();
            if self.lock().get(&id) == Some(&Hold::Dropped) {
                return;
            }
            changed.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<OutboxId, Hold>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_row_is_in_one_hand_at_a_time() {
        let (hands, id) = (Hands::default(), OutboxId::generate());
        assert!(hands.take(id).await);
        assert!(!hands.reserve(id), "it is being sent");
        hands.let_go(id);
        assert!(hands.reserve(id));
        assert!(!hands.reserve(id), "somebody decides about it already");
        let (sent, ()) = tokio::join!(hands.take(id), async { hands.let_go(id) });
        assert!(sent, "whoever sends waits for the decision");
    }

    #[tokio::test]
    async fn a_dropped_row_is_noticed_once_and_not_sent() {
        let (hands, id) = (Hands::default(), OutboxId::generate());
        assert!(hands.reserve(id));
        let ((), ()) = tokio::join!(hands.dropped(id), async { hands.drop_it(id) });
        assert!(!hands.take(id).await);
        assert!(hands.lock().is_empty());
    }
}

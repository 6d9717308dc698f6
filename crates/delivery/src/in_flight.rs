//! Which messages are on their way in this process, with room for how many more.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use claw_domain::InboxId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::Error;

/// Most messages that are accepted and not yet closed. When full, accepting waits, and with it the
/// platform's cursor or the client's request.
const IN_FLIGHT_MAX: usize = 20_000;

pub(crate) struct InFlight {
    room: Arc<Semaphore>,
    rows: Rows,
}

/// How many pieces of work hold each row.
type Rows = Arc<Mutex<HashMap<InboxId, u32>>>;

/// A message's place among those on their way.
pub(crate) struct Flight {
    _room: OwnedSemaphorePermit,
    _here: Here,
}

/// Says that a row is in this process, until it is dropped.
pub(crate) struct Here {
    rows: Rows,
    id: InboxId,
}

impl InFlight {
    pub(crate) fn new() -> Self {
        Self { room: Arc::new(Semaphore::new(IN_FLIGHT_MAX)), rows: Rows::default() }
    }

    /// Gives a row its place; waits while there is none.
    pub(crate) async fn begin(&self, id: InboxId) -> Result<Flight, Error> {
        let here = self.note(id);
        let room = Arc::clone(&self.room).acquire_owned().await;
        Ok(Flight { _room: room.map_err(|_closed| Error::Stopping)?, _here: here })
    }

    /// Notes that a row is here, also while it has no place.
    pub(crate) fn note(&self, id: InboxId) -> Here {
        *lock(&self.rows).entry(id).or_default() += 1;
        Here { rows: Arc::clone(&self.rows), id }
    }

    /// Whether a row is here.
    pub(crate) fn has(&self, id: InboxId) -> bool {
        lock(&self.rows).contains_key(&id)
    }

    /// How many more may come.
    pub(crate) fn room(&self) -> usize {
        self.room.available_permits()
    }
}

impl Drop for Here {
    fn drop(&mut self) {
        let mut rows = lock(&self.rows);
        if let Some(count) = rows.get_mut(&self.id) {
            *count -= 1;
            if *count == 0 {
                rows.remove(&self.id);
            }
        }
    }
}

fn lock(rows: &Rows) -> MutexGuard<'_, HashMap<InboxId, u32>> {
    rows.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_row_is_here_as_long_as_anybody_holds_it() {
        let (in_flight, id) = (InFlight::new(), InboxId::generate());
        let here = in_flight.note(id);
        let flight = in_flight.begin(id).await.unwrap();
        assert_eq!(in_flight.room(), IN_FLIGHT_MAX - 1);
        drop(flight);
        assert!(in_flight.has(id));
        drop(here);
        assert!(!in_flight.has(id));
        assert_eq!(in_flight.room(), IN_FLIGHT_MAX);
    }
}

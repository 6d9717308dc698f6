//! Reading: a few connections, lent to one question at a time.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use claw_store::Error;
use rusqlite::Connection;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::spawn_blocking,
};

use crate::{damage::Damage, error::Fault, open};

/// Questions answered at the same time; the others wait for their turn, in order.
const READERS: u32 = 4;

pub(crate) struct Readers {
    shelf: Arc<Shelf>,
    free: Arc<Semaphore>,
    damage: Damage,
}

struct Shelf {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    pub(crate) fn open(path: &Path, damage: Damage) -> Result<Self, Fault> {
        let idle = (0..READERS).map(|_| open::reader(path)).collect::<Result<_, _>>()?;
        let shelf = Arc::new(Shelf { path: path.into(), idle: Mutex::new(idle) });
        Ok(Self { shelf, free: Arc::new(Semaphore::new(READERS as usize)), damage })
    }

    /// Asks one question.
    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Connection) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Error> {
        let permit = Arc::clone(&self.free).acquire_owned().await.map_err(|_| Error::Closed)?;
        let loan = Loan::take(&self.shelf, permit);
        let answer = spawn_blocking(move || loan.with(question)).await;
        self.damage.note(answer.unwrap_or_else(|panic| Err(Error::Engine(Box::new(panic)))))
    }

    /// Waits for all questions under way, then closes the connections.
    pub(crate) async fn close(&self) -> Result<(), Error> {
        let _all = self.free.acquire_many(READERS).await.map_err(|_| Error::Closed)?;
        self.free.close();
        self.shelf.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
        Ok(())
    }
}

/// A connection that goes back to its shelf by itself, also when its question panics.
struct Loan {
    conn: Option<Connection>,
    shelf: Arc<Shelf>,
    _permit: OwnedSemaphorePermit,
}

impl Loan {
    fn take(shelf: &Arc<Shelf>, permit: OwnedSemaphorePermit) -> Self {
        let conn = shelf.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        Self { conn, shelf: Arc::clone(shelf), _permit: permit }
    }

    fn with<T>(self, question: impl FnOnce(&Connection) -> Result<T, Fault>) -> Result<T, Error> {
        let conn = self.conn.as_ref().expect("there are as many connections as permits");
        question(conn).map_err(|fault| fault.at(&self.shelf.path))
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        self.shelf.idle.lock().unwrap_or_else(PoisonError::into_inner).extend(self.conn.take());
    }
}

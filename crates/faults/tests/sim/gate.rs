//! Whether one process still lives. Whatever it does to the world passes here.

use std::{future::pending, sync::Arc};

use tokio_util::sync::CancellationToken;

/// A process that can be killed between any two of its effects.
///
/// Once it is dead, each of its calls stays where it stands for ever: nothing of it goes on, no
/// destructor that matters runs, nothing reaches the world. That is what `kill -9` leaves behind.
#[derive(Debug, Clone, Default)]
pub(crate) struct Gate(Arc<CancellationToken>);

impl Gate {
    pub(crate) fn kill(&self) {
        self.0.cancel();
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.0.is_cancelled()
    }

    /// Returns when the process dies.
    pub(crate) async fn dies(&self) {
        self.0.cancelled().await;
    }

    /// Returns at once while the process lives, else never.
    pub(crate) async fn alive(&self) {
        if self.is_dead() {
            pending::<()>().await;
        }
    }
}

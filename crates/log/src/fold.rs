//! Folding what is older than the retention, in steps that nobody notices.

use claw_domain::Timestamp;
use claw_store::{Error, Fence, Folded, Store};

/// Events, and rows of each kind, that one step looks at: a few milliseconds of the store's time.
const STEP: usize = 100;

/// Folds all that is older than `before`, step by step; other commits go between the steps.
///
/// # Errors
/// When the store fails; the steps before stay done.
///
/// # Cancel safety
/// Cancel-safe: the next call goes on from the last step.
pub async fn fold(store: &dyn Store, fence: &Fence, before: Timestamp) -> Result<Folded, Error> {
    let mut all = Folded::default();
    loop {
        let step = store.fold(fence, before, STEP).await?;
        all.events += step.events;
        all.rows += step.rows;
        if !step.more {
            return Ok(all);
        }
    }
}

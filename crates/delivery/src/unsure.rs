//! What became of a commit whose store failed: the store is asked, until it answers.
//!
//! A store says truly whether it kept a commit as long as its engine can. One that breaks down in
//! the middle may have kept it all the same, and what is committed a second time is sent twice.

use claw_store::Error;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::RetrySchedule;

/// How often it is asked: some two minutes. After that, what failed counts as not kept.
const TRIES_MAX: u32 = 7;

/// Asks until there is an answer; `None` when none comes in time, or the gateway stops.
pub(crate) async fn ask<T, F: Future<Output = Result<T, Error>>>(
    stop: &CancellationToken,
    question: impl Fn() -> F,
) -> Option<T> {
    for attempts in 1..=TRIES_MAX {
        match question().await {
            Ok(answer) => return Some(answer),
            Err(error) if !error.may_pass() => return None,
            Err(error) => warn!(%error, attempts, "the store does not say what it has kept"),
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => return None,
            () = tokio::time::sleep(RetrySchedule::default().wait(attempts, &())) => {}
        }
    }
    None
}

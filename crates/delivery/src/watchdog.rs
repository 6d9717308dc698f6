//! Finds a turn that makes no progress, and says so. What to do about it is for people: the turn
//! is neither stopped nor begun again.

use std::{convert::Infallible, time::Duration};

use claw_domain::SignalKind;
use tokio_util::task::TaskTracker;
use tracing::warn;

use crate::{Error, job::Job};

/// How long a turn may show nothing before people are told, unless it is configured otherwise.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Watches a running turn. Each time that it has shown nothing for `patience`, this is logged and
/// signalled; the first time its sender is told, in a task of `tasks`.
pub(crate) async fn watch(job: &Job, patience: Duration, tasks: &TaskTracker) -> Infallible {
    let mut wait = patience.saturating_sub(job.pulse.silence());
    loop {
        tokio::time::sleep(wait).await;
        let silence = job.pulse.silence();
        wait = patience.saturating_sub(silence);
        if !wait.is_zero() {
            continue;
        }
        wait = patience;
        warn!(session = %job.session, run = %job.row.run, silent_s = silence.as_secs(), "a turn makes no progress");
        job.core.tell(&job.row.run, &job.session, SignalKind::Stalled(silence));
        tell_sender(job, silence, tasks);
    }
}

/// Tells the sender, unless that was done, or the end is on its way.
fn tell_sender(job: &Job, silence: Duration, tasks: &TaskTracker) {
    let Some(notice) = job.pulse.notice() else { return };
    let job = job.clone();
    // In a task of its own: a notice that is half committed when the turn ends would come late.
    tasks.spawn(async move {
        match queue(&job, silence).await {
            Ok(()) => notice.committed(),
            Err(error) => warn!(run = %job.row.run, %error, "the notice could not be kept"),
        }
    });
}

/// Queues the notice, once per message however often its turn is taken up again.
async fn queue(job: &Job, silence: Duration) -> Result<(), Error> {
    let Some(target) = job.target() else { return Ok(()) };
    let key = format!("still-working:{}", job.row.id);
    let sent = job.core.store.outbox_of(job.row.trace).await?;
    if sent.iter().any(|row| row.outbound.idempotency_key == key) {
        return Ok(());
    }
    let text = text(silence);
    let mut rows = job.core.parts_of(&target, &text, job.replies_to(), job.row.trace, job.chat);
    for row in &mut rows {
        row.outbound.idempotency_key.clone_from(&key);
    }
    job.core.outbox.commit_and_send(Vec::new(), rows).await
}

fn text(silence: Duration) -> String {
    let time = match silence.as_secs() {
        secs @ ..120 => format!("{secs} seconds"),
        secs => format!("{} minutes", secs / 60),
    };
    format!("⏳ Still working: nothing has moved for {time}. /stop ends it.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_notice_says_how_long_and_what_to_do() {
        let said = |secs| text(Duration::from_secs(secs));
        assert_eq!(said(90), "⏳ Still working: nothing has moved for 90 seconds. /stop ends it.");
        assert_eq!(said(150), "⏳ Still working: nothing has moved for 2 minutes. /stop ends it.");
    }
}

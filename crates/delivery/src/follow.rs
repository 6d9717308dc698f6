//! What this gateway's clients hear of the turns that other gateways run.

use std::time::Duration;

use claw_domain::{Event, EventBody, Seq, Signal, SignalKind};
use tokio::sync::watch;
use tracing::warn;

use crate::shared::Core;

/// Most events that are read at a time.
const FOLLOW_MAX: usize = 500;

/// How long to wait after the store failed.
const PAUSE: Duration = Duration::from_secs(1);

/// Tells this gateway's clients what runs on other gateways come to: their beginning and their end.
/// What grows in between stays with the gateway that runs them.
pub(crate) async fn follow(core: &Core, mut wakeups: watch::Receiver<u64>, mut after: Seq) {
    loop {
        match core.store.events(after, FOLLOW_MAX).await {
            Ok(events) => {
                let more = events.len() == FOLLOW_MAX;
                for event in events {
                    after = event.seq;
                    core.scribe.observe(event.header.id);
                    if event.header.id.node() != core.scribe.node() && !event.imported {
                        tell(core, event);
                    }
                }
                if more {
                    continue;
                }
            }
            Err(error) => {
                warn!(%error, "could not follow the other gateways");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        }
        if wakeups.changed().await.is_err() {
            return;
        }
    }
}

fn tell(core: &Core, event: Event) {
    let Some(session) = event.header.session else { return };
    let (run, kind) = match event.body {
        EventBody::RunStarted { run, .. } => (run, SignalKind::Started),
        EventBody::RunFinished { run, ending } => (run, SignalKind::Finished(ending)),
        _ => return,
    };
    (core.listener)(Signal { run, session, at: event.header.at, kind });
}

//! Folding what is older than the retention, once an hour while the gateway runs.

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use claw_domain::{Clock, Timestamp};
use claw_store::{Fence, Store};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// How often what has become old is folded.
const PERIOD: Duration = Duration::from_secs(3_600);
/// When it is done first: a start has other things to do.
const FIRST: Duration = Duration::from_secs(300);

/// The shortest retention: platforms may bring a message again for weeks, and it is known by what is
/// kept of it. Unit: days.
pub(crate) const DAYS_MIN: u32 = 30;

/// What the task needs.
pub(crate) struct Retention {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) fence: Fence,
    pub(crate) clock: Arc<dyn Clock>,
    /// How long events are kept.
    pub(crate) days: NonZeroU32,
}

impl Retention {
    /// Folds until `stop` fires. A failure is told, and tried again an hour later.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let mut wait = FIRST;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(wait) => wait = PERIOD,
            }
            tokio::select! {
                // What is under way is done by the store all the same.
                () = stop.cancelled() => return,
                () = self.fold() => {}
            }
        }
    }

    async fn fold(&self) {
        let before = before(self.clock.now(), self.days);
        match claw_log::fold(&*self.store, &self.fence, before).await {
            Ok(claw_log::Folded { events: 0, rows: 0, .. }) => {}
            Ok(folded) => info!(events = folded.events, rows = folded.rows, "old events folded"),
            Err(error) => warn!(%error, "old events could not be folded"),
        }
    }
}

/// What is older than this many days begins here.
fn before(now: Timestamp, days: NonZeroU32) -> Timestamp {
    let kept = Duration::from_secs(u64::from(days.get()) * 24 * 3_600);
    now.checked_sub(kept).unwrap_or(Timestamp::MIN)
}

#[cfg(test)]
mod tests {
    use claw_domain::{EventBody, EventHeader, EventId, NodeId, Seq, TraceId, millis};
    use claw_store::{Change, Lease, NewEvent};
    use claw_store_memory::Memory;
    use uuid::Uuid;

    use super::*;

    const DAY_MS: i64 = 24 * 3_600_000;

    struct Fixed(Timestamp);

    impl Clock for Fixed {
        fn now(&self) -> Timestamp {
            self.0
        }
    }

    #[tokio::test(start_paused = true)]
    async fn soon_after_the_start_old_events_are_folded_and_young_ones_are_not() {
        let store: Arc<dyn Store> = Arc::new(Memory::default());
        let now = millis(100 * DAY_MS);
        let claimed = store.claim(&Lease::Gateway, NodeId(1), now, now).await.unwrap();
        let fence = claimed.unwrap();
        for day in [60, 69, 71, 99] {
            let header = EventHeader {
                id: EventId::new(day * DAY_MS.unsigned_abs(), 0, NodeId(1)),
                trace: TraceId(Uuid::nil()),
                cause: None,
                session: Some("agent:main:main".into()),
                at: now,
            };
            let event = NewEvent { header, body: EventBody::SessionDeleted };
            store.commit(&fence, vec![Change::Log(event)]).await.unwrap();
        }
        let days = NonZeroU32::new(DAYS_MIN).unwrap();
        let (clock, stop) = (Arc::new(Fixed(now)), CancellationToken::new());
        let retention = Retention { store: Arc::clone(&store), fence, clock, days };
        let running = tokio::spawn(retention.run(stop.clone()));
        tokio::time::sleep(FIRST / 2).await;
        assert_eq!(store.totals().await.unwrap().events, 4);
        tokio::time::sleep(FIRST).await;
        let left = store.events(Seq(0), 9).await.unwrap();
        assert_eq!(left.iter().map(|event| event.seq.0).collect::<Vec<_>>(), [3, 4]);
        stop.cancel();
        running.await.unwrap();
    }
}

//! How what waits in a shared store comes to this gateway: in its order, and nothing of it twice.

use std::{
    collections::{BTreeMap, HashSet},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use claw_domain::{Event, EventBody, RunId, SessionKey};
use claw_store::{Change, Claim, InboxKey, InboxRow, InboxState, RowFilter};
use tokio::sync::watch;
use tracing::warn;

use crate::{Delivery, Error, follow::follow, neighbours::OPEN_MAX, sharing::Sharing, unsure};

/// Most rows that are claimed at a time.
const CLAIM_MAX: usize = 200;

/// How long to wait after the store failed.
const PAUSE: Duration = Duration::from_secs(1);

/// Lanes are looked at for idleness so often; one that was idle twice is given up.
const TIDY_EVERY: Duration = Duration::from_secs(3);

impl Delivery {
    /// Claims what is there for this gateway, again and again, until it stops or loses its place.
    pub(crate) async fn share(self, mut wakeups: watch::Receiver<u64>) {
        let core = Arc::clone(&self.core);
        let Some(sharing) = &core.sharing else { return };
        let mut tidy = tokio::time::interval(TIDY_EVERY);
        loop {
            if let Err(error) = self.claim(sharing).await {
                sharing.all_may_wait();
                self.pause(sharing, &error).await;
            }
            tokio::select! {
                biased;
                () = self.stopping.cancelled() => return,
                () = sharing.membership.lost().cancelled() => return,
                // Before what may be ready again and again.
                _ = tidy.tick() => if let Err(error) = sharing.tidy(&*core.store).await {
                    self.pause(sharing, &error).await;
                },
                _ = wakeups.changed() => {}
                () = sharing.poke.notified() => {}
            }
        }
    }

    async fn pause(&self, sharing: &Sharing, error: &Error) {
        warn!(%error, "could not take over what waits in the store");
        if let Error::Store(error) = error {
            sharing.membership.was_fenced(error);
        }
        tokio::select! {
            biased;
            () = self.stopping.cancelled() => {}
            () = sharing.membership.lost().cancelled() => {}
            () = tokio::time::sleep(PAUSE) => {}
        }
    }

    /// Takes over replies to send, then messages to answer, as far as there is room.
    async fn claim(&self, sharing: &Sharing) -> Result<(usize, usize), Error> {
        let replies = self.core.outbox.claim().await?;
        let mut messages = 0;
        while self.lanes.has_room() && !self.stopping.is_cancelled() {
            let claim = Claim {
                now: self.core.store.now().await?,
                limit: CLAIM_MAX.min(self.in_flight.room()),
                agents_elsewhere: sharing.agents_elsewhere.clone(),
            };
            let round = sharing.begin_round();
            if sharing.unsure.swap(true, Ordering::SeqCst) {
                self.give_back().await?;
            }
            let rows = self.core.store.claim_inbox(&self.core.fence, &claim).await?;
            sharing.unsure.store(false, Ordering::SeqCst);
            sharing.has_lanes(rows.iter().filter_map(InboxRow::lane));
            let found = rows.len();
            let (fresh, admitted): (Vec<_>, Vec<_>) =
                rows.into_iter().partition(|row| matches!(row.state, InboxState::Received));
            let rows = if fresh.is_empty() {
                self.begun_first(admitted).await
            } else {
                // What is not admitted yet may be older than what is.
                self.put_back(sharing, admitted).await?;
                fresh
            };
            for row in rows {
                let flight = self.in_flight.begin(row.id).await?;
                self.admit_kept(row, flight).await;
            }
            messages += found;
            if found < claim.limit {
                sharing.end_round(round);
            }
            if found < claim.limit.max(1) {
                break;
            }
        }
        Ok((messages, replies))
    }

    /// Puts admitted rows back, to be claimed again in their order with all that joins them.
    async fn put_back(&self, sharing: &Sharing, rows: Vec<InboxRow>) -> Result<(), Error> {
        if rows.is_empty() {
            return Ok(());
        }
        for session in rows.iter().filter_map(InboxRow::lane) {
            sharing.was_left(session);
        }
        let leave = rows.iter().map(|row| Change::Leave(row.id)).collect();
        sharing.unsure.store(true, Ordering::SeqCst);
        self.core.store.commit(&self.core.fence, leave).await?;
        sharing.unsure.store(false, Ordering::SeqCst);
        sharing.poke();
        Ok(())
    }

    /// Gives back what is this gateway's by the store and is not here: the answer to a claim was
    /// lost, and nobody else would ever claim it. All at once, so that whoever claims it has it in its
    /// order.
    async fn give_back(&self) -> Result<(), Error> {
        let (core, mine) = (&self.core, |row: &InboxRow| row.fence == self.core.fence);
        let states = vec!["received".into(), "admitted".into()];
        let open = core.store.inbox(&RowFilter { states, limit: OPEN_MAX }).await?;
        let mut unknown = Vec::new();
        for row in open.into_iter().filter(mine) {
            if self.in_flight.has(row.id) {
                continue;
            }
            // It may have ended or been left since it was read, but nothing brings it here now.
            let row = core.store.inbox_of(&InboxKey::Id(row.id)).await?;
            let is_open = |row: &InboxRow| !matches!(row.state, InboxState::Closed { .. });
            unknown.extend(row.filter(mine).filter(is_open).map(|row| Change::Leave(row.id)));
        }
        if !unknown.is_empty() {
            warn!(messages = unknown.len(), "gives back messages whose claim was not answered");
            core.store.commit(&core.fence, unknown).await?;
        }
        Ok(())
    }

    /// Rows of lanes that are taken over in their order, but each lane's turn that had begun before
    /// those that had not, though it may have come later: a conversation goes on where it is.
    pub(crate) async fn begun_first(&self, rows: Vec<InboxRow>) -> Vec<InboxRow> {
        let mut lanes: BTreeMap<SessionKey, Vec<RunId>> = BTreeMap::new();
        for row in &rows {
            if let InboxState::Admitted { session, .. } = &row.state
                && self.lanes.is_idle(session)
            {
                lanes.entry(session.clone()).or_default().push(row.run.clone());
            }
        }
        let mut begun = HashSet::new();
        for runs in lanes.into_values().filter(|runs| runs.len() > 1) {
            for run in runs {
                if self.has_begun(&run).await {
                    begun.insert(run);
                    break;
                }
            }
        }
        let (mut first, rest): (Vec<_>, Vec<_>) =
            rows.into_iter().partition(|row| begun.contains(&row.run));
        first.extend(rest);
        first
    }

    async fn has_begun(&self, run: &RunId) -> bool {
        let events = unsure::ask(&self.stopping, || self.core.store.run_events(run)).await;
        let starts = |event: &Event| matches!(event.body, EventBody::RunStarted { .. });
        events.is_some_and(|events| events.iter().any(starts))
    }

    /// Begins to take over, once before anything else is done. Returns how many messages and replies
    /// waited.
    pub(crate) async fn begin_sharing(&self) -> Result<(usize, usize), Error> {
        let (Some(sharing), Some(wakeups)) = (&self.core.sharing, self.core.store.wakeups()) else {
            return Ok((0, 0));
        };
        sharing.claims.store(true, Ordering::SeqCst);
        let found = self.claim(sharing).await?;
        self.lanes.spawn(self.clone().share(wakeups));
        self.follow_others().await?;
        Ok(found)
    }

    /// Begins to hear what runs on other gateways of the store come to, and claims nothing: for who
    /// asks once and goes.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn follow_others(&self) -> Result<(), Error> {
        let Some(wakeups) = self.core.store.wakeups() else { return Ok(()) };
        let newest = self.core.store.commit(&self.core.fence, Vec::new()).await?.seq;
        let (core, stopping) = (Arc::clone(&self.core), self.stopping.clone());
        self.lanes.spawn(async move {
            tokio::select! {
                biased;
                () = stopping.cancelled() => {}
                () = follow(&core, wakeups, newest) => {}
            }
        });
        Ok(())
    }
}

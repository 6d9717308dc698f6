//! The face of this room: takes updates in, answers questions about lanes, and stops in order.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use async_trait::async_trait;
use claw_channel::{Accepted, Inbox, InboxError};
use claw_domain::{AgentId, ChannelId, Inbound, InboxId, RunId, SessionKey, SignalKind, StopCause};
use claw_store::{Change, Fence, InboxKey, InboxRow, InboxState, Store};
use futures_util::future::join_all;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{
    Error, Membership, OutboxConfig, RetrySchedule, Router, Scribe,
    arrivals::Arrivals,
    in_flight::{Flight, InFlight},
    job::Turns,
    lanes::Lanes,
    outbox::Outbox,
    pairing,
    shared::{Account, Core, Listener, arrange},
    sharing::Sharing,
    unsure,
};

/// How often a message is tried to be admitted before those after it may overtake it: some two
/// minutes of a store that fails.
const ADMIT_TRIES_MAX: u32 = 7;

/// How many rows are read at a time when taking up an earlier process's work.
const RECOVER_PAGE: usize = 500;

/// Everything that delivery is built from.
pub struct Parts {
    /// Keeps what must survive.
    pub store: Arc<dyn Store>,
    /// Proof of holding the store.
    pub fence: Fence,
    /// Gives events their headers.
    pub scribe: Scribe,
    /// Runs turns.
    pub turns: Arc<dyn Turns>,
    /// Hears the volatile signals.
    pub listener: Listener,
    /// Chooses agents and sessions.
    pub router: Router,
    /// The channel accounts, their access policies and text limits.
    pub accounts: Vec<Account>,
    /// Most turns that run at one time, over all sessions.
    pub concurrent_max: usize,
    /// Where several gateways share the store: this one's place among them, whose fence `fence` is,
    /// and the agents that are pinned to others.
    pub sharing: Option<(Arc<Membership>, Vec<AgentId>)>,
}

/// What became of an operator's message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Submitted {
    /// Its run begins, or waits for its turn.
    Started,
    /// The same message came before, and its run goes on.
    InFlight,
    /// The same message came before, and this became of it.
    Closed {
        /// In one word.
        outcome: String,
        /// For people.
        detail: String,
    },
    /// It was a word to stop, and these runs were stopped.
    Stopped(Vec<RunId>),
}

/// Takes updates in and gets replies out.
#[derive(Clone)]
pub struct Delivery {
    pub(crate) core: Arc<Core>,
    pub(crate) lanes: Arc<Lanes>,
    pub(crate) turns: Arc<dyn Turns>,
    pub(crate) in_flight: Arc<InFlight>,
    tries: Arc<std::sync::Mutex<pairing::Tries>>,
    pub(crate) stopping: CancellationToken,
}

impl Delivery {
    /// Builds delivery; nothing moves before [`Delivery::recover`] or the first update.
    pub fn new(parts: Parts) -> Self {
        let stopping = CancellationToken::new();
        let (accounts, channels) = arrange(parts.accounts, parts.router);
        let sharing = parts
            .sharing
            .map(|(membership, elsewhere)| Arc::new(Sharing::new(membership, elsewhere)));
        let outbox = Outbox::new(
            Arc::clone(&parts.store),
            parts.fence,
            parts.scribe.clone(),
            channels,
            RetrySchedule::default(),
            sharing.clone(),
            stopping.child_token(),
        );
        let lanes = Lanes::new(
            Arc::clone(&parts.turns),
            Arc::clone(&outbox),
            parts.concurrent_max,
            stopping.child_token(),
        );
        let core = Core {
            store: parts.store,
            fence: parts.fence,
            scribe: parts.scribe,
            arrivals: Arrivals::default(),
            listener: parts.listener,
            outbox,
            sharing,
            accounts: ArcSwap::from_pointee(accounts),
        };
        Self {
            core: Arc::new(core),
            lanes,
            turns: parts.turns,
            in_flight: Arc::new(InFlight::new()),
            tries: Arc::default(),
            stopping,
        }
    }

    /// Exchanges the accounts and the routing of a running gateway.
    pub fn reconfigure(&self, accounts: Vec<Account>, router: Router) {
        let (accounts, channels) = arrange(accounts, router);
        self.core.accounts.store(Arc::new(accounts));
        self.core.outbox.set_channels(channels);
    }

    /// Exchanges how long replies are worth sending, from the next one on.
    pub fn set_outbox(&self, config: OutboxConfig) {
        self.core.outbox.config.store(Arc::new(config));
    }

    /// How long a turn may show nothing before its sender is told, from the next turn on;
    /// [`PATIENCE`](crate::PATIENCE) unless it is set.
    pub fn set_patience(&self, patience: Duration) {
        self.lanes.set_patience(patience);
    }

    /// Takes up what an earlier process left open: replies first, then messages in their order.
    /// To be called once, before any channel runs. Returns how many of each there were.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn recover(&self) -> Result<(usize, usize), Error> {
        self.go_on_after_newest().await?;
        if self.core.sharing.is_some() {
            return self.begin_sharing().await;
        }
        self.core.store.adopt(&self.core.fence).await?;
        let replies = self.core.outbox.recover().await?;
        let mut messages = 0;
        let mut after: Option<InboxId> = None;
        loop {
            let rows = self.core.store.open_inbox(after, RECOVER_PAGE).await?;
            let Some(last) = rows.last() else { break };
            after = Some(last.id);
            for row in self.begun_first(rows).await {
                let flight = self.in_flight.begin(row.id).await?;
                self.admit(row, flight).await?;
                messages += 1;
            }
        }
        if replies + messages > 0 {
            info!(messages, replies, "took up what was left open");
        }
        Ok((messages, replies))
    }

    /// Takes an authenticated client's message. The same external id again is not run again.
    ///
    /// # Errors
    /// When nothing was kept.
    ///
    /// # Cancel safety
    /// A caller that goes away while this waits takes nothing back: what is kept is admitted.
    pub async fn submit(&self, inbound: Inbound) -> Result<Submitted, Error> {
        let delivery = self.clone();
        let submitting = tokio::spawn(async move { delivery.submit_kept(inbound).await });
        match submitting.await.map_err(tokio::task::JoinError::try_into_panic) {
            Ok(submitted) => submitted,
            Err(Ok(panic)) => std::panic::resume_unwind(panic),
            // The runtime ends.
            Err(Err(_cancelled)) => Err(Error::Stopping),
        }
    }

    async fn submit_kept(&self, inbound: Inbound) -> Result<Submitted, Error> {
        let (channel, account, external) =
            (inbound.channel.clone(), inbound.account.clone(), inbound.external_id.clone());
        let mut taken = self.take(vec![inbound]).await?;
        if let Some((row, permit)) = taken.pop() {
            return Ok(self
                .admit_kept(row, permit)
                .await
                .map_or(Submitted::Started, Submitted::Stopped));
        }
        let known = self.core.store.inbox_row(&channel, &account, &external).await?;
        Ok(match known.map(|row| row.state) {
            Some(InboxState::Closed { outcome, detail, .. }) => {
                Submitted::Closed { outcome, detail }
            }
            _ => Submitted::InFlight,
        })
    }

    /// Stops a session's run, or only `run`; without `run` the messages that wait as well.
    /// Returns the runs that were stopped.
    ///
    /// # Errors
    /// When the store fails to close the messages that waited.
    pub async fn stop(
        &self,
        session: &SessionKey,
        run: Option<&RunId>,
        cause: StopCause,
    ) -> Result<Vec<RunId>, Error> {
        if self.is_held_elsewhere(session) {
            return self.ask_to_stop(session, run).await;
        }
        let (mut stopped, mut dropped) = self.lanes.stop(session, run, cause);
        while let Some(waiting) = dropped.front() {
            let job = waiting.job();
            let ending = claw_domain::Ending::Stopped { cause, text: String::new() };
            let told = self.tell_others(job, &ending);
            if let Err(error) = job.close("stopped", cause.as_str(), None, told).await {
                // What is open in the store has to be found by whoever asks to stop again.
                self.lanes.put_back(session, dropped);
                return Err(error);
            }
            stopped.push(job.row.run.clone());
            self.core.tell(&job.row.run, &job.session, SignalKind::Finished(ending));
            dropped.pop_front();
        }
        Ok(stopped)
    }

    /// The run that goes on in a session now.
    pub fn running(&self, session: &SessionKey) -> Option<RunId> {
        self.lanes.running(session)
    }

    /// Whether a run is running or waiting in a session.
    pub fn knows(&self, session: &SessionKey, run: &RunId) -> bool {
        self.lanes.knows(session, run)
    }

    /// How many messages wait in a session.
    pub fn depth(&self, session: &SessionKey) -> usize {
        self.lanes.depth(session)
    }

    /// Whether new work is refused, since the gateway stops.
    pub fn is_stopping(&self) -> bool {
        self.stopping.is_cancelled()
    }

    /// Whether no turn runs or waits and no reply is on its way.
    pub fn is_idle(&self) -> bool {
        self.lanes.is_empty() && self.core.outbox.is_empty()
    }

    /// The routing that is in force.
    pub fn router(&self) -> Router {
        self.core.accounts.load().router.clone()
    }

    /// Takes no new work, gives turns and then their replies `grace` in all to get out, and leaves
    /// the rest to the next start. A part on its way when the time is up is waited for, since a
    /// part whose end is unknown would be sent again.
    pub async fn shutdown(&self, grace: Duration) {
        let deadline = Instant::now() + grace;
        self.stopping.cancel();
        info!("stopping");
        self.lanes.closed(grace).await;
        if self.core.sharing.is_some()
            && let Err(error) = self.core.outbox.claim().await
        {
            warn!(%error, "replies that wait are left to the other gateways");
        }
        self.core.outbox.closed(deadline.saturating_duration_since(Instant::now())).await;
    }

    /// Lets in the stranger who was given this code. Wrong codes are limited per process.
    ///
    /// # Errors
    /// [`Error::NoSuchCode`] when no live request has it, [`Error::TooManyTries`] after many such.
    pub async fn approve(
        &self,
        channel: &ChannelId,
        code: &str,
    ) -> Result<claw_store::PairingRequest, Error> {
        let core = &self.core;
        pairing::approve(&*core.store, &core.fence, &core.scribe, &self.tries, channel, code).await
    }

    /// Commits updates and returns the new ones as rows, each with its place in flight.
    async fn take(&self, updates: Vec<Inbound>) -> Result<Vec<(InboxRow, Flight)>, Error> {
        if self.stopping.is_cancelled() {
            return Err(Error::Stopping);
        }
        let mut rows = Vec::with_capacity(updates.len());
        for inbound in updates {
            let row = self.core.row(inbound);
            let flight = self.in_flight.begin(row.id).await?;
            rows.push((row, flight));
        }
        let changes = rows.iter().map(|(row, _)| Change::Receive(Box::new(row.clone()))).collect();
        let mut is_new = match self.core.store.commit(&self.core.fence, changes).await {
            Ok(committed) => committed.received,
            Err(error) => self.kept(&rows, error).await?,
        }
        .into_iter();
        rows.retain(|_| is_new.next().unwrap_or(false));
        Ok(rows)
    }

    /// Which rows a commit has kept that failed with `error`; that error when it has kept none.
    async fn kept(
        &self,
        rows: &[(InboxRow, Flight)],
        error: claw_store::Error,
    ) -> Result<Vec<bool>, Error> {
        if !error.may_pass() {
            return Err(error.into());
        }
        let mut kept = Vec::with_capacity(rows.len());
        for (row, _) in rows {
            let key = InboxKey::Id(row.id);
            let found = unsure::ask(&self.stopping, || self.core.store.inbox_of(&key)).await;
            let Some(found) = found else { return Err(error.into()) };
            kept.push(found.is_some());
        }
        if kept.contains(&true) { Ok(kept) } else { Err(error.into()) }
    }
}

#[async_trait]
impl Inbox for Delivery {
    async fn accept(&self, updates: Vec<Inbound>) -> Result<Accepted, InboxError> {
        let offered = updates.len();
        let rows = self.take(updates).await.map_err(|error| InboxError(Box::new(error)))?;
        let new = rows.len();
        self.admit_all(rows).await;
        Ok(Accepted { new, known: offered - new })
    }
}

impl Delivery {
    /// Admits rows that are kept already, each session's in their order. On a store that others share
    /// the sessions do not wait for each other, since nearly every message costs a commit there.
    async fn admit_all(&self, rows: Vec<(InboxRow, Flight)>) {
        let mut sessions: BTreeMap<Option<SessionKey>, Vec<_>> = BTreeMap::new();
        for (row, flight) in rows {
            let session = self.core.sharing.is_some().then(|| self.core.session_of(&row));
            sessions.entry(session).or_default().push((row, flight));
        }
        join_all(sessions.into_values().map(async |rows| {
            for (row, flight) in rows {
                self.admit_kept(row, flight).await;
            }
        }))
        .await;
    }

    /// Admits a row that is kept already and is never given back to who offered it. While the store
    /// fails this waits, so that what was written after the row does not overtake it; after
    /// [`ADMIT_TRIES_MAX`] tries the row is taken up again later, out of its order. `Some` as
    /// [`Delivery::admit`] says.
    pub(crate) async fn admit_kept(&self, row: InboxRow, mut flight: Flight) -> Option<Vec<RunId>> {
        let here = self.in_flight.note(row.id);
        if self.stopping.is_cancelled() {
            // What came before it may not have been admitted for that.
            return None;
        }
        for attempts in 1..=ADMIT_TRIES_MAX {
            let error = match self.admit(row.clone(), flight).await {
                Ok(stopped) => return stopped,
                Err(error) => error,
            };
            warn!(inbox = %row.id, attempts, %error, "a message could not be admitted yet");
            if !matches!(&error, Error::Store(error) if error.may_pass()) {
                self.admit_later(row);
                return None;
            }
            tokio::select! {
                biased;
                () = self.stopping.cancelled() => return None,
                () = tokio::time::sleep(RetrySchedule::default().wait(attempts, &())) => {}
            }
            flight = self.in_flight.begin(row.id).await.ok()?;
            match self.is_still_to_admit(&row).await {
                Some(true) => {}
                Some(false) => return None,
                None => break,
            }
        }
        match &self.core.sharing {
            None => self.admit_later(row),
            Some(sharing) => {
                // Nothing here has it any more when it is looked for.
                drop((here, flight));
                sharing.find_again();
            }
        }
        None
    }

    /// Tries again to admit a row that the store failed on.
    fn admit_later(&self, row: InboxRow) {
        let delivery = self.clone();
        let schedule = RetrySchedule::default();
        let here = self.in_flight.note(row.id);
        self.lanes.spawn(async move {
            let _here = here;
            for attempts in 1.. {
                tokio::select! {
                    biased;
                    () = delivery.stopping.cancelled() => return,
                    () = tokio::time::sleep(schedule.wait(attempts, &row.inbound.external_id)) => {}
                }
                let Ok(flight) = delivery.in_flight.begin(row.id).await else { return };
                if delivery.is_still_to_admit(&row).await == Some(false) {
                    return;
                }
                match delivery.admit(row.clone(), flight).await {
                    Ok(_) => return,
                    Err(error) => warn!(inbox = %row.id, attempts, %error, "a message could not be admitted yet"),
                }
            }
        });
    }
}

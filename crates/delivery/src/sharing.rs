//! What this gateway holds on a store that it shares: lanes, accounts, and what it leaves there.
//!
//! A gateway runs the turns of the lanes that it holds, and sends on the accounts that it holds. What
//! is not its own it leaves in the store, where the holder, or whoever has room, claims it.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use claw_domain::{
    AccountId, AgentId, ChannelId, Ending, EventBody, Inbound, InboundKind, MessageText, Operator,
    Origin, RunId, SessionKey, StopCause,
};
use claw_store::{Change, Fence, Holding, InboxKey, InboxRow, InboxState, RowFilter, Store};
use tokio::{
    sync::{Notify, RwLock},
    time::Instant,
};

use crate::{Delivery, Error, Membership, job::Job, unsure};

/// Most rows that are looked at, where it matters what is open.
pub(crate) const OPEN_MAX: usize = 20_000;

/// How long receiving on an account waits at most for what came before: longer than a message is
/// tried to be admitted in its place.
const RECEIVE_AFTER: Duration = Duration::from_secs(180);

/// The channel of what gateways say to each other.
const OWN_CHANNEL: &str = "gateway";

/// Joins our own id of a wish to stop with the run that it is about, if it is about one.
const STOP_OF: &str = "-stop:";

/// What a word to stop is about: one run, when another gateway's client named it.
pub(crate) fn asked_to_stop(inbound: &Inbound) -> (Option<RunId>, StopCause) {
    if inbound.channel.as_str() != OWN_CHANNEL {
        return (None, StopCause::Command);
    }
    let named = inbound.external_id.as_str().split_once(STOP_OF).map(|(_, run)| run);
    (named.filter(|run| !run.is_empty()).map(RunId::from), StopCause::Rpc)
}

/// A job's part in holding its lane: as long as one is there, the lane is not given up.
#[derive(Debug, Clone, Default)]
pub(crate) struct LaneHold {
    _used: Option<Arc<()>>,
}

/// What this gateway holds on a store that it shares.
pub(crate) struct Sharing {
    pub(crate) membership: Arc<Membership>,
    /// Agents that are pinned to other gateways.
    pub(crate) agents_elsewhere: Vec<AgentId>,
    lanes: Mutex<HashMap<SessionKey, Lane>>,
    rounds: Mutex<Rounds>,
    /// Since when accounts are held.
    accounts: Mutex<HashMap<(ChannelId, AccountId), Instant>>,
    /// Whether the store may have given rows that nothing here knows of.
    pub(crate) unsure: AtomicBool,
    /// Holding a lane is let in beside others, giving lanes up alone: what is asked for while it is
    /// given up is asked of the store afterwards.
    gate: RwLock<()>,
    pub(crate) poke: Notify,
    /// Whether this process claims what waits in the store; who only asks once does not.
    pub(crate) claims: AtomicBool,
}

#[derive(Default)]
struct Lane {
    used: Arc<()>,
    was_idle: bool,
    /// The round of claims that was the newest when the lane was taken, or when something of it was
    /// left in the store.
    since: u64,
}

/// Rounds of claims, counted as they begin. What waited in the store when a round began is here once
/// it is done.
#[derive(Default)]
struct Rounds {
    begun: u64,
    done: u64,
    /// The newest round when an account was taken, or an answer lost: what came before may wait.
    all_since: u64,
}

impl Sharing {
    pub(crate) fn new(membership: Arc<Membership>, agents_elsewhere: Vec<AgentId>) -> Self {
        Self {
            membership,
            agents_elsewhere,
            lanes: Mutex::default(),
            rounds: Mutex::default(),
            accounts: Mutex::default(),
            unsure: AtomicBool::new(false),
            gate: RwLock::default(),
            poke: Notify::new(),
            claims: AtomicBool::new(false),
        }
    }

    /// Lets the claims run now: something of our own may be waiting for its holder, ourselves.
    pub(crate) fn poke(&self) {
        self.poke.notify_one();
    }

    /// Holds a lane, unless its agent is pinned elsewhere or another gateway has it; a lane that is
    /// not held yet is only asked for when `more`.
    async fn lane(
        &self,
        store: &dyn Store,
        session: &SessionKey,
        agent: &AgentId,
        more: bool,
    ) -> Result<Option<LaneHold>, Error> {
        if self.agents_elsewhere.contains(agent) {
            return Ok(None);
        }
        if let Some(held) = self.held(session) {
            return Ok(Some(held));
        }
        if !more {
            return Ok(None);
        }
        let _beside_others = self.gate.read().await;
        let now = store.now().await?;
        let holding = Holding::Lane(session.clone());
        if !store.hold(&self.membership.fence(), &holding, now).await? {
            return Ok(None);
        }
        let since = self.rounds().begun;
        let mut lanes = self.lock();
        let lane = lanes.entry(session.clone()).or_insert(Lane { since, ..Lane::default() });
        lane.was_idle = false;
        Ok(Some(LaneHold { _used: Some(Arc::clone(&lane.used)) }))
    }

    fn held(&self, session: &SessionKey) -> Option<LaneHold> {
        let mut lanes = self.lock();
        let lane = lanes.get_mut(session)?;
        lane.was_idle = false;
        Some(LaneHold { _used: Some(Arc::clone(&lane.used)) })
    }

    /// Whether older messages of a lane that is held may wait in the store: then what is new has to
    /// wait there as well, so that all are claimed in their order.
    fn may_wait(&self, session: &SessionKey) -> bool {
        if !self.claims.load(Ordering::SeqCst) {
            return false;
        }
        let Some(since) = self.lock().get(session).map(|lane| lane.since) else { return true };
        let rounds = self.rounds();
        rounds.done <= since.max(rounds.all_since)
    }

    /// Older messages of any lane may wait in the store.
    pub(crate) fn all_may_wait(&self) {
        let mut rounds = self.rounds();
        rounds.all_since = rounds.begun;
    }

    /// Has the next round of claims find a message that could not be admitted, in its order.
    pub(crate) fn find_again(&self) {
        self.unsure.store(true, Ordering::SeqCst);
        self.all_may_wait();
        self.poke();
    }

    fn held_since(&self, channel: &ChannelId, account: &AccountId) -> Instant {
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        *accounts.entry((channel.clone(), account.clone())).or_insert_with(Instant::now)
    }

    /// Something of a lane waits in the store now: what comes next waits behind it.
    pub(crate) fn was_left(&self, session: &SessionKey) {
        let since = self.rounds().begun;
        if let Some(lane) = self.lock().get_mut(session) {
            lane.since = since;
        }
    }

    pub(crate) fn begin_round(&self) -> u64 {
        let mut rounds = self.rounds();
        rounds.begun += 1;
        rounds.begun
    }

    /// A round has brought all that waited when it began.
    pub(crate) fn end_round(&self, round: u64) {
        let mut rounds = self.rounds();
        rounds.done = rounds.done.max(round);
    }

    /// Gives up the lanes that nobody has used since the last time.
    pub(crate) async fn tidy(&self, store: &dyn Store) -> Result<(), Error> {
        let _alone = self.gate.write().await;
        let mut idle = Vec::new();
        self.lock().retain(|session, lane| {
            let used = Arc::strong_count(&lane.used) > 1;
            let keep = used || !lane.was_idle;
            lane.was_idle = !used;
            if !keep {
                idle.push(Holding::Lane(session.clone()));
            }
            keep
        });
        if !idle.is_empty() {
            store.release(&self.membership.fence(), &idle).await?;
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SessionKey, Lane>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn rounds(&self) -> MutexGuard<'_, Rounds> {
        self.rounds.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Delivery {
    /// Holds a session's lane, as every gateway does that has its store alone. `None` when another
    /// gateway is to run it, or when it has to be claimed behind what waits in the store. What was
    /// claimed is run here, however much there is to do.
    pub(crate) async fn lane_for(
        &self,
        row: &InboxRow,
        session: &SessionKey,
        agent: &AgentId,
    ) -> Result<Option<LaneHold>, Error> {
        let Some(sharing) = &self.core.sharing else { return Ok(Some(LaneHold::default())) };
        let claimed = matches!(row.state, InboxState::Admitted { .. });
        let more = claimed || self.lanes.has_room();
        let lane = sharing.lane(&*self.core.store, session, agent, more).await?;
        Ok(lane.filter(|_| claimed || !sharing.may_wait(session)))
    }

    /// Leaves an admitted row to the gateway that holds its lane, or to one that has room.
    pub(crate) async fn leave(
        &self,
        row: &InboxRow,
        rule: String,
        session: SessionKey,
    ) -> Result<(), Error> {
        let at = self.core.scribe.now();
        let admitted = InboxState::Admitted { rule, session: session.clone(), at };
        let changes = vec![Change::Advance(row.id, admitted), Change::Leave(row.id)];
        let left = self.core.store.commit(&self.core.fence, changes).await;
        if let Some(sharing) = &self.core.sharing {
            // The row may be left also when the store says that it is not.
            sharing.was_left(&session);
            sharing.poke();
        }
        left?;
        Ok(())
    }

    /// Whether a row whose admission failed is as it was. If not, it was left to whoever claims it
    /// though the store failed to say so, and may be on its way anywhere. `None` when the store does
    /// not say.
    pub(crate) async fn is_still_to_admit(&self, row: &InboxRow) -> Option<bool> {
        if self.core.sharing.is_none() {
            return Some(true);
        }
        let key = InboxKey::Id(row.id);
        let kept = unsure::ask(&self.stopping, || self.core.store.inbox_of(&key)).await?;
        let same =
            |kept: InboxRow| kept.fence == self.core.fence && kept.state.word() == row.state.word();
        Some(kept.is_some_and(same))
    }

    /// What tells the clients of other gateways that a message ended that no turn was made of.
    pub(crate) fn tell_others(&self, job: &Job, ending: &Ending) -> Vec<Change> {
        if self.core.sharing.is_none() {
            return Vec::new();
        }
        let body = EventBody::RunFinished { run: job.row.run.clone(), ending: ending.clone() };
        vec![self.core.scribe.write(job.row.trace, None, Some(&job.session), body).1]
    }

    /// Holds a channel account, so that this gateway receives and sends on it; every gateway that
    /// has its store alone does. `false` when another one holds it, or when not all that came there
    /// before is on its way yet: what comes next must not overtake it.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn hold_account(
        &self,
        channel: &ChannelId,
        account: &AccountId,
    ) -> Result<bool, Error> {
        let Some(sharing) = &self.core.sharing else { return Ok(true) };
        let holding = Holding::Account(channel.clone(), account.clone());
        let now = self.core.store.now().await?;
        if !self.core.store.hold(&self.core.fence, &holding, now).await? {
            return Ok(false);
        }
        sharing.poke();
        let received = RowFilter { states: vec!["received".into()], limit: OPEN_MAX };
        let rows = self.core.store.inbox(&received).await?;
        let here =
            |row: &InboxRow| row.inbound.channel == *channel && row.inbound.account == *account;
        let since = sharing.held_since(channel, account);
        if rows.iter().any(here) && since.elapsed() < RECEIVE_AFTER {
            return Ok(false);
        }
        self.go_on_after_newest().await?;
        sharing.all_may_wait();
        sharing.poke();
        Ok(true)
    }

    /// Sees to it that messages are numbered after all that came before, at other gateways too.
    pub(crate) async fn go_on_after_newest(&self) -> Result<(), Error> {
        let newest = RowFilter { states: Vec::new(), limit: 1 };
        for row in self.core.store.inbox(&newest).await? {
            self.core.arrivals.observe(row.id);
        }
        Ok(())
    }

    /// Whether nothing runs in a session: neither here nor, where others share the store, there.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn is_still(&self, session: &SessionKey) -> Result<bool, Error> {
        if self.lanes.running(session).is_some() {
            return Ok(false);
        }
        if !self.is_held_elsewhere(session) {
            return Ok(true);
        }
        let admitted = RowFilter { states: vec!["admitted".into()], limit: OPEN_MAX };
        let rows = self.core.store.inbox(&admitted).await?;
        let here = |row: &InboxRow| matches!(&row.state, InboxState::Admitted { session: of, .. } if of == session);
        Ok(!rows.iter().any(here))
    }

    pub(crate) fn is_held_elsewhere(&self, session: &SessionKey) -> bool {
        self.core.sharing.as_ref().is_some_and(|sharing| sharing.held(session).is_none())
    }

    /// Asks the gateway that holds a lane to stop there, by a message of our own in its inbox.
    /// Returns the run, when one was named; what else is stopped shows when it is.
    pub(crate) async fn ask_to_stop(
        &self,
        session: &SessionKey,
        run: Option<&RunId>,
    ) -> Result<Vec<RunId>, Error> {
        let id = uuid::Uuid::now_v7();
        let named = run.map(RunId::as_str).unwrap_or_default();
        let inbound = Inbound {
            channel: OWN_CHANNEL.into(),
            account: "default".into(),
            external_id: format!("{id}{STOP_OF}{named}").into(),
            at: self.core.scribe.now(),
            origin: Origin::Operator(Operator {
                client: OWN_CHANNEL.into(),
                session: session.clone(),
                run: id.to_string().into(),
                extra_system_prompt: None,
                timeout_ms: None,
            }),
            kind: InboundKind::Message(MessageText { text: "/stop".into(), ..Default::default() }),
        };
        let admitted = InboxState::Admitted {
            rule: "operator-scope".into(),
            session: session.clone(),
            at: inbound.at,
        };
        let row = InboxRow { state: admitted, fence: Fence::NOBODY, ..self.core.row(inbound) };
        self.core.store.commit(&self.core.fence, vec![Change::Receive(Box::new(row))]).await?;
        Ok(run.into_iter().cloned().collect())
    }
}

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
};

use claw_domain::{AccountId, AgentId, ChannelId, SessionKey};
use claw_store::{Holding, Store};
use tokio::{
    sync::{Notify, RwLock},
    time::Instant,
};

use crate::{Error, Membership};

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
    /// Asking for a lane is let in beside others, giving lanes up alone: what is asked for while it is
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

    /// A part in holding a lane. `None` where another gateway is to have it, or where the lane may come
    /// with what is claimed of it, as it does unless it is asked for `now`: that takes a commit of its
    /// own.
    pub(crate) async fn lane(
        &self,
        store: &dyn Store,
        session: &SessionKey,
        agent: &AgentId,
        now: bool,
    ) -> Result<Option<LaneHold>, Error> {
        if self.agents_elsewhere.contains(agent) {
            return Ok(None);
        }
        let held = self.held(session);
        if held.is_some() || !now {
            return Ok(held);
        }
        let _beside_others = self.gate.read().await;
        let (time, holding) = (store.now().await?, Holding::Lane(session.clone()));
        if !store.hold(&self.membership.fence(), &holding, time).await? {
            return Ok(None);
        }
        self.has_lanes([session]);
        Ok(self.held(session))
    }

    /// Notes lanes that the store says are ours.
    pub(crate) fn has_lanes<'a>(&self, sessions: impl IntoIterator<Item = &'a SessionKey>) {
        let since = self.rounds().begun;
        let mut lanes = self.lock();
        for session in sessions {
            if !lanes.contains_key(session) {
                lanes.insert(session.clone(), Lane { since, ..Lane::default() });
            }
        }
    }

    pub(crate) fn held(&self, session: &SessionKey) -> Option<LaneHold> {
        let mut lanes = self.lock();
        let lane = lanes.get_mut(session)?;
        lane.was_idle = false;
        Some(LaneHold { _used: Some(Arc::clone(&lane.used)) })
    }

    /// Whether older messages of a lane that is held may wait in the store: then what is new has to
    /// wait there as well, so that all are claimed in their order.
    pub(crate) fn may_wait(&self, session: &SessionKey) -> bool {
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

    pub(crate) fn held_since(&self, channel: &ChannelId, account: &AccountId) -> Instant {
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

    /// Gives up the lanes that nobody has used since the last time. Not while lanes are claimed.
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

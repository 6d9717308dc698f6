//! What this gateway leaves to the others of its store, asks of them and tells them.

use std::{sync::atomic::Ordering, time::Duration};

use claw_domain::{
    AccountId, AgentId, ChannelId, Ending, EventBody, Inbound, InboundKind, MessageText, Operator,
    Origin, RunId, SessionKey, StopCause,
};
use claw_store::{Change, Fence, Holding, InboxKey, InboxRow, InboxState, RowFilter};

use crate::{Delivery, Error, job::Job, sharing::LaneHold, unsure};

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

impl Delivery {
    /// Holds a session's lane, as every gateway does that has its store alone. `None` when the message
    /// has to be claimed: by another gateway, or by this one with the lane, or behind what waits in the
    /// store.
    pub(crate) async fn lane_for(
        &self,
        row: &InboxRow,
        session: &SessionKey,
        agent: &AgentId,
    ) -> Result<Option<LaneHold>, Error> {
        let Some(sharing) = &self.core.sharing else { return Ok(Some(LaneHold::default())) };
        let claimed = matches!(row.state, InboxState::Admitted { .. });
        let now = self.lanes.has_room() || !sharing.claims.load(Ordering::SeqCst);
        let lane = sharing.lane(&*self.core.store, session, agent, now).await?;
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

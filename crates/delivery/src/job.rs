//! What a lane hands to whoever runs turns, and how that one ends it.

use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use claw_domain::{
    AgentId, AssistantMessage, ChatKind, Ending, ExternalId, InboundKind, Origin, Session,
    SessionKey, StopCause, Target,
};
use claw_store::{Change, InboxKey, InboxRow, InboxState};
use tokio_util::sync::CancellationToken;

use crate::{
    Error, commands::StatusCard, pulse::Pulse, reply, shared::Core, sharing::LaneHold, unsure,
};

/// Runs turns. Implemented one floor above, by the agent.
#[async_trait]
pub trait Turns: Send + Sync {
    /// Runs a job's turn to its end, or goes on where the log says that it was left.
    ///
    /// The last commit is [`Job::finish`]. Each input is committed before its effect.
    ///
    /// # Errors
    /// When the store fails; the job is then run again later, with [`Job::resume`] set.
    ///
    /// # Cancel safety
    /// May be dropped at any await, as by `kill -9`; running the job again goes on from the log.
    async fn run(&self, job: &Job, stop: &Stop) -> Result<Ending, Error>;

    /// Writes a command and its answer into the transcript and closes the job with it.
    ///
    /// # Errors
    /// When the store fails.
    async fn note(&self, job: &Job, answer: AssistantMessage) -> Result<(), Error>;

    /// What `/status` says about a session.
    fn status(&self, agent: &AgentId, session: Option<&Session>) -> StatusCard;
}

/// One admitted message on its way through a turn.
#[derive(Clone)]
pub struct Job {
    /// The inbox row that the turn answers.
    pub row: InboxRow,
    /// Who answers.
    pub agent: AgentId,
    /// In which conversation.
    pub session: SessionKey,
    /// What kind of chat it is.
    pub chat: ChatKind,
    /// Whether the conversation goes on or begins anew.
    pub begin: Begin,
    /// Whether an earlier process or try may have begun this turn already.
    pub resume: bool,
    /// The command word was taken off: what is left for the model. `None` when nothing is left.
    pub words: Option<String>,
    pub(crate) rule: String,
    /// Keeps the lane held as long as there is work in it.
    pub(crate) _lane: LaneHold,
    pub(crate) core: Arc<Core>,
    pub(crate) pulse: Arc<Pulse>,
}

/// Whether the conversation goes on or begins anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begin {
    /// It goes on.
    GoOn,
    /// It begins anew; the word says why: `new`, `reset`.
    Anew(&'static str),
}

impl Job {
    /// Where an answer goes; `None` when the asker is a gateway client that listens for it.
    pub fn target(&self) -> Option<Target> {
        let inbound = &self.row.inbound;
        match &inbound.origin {
            Origin::Operator(_) => None,
            Origin::Person { address, .. } => Some(Target {
                channel: inbound.channel.clone(),
                account: inbound.account.clone(),
                chat: address.chat.clone(),
                thread: address.thread.clone(),
            }),
        }
    }

    /// Says that the turn moved: something came from the model, a tool ended, a step is on disk. A
    /// turn that does not say so for a while is told of as one that makes no progress.
    pub fn moved(&self) {
        self.pulse.moved();
    }

    /// The message that an answer may quote.
    pub(crate) fn replies_to(&self) -> Option<ExternalId> {
        matches!(self.row.inbound.kind, InboundKind::Message(_))
            .then(|| self.row.inbound.external_id.clone())
    }

    /// The change that goes with the commit that begins the turn.
    pub fn admitted(&self) -> Change {
        let state = InboxState::Admitted {
            rule: self.rule.clone(),
            session: self.session.clone(),
            at: self.core.scribe.now(),
        };
        Change::Advance(self.row.id, state)
    }

    /// Ends the turn: commits `changes` together with the closed inbox row and the filled outbox,
    /// then lets the outbox begin. Waits while the outbox is full.
    ///
    /// # Errors
    /// When the store fails; nothing is kept then.
    pub async fn finish(&self, ending: &Ending, changes: Vec<Change>) -> Result<(), Error> {
        let (outcome, detail) = match ending {
            Ending::Replied { .. } => ("replied", String::new()),
            Ending::Stopped { cause, .. } => ("stopped", cause.as_str().to_owned()),
            Ending::Failed { code, error } => ("failed", format!("{code}: {error}")),
        };
        self.close(outcome, &detail, reply::text_of(ending), changes).await
    }

    /// Closes the inbox row with an answer that no model wrote.
    pub(crate) async fn close(
        &self,
        outcome: &str,
        detail: &str,
        answer: Option<String>,
        mut changes: Vec<Change>,
    ) -> Result<(), Error> {
        let closed = InboxState::Closed {
            outcome: outcome.to_owned(),
            detail: detail.to_owned(),
            rule: Some(self.rule.clone()),
            at: self.core.scribe.now(),
        };
        changes.push(Change::Advance(self.row.id, closed));
        let rows = match (self.target(), answer) {
            (Some(target), Some(text)) => {
                self.core.parts_of(&target, &text, self.replies_to(), self.row.trace, self.chat)
            }
            _ => Vec::new(),
        };
        let ending = self.pulse.ending().await;
        let is_silent = rows.is_empty();
        if let Err(error) = self.core.outbox.commit_and_send(changes, rows).await
            && !(is_silent && self.was_closed(&error).await)
        {
            return Err(error);
        }
        ending.committed();
        Ok(())
    }

    /// Whether the row is closed though the store failed to say so. What has parts to send is found
    /// by them.
    async fn was_closed(&self, error: &Error) -> bool {
        if !matches!(error, Error::Store(error) if error.may_pass()) {
            return false;
        }
        let key = InboxKey::Id(self.row.id);
        let store = &self.core.store;
        let kept = unsure::ask(self.core.outbox.stopping(), || store.inbox_of(&key)).await;
        kept.flatten().is_some_and(|row| matches!(row.state, InboxState::Closed { .. }))
    }
}

/// Tells a turn to stop, and why.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    token: CancellationToken,
    cause: Arc<OnceLock<StopCause>>,
}

impl Stop {
    /// Asks to stop. The first cause counts.
    pub fn ask(&self, cause: StopCause) {
        let _first_counts = self.cause.set(cause);
        self.token.cancel();
    }

    /// Fires when somebody asked.
    pub fn token(&self) -> &CancellationToken {
        &self.token
    }

    /// Why, once somebody asked.
    pub fn cause(&self) -> Option<StopCause> {
        self.cause.get().copied()
    }
}

//! What becomes of an accepted update: refused, answered at once, or a turn in its lane.

use claw_domain::{
    AssistantMessage, ChatKind, Ending, EventBody, ExternalId, InboundKind, MessageText, Origin,
    RunId, SessionKey, SignalKind,
};
use claw_guard::{Attempt, DmGrant, Speak, may_speak};
use claw_store::{Change, InboxRow, InboxState};
use tracing::info;

use crate::{
    Delivery, Error,
    commands::{self, Command, HELP},
    in_flight::Flight,
    job::{Begin, Job},
    lanes::{LANE_WAITING_MAX, Work},
    neighbours, pairing,
    pulse::Pulse,
    shared::Core,
};

/// The rule that admits a gateway client: its scopes were checked when it called.
const OPERATOR_RULE: &str = "operator-scope";

/// Whether an update may go on, and where.
enum Decision {
    Admit { rule: String, agent: claw_domain::AgentId, session: SessionKey, chat: ChatKind },
    Refuse { rule: &'static str },
    Pair { rule: &'static str },
}

impl Delivery {
    /// Takes a kept row on its way. `Some` when it was a client's word to stop: the stopped runs.
    pub(crate) async fn admit(
        &self,
        row: InboxRow,
        in_flight: Flight,
    ) -> Result<Option<Vec<RunId>>, Error> {
        match decide(&self.core, &row).await? {
            Decision::Refuse { rule } => {
                info!(inbox = %row.id, channel = %row.inbound.channel, rule, "refused");
                self.core.refuse(&row, rule).await?;
                Ok(None)
            }
            Decision::Pair { rule } => {
                pairing::offer(&self.core, &row, rule).await?;
                Ok(None)
            }
            Decision::Admit { rule, agent, session, chat } => {
                let Some(lane) = self.lane_for(&row, &session, &agent).await? else {
                    return self.leave(&row, rule, session).await.map(|()| None);
                };
                let job = Job {
                    _lane: lane,
                    resume: matches!(row.state, InboxState::Admitted { .. }),
                    words: None,
                    begin: Begin::GoOn,
                    core: self.core.clone(),
                    pulse: Pulse::new(),
                    row,
                    agent,
                    session,
                    chat,
                    rule,
                };
                self.go_on(job, in_flight).await
            }
        }
    }

    async fn go_on(&self, mut job: Job, in_flight: Flight) -> Result<Option<Vec<RunId>>, Error> {
        let message = match &job.row.inbound.kind {
            InboundKind::Message(message) => message.clone(),
            InboundKind::Edit { of, message } => {
                let (of, message) = (of.clone(), message.clone());
                return self.edit(&job, &of, message).await.map(|()| None);
            }
            InboundKind::Reaction { .. }
            | InboundKind::Button { .. }
            | InboundKind::MemberChange { .. } => {
                let why = "nothing listens to this kind of event";
                return job.close("ignored", why, None, Vec::new()).await.map(|()| None);
            }
        };
        match Command::parse(&message.text) {
            Some(Command::Stop) => return self.stop_command(&job).await,
            Some(Command::Status) => {
                let answer = self.status_of(&job).await?;
                return self.answer_command(job, "status", answer, in_flight).await.map(|()| None);
            }
            Some(Command::Help) => {
                return self
                    .answer_command(job, "help", HELP.into(), in_flight)
                    .await
                    .map(|()| None);
            }
            Some(Command::Anew { word, rest }) => {
                job.begin = Begin::Anew(word);
                job.words = rest;
            }
            None => job.words = Some(message.text),
        }
        self.queue(job, in_flight).await.map(|()| None)
    }

    /// Puts a turn into its lane; when the lane is full the sender is told so.
    async fn queue(&self, job: Job, in_flight: Flight) -> Result<(), Error> {
        let (run, session) = (job.row.run.clone(), job.session.clone());
        match self.lanes.push(Work::Turn(Box::new(job)), in_flight) {
            Ok(0) => {}
            Ok(_) => self.core.tell(&run, &session, SignalKind::Queued),
            Err(job) => {
                let error = format!(
                    "{LANE_WAITING_MAX} messages wait here already. Wait for them, or send /stop."
                );
                let answer = format!("⚠️ {error}");
                let ending = Ending::Failed { error, code: "lane-full".into() };
                let told = self.tell_others(&job, &ending);
                job.close("refused", "lane-full", Some(answer), told).await?;
                self.core.tell(&run, &session, SignalKind::Finished(ending));
            }
        }
        Ok(())
    }

    /// An edit replaces what still waits; a message that was taken up stays as it was.
    async fn edit(&self, job: &Job, of: &ExternalId, message: MessageText) -> Result<(), Error> {
        let waiting = match self.was_taken_up(&job.session, of).await? {
            true => None,
            false => self.lanes.replace(&job.session, of, &message),
        };
        let Some(waiting) = waiting else {
            let why = "the message was already taken up";
            return job.close("ignored", why, None, Vec::new()).await;
        };
        job.close("replaced", "", None, vec![Change::Replace(waiting.row.id, message)]).await
    }

    /// Whether a message that waits here was taken up before, by an earlier process.
    async fn was_taken_up(&self, session: &SessionKey, of: &ExternalId) -> Result<bool, Error> {
        let Some(run) = self.lanes.left_over(session, of) else { return Ok(false) };
        let events = self.core.store.run_events(&run).await?;
        Ok(events.iter().any(|event| matches!(event.body, EventBody::RunStarted { .. })))
    }

    async fn stop_command(&self, job: &Job) -> Result<Option<Vec<RunId>>, Error> {
        let (run, cause) = neighbours::asked_to_stop(&job.row.inbound);
        let stopped = self.stop(&job.session, run.as_ref(), cause).await?;
        let answer = if stopped.is_empty() { commands::NOTHING_TO_STOP } else { commands::STOPPED };
        job.close("command", "stop", Some(answer.into()), Vec::new()).await?;
        Ok(job.target().is_none().then_some(stopped))
    }

    async fn status_of(&self, job: &Job) -> Result<String, Error> {
        let session = self.core.store.session(&job.session).await?;
        let card = self.turns.status(&job.agent, session.as_ref());
        let mut text = card.render(&job.session, self.lanes.depth(&job.session));
        if let Some(silence) = self.lanes.stalled(&job.session) {
            text.push_str(&format!(
                "\n⏳ The running turn shows nothing for {} s",
                silence.as_secs()
            ));
        }
        Ok(text)
    }

    /// Answers a command: on a channel through the outbox, to a client at once as a signal, with
    /// the transcript entry following in its lane.
    async fn answer_command(
        &self,
        job: Job,
        name: &str,
        answer: String,
        in_flight: Flight,
    ) -> Result<(), Error> {
        if job.target().is_some() {
            return job.close("command", name, Some(answer), Vec::new()).await;
        }
        let message = AssistantMessage::injected(answer);
        self.core.tell(&job.row.run, &job.session, SignalKind::Injected(message.clone().into()));
        if let Err(job) = self.lanes.push(Work::Note(Box::new(job), message), in_flight) {
            job.close("command", name, None, Vec::new()).await?;
        }
        Ok(())
    }
}

impl Core {
    /// Closes the row of somebody who may not speak.
    async fn refuse(&self, row: &InboxRow, rule: &str) -> Result<(), Error> {
        let state = InboxState::Closed {
            outcome: "refused".into(),
            detail: rule.into(),
            rule: None,
            at: self.scribe.now(),
        };
        self.store.commit(&self.fence, vec![Change::Advance(row.id, state)]).await?;
        Ok(())
    }
}

/// One gate for every kind of event and every surface. What was admitted once stays admitted.
async fn decide(core: &Core, row: &InboxRow) -> Result<Decision, Error> {
    let inbound = &row.inbound;
    let chat = match &inbound.origin {
        Origin::Person { address, .. } => address.kind,
        Origin::Operator(_) => ChatKind::Direct,
    };
    if let InboxState::Admitted { rule, session, .. } = &row.state {
        let agent = core.with_router(|router| router.agent_of(session));
        return Ok(Decision::Admit { rule: rule.clone(), agent, session: session.clone(), chat });
    }
    let (sender, address) = match &inbound.origin {
        Origin::Operator(operator) => {
            let session = operator.session.clone();
            let agent = core.with_router(|router| router.agent_of(&session));
            return Ok(Decision::Admit { rule: OPERATOR_RULE.into(), agent, session, chat });
        }
        Origin::Person { sender, address } => (sender, address),
    };
    let (mentions_us, command_word) = match &inbound.kind {
        InboundKind::Message(message) | InboundKind::Edit { message, .. } => (
            message.mentions_us,
            message.text.starts_with('/') && Command::parse(&message.text).is_some(),
        ),
        _ => (false, false),
    };
    let attempt = Attempt {
        event: (&inbound.kind).into(),
        kind: address.kind,
        sender: &sender.id,
        chat: &address.chat,
        thread: address.thread.as_ref(),
        mentions_us,
        command_word,
    };
    let policy = core.policy(&inbound.channel, &inbound.account);
    let mut answer = may_speak(&policy, &attempt, DmGrant::None);
    // A grant only ever lets in, so it is looked up for those alone who are not let in without.
    if address.kind == ChatKind::Direct
        && !matches!(answer, Speak::Admit { .. })
        && core.store.granted(&inbound.channel, &inbound.account, &sender.id).await?
    {
        answer = may_speak(&policy, &attempt, DmGrant::Given);
    }
    Ok(match answer {
        Speak::Refuse { rule } => Decision::Refuse { rule },
        Speak::Pair { rule } => Decision::Pair { rule },
        Speak::Admit { rule } => {
            let routed = core.with_router(|router| {
                router.route(&inbound.channel, &inbound.account, sender, address)
            });
            Decision::Admit {
                rule: rule.into(),
                agent: routed.agent,
                session: routed.session,
                chat,
            }
        }
    })
}

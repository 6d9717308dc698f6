//! What delivery asks of the agents: run a turn, note a command, say how a session is doing.

use async_trait::async_trait;
use claw_delivery::{Error, Job, StatusCard, Stop, Turns};
use claw_domain::{
    AgentId, AssistantMessage, Ending, EntryBody, EventBody, Session, SignalKind, Timestamp,
};
use tracing::{Instrument, info, info_span};

use crate::{
    agents::Agents,
    context::estimate,
    driver::{Driver, window_of},
    log::Log,
};

#[async_trait]
impl Turns for Agents {
    async fn run(&self, job: &Job, stop: &Stop) -> Result<Ending, Error> {
        let span =
            info_span!("turn", session = %job.session, run = %job.row.run, agent = %job.agent);
        async {
            if let Some(ending) = self.ended(job).await? {
                self.tell(&job.row.run, &job.session, SignalKind::Finished(ending.clone()));
                return Ok(ending);
            }
            let mut driver = Driver::begin(self, job, stop).await?;
            self.tell(&job.row.run, &job.session, SignalKind::Started);
            let ending = driver.drive().await?;
            info!(ending = ending_word(&ending), "turn ended");
            self.tell(&job.row.run, &job.session, SignalKind::Finished(ending.clone()));
            Ok(ending)
        }
        .instrument(span)
        .await
    }

    async fn note(&self, job: &Job, answer: AssistantMessage) -> Result<(), Error> {
        let session = self.store.session(&job.session).await?;
        let mut log = Log::new(self, job, session);
        if log.session.is_none() {
            log.open("first");
        }
        let text = answer.text();
        let tokens = estimate(text.len());
        log.entry(tokens, EntryBody::Assistant(answer));
        log.finish(&Ending::Replied { text }).await
    }

    fn status(&self, agent: &AgentId, session: Option<&Session>) -> StatusCard {
        let spec = self.spec(agent);
        let model = self.model_of(&spec, session);
        let resolved = self.models().resolve(&model);
        let window = resolved.as_ref().map_or(0, |resolved| window_of(&spec, resolved));
        let thinking = resolved
            .as_ref()
            .map_or("off", |resolved| self.thinking_of(&spec, session, &resolved.info).as_str());
        let usage = session.map(|session| session.usage).unwrap_or_default();
        StatusCard {
            version: self.version.into(),
            model: model.to_string(),
            auth: resolved.map_or("not configured", |resolved| resolved.auth).into(),
            tokens: (usage.prompt(), usage.output),
            context: (session.map_or(0, |session| session.prompt_tokens), window),
            compactions: session.map_or(0, |session| session.compactions),
            thinking: thinking.into(),
            updated: session.map_or_else(
                || "never".into(),
                |session| ago(session.updated_at, self.scribe.now()),
            ),
            cost: session
                .filter(|session| session.cost > 0.0)
                .map(|session| format!("${:.4}", session.cost)),
        }
    }
}

impl Agents {
    /// How a turn ended that an earlier process or try had begun: its last commit may have been kept
    /// though the store failed to say so.
    async fn ended(&self, job: &Job) -> Result<Option<Ending>, Error> {
        if !job.resume {
            return Ok(None);
        }
        let events = self.store.run_events(&job.row.run).await?;
        Ok(events.into_iter().find_map(|event| match event.body {
            EventBody::RunFinished { ending, .. } => Some(ending),
            _ => None,
        }))
    }
}

fn ending_word(ending: &Ending) -> &'static str {
    match ending {
        Ending::Replied { .. } => "replied",
        Ending::Stopped { .. } => "stopped",
        Ending::Failed { .. } => "failed",
    }
}

/// `just now`, `5m ago`, `3h ago`, `2d ago`.
fn ago(then: Timestamp, now: Timestamp) -> String {
    match now.duration_since(then).as_secs() / 60 {
        ..=0 => "just now".into(),
        minutes @ 1..60 => format!("{minutes}m ago"),
        minutes @ 60..1440 => format!("{}h ago", minutes / 60),
        minutes => format!("{}d ago", minutes / 1440),
    }
}

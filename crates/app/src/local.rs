//! The same parts in this process, for a command line without a gateway.

use std::{io::BufRead, path::Path, sync::Arc, time::Duration};

use claw_config::Config;
use claw_delivery::{Delivery, Submitted, pairing};
use claw_domain::{
    ChannelId, Ending, Inbound, InboundKind, MessageText, Operator, Origin, RunId, Session, Signal,
    SignalKind,
};
use claw_openclaw as openclaw;
use claw_store::{PairingRequest, SessionFilter};
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::{
    Home, Layers, StartError,
    engine::{Engine, Env, WithChannels},
    settings::Settings,
};

/// Most signals that wait for the one listener; text beyond it is not shown, the answer is.
const SIGNALS_MAX: usize = 4096;

/// How long a turn may take to end once the process wants to.
const GRACE: Duration = Duration::from_secs(2);

/// Store and agents in this process. Holds the state folder, so no gateway can run meanwhile.
pub struct Local {
    engine: Engine,
    signals: mpsc::Receiver<Signal>,
}

/// What the agent answered.
#[derive(Debug, Clone, PartialEq)]
pub struct LocalReply {
    /// The run.
    pub run: RunId,
    /// The session's canonical key.
    pub session: claw_domain::SessionKey,
    /// How it ended.
    pub ending: Ending,
}

impl Local {
    /// Opens the store and builds the agents; no channel runs.
    ///
    /// # Errors
    /// [`StartError::Held`] when a gateway runs on the state folder, and what else stops a start.
    pub async fn open(home: &Home, config: &Config, env: &Env) -> Result<Self, StartError> {
        let (tx, signals) = mpsc::channel(SIGNALS_MAX);
        let listener = Arc::new(move |signal| {
            // A full queue loses what is volatile; the end of a run is waited for below.
            let _full_or_closed = tx.try_send(signal);
        });
        let settings = Settings::read(config).map_err(StartError::Config)?;
        let layers = Layers::default();
        let engine =
            Engine::open(home, config, settings, env, listener, WithChannels::No, layers).await?;
        Ok(Self { engine, signals })
    }

    /// Asks the agent once, handing every signal of the run to `hear` as it comes.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn ask(
        &mut self,
        message: &str,
        session: &str,
        timeout: Option<Duration>,
        mut hear: impl FnMut(&SignalKind),
    ) -> Result<LocalReply, StartError> {
        let run = RunId::from(Uuid::new_v4().to_string());
        let session = self.engine.delivery.router().canonical(session);
        let operator = Operator {
            client: "cli".into(),
            session: session.clone(),
            run: run.clone(),
            extra_system_prompt: None,
            timeout_ms: timeout.and_then(|timeout| u64::try_from(timeout.as_millis()).ok()),
        };
        let inbound = Inbound {
            channel: "cli".into(),
            account: "default".into(),
            external_id: run.as_str().into(),
            at: self.engine.scribe.now(),
            origin: Origin::Operator(operator),
            kind: InboundKind::Message(MessageText {
                text: message.into(),
                ..MessageText::default()
            }),
        };
        let ended = |ending| LocalReply { run: run.clone(), session: session.clone(), ending };
        // The lane may be another gateway's, which runs it then.
        self.engine.delivery.follow_others().await?;
        match self.engine.delivery.submit(inbound).await? {
            Submitted::Started => {}
            Submitted::Stopped(_) | Submitted::InFlight | Submitted::Closed { .. } => {
                return Ok(ended(Ending::Replied { text: String::new() }));
            }
        }
        while let Some(signal) = self.signals.recv().await {
            if signal.run != run {
                continue;
            }
            hear(&signal.kind);
            match signal.kind {
                SignalKind::Finished(ending) => return Ok(ended(ending)),
                SignalKind::Injected(message) => {
                    return Ok(ended(Ending::Replied { text: message.text() }));
                }
                _ => {}
            }
        }
        Err(StartError::Internal("the run ended without a word".into()))
    }

    /// The pairing requests that wait.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn pairings(
        &self,
        channel: Option<&ChannelId>,
    ) -> Result<Vec<PairingRequest>, StartError> {
        Ok(pairing::pending(&*self.engine.store, self.engine.scribe.now(), channel).await?)
    }

    /// Lets in whoever has this code.
    ///
    /// # Errors
    /// When nobody has it, or the store fails.
    pub async fn approve(
        &self,
        channel: &ChannelId,
        code: &str,
    ) -> Result<PairingRequest, StartError> {
        let tries = std::sync::Mutex::default();
        let engine = &self.engine;
        Ok(pairing::approve(&*engine.store, &engine.fence, &engine.scribe, &tries, channel, code)
            .await?)
    }

    /// Inbox and outbox, and why things went as they did. Nothing is sent by this process.
    pub fn delivery(&self) -> &Delivery {
        &self.engine.delivery
    }

    /// All sessions, the newest first.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn sessions(&self) -> Result<Vec<Session>, StartError> {
        Ok(self.engine.store.sessions(&SessionFilter::default()).await?)
    }

    /// Takes in another installation's log, as history.
    ///
    /// # Errors
    /// As [`claw_log::import`].
    pub async fn import_log(
        &self,
        input: impl BufRead,
    ) -> Result<claw_log::Imported, claw_log::Error> {
        claw_log::import(&*self.engine.store, &self.engine.fence, input).await
    }

    /// Reads the sessions of an OpenClaw state folder into the store.
    ///
    /// # Errors
    /// As [`openclaw::import`].
    pub async fn import_openclaw(
        &self,
        folder: &Path,
        wish: &openclaw::Wish,
    ) -> Result<openclaw::Imported, openclaw::Error> {
        let Engine { store, fence, scribe, .. } = &self.engine;
        openclaw::import(&**store, fence, scribe.now(), folder, wish).await
    }

    /// Writes all sessions into a folder as OpenClaw keeps them.
    ///
    /// # Errors
    /// As [`openclaw::export`].
    pub async fn export_openclaw(
        &self,
        folder: &Path,
    ) -> Result<openclaw::Exported, openclaw::Error> {
        openclaw::export(&*self.engine.store, folder).await
    }

    /// Lets what runs end, and closes the store.
    ///
    /// # Errors
    /// When the store fails to close.
    pub async fn close(self) -> Result<(), StartError> {
        self.engine.delivery.shutdown(GRACE).await;
        if let Some(membership) = &self.engine.membership {
            membership.leave().await;
        }
        Ok(self.engine.store.close().await?)
    }
}

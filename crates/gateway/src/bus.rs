//! Where the signals of runs become events: made first, and given to delivery and the gateway.

use std::sync::{Arc, Mutex};

use claw_delivery::Listener;
use claw_domain::{RunId, Session, SessionKey, Signal, SignalKind, StopCause, Timestamp};
use claw_protocol::{agent, chat};
use tokio::sync::Notify;

use crate::{
    Limits,
    hub::Hub,
    locked,
    mailbox::Patience,
    runs::{Asker, End, Output, Runs},
};

/// Carries signals to whoever is connected. Cloning it gives another handle on the same bus.
#[derive(Debug, Clone)]
pub struct Bus(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    limits: Limits,
    hub: Hub,
    runs: Mutex<Runs>,
    run_ended: Notify,
}

/// Keeps the events of one run back. Dropped without [`Hold::release`], the run will never begin
/// and is forgotten.
#[must_use]
pub(crate) struct Hold {
    bus: Bus,
    /// `None` when somebody else keeps them back, or they flow already.
    run: Option<RunId>,
}

impl Hold {
    /// Lets the events go, those that were kept back first.
    pub(crate) fn release(mut self) {
        let Some(run) = self.run.take() else { return };
        let inner = &self.bus.0;
        let mut runs = locked(&inner.runs);
        let outputs = runs.release(&run);
        self.bus.send(outputs);
        drop(runs);
        inner.run_ended.notify_waiters();
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if let Some(run) = &self.run {
            locked(&self.bus.0.runs).forget(run);
        }
    }
}

impl Bus {
    /// A bus that nobody listens to yet.
    pub fn new(limits: Limits) -> Self {
        let hub = Hub::new(&limits);
        Self(Arc::new(Inner { limits, hub, runs: Mutex::default(), run_ended: Notify::new() }))
    }

    /// What delivery and agents tell their signals to.
    ///
    /// It never waits: a signal is encoded once and put into the bounded queue of each socket.
    pub fn listener(&self) -> Listener {
        let bus = self.clone();
        Arc::new(move |signal| bus.hear(signal))
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.0.limits
    }

    pub(crate) fn hub(&self) -> &Hub {
        &self.0.hub
    }

    fn hear(&self, signal: Signal) {
        let over = matches!(signal.kind, SignalKind::Finished(_) | SignalKind::Injected(_));
        let mut runs = locked(&self.0.runs);
        runs.nobody_listens(self.hub().is_empty());
        let outputs = runs.hear(signal);
        // Under the lock, so that a run's events leave in the order of its signals.
        self.send(outputs);
        drop(runs);
        if over {
            self.0.run_ended.notify_waiters();
        }
    }

    /// Keeps a run's events back until its asker has its answer.
    pub(crate) fn hold(&self, run: &RunId, session: &SessionKey, asker: Asker) -> Hold {
        let held = locked(&self.0.runs).hold(run, session, asker);
        Hold { bus: self.clone(), run: held.then(|| run.clone()) }
    }

    /// Tells clients at once that these runs are stopped. Returns the ids that they know them by.
    pub(crate) fn abort(&self, stopped: &[RunId], cause: StopCause, now: Timestamp) -> Vec<RunId> {
        let mut runs = locked(&self.0.runs);
        let mut told = Vec::with_capacity(stopped.len());
        for run in stopped {
            told.push(runs.public(run));
            let outputs = runs.abort(run, cause, now.as_millisecond());
            self.send(outputs);
        }
        told
    }

    pub(crate) fn behind(&self, public: &RunId) -> RunId {
        locked(&self.0.runs).behind(public)
    }

    pub(crate) fn learn(&self, session: &Session) {
        locked(&self.0.runs).learn(session);
    }

    /// The session of a run that goes on.
    pub(crate) fn session_of(&self, run: &RunId) -> Option<SessionKey> {
        locked(&self.0.runs).session_of(run)
    }

    /// How a run ended, if it did so lately.
    pub(crate) fn known_end(&self, run: &RunId) -> Option<End> {
        locked(&self.0.runs).ended(run).cloned()
    }

    /// Waits for a run's end. A run that never was is waited for as well.
    ///
    /// # Cancel safety
    /// Cancel-safe.
    pub(crate) async fn ended(&self, run: &RunId) -> End {
        loop {
            let mut rung = std::pin::pin!(self.0.run_ended.notified());
            rung.as_mut().enable();
            if let Some(end) = locked(&self.0.runs).ended(run) {
                return end.clone();
            }
            rung.await;
        }
    }

    fn send(&self, outputs: Vec<Output>) {
        let hub = self.hub();
        for output in outputs {
            match output {
                Output::Agent(payload) => hub.broadcast(agent::EVENT, Patience::Must, || payload),
                Output::Tool(session, payload) => {
                    hub.tell_followers(&session, agent::EVENT, || payload);
                }
                Output::Delta(payload) => hub.broadcast(chat::EVENT, Patience::May, || payload),
                Output::Chat(payload) => hub.broadcast(chat::EVENT, Patience::Must, || payload),
            }
        }
    }
}

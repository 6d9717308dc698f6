//! What clients see of runs: signals in, `agent` and `chat` events out.

mod live;

use std::collections::{HashMap, VecDeque};

use claw_domain::{RunId, Session, SessionKey, Signal, SignalKind, StopCause};
use serde_json::Value;

use live::{Levels, Live, Over};

/// Runs whose end is remembered for `agent.wait`, and for how long.
const ENDED_MAX: usize = 1000;
const ENDED_AGE_MS_MAX: i64 = 10 * 60 * 1000;

/// An event to send.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Output {
    /// An `agent` event for everybody.
    Agent(Value),
    /// An `agent` event for those who follow the session's tools.
    Tool(SessionKey, Value),
    /// A `chat` event that a slow client may miss: the next one says it again.
    Delta(Value),
    /// A `chat` event that must arrive.
    Chat(Value),
}

/// Who asked for a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Asker {
    /// `chat.send`, which named the session so.
    Chat {
        /// The session's key as the client wrote it.
        session_key: String,
    },
    /// `agent`, which waits for the end.
    Agent,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct End {
    /// Why it failed, if it did.
    pub(crate) error: Option<String>,
    /// When it began, if it did. Unit: milliseconds since 1970.
    pub(crate) started_at: Option<i64>,
    /// When it ended. Unit: milliseconds since 1970.
    pub(crate) ended_at: i64,
    /// What was said, for an asker that waits for it.
    pub(crate) text: Option<String>,
}

/// The runs that go on, and those that ended lately. Pure: signals and times come in.
#[derive(Debug, Default)]
pub(crate) struct Runs {
    live: HashMap<RunId, Live>,
    held: HashMap<RunId, Held>,
    ended: VecDeque<(RunId, End)>,
    levels: HashMap<SessionKey, Levels>,
    /// Nobody is connected: growing texts are kept and not told.
    nobody: bool,
}

/// A run whose asker is to have its answer first.
#[derive(Debug)]
struct Held {
    session: SessionKey,
    asker: Asker,
    signals: Vec<Signal>,
}

impl Runs {
    /// Keeps a run's signals back until its asker has its answer. To be called before the run can
    /// begin, and, when it returns true, followed by [`Runs::release`] or [`Runs::forget`]. It
    /// returns false for a run that goes on or is kept back already.
    pub(crate) fn hold(&mut self, run: &RunId, session: &SessionKey, asker: Asker) -> bool {
        if self.live.contains_key(run) || self.held.contains_key(run) {
            return false;
        }
        let held = Held { session: session.clone(), asker, signals: Vec::new() };
        self.held.insert(run.clone(), held);
        true
    }

    /// Lets a run's signals go, those kept back first.
    pub(crate) fn release(&mut self, run: &RunId) -> Vec<Output> {
        let Some(held) = self.held.remove(run) else { return Vec::new() };
        self.live.insert(run.clone(), Live::new(run, &held.session, Some(held.asker)));
        held.signals.into_iter().flat_map(|signal| self.hear(signal)).collect()
    }

    /// Forgets a run that will never begin.
    pub(crate) fn forget(&mut self, run: &RunId) {
        self.held.remove(run);
    }

    /// Says whether anybody is connected.
    pub(crate) fn nobody_listens(&mut self, nobody: bool) {
        self.nobody = nobody;
    }

    /// Takes a signal; what clients are to be told of it.
    pub(crate) fn hear(&mut self, signal: Signal) -> Vec<Output> {
        if let Some(held) = self.held.get_mut(&signal.run) {
            held.signals.push(signal);
            return Vec::new();
        }
        let levels = self.levels.get(&signal.session).copied().unwrap_or_default();
        let live = self
            .live
            .entry(signal.run.clone())
            .or_insert_with(|| Live::new(&signal.run, &signal.session, None));
        let now = signal.at.as_millisecond();
        if let (SignalKind::Text(piece), true) = (&signal.kind, self.nobody) {
            live.append(piece);
            live.count();
            return Vec::new();
        }
        let (outputs, end) = live.hear(signal.kind, levels, now);
        if let Some(Over(error)) = end {
            let Live { started_at, asker, text, .. } =
                self.live.remove(&signal.run).expect("it was entered above");
            let text = (asker == Some(Asker::Agent)).then_some(text);
            self.remember(signal.run, End { error, started_at, ended_at: now, text });
        }
        outputs
    }

    /// Tells clients at once that a run is stopped. What it still does is not shown.
    pub(crate) fn abort(&mut self, run: &RunId, cause: StopCause, now: i64) -> Vec<Output> {
        let Some(live) = self.live.get_mut(run) else { return Vec::new() };
        live.aborted(cause, now)
    }

    /// The id that clients know a run by.
    pub(crate) fn public(&self, run: &RunId) -> RunId {
        self.live.get(run).map_or_else(|| run.clone(), |live| live.public.clone())
    }

    /// The run that clients know by this id.
    pub(crate) fn behind(&self, public: &RunId) -> RunId {
        let alias = self.live.iter().find(|(_, live)| live.public == *public);
        alias.map_or_else(|| public.clone(), |(run, _)| run.clone())
    }

    /// How a run ended, if it did so lately.
    pub(crate) fn ended(&self, run: &RunId) -> Option<&End> {
        self.ended.iter().rev().find(|(ended, _)| ended == run).map(|(_, end)| end)
    }

    /// The session of a run that goes on.
    pub(crate) fn session_of(&self, run: &RunId) -> Option<SessionKey> {
        self.live.get(run).map(|live| live.session.clone())
    }

    /// Takes over what a session chose to see.
    pub(crate) fn learn(&mut self, session: &Session) {
        let settings = &session.settings;
        let levels = Levels {
            whole_results: settings.verbose_level.as_deref() == Some("full"),
            thinking: settings.other.get("reasoningLevel").is_some_and(|level| level == "stream"),
        };
        if levels == Levels::default() {
            self.levels.remove(&session.key);
        } else {
            self.levels.insert(session.key.clone(), levels);
        }
    }

    fn remember(&mut self, run: RunId, end: End) {
        let oldest = end.ended_at - ENDED_AGE_MS_MAX;
        while self.ended.len() >= ENDED_MAX
            || self.ended.front().is_some_and(|(_, end)| end.ended_at < oldest)
        {
            self.ended.pop_front();
        }
        self.ended.push_back((run, end));
    }
}

#[cfg(test)]
mod tests;

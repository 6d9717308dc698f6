//! What clients see of runs: signals in, `agent` and `chat` events out.

use std::collections::{HashMap, VecDeque};

use claw_domain::{Block, Ending, RunId, SessionKey, Session, Signal, SignalKind, StopCause};
use claw_protocol::{
    agent::{Data, Lifecycle, Tool},
    chat::{self, AbortReason, State},
    limits::CHAT_DELTA_INTERVAL,
};
use serde_json::Value;
use uuid::Uuid;

/// A reply of exactly this word is not shown (OpenClaw's silent token).
const SILENT: &str = claw_delivery::SILENT_REPLY;

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

/// What sessions chose to see. The default is neither.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Levels {
    whole_results: bool,
    thinking: bool,
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

#[derive(Debug)]
struct Live {
    /// The id that clients know it by.
    public: RunId,
    session: SessionKey,
    asker: Option<Asker>,
    seq: u64,
    started_at: Option<i64>,
    /// The reply so far: answers before tool calls, then the present one from `answer` on.
    text: String,
    answer: usize,
    thinking: String,
    delta_at: Option<i64>,
    /// Clients were told that it was stopped, and hear no more of it.
    told_off: bool,
}

impl Runs {
    /// Keeps a run's signals back until its asker has its answer. To be called before the run can
    /// begin, and followed by [`Runs::release`] or [`Runs::forget`] whatever happens.
    pub(crate) fn hold(&mut self, run: &RunId, session: &SessionKey, asker: Asker) {
        if !self.live.contains_key(run) {
            let held = Held { session: session.clone(), asker, signals: Vec::new() };
            self.held.insert(run.clone(), held);
        }
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

/// Why a run failed, if it did.
struct Over(Option<String>);

impl Live {
    fn new(run: &RunId, session: &SessionKey, asker: Option<Asker>) -> Self {
        Self {
            public: run.clone(),
            session: session.clone(),
            asker,
            seq: 0,
            started_at: None,
            text: String::new(),
            answer: 0,
            thinking: String::new(),
            delta_at: None,
            told_off: false,
        }
    }

    fn hear(&mut self, kind: SignalKind, levels: Levels, now: i64) -> (Vec<Output>, Option<Over>) {
        if self.told_off {
            let over = matches!(kind, SignalKind::Finished(_)).then_some(Over(None));
            return (Vec::new(), over);
        }
        let outputs = match kind {
            SignalKind::Queued => self.queued(now),
            SignalKind::Started => self.started(now),
            SignalKind::Text(piece) => self.grew(&piece, now),
            SignalKind::Thinking(piece) => self.thought(&piece, levels, now),
            SignalKind::Restarted => {
                self.text.truncate(self.answer);
                self.thinking.clear();
                Vec::new()
            }
            SignalKind::ToolStarted { call, name, arguments } => {
                self.next_answer();
                let (name, tool_call_id) = (&*name, call.as_str());
                vec![self.tool(Tool::Start { name, tool_call_id, args: &arguments }, now)]
            }
            SignalKind::ToolFinished(result) => {
                let whole = Value::from(result.text.as_str());
                let tool = Tool::Result {
                    name: &result.tool,
                    tool_call_id: result.call.as_str(),
                    meta: None,
                    is_error: result.is_error,
                    result: levels.whole_results.then_some(&whole),
                };
                vec![self.tool(tool, now)]
            }
            SignalKind::Injected(message) => {
                let text = text_of(&message.content);
                let message = Some(chat::injected(&text, now));
                let said = self.chat_as_asked(1, State::Final { message }, now);
                self.text = text;
                return (vec![Output::Chat(said)], Some(Over(None)));
            }
            SignalKind::Finished(ending) => {
                let error = match &ending {
                    Ending::Failed { error, .. } => Some(error.clone()),
                    Ending::Replied { .. } | Ending::Stopped { .. } => None,
                };
                if let Ending::Replied { text } = &ending {
                    self.text.clone_from(text);
                }
                return (self.finished(ending, now), Some(Over(error)));
            }
        };
        (outputs, None)
    }

    /// A message behind a busy session is answered at once without words, and its turn comes under
    /// another id.
    fn queued(&mut self, now: i64) -> Vec<Output> {
        if !matches!(self.asker, Some(Asker::Chat { .. })) {
            return Vec::new();
        }
        let said = self.chat_as_asked(1, State::Final { message: None }, now);
        self.public = RunId::from(Uuid::new_v4().to_string());
        vec![Output::Chat(said)]
    }

    fn started(&mut self, now: i64) -> Vec<Output> {
        if self.started_at.is_some() {
            // Begun again after the store had failed: what was said is said anew.
            self.text.clear();
            self.answer = 0;
            return Vec::new();
        }
        self.started_at = Some(now);
        vec![self.agent(Data::Lifecycle(Lifecycle::Start { started_at: now }), now)]
    }

    fn grew(&mut self, piece: &str, now: i64) -> Vec<Output> {
        let before = self.append(piece);
        let seq = self.count();
        let data = Data::Assistant { text: &self.text, delta: &self.text[before..] };
        let event = data.event(self.public.as_str(), self.session.as_str(), seq, now);
        let mut outputs = vec![Output::Agent(event)];
        let interval = CHAT_DELTA_INTERVAL.as_millis() as i64;
        let due = self.delta_at.is_none_or(|last| now - last >= interval);
        // A beginning of the silent token may become one.
        if due && !SILENT.starts_with(self.text.trim()) {
            self.delta_at = Some(now);
            outputs.push(Output::Delta(self.chat(seq, State::Delta { text: &self.text }, now)));
        }
        outputs
    }

    /// Adds to the reply; where the new part begins.
    fn append(&mut self, piece: &str) -> usize {
        let before = self.text.len();
        if before == self.answer && before > 0 {
            self.text.push_str("\n\n");
        }
        self.text.push_str(piece);
        before
    }

    fn thought(&mut self, piece: &str, levels: Levels, now: i64) -> Vec<Output> {
        if !levels.thinking {
            return Vec::new();
        }
        self.thinking.push_str(piece);
        let seq = self.count();
        let data = Data::Thinking { text: &self.thinking, delta: piece };
        vec![Output::Agent(data.event(self.public.as_str(), self.session.as_str(), seq, now))]
    }

    /// The answer before a tool call is over; silence is not kept.
    fn next_answer(&mut self) {
        let kept = self.text.trim_end().len();
        self.text.truncate(kept);
        if self.text[self.answer.min(kept)..].trim() == SILENT {
            self.text.truncate(self.answer.min(kept));
        }
        self.answer = self.text.len();
        self.thinking.clear();
    }

    fn finished(&mut self, ending: Ending, now: i64) -> Vec<Output> {
        match ending {
            Ending::Replied { text } => {
                let end = Lifecycle::End { ended_at: now, aborted: false };
                let ended = self.agent(Data::Lifecycle(end), now);
                let spoken = !text.trim().is_empty() && text.trim() != SILENT;
                let message = spoken.then(|| chat::reply(&text, now));
                vec![ended, Output::Chat(self.chat(self.seq, State::Final { message }, now))]
            }
            Ending::Stopped { cause, text } => {
                if !text.is_empty() {
                    self.text = text;
                }
                self.aborted(cause, now)
            }
            Ending::Failed { error, .. } => {
                let failed = Lifecycle::Error { error: &error, ended_at: now };
                let failed = self.agent(Data::Lifecycle(failed), now);
                vec![failed, Output::Chat(self.chat(self.seq, State::Error { message: &error }, now))]
            }
        }
    }

    fn aborted(&mut self, cause: StopCause, now: i64) -> Vec<Output> {
        if std::mem::replace(&mut self.told_off, true) {
            return Vec::new();
        }
        let reason = match cause {
            StopCause::Rpc => AbortReason::Rpc,
            StopCause::Command => AbortReason::Stop,
            StopCause::Timeout => AbortReason::Timeout,
        };
        let seq = self.count();
        let partial = (!self.text.is_empty()).then_some(self.text.as_str());
        vec![Output::Chat(self.chat(seq, State::Aborted { reason, partial }, now))]
    }

    fn count(&mut self) -> u64 {
        self.seq += 1;
        self.seq
    }

    fn agent(&mut self, data: Data<'_>, now: i64) -> Output {
        let seq = self.count();
        Output::Agent(data.event(self.public.as_str(), self.session.as_str(), seq, now))
    }

    fn tool(&mut self, tool: Tool<'_>, now: i64) -> Output {
        let seq = self.count();
        let event = Data::Tool(tool).event(self.public.as_str(), self.session.as_str(), seq, now);
        Output::Tool(self.session.clone(), event)
    }

    fn chat(&self, seq: u64, state: State<'_>, now: i64) -> Value {
        let run =
            chat::Run { run_id: self.public.as_str(), session_key: self.session.as_str(), seq };
        chat::event(run, state, now)
    }

    /// A `chat` event under the session key that the client itself had written.
    fn chat_as_asked(&self, seq: u64, state: State<'_>, now: i64) -> Value {
        let session_key = match &self.asker {
            Some(Asker::Chat { session_key }) => session_key,
            Some(Asker::Agent) | None => self.session.as_str(),
        };
        chat::event(chat::Run { run_id: self.public.as_str(), session_key, seq }, state, now)
    }
}

fn text_of(content: &[Block]) -> String {
    let texts = content.iter().filter_map(|block| match block {
        Block::Text { text } => Some(text.as_str()),
        _ => None,
    });
    texts.collect()
}

#[cfg(test)]
mod tests;

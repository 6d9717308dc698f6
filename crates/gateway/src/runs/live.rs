//! One run as clients see it: each signal becomes events, counted from 1.

use claw_domain::{Block, Ending, RunId, SessionKey, SignalKind, StopCause};
use claw_protocol::{
    agent::{Data, Lifecycle, Tool},
    chat::{self, AbortReason, State},
    limits::CHAT_DELTA_INTERVAL,
};
use serde_json::Value;
use uuid::Uuid;

use super::{Asker, Output};

/// A reply of exactly this word is not shown (OpenClaw's silent token).
const SILENT: &str = claw_delivery::SILENT_REPLY;

/// What sessions chose to see. The default is neither.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Levels {
    pub(super) whole_results: bool,
    pub(super) thinking: bool,
}

/// A run that goes on.
#[derive(Debug)]
pub(super) struct Live {
    /// The id that clients know it by.
    pub(super) public: RunId,
    pub(super) session: SessionKey,
    pub(super) asker: Option<Asker>,
    seq: u64,
    pub(super) started_at: Option<i64>,
    /// The reply so far: answers before tool calls, then the present one from `answer` on.
    pub(super) text: String,
    answer: usize,
    thinking: String,
    delta_at: Option<i64>,
    /// Clients were told that it was stopped, and hear no more of it.
    told_off: bool,
}

/// Why a run failed, if it did.
pub(super) struct Over(pub(super) Option<String>);

impl Live {
    pub(super) fn new(run: &RunId, session: &SessionKey, asker: Option<Asker>) -> Self {
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

    pub(super) fn hear(
        &mut self,
        kind: SignalKind,
        levels: Levels,
        now: i64,
    ) -> (Vec<Output>, Option<Over>) {
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
            SignalKind::Stalled(silence) => {
                let silent_ms = silence.as_millis() as u64;
                vec![self.agent(Data::Lifecycle(Lifecycle::Stalled { silent_ms }), now)]
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
    pub(super) fn append(&mut self, piece: &str) -> usize {
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
                vec![
                    failed,
                    Output::Chat(self.chat(self.seq, State::Error { message: &error }, now)),
                ]
            }
        }
    }

    pub(super) fn aborted(&mut self, cause: StopCause, now: i64) -> Vec<Output> {
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

    pub(super) fn count(&mut self) -> u64 {
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

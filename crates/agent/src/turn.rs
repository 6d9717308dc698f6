//! What a turn wants next: a pure machine, folded from inputs that the log keeps.
//!
//! It has no clock, no socket and no await. [`Turn::wants`] is a function of the inputs handled so
//! far, so replaying the recorded inputs of a killed process gives exactly the state that it had.

use std::{collections::VecDeque, sync::Arc};

use claw_domain::{
    AssistantMessage, Ending, EntryBody, Event, EventBody, StopCause, StopReason, ToolCallId,
    ToolResult,
};
use serde_json::{Value, json};

/// The longest turn, counted in model calls.
pub const STEPS_MAX: usize = 100;

/// Something that happened to a turn. All but [`Input::Resumed`] are in the log.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// The model's whole answer.
    Answered(Arc<AssistantMessage>),
    /// The model failed for good.
    AnswerFailed {
        /// What people are told.
        error: String,
        /// The stable code.
        code: String,
    },
    /// A tool is about to run.
    ToolStarted(ToolCallId),
    /// A tool call has its result.
    ToolFinished(ToolCallId),
    /// Somebody asked to stop, or the time is up.
    StopAsked {
        /// Who or what.
        cause: StopCause,
        /// What the model had said of an answer that will not be whole.
        said: String,
    },
    /// Another process goes on: of a tool that was running nobody knows the outcome.
    Resumed,
}

/// What a turn wants done.
#[derive(Debug, Clone, PartialEq)]
pub enum Want {
    /// Ask the model.
    Ask,
    /// Record that this call starts.
    Start(ToolCall),
    /// Run this call; its start is recorded.
    Run(ToolCall),
    /// Record this result; nothing runs for it.
    Record(ToolResult),
    /// End the turn.
    Finish(Ending),
}

/// One call of a tool.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolCall {
    /// The call's id.
    pub id: ToolCallId,
    /// The tool's name.
    pub name: String,
    /// Its arguments; a string when the model's text was not JSON.
    pub arguments: Value,
}

/// One turn of one session.
#[derive(Debug, Clone)]
pub struct Turn {
    state: State,
    steps: usize,
    tokens: u64,
    tokens_max: u64,
    said: Vec<String>,
    stop: Option<StopCause>,
}

#[derive(Debug, Clone)]
enum State {
    Asking,
    Tools { current: Call, waiting: VecDeque<ToolCall> },
    Over(Ending),
}

#[derive(Debug, Clone)]
enum Call {
    Waiting(ToolCall),
    Started(ToolCall),
    Lost(ToolCall),
}

impl Turn {
    /// A turn whose first message is in the transcript. It spends at most `tokens_max` tokens.
    pub fn new(tokens_max: u64) -> Self {
        Self { state: State::Asking, steps: 0, tokens: 0, tokens_max, said: Vec::new(), stop: None }
    }

    /// The input that a recorded event was, if it was one.
    pub fn input(event: &Event) -> Option<Input> {
        match &event.body {
            EventBody::EntryAdded(entry) => match &entry.body {
                EntryBody::Assistant(message) if message.stop != StopReason::Aborted => {
                    Some(Input::Answered(Arc::new(message.clone())))
                }
                EntryBody::ToolResult(result) => Some(Input::ToolFinished(result.call.clone())),
                EntryBody::Assistant(_)
                | EntryBody::User(_)
                | EntryBody::Compaction { .. }
                | EntryBody::Foreign { .. } => None,
            },
            EventBody::AnswerFailed { error, code, .. } => {
                Some(Input::AnswerFailed { error: error.clone(), code: code.clone() })
            }
            EventBody::ToolStarted { call, .. } => Some(Input::ToolStarted(call.clone())),
            EventBody::StopAsked { cause, said, .. } => {
                Some(Input::StopAsked { cause: *cause, said: said.clone() })
            }
            _ => None,
        }
    }

    /// Takes what happened. An input that does not fit the state changes nothing.
    pub fn handle(&mut self, input: Input) {
        match input {
            Input::Answered(message) => self.answered(&message),
            Input::AnswerFailed { error, code } => self.over(Ending::Failed { error, code }),
            Input::ToolStarted(id) => {
                if let State::Tools { current, .. } = &mut self.state
                    && let Call::Waiting(call) = current
                    && call.id == id
                {
                    *current = Call::Started(call.clone());
                }
            }
            Input::ToolFinished(id) => self.finished(&id),
            Input::StopAsked { cause, said } => {
                self.stop.get_or_insert(cause);
                if let State::Asking = self.state {
                    self.say(&said);
                    let text = self.text();
                    self.over(Ending::Stopped { cause, text });
                }
            }
            Input::Resumed => {
                if let State::Tools { current, .. } = &mut self.state
                    && let Call::Started(call) = current
                {
                    *current = Call::Lost(call.clone());
                }
            }
        }
    }

    /// What is to be done now.
    pub fn wants(&self) -> Want {
        match &self.state {
            State::Over(ending) => Want::Finish(ending.clone()),
            State::Asking => Want::Ask,
            State::Tools { current, .. } => match current {
                Call::Lost(call) => Want::Record(lost(call)),
                Call::Started(call) => Want::Run(call.clone()),
                Call::Waiting(call) if self.stop.is_some() => Want::Record(failed(call, SKIPPED)),
                Call::Waiting(call) => match &call.arguments {
                    Value::Object(_) => Want::Start(call.clone()),
                    _ => Want::Record(failed(call, NOT_JSON)),
                },
            },
        }
    }

    /// Whether the turn has ended.
    pub fn is_over(&self) -> bool {
        matches!(self.state, State::Over(_))
    }

    fn answered(&mut self, message: &AssistantMessage) {
        let State::Asking = self.state else { return };
        self.steps += 1;
        self.tokens += message.usage.total();
        self.say(&message.text());
        let mut calls: VecDeque<ToolCall> = message
            .tool_calls()
            .map(|(id, name, arguments)| ToolCall {
                id: id.clone(),
                name: name.into(),
                arguments: arguments.clone(),
            })
            .collect();
        self.state = match (calls.pop_front(), message.stop) {
            (Some(current), _) => State::Tools { current: Call::Waiting(current), waiting: calls },
            (None, StopReason::Length) => {
                self.say("[The answer reached the longest length allowed and stops here.]");
                State::Over(Ending::Replied { text: self.text() })
            }
            (None, StopReason::Error) => State::Over(Ending::Failed {
                error: message
                    .error
                    .clone()
                    .unwrap_or_else(|| "the model refused to answer".into()),
                code: "refused".into(),
            }),
            (None, StopReason::Stop | StopReason::ToolUse | StopReason::Aborted) => {
                State::Over(Ending::Replied { text: self.text() })
            }
        };
    }

    fn finished(&mut self, id: &ToolCallId) {
        let State::Tools { current, waiting } = &mut self.state else { return };
        let (Call::Waiting(call) | Call::Started(call) | Call::Lost(call)) = &*current;
        if call.id != *id {
            return;
        }
        if let Some(next) = waiting.pop_front() {
            *current = Call::Waiting(next);
            return;
        }
        self.state = match self.stop {
            Some(cause) => State::Over(Ending::Stopped { cause, text: self.text() }),
            None if self.steps >= STEPS_MAX => State::Over(Ending::Failed {
                error: format!(
                    "This took {STEPS_MAX} steps without an end and was stopped. Ask for less at a time."
                ),
                code: "steps".into(),
            }),
            None if self.tokens >= self.tokens_max => State::Over(Ending::Failed {
                error: format!(
                    "This used {} tokens without an end and was stopped. Ask for less at a time.",
                    self.tokens
                ),
                code: "tokens".into(),
            }),
            None => State::Asking,
        };
    }

    fn over(&mut self, ending: Ending) {
        if !self.is_over() {
            self.state = State::Over(ending);
        }
    }

    fn say(&mut self, text: &str) {
        let text = text.trim();
        if !text.is_empty() && text != claw_delivery::SILENT_REPLY {
            self.said.push(text.to_owned());
        }
    }

    fn text(&self) -> String {
        self.said.join("\n\n")
    }
}

const LOST: &str = "The outcome of this call is unknown: the gateway was restarted while it ran. It may have taken effect. Check before you do it again.";
const SKIPPED: &str = "Not run: the turn was stopped.";
const NOT_JSON: &str =
    "Not run: the arguments are not a JSON object. Send the call again with valid JSON.";

fn lost(call: &ToolCall) -> ToolResult {
    let details = json!({"outcome": claw_delivery::OUTCOME_UNKNOWN});
    ToolResult { details, ..failed(call, LOST) }
}

fn failed(call: &ToolCall, text: &str) -> ToolResult {
    ToolResult {
        call: call.id.clone(),
        tool: call.name.clone(),
        text: text.into(),
        is_error: true,
        details: Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use claw_domain::{Block, Usage};
    use proptest::prelude::*;

    fn answer(text: &str, calls: &[(&str, Value)]) -> Input {
        let mut content = vec![Block::Text { text: text.into() }];
        content.extend(calls.iter().map(|(id, arguments)| Block::ToolCall {
            id: (*id).into(),
            name: "exec".into(),
            arguments: arguments.clone(),
        }));
        Input::Answered(Arc::new(AssistantMessage {
            content,
            stop: if calls.is_empty() { StopReason::Stop } else { StopReason::ToolUse },
            usage: Usage { output: 10, ..Usage::default() },
            ..AssistantMessage::injected("")
        }))
    }

    fn call(id: &str) -> ToolCall {
        ToolCall { id: id.into(), name: "exec".into(), arguments: json!({}) }
    }

    fn check(inputs: impl IntoIterator<Item = Input>, want: Want) {
        let mut turn = Turn::new(1_000);
        for input in inputs {
            turn.handle(input);
        }
        assert_eq!(turn.wants(), want);
    }

    fn replied(text: &str) -> Want {
        Want::Finish(Ending::Replied { text: text.into() })
    }

    #[test]
    fn a_turn_begins_by_asking_and_ends_with_the_answer() {
        check([], Want::Ask);
        check([answer("hello", &[])], replied("hello"));
    }

    #[test]
    fn tools_run_one_after_the_other_and_then_the_model_is_asked() {
        let two = answer("", &[("a", json!({})), ("b", json!({}))]);
        check([two.clone()], Want::Start(call("a")));
        check([two.clone(), Input::ToolStarted("a".into())], Want::Run(call("a")));
        let first = [two, Input::ToolStarted("a".into()), Input::ToolFinished("a".into())];
        check(first.clone(), Want::Start(call("b")));
        let second = first
            .into_iter()
            .chain([Input::ToolStarted("b".into()), Input::ToolFinished("b".into())]);
        check(second, Want::Ask);
    }

    #[test]
    fn a_tool_that_was_running_when_the_process_died_is_not_run_again() {
        let started =
            [answer("", &[("a", json!({}))]), Input::ToolStarted("a".into()), Input::Resumed];
        check(started.clone(), Want::Record(lost(&call("a"))));
        check(started.into_iter().chain([Input::ToolFinished("a".into())]), Want::Ask);
        check([answer("", &[("a", json!({}))]), Input::Resumed], Want::Start(call("a")));
    }

    #[test]
    fn broken_arguments_are_told_to_the_model() {
        let broken = ToolCall { arguments: json!("{\"command\": "), ..call("a") };
        check(
            [answer("", &[("a", broken.arguments.clone())])],
            Want::Record(failed(&broken, NOT_JSON)),
        );
    }

    #[test]
    fn stopping_keeps_what_was_said_and_gives_every_call_a_result() {
        let stop = Input::StopAsked { cause: StopCause::Rpc, said: "half a".into() };
        let stopped =
            |text: &str| Want::Finish(Ending::Stopped { cause: StopCause::Rpc, text: text.into() });
        check([stop.clone()], stopped("half a"));
        let running = [
            answer("let me see", &[("a", json!({})), ("b", json!({}))]),
            Input::ToolStarted("a".into()),
            stop,
        ];
        check(running.clone(), Want::Run(call("a")));
        let ended = running.into_iter().chain([Input::ToolFinished("a".into())]);
        check(ended.clone(), Want::Record(failed(&call("b"), SKIPPED)));
        check(ended.chain([Input::ToolFinished("b".into())]), stopped("let me see"));
    }

    #[test]
    fn a_turn_without_end_is_ended() {
        let mut turn = Turn::new(u64::MAX);
        for _ in 0..STEPS_MAX {
            turn.handle(answer("", &[("a", json!({}))]));
            turn.handle(Input::ToolFinished("a".into()));
        }
        assert!(
            matches!(turn.wants(), Want::Finish(Ending::Failed { code, .. }) if code == "steps")
        );
        let mut turn = Turn::new(10);
        turn.handle(answer("", &[("a", json!({}))]));
        turn.handle(Input::ToolFinished("a".into()));
        assert!(
            matches!(turn.wants(), Want::Finish(Ending::Failed { code, .. }) if code == "tokens")
        );
    }

    #[test]
    fn silence_between_tools_is_not_said() {
        let inputs = [
            answer("NO_REPLY", &[("a", json!({}))]),
            Input::ToolFinished("a".into()),
            answer("done", &[]),
        ];
        check(inputs, replied("done"));
    }

    fn any_input() -> impl Strategy<Value = Input> {
        let id = prop_oneof![Just("a"), Just("b"), Just("c")];
        prop_oneof![
            Just(answer("x", &[])),
            Just(answer("x", &[("a", json!({})), ("b", json!("broken"))])),
            Just(Input::AnswerFailed { error: "e".into(), code: "c".into() }),
            id.clone().prop_map(|id| Input::ToolStarted(id.into())),
            id.prop_map(|id| Input::ToolFinished(id.into())),
            Just(Input::StopAsked { cause: StopCause::Command, said: "s".into() }),
            Just(Input::Resumed),
        ]
    }

    proptest! {
        #[test]
        fn any_order_of_inputs_leaves_the_turn_in_a_legal_state(inputs in prop::collection::vec(any_input(), 0..40)) {
            let mut turn = Turn::new(1_000);
            for input in inputs {
                let before = turn.wants();
                turn.handle(input);
                if let Want::Finish(_) = before {
                    prop_assert_eq!(before, turn.wants(), "an ended turn stays ended");
                }
            }
        }
    }
}

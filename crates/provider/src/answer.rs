//! How the events of a stream become one whole answer, or an error.

use std::sync::Arc;

use claw_domain::{AssistantMessage, Block, ModelRef, StopReason, ToolCallId, Usage};
use serde_json::{Map, Value};

use crate::{Error, ErrorKind, Event};

/// Folds the events of one answer, in the order in which they came.
///
/// ```
/// use claw_domain::StopReason;
/// use claw_provider::{Assembler, Event};
///
/// let mut answer = Assembler::new(1024);
/// answer.push(Event::Text("Hel".into()))?;
/// answer.push(Event::Text("lo".into()))?;
/// answer.push(Event::Done(StopReason::Stop))?;
/// let message = answer.finish("demo/demo".parse().unwrap(), "demo")?;
/// assert_eq!(message.text(), "Hello");
/// # Ok::<(), claw_provider::Error>(())
/// ```
#[derive(Debug)]
pub struct Assembler {
    parts: Vec<Part>,
    usage: Usage,
    stop: Option<StopReason>,
    bytes: usize,
    bytes_max: usize,
}

#[derive(Debug)]
enum Part {
    Block(Block),
    Call { index: usize, id: String, name: String, json: String },
}

impl Assembler {
    /// An answer of which nothing has come yet, and which may grow to `bytes_max` bytes of text,
    /// thought and arguments together.
    pub fn new(bytes_max: usize) -> Self {
        Self { parts: Vec::new(), usage: Usage::default(), stop: None, bytes: 0, bytes_max }
    }

    /// Takes the next event.
    ///
    /// # Errors
    /// [`ErrorKind::TooLarge`] beyond the limit; [`ErrorKind::Network`] for arguments of a call
    /// that never began.
    pub fn push(&mut self, event: Event) -> Result<(), Error> {
        self.weigh(&event)?;
        match event {
            Event::Text(text) => self.text(text),
            Event::Thinking(text) => self.thinking(text),
            Event::Signature(signature) => self.sign(signature),
            Event::Redacted(sealed) => {
                self.parts.push(Part::Block(Block::RedactedThinking { sealed }));
            }
            Event::ToolStart { index, id, name } => {
                self.parts.push(Part::Call { index, id, name, json: String::new() });
            }
            Event::ToolArguments { index, json } => self.arguments(index, &json)?,
            Event::Usage(usage) => self.usage = usage,
            Event::Alive => {}
            Event::Done(stop) => self.stop = Some(stop),
        }
        Ok(())
    }

    /// The whole answer of `model`, which came over `api`.
    ///
    /// Arguments that are no JSON object are kept as a JSON string of their raw text, so that the
    /// model can be told. The stop reason follows what came: calls mean [`StopReason::ToolUse`]
    /// even when the vendor said "stop", and without a call nobody waits for a tool.
    ///
    /// # Errors
    /// [`ErrorKind::Cut`] when the stream never said that it was done, or said nothing else.
    pub fn finish(
        self,
        model: ModelRef,
        api: impl Into<Arc<str>>,
    ) -> Result<AssistantMessage, Error> {
        let Some(stop) = self.stop else {
            return Err(Error::new(ErrorKind::Cut, "the stream ended before the answer was whole"));
        };
        if self.parts.is_empty() && self.usage == Usage::default() {
            return Err(Error::new(ErrorKind::Cut, "the stream was empty"));
        }
        let has_calls = self.parts.iter().any(|part| matches!(part, Part::Call { .. }));
        let stop = match (stop, has_calls) {
            (StopReason::Stop, true) => StopReason::ToolUse,
            (StopReason::ToolUse, false) => StopReason::Stop,
            (stop, _) => stop,
        };
        Ok(AssistantMessage {
            content: self.parts.into_iter().map(Part::into_block).collect(),
            model: Some(model),
            api: Some(api.into()),
            stop,
            usage: self.usage,
            error: (stop == StopReason::Error)
                .then(|| "the provider's filter ended the answer".into()),
        })
    }

    fn weigh(&mut self, event: &Event) -> Result<(), Error> {
        self.bytes += match event {
            Event::Text(text)
            | Event::Thinking(text)
            | Event::Signature(text)
            | Event::Redacted(text)
            | Event::ToolArguments { json: text, .. } => text.len(),
            Event::ToolStart { id, name, .. } => id.len() + name.len(),
            Event::Usage(_) | Event::Alive | Event::Done(_) => 0,
        };
        if self.bytes > self.bytes_max {
            let message = format!("the answer is larger than {} bytes", self.bytes_max);
            return Err(Error::new(ErrorKind::TooLarge, message));
        }
        Ok(())
    }

    fn text(&mut self, more: String) {
        match self.parts.last_mut() {
            Some(Part::Block(Block::Text { text })) => text.push_str(&more),
            _ if more.is_empty() => {}
            _ => self.parts.push(Part::Block(Block::Text { text: more })),
        }
    }

    fn thinking(&mut self, more: String) {
        match self.parts.last_mut() {
            Some(Part::Block(Block::Thinking { text, signature: None })) => text.push_str(&more),
            _ if more.is_empty() => {}
            _ => self.parts.push(Part::Block(Block::Thinking { text: more, signature: None })),
        }
    }

    /// A signature closes the thought before it. One without a thought stands for a thought that
    /// the vendor keeps to itself; it must be replayed all the same.
    fn sign(&mut self, proof: String) {
        match self.parts.last_mut() {
            Some(Part::Block(Block::Thinking { signature: signature @ None, .. })) => {
                *signature = Some(proof);
            }
            _ => self
                .parts
                .push(Part::Block(Block::Thinking { text: String::new(), signature: Some(proof) })),
        }
    }

    fn arguments(&mut self, wanted: usize, piece: &str) -> Result<(), Error> {
        let call = self.parts.iter_mut().rev().find_map(|part| match part {
            Part::Call { index, json, .. } if *index == wanted => Some(json),
            _ => None,
        });
        let Some(json) = call else {
            let message =
                format!("the stream gave arguments to tool call {wanted}, which never began");
            return Err(Error::new(ErrorKind::Network, message));
        };
        json.push_str(piece);
        Ok(())
    }
}

impl Part {
    fn into_block(self) -> Block {
        match self {
            Self::Block(block) => block,
            Self::Call { id, name, json, .. } => {
                Block::ToolCall { id: ToolCallId::from(id), name, arguments: parse(json) }
            }
        }
    }
}

fn parse(json: String) -> Value {
    if json.trim().is_empty() {
        return Value::Object(Map::new());
    }
    match serde_json::from_str(&json) {
        Ok(Value::Object(arguments)) => Value::Object(arguments),
        Ok(Value::Null) => Value::Object(Map::new()),
        Ok(_) | Err(_) => Value::String(json),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn fold(events: impl IntoIterator<Item = Event>) -> Result<AssistantMessage, Error> {
        let mut answer = Assembler::new(1000);
        for event in events {
            answer.push(event)?;
        }
        answer.finish("p/m".parse().unwrap(), "api")
    }

    fn check(events: impl IntoIterator<Item = Event>, stop: StopReason, content: Vec<Block>) {
        let message = fold(events).unwrap();
        assert_eq!((message.stop, message.content), (stop, content));
    }

    fn start(index: usize) -> Event {
        Event::ToolStart { index, id: format!("c{index}"), name: "exec".into() }
    }

    fn piece(index: usize, json: &str) -> Event {
        Event::ToolArguments { index, json: json.into() }
    }

    fn call(index: usize, arguments: Value) -> Block {
        Block::ToolCall { id: format!("c{index}").into(), name: "exec".into(), arguments }
    }

    fn text(text: &str) -> Block {
        Block::Text { text: text.into() }
    }

    #[test]
    fn blocks_keep_the_order_in_which_they_began() {
        check(
            [
                Event::Thinking("hm".into()),
                Event::Thinking("m".into()),
                Event::Signature("s1".into()),
                Event::Thinking("so".into()),
                Event::Signature("s2".into()),
                Event::Redacted("x".into()),
                Event::Text("a".into()),
                Event::Alive,
                Event::Text("b".into()),
                start(3),
                Event::Done(StopReason::ToolUse),
            ],
            StopReason::ToolUse,
            vec![
                Block::Thinking { text: "hmm".into(), signature: Some("s1".into()) },
                Block::Thinking { text: "so".into(), signature: Some("s2".into()) },
                Block::RedactedThinking { sealed: "x".into() },
                text("ab"),
                call(3, json!({})),
            ],
        );
    }

    #[test]
    fn a_signature_without_a_thought_is_kept() {
        check(
            [Event::Signature("s".into()), Event::Text("a".into()), Event::Done(StopReason::Stop)],
            StopReason::Stop,
            vec![Block::Thinking { text: String::new(), signature: Some("s".into()) }, text("a")],
        );
    }

    #[test]
    fn calls_that_grow_in_turns_stay_apart() {
        check(
            [
                start(0),
                start(1),
                piece(0, r#"{"a""#),
                piece(1, r#"{"b":"#),
                piece(0, ":1}"),
                piece(1, "2}"),
                Event::Done(StopReason::ToolUse),
            ],
            StopReason::ToolUse,
            vec![call(0, json!({ "a": 1 })), call(1, json!({ "b": 2 }))],
        );
    }

    #[test]
    fn arguments_that_are_no_object_are_kept_as_their_raw_text() {
        for (raw, expected) in [
            ("", json!({})),
            ("  ", json!({})),
            ("null", json!({})),
            (r#"{"a":"#, json!(r#"{"a":"#)),
            ("[1]", json!("[1]")),
            (r#""ls""#, json!(r#""ls""#)),
        ] {
            check(
                [start(0), piece(0, raw), Event::Done(StopReason::ToolUse)],
                StopReason::ToolUse,
                vec![call(0, expected)],
            );
        }
    }

    #[test]
    fn the_stop_reason_follows_what_came() {
        let done = |stop| Event::Done(stop);
        check([start(0), done(StopReason::Stop)], StopReason::ToolUse, vec![call(0, json!({}))]);
        check([start(0), done(StopReason::Length)], StopReason::Length, vec![call(0, json!({}))]);
        let said = || Event::Text("a".into());
        check([said(), done(StopReason::ToolUse)], StopReason::Stop, vec![text("a")]);
        check([said(), done(StopReason::Length)], StopReason::Length, vec![text("a")]);
    }

    #[test]
    fn an_answer_that_is_not_whole_is_an_error() {
        let kind = |events: Vec<Event>| fold(events).map_err(|error| error.kind);
        assert_eq!(kind(vec![]), Err(ErrorKind::Cut));
        assert_eq!(kind(vec![Event::Text("half".into())]), Err(ErrorKind::Cut));
        assert_eq!(kind(vec![Event::Done(StopReason::Stop)]), Err(ErrorKind::Cut));
        assert_eq!(kind(vec![piece(7, "{}")]), Err(ErrorKind::Network));
        assert_eq!(kind(vec![Event::Text("x".repeat(1001))]), Err(ErrorKind::TooLarge));
    }

    #[test]
    fn an_answer_without_words_that_was_paid_for_is_whole() {
        let usage = Usage { input: 5, ..Usage::default() };
        let message = fold([Event::Usage(usage), Event::Done(StopReason::Stop)]).unwrap();
        assert_eq!((message.content, message.usage), (vec![], usage));
    }

    proptest! {
        #[test]
        fn arguments_are_the_same_however_they_are_cut(
            value in "\\PC{0,20}",
            cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..6),
        ) {
            let arguments = json!({ "command": value });
            let whole = arguments.to_string();
            let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(whole.len())).collect();
            at.retain(|&at| whole.is_char_boundary(at));
            at.extend([0, whole.len()]);
            at.sort_unstable();
            let mut events = vec![start(0)];
            events.extend(at.windows(2).map(|pair| piece(0, &whole[pair[0]..pair[1]])));
            events.push(Event::Done(StopReason::ToolUse));
            prop_assert_eq!(fold(events).unwrap().content, vec![call(0, arguments)]);
        }
    }
}

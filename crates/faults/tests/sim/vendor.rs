//! A vendor whose model follows a script: what it does with a message is in the message's name.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use claw_agent::{Models, Resolved};
use claw_domain::{EntryBody, ModelInfo, ModelRef, StopReason, Usage};
use claw_provider::{Error, ErrorKind, Event, EventStream, Message, Provider, Request};
use futures_util::{StreamExt, stream};

use super::{dice::Dice, gate::Gate, wire::TEXT_MAX, world::World, world::lock};

/// What the vendor knows across the gateway's lives.
#[derive(Default)]
pub(crate) struct Vendor {
    /// How often each step of each answer was asked for.
    asked: Mutex<HashMap<(String, usize), u64>>,
    /// Messages whose answer once stopped in the middle without a word.
    broken_off: Mutex<BTreeSet<String>>,
}

impl Vendor {
    /// The messages whose answer once stopped in the middle: the stream was cut, or fell silent. The
    /// gateway has to find its own words for that.
    pub(crate) fn broken_off(&self) -> BTreeSet<String> {
        lock(&self.broken_off).clone()
    }

    fn ask(&self, tag: &str, step: usize) -> u64 {
        let mut asked = lock(&self.asked);
        let count = asked.entry((tag.to_owned(), step)).or_default();
        *count += 1;
        *count
    }
}

/// What the model does with one message, known beforehand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Script {
    /// How many answers with tool calls come first.
    pub(crate) tool_steps: usize,
    /// How many parts the last answer has; none is silence.
    pub(crate) parts: usize,
    /// Whether the vendor does not understand the message at all.
    pub(crate) hopeless: bool,
}

impl Script {
    pub(crate) fn of(dice: Dice, tag: &str) -> Self {
        let dice = dice.about("script").about(tag);
        let long = dice.about("long").falls(250);
        Self {
            tool_steps: dice.about("tools").below(4).saturating_sub(1) as usize,
            parts: match dice.about("silence").falls(30) {
                true => 0,
                false if long => dice.about("parts").within(2..6) as usize,
                false => 1,
            },
            hopeless: dice.about("hopeless").falls(30),
        }
    }
}

/// What stands in each part of an answer, so that it can be told from every other.
pub(crate) fn mark(tag: &str, part: usize, of: usize, version: usize) -> String {
    format!("[{tag} {part}/{of} v{version}]")
}

/// What stands in every failure of the vendor about a message.
pub(crate) fn failure_mark(tag: &str) -> String {
    format!("[{tag} failed]")
}

/// One process's way to the vendor.
pub(crate) struct Line {
    pub(crate) world: Arc<World>,
    pub(crate) gate: Gate,
}

#[async_trait]
impl Provider for Line {
    fn api(&self) -> &'static str {
        "made-up"
    }

    async fn stream(&self, request: &Request) -> Result<EventStream, Error> {
        let question = Question::of(request);
        let tag = question.tag.as_str();
        let (world, ills) = (&*self.world, self.world.story.ills);
        let nth = world.vendor.ask(tag, question.step);
        let dice = world.story.dice.about("ask").about(tag).nth(question.step as u64).nth(nth);
        world.pass(&self.gate, dice).await;
        world.take(&self.gate, dice.about("first").within(5..4_000)).await;
        let script = Script::of(world.story.dice, tag);
        if script.hopeless {
            return Err(Error::new(ErrorKind::BadRequest, failure_mark(tag)));
        }
        let mut events = question.answer(script, dice);
        let failure = dice.about("failure");
        let mut ending = None;
        if world.fails(failure, ills.model) {
            let kind = failure.about("kind").pick(&[
                ErrorKind::Overloaded,
                ErrorKind::Network,
                ErrorKind::Server,
                ErrorKind::Stalled,
            ]);
            let error = Error::new(kind, failure_mark(tag));
            if failure.about("at once").falls(500) {
                return Err(error);
            }
            events.truncate(failure.about("cut").within(0..events.len() as u64) as usize);
            ending = match failure.about("ending").below(20) {
                0 => Some(Ending::Silence),
                1..6 => None,
                _ => Some(Ending::Fails(error)),
            };
            if !matches!(ending, Some(Ending::Fails(_))) {
                lock(&world.vendor.broken_off).insert(tag.to_owned());
            }
        }
        let rest = Rest {
            world: Arc::clone(&self.world),
            gate: self.gate.clone(),
            events: events.into(),
            ending,
            dice,
        };
        Ok(stream::unfold(rest, Rest::next).boxed())
    }

    async fn models(&self) -> Result<Vec<ModelInfo>, Error> {
        Ok(vec![info()])
    }
}

/// What is still to come of an answer.
struct Rest {
    world: Arc<World>,
    gate: Gate,
    events: VecDeque<Event>,
    ending: Option<Ending>,
    dice: Dice,
}

/// How a broken stream ends; without one it is cut.
enum Ending {
    Fails(Error),
    Silence,
}

impl Rest {
    async fn next(mut self) -> Option<(Result<Event, Error>, Self)> {
        self.dice = self.dice.nth(1);
        self.world.take(&self.gate, self.dice.about("pause").within(1..900)).await;
        self.world.pass(&self.gate, self.dice).await;
        if let Some(event) = self.events.pop_front() {
            return Some((Ok(event), self));
        }
        match self.ending.take()? {
            Ending::Fails(error) => Some((Err(error), self)),
            Ending::Silence => std::future::pending().await,
        }
    }
}

/// What the model reads of a request: which message, in which words, and how far it has come.
struct Question {
    tag: String,
    version: usize,
    step: usize,
}

impl Question {
    fn of(request: &Request) -> Self {
        let bodies: Vec<&EntryBody> = request
            .messages
            .iter()
            .filter_map(|message| match message {
                Message::Entry(entry) => Some(&entry.body),
                Message::Summary(_) => None,
            })
            .collect();
        let said = |body: &&EntryBody| matches!(body, EntryBody::User(_));
        let last = bodies.iter().rposition(said).expect("the model is asked about a message");
        let EntryBody::User(user) = bodies[last] else { unreachable!("found above") };
        let mut words = user.said.as_deref().unwrap_or_default().split(' ');
        let tag = words.next().expect("splitting gives at least one piece").to_owned();
        let version = words.next().and_then(|word| word.strip_prefix('v')?.parse().ok());
        let step =
            bodies[last..].iter().filter(|body| matches!(body, EntryBody::Assistant(_))).count();
        Self { tag, version: version.unwrap_or(0), step }
    }

    /// The events of an answer that nothing goes wrong with.
    fn answer(&self, script: Script, dice: Dice) -> Vec<Event> {
        let usage = Event::Usage(Usage { input: 10, output: 5, ..Usage::default() });
        let mut events = Vec::new();
        if self.step < script.tool_steps {
            if dice.about("chatty").falls(300) {
                events.push(Event::Text("Let me see.".into()));
            }
            for index in 0..dice.about("calls").within(1..3) as usize {
                let id = format!("{}-{}-{index}-{}", self.tag, self.step, dice.below(1 << 32));
                events.push(Event::ToolStart { index, id, name: "deed".into() });
                events.push(Event::ToolArguments { index, json: "{}".into() });
            }
            events.extend([usage, Event::Done(StopReason::ToolUse)]);
        } else {
            for part in 1..=script.parts {
                let mut text = mark(&self.tag, part, script.parts, self.version);
                if script.parts > 1 {
                    text.push(' ');
                    let rest = TEXT_MAX - 20 - text.len();
                    text.extend("words ".chars().cycle().take(rest));
                    text.push_str("\n\n");
                }
                events.push(Event::Text(text));
            }
            if script.parts == 0 {
                events.push(Event::Text(claw_delivery::SILENT_REPLY.into()));
            }
            events.extend([usage, Event::Done(StopReason::Stop)]);
        }
        events
    }
}

impl Models for Line {
    fn resolve(&self, model: &ModelRef) -> Option<Resolved> {
        let line = Self { world: Arc::clone(&self.world), gate: self.gate.clone() };
        let resolved = || Resolved { provider: Arc::new(line), info: info(), auth: "none" };
        (*model == info().reference).then(resolved)
    }

    fn list(&self) -> Vec<ModelInfo> {
        vec![info()]
    }
}

pub(crate) fn info() -> ModelInfo {
    ModelInfo {
        reference: "made-up/model".parse().expect("it has a provider and a name"),
        name: "Made up".into(),
        context_window: 1_000_000,
        output_max: 1_000,
        reasoning: false,
        images: false,
        cost: None,
    }
}

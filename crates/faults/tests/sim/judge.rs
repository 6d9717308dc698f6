//! Whether a history kept the promise: nothing lost, nothing doubled, in order, or told why not.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use claw_domain::{Action, Ending, EntryBody, ToolCallId};
use claw_store::{DeliveryState, InboxState, OutboxRow};

use super::{
    book::{Book, Conversation, Kept},
    deeds::DONE,
    platform::{Again, Arrival},
    story::{Story, What},
    vendor::{Script, failure_mark},
};

/// What is wrong with a history, a sentence each. Empty is right.
pub(crate) fn judge(book: &Book) -> Vec<String> {
    let mut wrong = Vec::new();
    for kept in &book.acts {
        wrong.extend(answered(book, kept).err());
        wrong.extend(ended(kept).err());
        wrong.extend(kept.parts.iter().filter_map(|part| carried_out(book, part).err()));
    }
    wrong.extend(arrived(book));
    wrong.extend(in_order(book));
    wrong.extend(done_once(book));
    wrong.extend(book.conversations.iter().filter_map(|conversation| valid(conversation).err()));
    wrong.extend(book.unheard.iter().cloned());
    if !book.totals_are_at_rest() {
        wrong.push(format!("something is still open at the end: {:?}", book.totals));
    }
    wrong
}

impl Book {
    fn totals_are_at_rest(&self) -> bool {
        self.totals.inbox_open == 0 && self.totals.outbox_pending == 0
    }
}

/// Each message has its whole answer once, or is closed in a way that its sender is told.
fn answered(book: &Book, kept: &Kept) -> Result<(), String> {
    let name = format!("{:?} of chat {}", kept.act.what, kept.act.chat);
    let Some(row) = &kept.row else { return Err(format!("{name} was lost")) };
    let InboxState::Closed { outcome, detail, .. } = &row.state else {
        return Err(format!("{name} is still {}", row.state.word()));
    };
    let texts = kept.texts();
    let fits = match (kept.act.what, outcome.as_str()) {
        (What::Says { n } | What::Asks { n }, "replied") => return replied(book, kept, n, &texts),
        (What::Says { n } | What::Asks { n }, "failed") => {
            let tag = Story::tag(kept.act.chat, n);
            let told = |text: &&str| text.contains(&failure_mark(&tag));
            texts.iter().filter(|text| told(text)).count() == 1
                || (book.broken_off.contains(&tag) && !texts.is_empty())
        }
        (What::Says { n } | What::Asks { n }, "stopped") if detail == "timeout" => {
            book.broken_off.contains(&Story::tag(kept.act.chat, n)) && !texts.is_empty()
        }
        (What::Says { .. } | What::Asks { .. }, "stopped") => book.acts.iter().any(|other| {
            let here = book.story.session(other.act.chat) == book.story.session(kept.act.chat);
            here && other.act.what == What::Stops
        }),
        (What::Edits { .. }, "replaced" | "ignored") => texts.is_empty(),
        (What::Stops | What::AsksStatus, "command") => !texts.is_empty(),
        _ => false,
    };
    let told = || format!("{name} ended as {outcome} ({detail}) with {texts:?}");
    if fits { Ok(()) } else { Err(told()) }
}

/// A run ends once, and who asked at a gateway is told there.
fn ended(kept: &Kept) -> Result<(), String> {
    let name = format!("{:?} of chat {}", kept.act.what, kept.act.chat);
    if kept.endings.len() > 1 {
        return Err(format!("{name} ended {} times", kept.endings.len()));
    }
    if kept.was_told { Ok(()) } else { Err(format!("{name} ended and its client was not told")) }
}

impl Kept {
    /// What was answered: over the platform in parts, to a client at once.
    fn texts(&self) -> Vec<&str> {
        if !self.act.is_a_clients() {
            return self.parts.iter().map(text).collect();
        }
        let said = |ending| match ending {
            &Ending::Replied { ref text } | &Ending::Stopped { ref text, .. } => text.as_str(),
            Ending::Failed { error, .. } => error,
        };
        self.endings.iter().map(said).collect()
    }
}

/// The model's words, whole, each part once, in the newest words that the sender's edits left.
fn replied(book: &Book, kept: &Kept, n: usize, texts: &[&str]) -> Result<(), String> {
    let tag = Story::tag(kept.act.chat, n);
    let script = Script::of(book.story.dice, &tag);
    let found: Vec<Mark> = texts.iter().flat_map(|text| marks(text)).collect();
    let replaced = book.acts.iter().filter_map(|other| match (other.act.what, &other.row) {
        (What::Edits { n: of, version }, Some(row)) if other.act.chat == kept.act.chat => {
            let InboxState::Closed { outcome, .. } = &row.state else { return None };
            (of == n && outcome == "replaced").then_some(version)
        }
        _ => None,
    });
    let newest = replaced.max().unwrap_or(0);
    let version = found.first().map_or(newest, |mark| mark.version);
    let whole: Vec<Mark> = (1..=script.parts)
        .map(|part| Mark { tag: tag.clone(), part, of: script.parts, version })
        .collect();
    if found != whole {
        return Err(format!("{tag} was answered with {found:?}"));
    }
    if version < newest {
        return Err(format!("{tag} was answered in words of version {version} after {newest}"));
    }
    Ok(())
}

/// A part was sent and is there, or was given up for a reason.
fn carried_out(book: &Book, part: &OutboxRow) -> Result<(), String> {
    let key = &part.outbound.idempotency_key;
    let fits = match &part.state {
        DeliveryState::Sent { .. } => {
            book.platform.arrivals.iter().any(|arrival| arrival.key == *key)
        }
        DeliveryState::Dead { at, .. } => {
            book.platform.refused.contains(key) || *at >= part.expires_at
        }
        DeliveryState::Pending { .. } => false,
    };
    let told = || format!("the part {:?} is {} without reason", text(part), part.state.word());
    if fits { Ok(()) } else { Err(told()) }
}

/// What arrived was queued, and did not arrive again where it was known to have arrived.
fn arrived(book: &Book) -> Vec<String> {
    let queued: BTreeSet<&str> = book
        .acts
        .iter()
        .flat_map(|kept| &kept.parts)
        .map(|part| part.outbound.idempotency_key.as_str())
        .collect();
    let mut wrong = Vec::new();
    let mut keys: BTreeMap<Mark, &str> = BTreeMap::new();
    for arrival in &book.platform.arrivals {
        if !queued.contains(arrival.key.as_str()) {
            wrong.push(format!("{:?} arrived and nobody had queued it", arrival.text));
        }
        if arrival.again == Again::Wrongly {
            wrong.push(format!("{:?} arrived again at {}", arrival.text, arrival.at));
        }
        for mark in marks(&arrival.text) {
            let before = keys.entry(mark).or_insert(&arrival.key);
            if *before != arrival.key {
                wrong.push(format!("{:?} was said twice", arrival.text));
            }
        }
    }
    wrong
}

/// In each chat, answers come in the order of the messages, and parts in their own.
fn in_order(book: &Book) -> Vec<String> {
    let mut newest: HashMap<&str, (usize, usize)> = HashMap::new();
    let mut wrong = Vec::new();
    for arrival in book.platform.arrivals.iter().filter(|arrival| arrival.again == Again::No) {
        for place in places(arrival) {
            let newest = newest.entry(&arrival.chat).or_default();
            if place <= *newest {
                wrong.push(format!("{:?} arrived after {newest:?}", arrival.text));
            }
            *newest = place.max(*newest);
        }
    }
    wrong
}

/// Which messages an arrival is about, from 1, and which parts.
fn places(arrival: &Arrival) -> Vec<(usize, usize)> {
    let number = |tag: &str| tag.rsplit('-').next()?.parse::<usize>().ok();
    let failed = || {
        let tag = arrival.text.split_once('[')?.1.split_once(" failed]")?.0;
        Some((number(tag)? + 1, 1))
    };
    let said = marks(&arrival.text);
    let mut places: Vec<_> =
        said.iter().filter_map(|mark| Some((number(&mark.tag)? + 1, mark.part))).collect();
    places.extend(failed());
    places
}

/// No call had its effect twice, and what the model was told of it is so.
fn done_once(book: &Book) -> Vec<String> {
    let mut wrong: Vec<String> = book
        .deeds
        .iter()
        .filter(|(_, count)| **count > 1)
        .map(|(call, count)| format!("the call {call} was carried out {count} times"))
        .collect();
    for entry in book.conversations.iter().flat_map(|conversation| &conversation.path) {
        if let EntryBody::ToolResult(result) = &entry.body
            && result.text == DONE
            && !book.deeds.contains_key(result.call.as_str())
        {
            wrong.push(format!("the call {} is told as done and was not", result.call));
        }
    }
    wrong
}

/// The session is what the log says, no entry is beside the path, and every call has its result.
fn valid(conversation: &Conversation) -> Result<(), String> {
    let Conversation { key, stored, folded, path, entries } = conversation;
    if stored != folded {
        return Err(format!("{key} is stored as {stored:?} and the log says {folded:?}"));
    }
    if path.len() != *entries {
        return Err(format!("{key} has {entries} entries and {} on its path", path.len()));
    }
    let mut open: VecDeque<&ToolCallId> = VecDeque::new();
    for entry in path {
        match &entry.body {
            EntryBody::ToolResult(result) => {
                if open.pop_front() != Some(&result.call) {
                    return Err(format!("{key} has a result of {} out of place", result.call));
                }
            }
            _ if !open.is_empty() => return Err(format!("{key} has no result of {open:?}")),
            EntryBody::Assistant(message) => {
                open = message.tool_calls().map(|(id, _, _)| id).collect();
            }
            EntryBody::User(_) | EntryBody::Compaction { .. } | EntryBody::Foreign { .. } => {}
        }
    }
    if open.is_empty() { Ok(()) } else { Err(format!("{key} has no result of {open:?}")) }
}

fn text(part: &OutboxRow) -> &str {
    match &part.outbound.action {
        Action::Send { text, .. } => text,
        _ => "",
    }
}

/// The mark of one part, as [`mark`](super::vendor::mark) writes it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Mark {
    tag: String,
    part: usize,
    of: usize,
    version: usize,
}

fn marks(text: &str) -> Vec<Mark> {
    let inside = text.split('[').skip(1).filter_map(|rest| rest.split_once(']'));
    inside.filter_map(|(mark, _)| Mark::read(mark)).collect()
}

impl Mark {
    /// `m0-3 1/2 v0`.
    fn read(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let (tag, place, version) = (words.next()?, words.next()?, words.next()?);
        let (part, of) = place.split_once('/')?;
        Some(Self {
            tag: tag.into(),
            part: part.parse().ok()?,
            of: of.parse().ok()?,
            version: version.strip_prefix('v')?.parse().ok()?,
        })
    }
}

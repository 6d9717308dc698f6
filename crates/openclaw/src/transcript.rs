//! One transcript, line by line, as events: the tree with its branches, in the order of its lines.
//!
//! The newest line is the leaf in OpenClaw, whatever it is, so the events' ids ascend with the
//! lines: the time of the line, or of the one before it where that is later, and a counter. A line
//! has the same ids whenever its file is read, since files only grow at their end.

use std::collections::HashMap;

use claw_domain::{
    AgentId, ChatKind, Entry, EntryBody, EntryId, EventBody, EventHeader, EventId, NodeId,
    SessionId, SessionKey, Timestamp, TraceId, millis,
};
use claw_store::NewEvent;
use serde_json::{Map, Value};

use crate::{
    difference::difference,
    ids::{entry_id, nameless_id, node_id, own_entry, session_id, trace_id},
    mark::Mark,
    read::{self, text, tokens},
    write::{Ids, plain},
};

/// The first version whose lines name their parents. Before it, each line followed the one above.
const VERSION_OF_TREES: u64 = 2;

/// What is known of a transcript before its first line.
#[derive(Debug, Clone)]
pub(crate) struct About {
    pub(crate) key: SessionKey,
    pub(crate) agent: AgentId,
    pub(crate) chat: ChatKind,
    /// The session's id in their words.
    pub(crate) session: String,
    /// The file's name.
    pub(crate) file: String,
    /// Whether the list of sessions names it, so that it is a session here as well.
    pub(crate) listed: bool,
    /// Nothing can be later.
    pub(crate) now: Timestamp,
}

/// What one line gave.
#[derive(Debug, Default)]
pub(crate) struct Read {
    pub(crate) events: Vec<NewEvent>,
    /// What is wrong with it, though it may have been understood.
    pub(crate) problem: Option<String>,
}

/// The reader of one transcript.
#[derive(Debug)]
pub(crate) struct Transcript {
    about: About,
    session: SessionId,
    node: NodeId,
    trace: TraceId,
    began: bool,
    version: u64,
    is_fork: bool,
    /// The header's entry, the parent of every root.
    header: Option<EntryId>,
    /// The newest line of each id.
    known: HashMap<String, Place>,
    /// Every object of the file, by which old compactions name lines.
    indexed: Vec<EntryId>,
    last: Option<Place>,
    at: Timestamp,
    millis: u64,
    counter: u16,
}

/// Where a line stands in the tree.
#[derive(Debug, Clone, Copy)]
struct Place {
    id: EntryId,
    tokens_sum: u64,
    /// How many lines before it bear its id.
    nth: u32,
}

impl Transcript {
    pub(crate) fn new(about: About) -> Self {
        Self {
            session: session_id(&about.session),
            node: node_id(&about.session, ""),
            trace: trace_id(&about.session),
            began: false,
            version: VERSION_OF_TREES,
            is_fork: false,
            header: None,
            known: HashMap::new(),
            indexed: Vec::new(),
            last: None,
            at: millis(0),
            millis: 0,
            counter: 0,
            about,
        }
    }

    /// Takes the next line, `number` from 1, as its bytes without the line break.
    pub(crate) fn line(&mut self, number: u64, bytes: &[u8]) -> Read {
        let bytes = bytes.trim_ascii();
        if bytes.is_empty() {
            return Read::default();
        }
        let line = match serde_json::from_slice(bytes) {
            Ok(Value::Object(line)) => line,
            Ok(_) => return Read::problem("is no object"),
            Err(error) => return Read::problem(format!("is no JSON: {error}")),
        };
        let is_header = text(&line, "type") == Some("session");
        match (is_header, self.began) {
            (true, false) => self.begin(line),
            (true, true) => self.header_again(number, line),
            (false, true) => self.entry(number, line),
            (false, false) => {
                let mut read = self.begin_at(&line);
                let entry = self.entry(number, line);
                read.events.extend(entry.events);
                read.problem = entry.problem.or(Some("there is no header before it".into()));
                read
            }
        }
    }

    /// The time of the newest line.
    pub(crate) fn at(&self) -> Timestamp {
        self.at
    }

    fn begin_at(&mut self, line: &Map<String, Value>) -> Read {
        let problem = self.take_time(line);
        self.began = true;
        let (agent, chat) = (self.about.agent.clone(), self.about.chat);
        let body = EventBody::SessionOpened { id: self.session, agent, chat, why: "first".into() };
        // Its place is taken either way, so that the lines' ids do not depend on the list.
        let opened = self.event(body);
        let opened = Some(opened).filter(|_| self.about.listed);
        Read { events: opened.into_iter().collect(), problem }
    }

    fn begin(&mut self, header: Map<String, Value>) -> Read {
        let mut read = self.begin_at(&header);
        // Files older than the field are of the first version.
        self.version = header.get("version").and_then(Value::as_u64).unwrap_or(1);
        // A fork repeats the lines of another file with their ids.
        self.is_fork = header.get("parentSession").is_some_and(|parent| !parent.is_null());
        let body = EntryBody::Foreign { kind: "session".into(), record: Value::Object(header) };
        let id = nameless_id("header", &self.about.session, "");
        let mut entry = self.made(id, None, body);
        entry.other = Mark::Header { file: self.about.file.clone() }.write();
        self.header = Some(id);
        self.indexed.push(id);
        read.events.push(self.event(EventBody::EntryAdded(entry)));
        read
    }

    /// OpenClaw writes the header twice where it had written it too early, and reads over the second.
    /// It is kept at its place, and nothing follows it.
    fn header_again(&mut self, number: u64, line: Map<String, Value>) -> Read {
        let id = nameless_id("line", &self.about.session, &number.to_string());
        let body = EntryBody::Foreign { kind: "session".into(), record: Value::Object(line) };
        let entry = self.made(id, self.last, body);
        self.indexed.push(id);
        Read { events: vec![self.event(EventBody::EntryAdded(entry))], problem: None }
    }

    fn entry(&mut self, number: u64, line: Map<String, Value>) -> Read {
        let late = self.take_time(&line);
        let (id, nth) = self.name(number, &line);
        let (parent, lost) = self.parent(&line);
        let body = read::body(&line, |line| self.first_kept(line).unwrap_or(id));
        let mut entry = self.made(id, parent, body);
        if !matches!(entry.body, EntryBody::Foreign { .. }) {
            let own = id.to_string();
            let parent = text(&line, "parentId").filter(|_| lost.is_none());
            // No id of theirs, so that what a compaction names is kept as it is.
            let first_kept = Some(own.as_str());
            let ids = Ids { id: &own, parent, first_kept };
            let plain = plain(&entry, &ids);
            entry.other = difference(&plain, &Value::Object(line.clone()));
        }
        let place = Place { id, tokens_sum: entry.tokens_sum, nth };
        if let Some(name) = text(&line, "id") {
            self.known.insert(name.to_owned(), place);
        }
        self.indexed.push(id);
        self.last = Some(place);
        let event = self.event(EventBody::EntryAdded(entry));
        Read { events: vec![event], problem: lost.or(late) }
    }

    /// Our id of a line, and how many before it bear the same of theirs.
    fn name(&self, number: u64, line: &Map<String, Value>) -> (EntryId, u32) {
        let session = &self.about.session;
        let Some(id) = text(line, "id") else {
            return (nameless_id("line", session, &number.to_string()), 0);
        };
        let nth = self.known.get(id).map_or(0, |place| place.nth + 1);
        let own = own_entry(id).filter(|_| nth == 0 && !self.is_fork);
        (own.unwrap_or_else(|| entry_id(session, id, nth)), nth)
    }

    /// The line that a line follows, and what is wrong when the one that it names is not there. As
    /// in OpenClaw, a path ends there.
    fn parent(&self, line: &Map<String, Value>) -> (Option<Place>, Option<String>) {
        match line.get("parentId") {
            None if self.version < VERSION_OF_TREES => (self.last, None),
            None | Some(Value::Null) => (None, None),
            Some(id) => match id.as_str().and_then(|id| self.known.get(id)) {
                Some(place) => (Some(*place), None),
                None => (None, Some(format!("its parent {id} is not before it"))),
            },
        }
    }

    /// The entry that a compaction keeps first. What names none keeps nothing before itself.
    fn first_kept(&self, line: &Map<String, Value>) -> Option<EntryId> {
        if let Some(id) = text(line, "firstKeptEntryId") {
            return self.known.get(id).map(|place| place.id);
        }
        let index = line.get("firstKeptEntryIndex")?.as_u64()?;
        self.indexed.get(usize::try_from(index).ok()?).copied()
    }

    fn made(&self, id: EntryId, parent: Option<Place>, body: EntryBody) -> Entry {
        let tokens = tokens(&body);
        Entry {
            id,
            session: self.session,
            parent: parent.map(|place| place.id).or(self.header),
            at: self.at,
            run: None,
            tokens,
            tokens_sum: parent.map_or(0, |place| place.tokens_sum) + tokens,
            body,
            other: Map::new(),
        }
    }

    /// Moves on to a line's own time. One that has none, or lies, gets that of the line before it.
    fn take_time(&mut self, line: &Map<String, Value>) -> Option<String> {
        let said = text(line, "timestamp").and_then(|text| text.parse::<Timestamp>().ok());
        let at = said.map(|at| millis(at.as_millisecond()))?;
        if at > self.about.now {
            return Some("its time is in the future".into());
        }
        self.at = at;
        let ms = u64::try_from(at.as_millisecond()).unwrap_or(0);
        if ms > self.millis {
            (self.millis, self.counter) = (ms, 0);
        }
        None
    }

    fn event(&mut self, body: EventBody) -> NewEvent {
        let id = EventId::new(self.millis, self.counter, self.node);
        (self.millis, self.counter) = match self.counter.checked_add(1) {
            Some(next) => (self.millis, next),
            None => (self.millis + 1, 0),
        };
        let (trace, session) = (self.trace, Some(self.about.key.clone()));
        NewEvent { header: EventHeader { id, trace, cause: None, session, at: self.at }, body }
    }
}

impl Read {
    fn problem(what: impl Into<String>) -> Self {
        Self { events: Vec::new(), problem: Some(what.into()) }
    }
}

#[cfg(test)]
mod tests;

//! Reads an OpenClaw state folder's sessions into the log.
//!
//! Each transcript is read line by line and committed some hundred events at a time; what is known
//! already is passed over, so a folder can be read again after it grew or after a failure.

use std::{
    collections::{BTreeSet, HashSet},
    path::Path,
};

use claw_domain::{
    ChatKind, Entry, EntryBody, EventBody, EventHeader, EventId, SessionKey, Settings, Timestamp,
};
use claw_store::{Change, Fence, NewEvent, Store};
use serde_json::{Map, Value};

use crate::{
    CURSOR, Error, Imported,
    files::{self, LINE_MAX, Line, Lines},
    ids::{nameless_id, node_id, session_id, trace_id},
    layout::{
        ENDING, LIST, agents_folder, file_name, is_agent_name, is_file_name, sessions_folder,
    },
    mark::Mark,
    read::text,
    record::{self, Record},
    transcript::{About, Transcript},
};

/// Most events of one commit.
const EVENTS_MAX: usize = 400;

/// Most bytes of lines whose events wait for their commit.
const BYTES_MAX: usize = 8 * 1024 * 1024;

/// What is to be read.
#[derive(Debug, Clone, Default)]
pub struct Wish {
    /// Only this agent's sessions.
    pub agent: Option<String>,
    /// Look at everything and change nothing.
    pub dry_run: bool,
}

/// Reads the sessions in `folder`, an OpenClaw state folder, into the store.
///
/// What cannot be understood is told with its place and does not stop the rest. Pairings, devices
/// and policies are not read.
///
/// # Errors
/// [`Error::NoSessions`] when it is no such folder, [`Error::Mirror`] when it is kept by a mirror of
/// ours. When a file or the store fails, what was committed stays, and reading again goes on there.
pub async fn import(
    store: &dyn Store,
    fence: &Fence,
    now: Timestamp,
    folder: &Path,
    wish: &Wish,
) -> Result<Imported, Error> {
    if files::length(&folder.join(CURSOR)).await? > 0 {
        return Err(Error::Mirror { folder: folder.into() });
    }
    let mut run = Run { store, fence, now, folder, wish, report: Imported::default() };
    let agents = files::names(&agents_folder(folder)).await?;
    let wanted = |name: &String| wish.agent.as_ref().is_none_or(|agent| agent == name);
    let mut any = false;
    for agent in agents.into_iter().filter(wanted) {
        if is_agent_name(&agent) {
            any |= run.agent(&agent).await?;
        } else {
            run.problem(&format!("agents/{agent}"), None, "no agent can be called this");
        }
    }
    if any { Ok(run.report) } else { Err(Error::NoSessions { folder: folder.into() }) }
}

struct Run<'a> {
    store: &'a dyn Store,
    fence: &'a Fence,
    now: Timestamp,
    folder: &'a Path,
    wish: &'a Wish,
    report: Imported,
}

impl Run<'_> {
    /// Reads one agent's sessions; whether there is a folder of them.
    async fn agent(&mut self, agent: &str) -> Result<bool, Error> {
        let names = files::names(&sessions_folder(self.folder, agent)).await?;
        if names.is_empty() {
            return Ok(false);
        }
        let mut listed = BTreeSet::new();
        let Some(list) = self.list(agent).await? else { return Ok(true) };
        for (key, fields) in list {
            if let Some(file) = self.listed(agent, &key, &fields, &names).await? {
                listed.insert(file);
            }
        }
        for name in names {
            if is_file_name(&name) && !listed.contains(&name) {
                self.unlisted(agent, &name).await?;
            } else if name.contains(".jsonl.") {
                self.report.archived += 1;
            }
        }
        Ok(true)
    }

    /// An agent's list. Without one that reads, nobody could say later which key a transcript had,
    /// so none of them is read then.
    async fn list(&mut self, agent: &str) -> Result<Option<Map<String, Value>>, Error> {
        let path = sessions_folder(self.folder, agent).join(LIST);
        match files::object(&path).await? {
            Some(Ok(list)) => Ok(Some(list)),
            Some(Err(what)) => {
                let what = format!("{what}, so this agent's sessions are left out");
                self.problem(&place(agent, LIST), None, what);
                Ok(None)
            }
            None => Ok(Some(Map::new())),
        }
    }

    /// Reads a session that the list names; the file that is its transcript.
    async fn listed(
        &mut self,
        agent: &str,
        key: &str,
        fields: &Value,
        names: &[String],
    ) -> Result<Option<String>, Error> {
        let key = SessionKey::from(key);
        let fields = fields.as_object();
        let Some((fields, record)) = fields.and_then(|all| Some((all, record::read(&key, all)?)))
        else {
            self.problem(&place(agent, LIST), None, format!("`{key}` names no session"));
            return Ok(None);
        };
        let file = file_name(&record.session, record.file.as_deref());
        let Some(file) = file.filter(|file| names.contains(file)) else {
            let what = format!("`{key}` has no transcript and is left out");
            self.problem(&place(agent, LIST), None, what);
            return Ok(None);
        };
        let about = About {
            key: key.clone(),
            agent: agent.into(),
            chat: record.chat,
            session: record.session.clone(),
            file: file.clone(),
            listed: true,
            now: self.now,
        };
        let stamp = Stamp { key, session: record.session.clone() };
        // Before the session is there, so that it need not be folded anew.
        self.commit(vec![stamp.record(fields, &record, self.now)]).await?;
        let at = self.transcript(agent, about).await?;
        let updated = record.updated_at.filter(|updated| *updated <= self.now).unwrap_or(at);
        self.commit(stamp.choices(record, updated)).await?;
        self.report.sessions += 1;
        Ok(Some(file))
    }

    /// Reads a transcript that the list does not name: a life that a reset ended. No key leads to
    /// it, as in OpenClaw, but it is in the log, and an export writes it again.
    async fn unlisted(&mut self, agent: &str, file: &str) -> Result<(), Error> {
        let stem = || file.trim_end_matches(ENDING).to_owned();
        let session = self.session_of(agent, file).await.unwrap_or_else(stem);
        let about = About {
            key: format!("agent:{agent}:transcript:{session}").into(),
            agent: agent.into(),
            chat: ChatKind::Direct,
            session,
            file: file.into(),
            listed: false,
            now: self.now,
        };
        self.transcript(agent, about).await?;
        self.report.unlisted += 1;
        Ok(())
    }

    /// The session that a file's header names.
    async fn session_of(&self, agent: &str, file: &str) -> Option<String> {
        let path = sessions_folder(self.folder, agent).join(file);
        // What cannot be read is told when the whole file is.
        let Ok(Some(Line::Bytes(first))) = Lines::open(&path).await.ok()?.next().await else {
            return None;
        };
        let header: Map<String, Value> = serde_json::from_slice(&first).ok()?;
        text(&header, "id").map(str::to_owned)
    }

    /// Reads a file as far as it can be read; the time of its last line.
    async fn transcript(&mut self, agent: &str, about: About) -> Result<Timestamp, Error> {
        let place = place(agent, &about.file);
        let path = sessions_folder(self.folder, agent).join(&about.file);
        let mut transcript = Transcript::new(about);
        match self.lines(&path, &place, &mut transcript).await {
            Err(Error::File { source, .. }) => {
                self.problem(&place, None, format!("cannot be read to its end: {source}"));
            }
            read => read?,
        }
        Ok(transcript.at())
    }

    async fn lines(
        &mut self,
        path: &Path,
        place: &str,
        transcript: &mut Transcript,
    ) -> Result<(), Error> {
        let mut lines = Lines::open(path).await?;
        let (mut events, mut bytes, mut number) = (Vec::new(), 0, 0);
        while let Some(line) = lines.next().await.map_err(Error::file(path))? {
            number += 1;
            let line = match line {
                Line::Bytes(line) => line,
                Line::TooLong => {
                    let what = format!("is longer than {LINE_MAX} bytes");
                    self.problem(place, Some(number), what);
                    continue;
                }
            };
            let read = transcript.line(number, &line);
            if let Some(what) = read.problem {
                self.problem(place, Some(number), what);
            }
            events.extend(read.events);
            bytes += line.len();
            if events.len() >= EVENTS_MAX || bytes >= BYTES_MAX {
                self.commit(std::mem::take(&mut events)).await?;
                bytes = 0;
            }
        }
        self.commit(events).await
    }

    /// Commits what is not known yet.
    async fn commit(&mut self, events: Vec<NewEvent>) -> Result<(), Error> {
        let (mut changes, mut taken) = (Vec::new(), HashSet::new());
        for event in events {
            let line = is_line(&event);
            self.report.entries += u64::from(line);
            if let Some(event) = self.unknown(event, &taken).await? {
                self.report.added += u64::from(line);
                taken.insert(event.header.id);
                changes.push(Change::Import(event));
            }
        }
        if !changes.is_empty() && !self.wish.dry_run {
            self.store.commit(self.fence, changes).await?;
        }
        Ok(())
    }

    /// The event, unless it is here. A file that was rewritten can give a line's event an id that
    /// another line once had; then the line gets the next one that is free.
    async fn unknown(
        &self,
        mut event: NewEvent,
        taken: &HashSet<EventId>,
    ) -> Result<Option<NewEvent>, Error> {
        let EventBody::EntryAdded(entry) = &event.body else {
            let known = self.store.event(event.header.id).await?.is_some();
            return Ok((!known).then_some(event));
        };
        if !self.store.history(entry.session, entry.id, 1).await?.is_empty() {
            return Ok(None);
        }
        while taken.contains(&event.header.id) || self.store.event(event.header.id).await?.is_some()
        {
            event.header.id = after(event.header.id);
        }
        Ok(Some(event))
    }

    fn problem(&mut self, file: &str, line: Option<u64>, what: impl Into<String>) {
        self.report.problems.add(file, line, what);
    }
}

/// Whose events they are that come of the list.
struct Stamp {
    key: SessionKey,
    session: String,
}

impl Stamp {
    /// The record as it is, in a leaf at the beginning of time, so that it is never the head.
    fn record(&self, fields: &Map<String, Value>, record: &Record, now: Timestamp) -> NewEvent {
        let whole = Value::Object(fields.clone());
        let text = whole.to_string();
        let at = record.updated_at.filter(|updated| *updated <= now).unwrap_or(now);
        let entry = Entry {
            id: nameless_id("record", &self.session, &text),
            session: session_id(&self.session),
            parent: None,
            at,
            run: None,
            tokens: 0,
            tokens_sum: 0,
            body: EntryBody::Foreign { kind: LIST.into(), record: whole },
            other: Mark::Record.write(),
        };
        self.event(0, at, &text, EventBody::EntryAdded(entry))
    }

    /// What its people chose, and where its last message came from.
    fn choices(&self, record: Record, at: Timestamp) -> Vec<NewEvent> {
        let Record { settings, target, .. } = record;
        let set = (settings != Settings::default()).then_some(EventBody::SessionSet { settings });
        let seen = target.map(|target| EventBody::SessionSeen { target });
        let millis = u64::try_from(at.as_millisecond()).unwrap_or(0);
        let event = |body| {
            let text = serde_json::to_string(&body).expect("an event has string keys");
            self.event(millis, at, &text, body)
        };
        set.into_iter().chain(seen).map(event).collect()
    }

    fn event(&self, millis: u64, at: Timestamp, content: &str, body: EventBody) -> NewEvent {
        let id = EventId::new(millis, 0, node_id(&self.session, content));
        let (trace, session) = (trace_id(&self.session), Some(self.key.clone()));
        NewEvent { header: EventHeader { id, trace, cause: None, session, at }, body }
    }
}

/// Whether an event is a line of a transcript.
fn is_line(event: &NewEvent) -> bool {
    matches!(&event.body, EventBody::EntryAdded(entry) if Mark::of(entry).is_none())
}

fn after(id: EventId) -> EventId {
    match id.counter().checked_add(1) {
        Some(next) => EventId::new(id.millis(), next, id.node()),
        None => EventId::new(id.millis() + 1, 0, id.node()),
    }
}

fn place(agent: &str, file: &str) -> String {
    format!("agents/{agent}/sessions/{file}")
}

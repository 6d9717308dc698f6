//! Writes the log's sessions as OpenClaw keeps them: for each agent a list, and a file per life.

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
};

use claw_domain::{Entry, EntryBody, EntryId, Event, EventBody, EventId, SessionId};
use claw_store::{SessionFilter, Store};
use serde_json::{Map, Value};

use crate::{
    Error, Exported,
    files::{self, Replacement},
    layout::{LIST, file_name, is_agent_name, sessions_folder},
    mark::{Mark, line_id},
    record,
    scan::{Life, Scan},
    write::{Ids, header, line},
};

/// Most bytes of lines that wait to be written.
const BYTES_MAX: usize = 1024 * 1024;

/// Writes all sessions into `folder` as an OpenClaw state folder.
///
/// # Errors
/// [`Error::Occupied`] when an agent's folder of sessions there is not empty; nothing is written
/// then. When a file or the store fails, each file that is there is whole.
pub async fn export(store: &dyn Store, folder: &Path) -> Result<Exported, Error> {
    let scan = Scan::of(store).await?;
    for life in scan.lives.values() {
        let sessions = sessions_folder(folder, life.agent.as_str());
        if is_agent_name(life.agent.as_str()) && !files::names(&sessions).await?.is_empty() {
            return Err(Error::Occupied { folder: sessions });
        }
    }
    write_all(store, folder, &scan).await
}

/// Writes all that a scan has found, over what is there.
pub(crate) async fn write_all(
    store: &dyn Store,
    folder: &Path,
    scan: &Scan,
) -> Result<Exported, Error> {
    let mut report = Exported::default();
    let mut lives: Vec<_> = scan.lives.iter().collect();
    lives.sort_unstable_by_key(|(id, _)| **id);
    for (id, life) in lives {
        let agent = life.agent.as_str();
        if !is_agent_name(agent) {
            report.problems.add("agents", None, format!("`{agent}` cannot name a folder"));
        } else if !life.entries.is_empty() {
            let sessions = sessions_folder(folder, agent);
            files::make_folder(&sessions).await?;
            report.entries += transcript(store, &sessions, *id, life).await?;
            report.transcripts += 1;
        }
    }
    for (agent, list) in lists(store, scan).await? {
        let sessions = sessions_folder(folder, &agent);
        files::make_folder(&sessions).await?;
        report.sessions += list.len() as u64;
        write_list(&sessions, list).await?;
    }
    Ok(report)
}

/// Replaces an agent's list.
pub(crate) async fn write_list(sessions: &Path, list: Map<String, Value>) -> Result<(), Error> {
    let text = serde_json::to_string_pretty(&list).expect("an object has string keys");
    files::replace(sessions.join(LIST), text.as_bytes()).await
}

/// The records of all sessions, by agent.
async fn lists(
    store: &dyn Store,
    scan: &Scan,
) -> Result<BTreeMap<String, Map<String, Value>>, Error> {
    // An agent whose sessions are all deleted has an empty list, and not the one of before.
    let lives = scan.lives.values().filter(|life| !life.entries.is_empty());
    let agents = lives.map(|life| life.agent.as_str()).filter(|agent| is_agent_name(agent));
    let mut lists: BTreeMap<String, Map<String, Value>> =
        agents.map(|agent| (agent.to_owned(), Map::new())).collect();
    for session in store.sessions(&SessionFilter::default()).await? {
        if !is_agent_name(session.agent.as_str()) {
            continue;
        }
        let read = match scan.records.get(&session.key) {
            Some(id) => store.event(*id).await?.and_then(record_of),
            None => None,
        };
        // What nothing happened to here is as it was read.
        let record = match read {
            Some(read) if !scan.own.contains(&session.key) => read,
            read => record::write(&session, read.as_ref()),
        };
        let list = lists.entry(session.agent.to_string()).or_default();
        list.insert(session.key.to_string(), Value::Object(record));
    }
    Ok(lists)
}

fn record_of(event: Event) -> Option<Map<String, Value>> {
    match entry_of(event)?.body {
        EntryBody::Foreign { record: Value::Object(record), .. } => Some(record),
        _ => None,
    }
}

fn entry_of(event: Event) -> Option<Entry> {
    match event.body {
        EventBody::EntryAdded(entry) => Some(entry),
        _ => None,
    }
}

/// Writes one life's file; how many lines it has beside its header.
async fn transcript(
    store: &dyn Store,
    sessions: &Path,
    id: SessionId,
    life: &Life,
) -> Result<u64, Error> {
    let mut file = None;
    let mut names = Names::default();
    let (mut bytes, mut lines) = (Vec::new(), 0);
    for event in &life.entries {
        let Some(entry) = entry(store, *event).await? else { continue };
        let mark = Mark::of(&entry);
        if file.is_none() {
            let (first, named) = match (&mark, &entry.body) {
                (Some(Mark::Header { file }), EntryBody::Foreign { record, .. }) => {
                    (record.clone(), Some(file.as_str()))
                }
                _ => (header(&id.to_string(), life.began), None),
            };
            let name = file_name(&id.to_string(), named).expect("a UUID can name a file");
            file = Some(Replacement::begin(sessions.join(name)).await?);
            push(&mut bytes, &first);
        }
        if mark.is_none() {
            push(&mut bytes, &names.line(&entry));
            lines += 1;
        }
        names.learn(&entry);
        if let Some(file) = file.as_mut().filter(|_| bytes.len() >= BYTES_MAX) {
            file.write(&bytes).await?;
            bytes.clear();
        }
    }
    if let Some(mut file) = file {
        file.write(&bytes).await?;
        file.finish().await?;
    }
    Ok(lines)
}

async fn entry(store: &dyn Store, event: EventId) -> Result<Option<Entry>, Error> {
    Ok(store.event(event).await?.and_then(entry_of))
}

/// Adds a line.
pub(crate) fn push(bytes: &mut Vec<u8>, line: &Value) {
    serde_json::to_writer(&mut *bytes, line).expect("a value can be written to memory");
    bytes.push(b'\n');
}

/// How the entries of one file are called in it, where that is not their own id.
#[derive(Debug, Default)]
pub(crate) struct Names(HashMap<EntryId, Option<String>>);

impl Names {
    /// Notes what an entry is called. What has no name leads on to the line that it follows.
    pub(crate) fn learn(&mut self, entry: &Entry) {
        let name = match Mark::of(entry) {
            Some(_) => None,
            None => line_id(entry).or_else(|| self.name(entry.parent?)),
        };
        if name.as_deref() != Some(entry.id.to_string().as_str()) {
            self.0.insert(entry.id, name);
        }
    }

    /// The line of an entry whose parents were learnt.
    pub(crate) fn line(&self, entry: &Entry) -> Value {
        let parent = entry.parent.and_then(|id| self.name(id));
        let first_kept = match &entry.body {
            EntryBody::Compaction { first_kept, .. } => self.name(*first_kept),
            _ => None,
        };
        let id = entry.id.to_string();
        line(entry, &Ids { id: &id, parent: parent.as_deref(), first_kept: first_kept.as_deref() })
    }

    fn name(&self, id: EntryId) -> Option<String> {
        self.0.get(&id).cloned().unwrap_or_else(|| Some(id.to_string()))
    }
}

//! Keeps OpenClaw's files up to date with the log, one way, for tools that read them.
//!
//! The log is looked at once a second. Before lines are added to files, a small file beside them
//! takes note of how long each was and where in the log the lines begin; a process that dies then
//! leaves files that the next one cuts back to that length and goes on with. What another
//! installation's log brought in can belong anywhere, so after it everything is written anew.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use claw_domain::{Entry, EntryBody, EntryId, Event, EventBody, Seq, Session, SessionKey};
use claw_store::Store;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::{
    CURSOR, Error,
    export::{Names, push, write_all, write_list},
    files,
    ids::{is_own, session_id},
    layout::{LIST, agents_folder, file_name, is_agent_name, sessions_folder},
    mark::Mark,
    read::text,
    record,
    scan::{PAGE, Scan},
    write::header,
};

/// How often the log is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// How long it waits after a failure.
const RETRY: Duration = Duration::from_secs(10);

/// Most lines without an id in a row that a line of ours may follow and still be joined to the tree.
const NAMELESS_MAX: usize = 16;

/// Mirrors the log into `agents/…/sessions` of the state folder until `stop` fires, and what it
/// holds by then.
///
/// A failure is logged and tried again. Where the folder holds sessions that no mirror wrote, as
/// OpenClaw's own does, it is left alone and the mirror ends at once.
pub async fn mirror(store: Arc<dyn Store>, state: PathBuf, stop: CancellationToken) {
    let mut failing = false;
    loop {
        let wait = match follow(&store, &state, &stop, &mut failing).await {
            Ok(()) => return,
            Err(occupied @ Error::Occupied { .. }) => {
                error!(error = %occupied, "OpenClaw's files are not mirrored");
                return;
            }
            Err(error) => {
                if !std::mem::replace(&mut failing, true) {
                    warn!(error = %error, "OpenClaw's files could not be written and wait");
                }
                RETRY
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = sleep(wait) => {}
        }
    }
}

/// Follows the log until `stop` fires or something fails.
async fn follow(
    store: &Arc<dyn Store>,
    state: &Path,
    stop: &CancellationToken,
    failing: &mut bool,
) -> Result<(), Error> {
    let mut mirror = Mirror::open(&**store, state).await?;
    while !stop.is_cancelled() {
        if mirror.step().await? {
            continue;
        }
        if std::mem::take(failing) {
            info!("OpenClaw's files are up to date again");
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = sleep(LOOK) => {}
        }
    }
    // What was committed while everything ended.
    while mirror.step().await? {}
    Ok(())
}

/// How far the files are.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Cursor {
    /// The last event whose line is whole in its file; `None` while everything is written anew.
    seq: Option<u64>,
    /// How long the files were that were added to after it.
    #[serde(default)]
    files: BTreeMap<String, u64>,
}

struct Mirror<'a> {
    store: &'a dyn Store,
    state: &'a Path,
    seq: Seq,
}

impl<'a> Mirror<'a> {
    /// Brings the files to where the cursor says that they are, or writes all of them.
    async fn open(store: &'a dyn Store, state: &'a Path) -> Result<Self, Error> {
        let mut mirror = Self { store, state, seq: Seq(0) };
        let cursor = match files::object(&state.join(CURSOR)).await? {
            Some(Ok(cursor)) => serde_json::from_value(Value::Object(cursor)).unwrap_or_default(),
            // It is ours, so what it stood for is ours as well.
            Some(Err(_broken)) => Cursor::default(),
            None => {
                mirror.refuse_what_is_not_ours().await?;
                Cursor::default()
            }
        };
        match cursor.seq {
            Some(seq) if mirror.cut_back(&cursor.files).await? => mirror.seq = Seq(seq),
            _ => mirror.write_anew().await?,
        }
        Ok(mirror)
    }

    /// Writes the next events; whether there were any.
    async fn step(&mut self) -> Result<bool, Error> {
        let page = self.store.events(self.seq, PAGE).await?;
        let Some(last) = page.last() else { return Ok(false) };
        if page.iter().any(|event| event.imported) {
            self.write_anew().await?;
            return Ok(true);
        }
        let mut batch = Batch::default();
        for event in &page {
            self.take(event, &mut batch).await?;
        }
        self.write(batch).await?;
        self.seq = last.seq;
        Ok(true)
    }

    async fn refuse_what_is_not_ours(&self) -> Result<(), Error> {
        for agent in files::names(&agents_folder(self.state)).await? {
            let folder = sessions_folder(self.state, &agent);
            if !files::names(&folder).await?.is_empty() {
                return Err(Error::Occupied { folder });
            }
        }
        Ok(())
    }

    /// Takes back what was added after the cursor; `false` when a file is not what it was.
    async fn cut_back(&self, lengths: &BTreeMap<String, u64>) -> Result<bool, Error> {
        for (file, length) in lengths {
            let path = self.state.join(file);
            let now = files::length(&path).await?;
            if now < *length {
                return Ok(false);
            }
            if now > *length {
                files::cut(&path, *length).await?;
            }
        }
        Ok(true)
    }

    async fn write_anew(&mut self) -> Result<(), Error> {
        self.note(Cursor::default()).await?;
        let scan = Scan::of(self.store).await?;
        for problem in write_all(self.store, self.state, &scan).await?.problems.problems {
            warn!(%problem, "not mirrored");
        }
        self.seq = scan.seq;
        self.note(Cursor { seq: Some(scan.seq.0), files: BTreeMap::new() }).await
    }

    async fn note(&self, cursor: Cursor) -> Result<(), Error> {
        let text = serde_json::to_string(&cursor).expect("a cursor has string keys");
        files::replace(self.state.join(CURSOR), text.as_bytes()).await
    }

    /// Notes what an event changes.
    async fn take(&self, event: &Event, batch: &mut Batch) -> Result<(), Error> {
        let Some(key) = &event.header.session else { return Ok(()) };
        if !batch.sessions.contains_key(key) {
            let session = self.store.session(key).await?;
            let agent = session.as_ref().map(|session| session.agent.clone());
            let agent = agent
                .or_else(|| key.agent())
                .map_or_else(|| "main".into(), |agent| agent.to_string());
            if !batch.lists.contains_key(&agent) && is_agent_name(&agent) {
                let list = sessions_folder(self.state, &agent).join(LIST);
                // A list that does not read is written anew from what is known.
                let list = files::object(&list).await?.and_then(Result::ok).unwrap_or_default();
                batch.lists.insert(agent.clone(), list);
            }
            batch.sessions.insert(key.clone(), (agent, session));
        }
        match &event.body {
            EventBody::EntryAdded(entry) if Mark::of(entry).is_none() => {
                self.line(key, entry, batch).await
            }
            _ => Ok(()),
        }
    }

    async fn line(&self, key: &SessionKey, entry: &Entry, batch: &mut Batch) -> Result<(), Error> {
        let Some(file) = batch.file(key, entry) else { return Ok(()) };
        let first_kept = match &entry.body {
            EntryBody::Compaction { first_kept, .. } => Some(*first_kept),
            _ => None,
        };
        for id in entry.parent.into_iter().chain(first_kept) {
            self.learn(id, entry, batch).await?;
        }
        if !batch.lines.contains_key(&file) {
            let length = files::length(&self.state.join(&file)).await?;
            let mut bytes = Vec::new();
            if length == 0 {
                let session = batch.sessions.get(key).and_then(|(_, session)| session.as_ref());
                let session = session.filter(|session| session.id == entry.session);
                let began = session.map_or(entry.at, |session| session.created_at);
                push(&mut bytes, &header(&entry.session.to_string(), began));
            }
            batch.lengths.insert(file.clone(), length);
            batch.lines.insert(file.clone(), bytes);
        }
        let line = batch.names.line(entry);
        batch.names.learn(entry);
        push(batch.lines.entry(file).or_default(), &line);
        Ok(())
    }

    /// Finds how the line of an entry is called that was read from OpenClaw's files.
    async fn learn(&self, id: EntryId, near: &Entry, batch: &mut Batch) -> Result<(), Error> {
        if !is_own(id) && batch.looked_up.insert(id) {
            let found = self.store.history(near.session, id, NAMELESS_MAX).await?;
            found.iter().for_each(|entry| batch.names.learn(entry));
        }
        Ok(())
    }

    async fn write(&self, batch: Batch) -> Result<(), Error> {
        let Batch { sessions, mut lists, lines, lengths, .. } = batch;
        for agent in lists.keys() {
            files::make_folder(&sessions_folder(self.state, agent)).await?;
        }
        self.note(Cursor { seq: Some(self.seq.0), files: lengths }).await?;
        for (file, bytes) in lines {
            files::append(&self.state.join(file), &bytes).await?;
        }
        for (key, (agent, session)) in sessions {
            let Some(list) = lists.get_mut(&agent) else { continue };
            let before = list.get(key.as_str()).and_then(Value::as_object);
            match session.map(|session| record::write(&session, before)) {
                Some(record) => drop(list.insert(key.to_string(), Value::Object(record))),
                None => drop(list.shift_remove(key.as_str())),
            }
        }
        for (agent, list) in lists {
            write_list(&sessions_folder(self.state, &agent), list).await?;
        }
        Ok(())
    }
}

/// What a page of the log changes.
#[derive(Default)]
struct Batch {
    /// Each session as it is now, with its agent.
    sessions: HashMap<SessionKey, (String, Option<Session>)>,
    /// The lists of the agents, as they were.
    lists: BTreeMap<String, Map<String, Value>>,
    /// New lines, by their file's path in the state folder.
    lines: BTreeMap<String, Vec<u8>>,
    /// How long these files were.
    lengths: BTreeMap<String, u64>,
    names: Names,
    looked_up: BTreeSet<EntryId>,
}

impl Batch {
    /// The file of an entry's life, as a path in the state folder.
    fn file(&self, key: &SessionKey, entry: &Entry) -> Option<String> {
        let (agent, _) = self.sessions.get(key)?;
        let record = self.lists.get(agent)?.get(key.as_str()).and_then(Value::as_object);
        let own = entry.session.to_string();
        // A session that was read from OpenClaw's files stays in the file that it had there.
        let same = |record: &&Map<String, Value>| {
            text(record, "sessionId").is_some_and(|id| session_id(id) == entry.session)
        };
        let name = match record.filter(same) {
            Some(record) => file_name(text(record, "sessionId")?, text(record, "sessionFile")),
            None => file_name(&own, None),
        };
        Some(format!("agents/{agent}/sessions/{}", name?))
    }
}

#[cfg(test)]
mod tests;

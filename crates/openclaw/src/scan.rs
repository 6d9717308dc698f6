//! The whole log in one pass: which lives of sessions there are, and where their entries are.

use std::collections::{HashMap, HashSet};

use claw_domain::{AgentId, Event, EventBody, EventId, Seq, SessionId, SessionKey, Timestamp};
use claw_store::Store;

use crate::{Error, mark::Mark};

/// Most events that are read at one time.
pub(crate) const PAGE: usize = 500;

/// What the log holds of transcripts. Takes some 16 bytes for each entry.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    /// The newest event that was seen.
    pub(crate) seq: Seq,
    pub(crate) lives: HashMap<SessionId, Life>,
    /// For each session that was read from a list, the event of its newest record.
    pub(crate) records: HashMap<SessionKey, EventId>,
    /// Sessions in which something happened here.
    pub(crate) own: HashSet<SessionKey>,
}

/// One life of a session.
#[derive(Debug)]
pub(crate) struct Life {
    pub(crate) agent: AgentId,
    pub(crate) began: Timestamp,
    /// The events of its entries.
    pub(crate) entries: Vec<EventId>,
}

impl Scan {
    /// Reads all of the log.
    pub(crate) async fn of(store: &dyn Store) -> Result<Self, Error> {
        let mut scan = Self::default();
        loop {
            let page = store.events(scan.seq, PAGE).await?;
            let Some(last) = page.last() else { break };
            scan.seq = last.seq;
            page.iter().for_each(|event| scan.take(event));
        }
        for life in scan.lives.values_mut() {
            life.entries.sort_unstable();
        }
        Ok(scan)
    }

    fn take(&mut self, event: &Event) {
        let header = &event.header;
        if let (Some(key), false) = (&header.session, event.imported) {
            self.own.insert(key.clone());
        }
        match &event.body {
            EventBody::SessionOpened { id, agent, .. } => {
                self.life(*id, event).agent = agent.clone();
            }
            EventBody::EntryAdded(entry) => {
                let is_record = Mark::of(entry) == Some(Mark::Record);
                match &header.session {
                    Some(key) if is_record => drop(self.records.insert(key.clone(), header.id)),
                    _ => self.life(entry.session, event).entries.push(header.id),
                }
            }
            _ => {}
        }
    }

    fn life(&mut self, id: SessionId, event: &Event) -> &mut Life {
        let agent = || event.header.session.as_ref().and_then(SessionKey::agent);
        self.lives.entry(id).or_insert_with(|| Life {
            agent: agent().unwrap_or_else(|| "main".into()),
            began: event.header.at,
            entries: Vec::new(),
        })
    }
}

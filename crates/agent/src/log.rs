//! What happened in a turn and is not committed yet, and the session as it will be then.

use std::{sync::Arc, time::Duration};

use claw_delivery::{Error, Job};
use claw_domain::{Ending, Entry, EntryBody, EntryId, EventBody, EventId, Session, SessionId};
use claw_store::Change;
use tracing::warn;

use crate::agents::Agents;

/// How often a commit is tried again before the turn is put back into its lane: with waits from
/// 1 s to 30 s, some quarter of an hour. What a model said is paid for and not thrown away sooner.
const COMMIT_TRIES_MAX: u32 = 32;

/// What happened and is not committed yet, and the session as it will be then.
pub(crate) struct Log<'a> {
    pub(crate) agents: &'a Agents,
    pub(crate) job: &'a Job,
    pub(crate) session: Option<Session>,
    pub(crate) cause: Option<EventId>,
    pub(crate) pending: Vec<Change>,
}

impl<'a> Log<'a> {
    pub(crate) fn new(agents: &'a Agents, job: &'a Job, session: Option<Session>) -> Self {
        if let Some(session) = &session {
            agents.scribe.observe(session.newest);
        }
        Self { agents, job, session, cause: None, pending: Vec::new() }
    }

    /// Notes an event; the next one is caused by it.
    pub(crate) fn event(&mut self, body: EventBody) -> EventId {
        let job = self.job;
        let (id, change) =
            self.agents.scribe.write(job.row.trace, self.cause, Some(&job.session), body);
        if let Change::Log(event) = &change {
            self.session =
                claw_store::fold_session(self.session.take(), &event.header, &event.body);
        }
        self.cause = Some(id);
        self.pending.push(change);
        id
    }

    pub(crate) fn open(&mut self, why: &str) {
        self.event(EventBody::SessionOpened {
            id: SessionId::generate(),
            agent: self.job.agent.clone(),
            chat: self.job.chat,
            why: why.into(),
        });
    }

    /// Notes a transcript entry at the head.
    pub(crate) fn entry(&mut self, tokens: u64, body: EntryBody) -> Arc<Entry> {
        let session = self.session.as_ref().expect("the session is opened before its first entry");
        let entry = Entry {
            id: EntryId::generate(),
            session: session.id,
            parent: session.head,
            at: self.agents.scribe.now(),
            run: Some(self.job.row.run.clone()),
            tokens,
            tokens_sum: session.tokens_sum + tokens,
            body,
            other: serde_json::Map::new(),
        };
        self.event(EventBody::EntryAdded(entry.clone()));
        Arc::new(entry)
    }

    /// Commits what happened so far.
    pub(crate) async fn commit(&mut self) -> Result<(), Error> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let changes = std::mem::take(&mut self.pending);
        let agents = self.agents;
        patiently(|| async {
            agents.store.commit(&agents.fence, changes.clone()).await?;
            Ok(())
        })
        .await?;
        self.job.moved();
        Ok(())
    }

    /// Commits the rest together with the end of the job.
    pub(crate) async fn finish(&mut self, ending: &Ending) -> Result<(), Error> {
        let changes = std::mem::take(&mut self.pending);
        patiently(|| self.job.finish(ending, changes.clone())).await
    }
}

/// Tries a commit again while the store fails in a way that may pass.
async fn patiently<F: Future<Output = Result<(), Error>>>(
    commit: impl Fn() -> F,
) -> Result<(), Error> {
    let mut tries = 1;
    loop {
        let error = match commit().await {
            Err(Error::Store(error)) if error.may_pass() => Error::Store(error),
            decided => return decided,
        };
        if tries >= COMMIT_TRIES_MAX {
            return Err(error);
        }
        warn!(%error, tries, "the store did not keep a step of a turn; trying again");
        tokio::time::sleep(Duration::from_secs(u64::from(tries).min(30))).await;
        tries += 1;
    }
}

//! The conversations of turns that ended lately, so that the next one need not read them again.
//!
//! Only a memory of what the store holds: what is taken is valid for the very head and start that
//! the session has now, and anything else is read from the store.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use claw_domain::{Entry, EntryId, Session, SessionId};

/// Most that is kept in all, some 16 MB of text. When it is more, the shelf is emptied.
const TOKENS_MAX: u64 = 4_000_000;

/// Longest conversation that is kept; a longer one is cheap to read beside what it costs to ask.
const ENTRY_TOKENS_MAX: u64 = 20_000;

#[derive(Default)]
pub(crate) struct Shelf(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    by_session: HashMap<SessionId, Conversation>,
    tokens: u64,
}

struct Conversation {
    head: Option<EntryId>,
    start: Option<EntryId>,
    tokens: u64,
    entries: Vec<Arc<Entry>>,
}

impl Shelf {
    /// Keeps what a prompt of the session holds up to its head.
    pub(crate) fn put(&self, session: &Session, entries: Vec<Arc<Entry>>) {
        let tokens = entries.iter().map(|entry| entry.tokens).sum();
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if tokens > ENTRY_TOKENS_MAX {
            return;
        }
        if kept.tokens + tokens > TOKENS_MAX {
            *kept = Kept::default();
        }
        let conversation =
            Conversation { head: session.head, start: session.context_start, tokens, entries };
        let before = kept.by_session.insert(session.id, conversation);
        kept.tokens = kept.tokens + tokens - before.map_or(0, |before| before.tokens);
    }

    /// Takes what is kept of the session, if that is how the session stands now.
    pub(crate) fn take(&self, session: &Session) -> Option<Vec<Arc<Entry>>> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let conversation = kept.by_session.remove(&session.id)?;
        kept.tokens -= conversation.tokens;
        let current =
            conversation.head == session.head && conversation.start == session.context_start;
        current.then_some(conversation.entries)
    }
}

#[cfg(test)]
mod tests {
    use claw_domain::{
        EntryBody, EventBody, EventHeader, EventId, NodeId, TraceId, UserMessage, millis,
    };

    use super::*;

    fn session() -> Session {
        let header = EventHeader {
            id: EventId::new(1, 0, NodeId(1)),
            trace: TraceId::generate(),
            cause: None,
            session: Some("agent:main:main".into()),
            at: millis(0),
        };
        let opened = EventBody::SessionOpened {
            id: SessionId::generate(),
            agent: "main".into(),
            chat: claw_domain::ChatKind::Direct,
            why: "first".into(),
        };
        claw_store::fold_session(None, &header, &opened).expect("it opens")
    }

    fn entry(session: &mut Session, tokens: u64) -> Arc<Entry> {
        let id = EntryId::generate();
        session.head = Some(id);
        Arc::new(Entry {
            id,
            session: session.id,
            parent: None,
            at: millis(0),
            run: None,
            tokens,
            tokens_sum: tokens,
            body: EntryBody::User(UserMessage::text("x")),
            other: serde_json::Map::new(),
        })
    }

    #[test]
    fn only_a_conversation_that_still_stands_is_given() {
        let (shelf, mut session) = (Shelf::default(), session());
        let entries = vec![entry(&mut session, 10)];
        shelf.put(&session, entries.clone());
        assert_eq!(shelf.take(&session), Some(entries.clone()));
        assert_eq!(shelf.take(&session), None, "it is given once");
        shelf.put(&session, entries.clone());
        entry(&mut session, 1);
        assert_eq!(shelf.take(&session), None, "somebody else wrote meanwhile");
        shelf.put(&session, entries);
        session.context_start = session.head;
        assert_eq!(shelf.take(&session), None, "prompts begin elsewhere");
    }

    #[test]
    fn the_shelf_holds_no_more_than_its_limit() {
        let shelf = Shelf::default();
        let mut last = None;
        for _ in 0..=TOKENS_MAX / ENTRY_TOKENS_MAX {
            let mut session = session();
            let entries = vec![entry(&mut session, ENTRY_TOKENS_MAX)];
            shelf.put(&session, entries);
            last = Some(session);
        }
        let kept = shelf.0.lock().unwrap();
        assert_eq!((kept.tokens, kept.by_session.len()), (ENTRY_TOKENS_MAX, 1));
        drop(kept);
        assert!(shelf.take(&last.unwrap()).is_some());
        let mut long = session();
        let entries = vec![entry(&mut long, ENTRY_TOKENS_MAX + 1)];
        shelf.put(&long, entries);
        assert_eq!(shelf.take(&long), None);
    }
}

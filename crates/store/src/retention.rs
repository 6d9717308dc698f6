//! What is left of events that are older than the retention: the snapshot that later ones go on from.
//!
//! Old events are folded session by session, in the order of their ids, each into its [`Base`]. What
//! a session could not be made from without stays in the log: how it was opened and set, the prompt
//! prefix in force, and the transcript of its present life. Everything else goes. Events that belong
//! to no session (who was let in, which devices were paired) are few and stay for ever.

use std::collections::BTreeMap;

use claw_domain::{
    EntryBody, EntryId, Event, EventBody, EventId, NodeId, Seq, Session, SessionId, SessionKey,
    Timestamp, Usage,
};
use serde::{Deserialize, Serialize};

use crate::fold_session;

/// A session as far as its events were folded. Rebuilding it begins here.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Base {
    /// Whose.
    pub key: SessionKey,
    /// The newest event that was folded; only later ones are folded onto this.
    pub newest: EventId,
    /// The session then; `None` when it was deleted or never opened.
    pub session: Option<Session>,
    /// Folded events that stay in the log, by what they are needed for.
    kept: BTreeMap<Need, EventId>,
}

/// What a folded event is still needed for: another installation that imports this log makes the
/// session from these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Need {
    /// There must be a session before it can be set.
    Beginning,
    /// The present life.
    Life,
    Settings,
    Target,
    ContextStart,
    Prefix,
}

/// What becomes of one event that was folded, and of others through it.
#[derive(Debug, Default, PartialEq)]
pub struct Verdict {
    /// Whether the event stays in the log.
    pub stays: bool,
    /// Events that stayed until now and go with it.
    pub gone: Vec<EventId>,
    /// A life that is over: its transcript goes as a whole once all of it was folded.
    pub ended: Option<SessionId>,
    /// Tokens that the snapshot takes over.
    pub used: Usage,
}

/// What one step of [`Store::fold`](crate::Store::fold) did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Folded {
    /// Events that went.
    pub events: u64,
    /// Inbox and outbox rows that went.
    pub rows: u64,
    /// Whether there may be more to do.
    pub more: bool,
}

/// What the log no longer tells, summed up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Snapshot {
    /// The newest event that was ever folded; zero when none was.
    pub until: EventId,
    /// Events that went.
    pub events: u64,
    /// Tokens of the model calls that were folded.
    pub usage: Usage,
    /// Nodes in the tree of transcripts, counted now.
    pub nodes: u64,
}

/// A transcript entry's place in the tree, as the store keeps it beside the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Node {
    /// The entry.
    pub id: EntryId,
    /// The life that it belongs to.
    pub session: SessionId,
    /// The entry before it.
    pub parent: Option<EntryId>,
    /// Its size in tokens.
    pub tokens: u64,
    /// The event that added it.
    pub seq: Seq,
}

impl Base {
    /// Where a session begins of which nothing was folded yet.
    pub fn new(key: SessionKey) -> Self {
        Self { key, newest: EventId::default(), session: None, kept: BTreeMap::new() }
    }

    /// Whether an event of this session was folded, or comes too late to be.
    pub fn covers(&self, id: EventId) -> bool {
        id <= self.newest
    }

    /// Folds the session's next event, or one that was folded before, and judges it.
    pub fn fold(&mut self, event: &Event) -> Verdict {
        let (id, body) = (event.header.id, &event.body);
        let mut verdict = Verdict::default();
        if !self.covers(id) {
            let life = self.life();
            self.session = fold_session(self.session.take(), &event.header, body);
            self.newest = id;
            verdict.ended = life.filter(|life| self.life() != Some(*life));
            verdict.gone = self.keep(id, body);
            if let EventBody::Used(record) = body {
                verdict.used = record.usage;
            }
        }
        verdict.stays = match body {
            EventBody::EntryAdded(entry) => {
                if self.life() != Some(entry.session) {
                    verdict.ended = Some(entry.session);
                }
                true
            }
            _ => self.needs(id),
        };
        verdict
    }

    fn life(&self) -> Option<SessionId> {
        self.session.as_ref().map(|session| session.id)
    }

    fn needs(&self, id: EventId) -> bool {
        self.kept.values().any(|kept| *kept == id)
    }

    /// Notes what the event is needed for, and gives back those that it made needless.
    fn keep(&mut self, id: EventId, body: &EventBody) -> Vec<EventId> {
        use Need::*;
        let (need, replaced): (Option<Need>, &[Need]) = match body {
            EventBody::SessionOpened { .. } => (Some(Life), &[Life, ContextStart, Prefix]),
            EventBody::SessionDeleted => {
                (None, &[Beginning, Life, Settings, Target, ContextStart, Prefix])
            }
            EventBody::SessionSet { .. } => (Some(Settings), &[Settings]),
            EventBody::SessionSeen { .. } => (Some(Target), &[Target]),
            EventBody::ContextTrimmed { .. } => (Some(ContextStart), &[ContextStart]),
            EventBody::PrefixEpoch { .. } => (Some(Prefix), &[Prefix]),
            EventBody::EntryAdded(entry)
                if matches!(entry.body, EntryBody::Compaction { .. })
                    && self.life() == Some(entry.session) =>
            {
                (None, &[ContextStart, Prefix])
            }
            _ => return Vec::new(),
        };
        let replaced = replaced.iter().filter_map(|need| self.kept.remove(need));
        let mut gone: Vec<EventId> = replaced.collect();
        if let (Some(need), Some(_)) = (need, &self.session) {
            self.kept.insert(need, id);
            if need == Life {
                self.kept.entry(Beginning).or_insert(id);
            }
        }
        // The first life may be the present one.
        gone.dedup();
        gone.retain(|id| !self.needs(*id));
        gone
    }
}

/// The first id of an instant: events before it have smaller ids.
pub fn first_id(at: Timestamp) -> EventId {
    EventId::new(u64::try_from(at.as_millisecond()).unwrap_or(0), 0, NodeId(0))
}

/// An id below all of the same millisecond: where folding goes on when an event comes late.
pub fn before_id(id: EventId) -> EventId {
    match id.millis() {
        0 => EventId::default(),
        millis => EventId::new(millis - 1, u16::MAX, NodeId(u64::MAX)),
    }
}

#[cfg(test)]
mod tests {
    use claw_domain::{ChatKind, EventHeader, Settings, TraceId, millis};
    use uuid::Uuid;

    use super::*;

    fn life(number: u128) -> SessionId {
        SessionId(Uuid::from_u128(number))
    }

    fn id(number: u64) -> EventId {
        EventId::new(number, 0, NodeId(1))
    }

    fn event(number: u64, body: EventBody) -> Event {
        let header = EventHeader {
            id: id(number),
            trace: TraceId(Uuid::nil()),
            cause: None,
            session: Some("agent:main:main".into()),
            at: millis(number.cast_signed()),
        };
        Event { seq: Seq(number), header, body, imported: false }
    }

    fn opened(number: u128) -> EventBody {
        let (chat, why) = (ChatKind::Direct, "first".into());
        EventBody::SessionOpened { id: life(number), agent: "main".into(), chat, why }
    }

    fn set() -> EventBody {
        EventBody::SessionSet { settings: Settings::default() }
    }

    fn prefix() -> EventBody {
        let model = "demo/demo".parse().unwrap();
        let (system, tools, why) = ("You are".into(), String::new(), "first".into());
        EventBody::PrefixEpoch { model, system, tools, why }
    }

    /// Folds a session's story; for each event, whether it stays and which others go.
    fn told(story: Vec<EventBody>) -> Vec<(bool, Vec<EventId>)> {
        let mut base = Base::new("agent:main:main".into());
        let judge = |(number, body)| {
            let verdict = base.fold(&event(number, body));
            (verdict.stays, verdict.gone)
        };
        (1..).zip(story).map(judge).collect()
    }

    #[test]
    fn what_a_session_is_made_from_stays_until_something_newer_says_so() {
        let story = vec![opened(1), set(), prefix(), set(), opened(2), opened(3)];
        let expected = [
            (true, vec![]),
            (true, vec![]),
            (true, vec![]),
            (true, vec![id(2)]),
            (true, vec![id(3)]),
            (true, vec![id(5)]),
        ];
        assert_eq!(told(story), expected);
    }

    #[test]
    fn a_deleted_session_keeps_nothing() {
        let expected =
            [(true, vec![]), (true, vec![]), (false, vec![id(1), id(2)]), (false, vec![])];
        assert_eq!(told(vec![opened(1), set(), EventBody::SessionDeleted, set()]), expected);
    }

    #[test]
    fn an_event_is_folded_once_however_often_it_is_looked_at() {
        let mut base = Base::new("agent:main:main".into());
        let story = [event(1, opened(1)), event(2, set()), event(3, opened(2))];
        for event in &story {
            base.fold(event);
        }
        let folded = base.clone();
        let again: Vec<bool> = story.iter().map(|event| base.fold(event).stays).collect();
        assert_eq!(again, [true, true, true]);
        assert_eq!(base, folded);
    }

    #[test]
    fn a_life_that_is_over_is_named() {
        let mut base = Base::new("agent:main:main".into());
        assert_eq!(base.fold(&event(1, opened(1))).ended, None);
        assert_eq!(base.fold(&event(2, opened(2))).ended, Some(life(1)));
        assert_eq!(base.fold(&event(3, EventBody::SessionDeleted)).ended, Some(life(2)));
    }

    #[test]
    fn an_id_before_another_is_below_its_whole_millisecond() {
        let late = EventId::new(7, 0, NodeId(0));
        assert!(before_id(late) < late && before_id(late) > EventId::new(6, 1, NodeId(9)));
        assert_eq!(first_id(millis(7)), late);
    }
}

//! What is older than the retention: folded into the snapshot, by the rules of [`Base`].

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    ops::Bound::{Excluded, Unbounded},
};

use claw_domain::{EntryId, EventId, NodeId, Seq, SessionId, SessionKey, Timestamp, Usage};
use claw_store::{
    Base, Folded, InboxState, Node, OutboxRow, Snapshot, before_id, external_key, first_id,
};

use crate::state::{State, pending};

/// How far the log is folded.
#[derive(Debug, Default)]
pub(crate) struct Retention {
    bases: BTreeMap<SessionKey, Base>,
    /// Lives that are over: their newest event and the place of the one committed last.
    ended: BTreeMap<SessionId, (EventId, Seq)>,
    /// Looked at up to here. Goes back when an older event comes late.
    looked: EventId,
    until: EventId,
    events: u64,
    usage: Usage,
}

impl Retention {
    /// Whether a session was folded beyond an event.
    pub(crate) fn covers(&self, key: &SessionKey, id: EventId) -> bool {
        self.bases.get(key).is_some_and(|base| base.covers(id))
    }

    /// Where the folding of a session begins.
    pub(crate) fn base(&self, key: &SessionKey) -> Base {
        self.bases.get(key).cloned().unwrap_or_else(|| Base::new(key.clone()))
    }

    /// Sees to it that an event that comes late is looked at.
    pub(crate) fn look_again(&mut self, id: EventId) {
        if id <= self.looked {
            self.looked = before_id(id);
        }
    }

    /// Where the ids of a node go on from, at least.
    pub(crate) fn clock_of(&self, node: NodeId) -> Option<EventId> {
        let folded = self.until > EventId::default();
        folded.then(|| EventId::new(self.until.millis(), self.until.counter(), node))
    }
}

impl State {
    pub(crate) fn fold_old(&mut self, before: Timestamp, limit: usize) -> Folded {
        let open = self.open_inbox().map(|row| row.received_at).min();
        let cut = first_id(open.map_or(before, |open| open.min(before)));
        let gone = self.retention.events;
        let looked = self.fold_until(cut, limit);
        let swept = self.sweep(limit);
        let (inbox, outbox) = (self.forget_inbox(before, limit), self.forget_outbox(before, limit));
        Folded {
            events: self.retention.events - gone,
            rows: (inbox + outbox) as u64,
            more: [looked, swept, inbox, outbox].contains(&limit),
        }
    }

    /// Folds the oldest events that were not looked at yet.
    fn fold_until(&mut self, cut: EventId, limit: usize) -> usize {
        let after = self.event_ids.range((Excluded(self.retention.looked), Unbounded));
        let ids: Vec<_> = after.map(|(id, _)| *id).take_while(|id| *id < cut).take(limit).collect();
        for id in &ids {
            self.fold_one(*id);
        }
        ids.len()
    }

    fn fold_one(&mut self, id: EventId) {
        self.retention.looked = id;
        self.retention.until = self.retention.until.max(id);
        let event = &self.events[&self.event_ids[&id]];
        let Some(key) = event.header.session.clone() else { return };
        let mut base = self.retention.base(&key);
        let verdict = base.fold(event);
        self.retention.bases.insert(key, base);
        self.retention.usage.add(&verdict.used);
        let known = |life: &SessionId| self.retention.ended.get(life).is_some_and(|at| at.0 >= id);
        if let Some(life) = verdict.ended.filter(|life| !known(life)) {
            self.end(life);
        }
        for gone in verdict.gone.into_iter().chain((!verdict.stays).then_some(id)) {
            self.forget(gone);
        }
    }

    /// Takes an event out of the log. The newest stays, since its place is the next one's beginning.
    fn forget(&mut self, id: EventId) {
        let Some(&seq) = self.event_ids.get(&id).filter(|seq| **seq != self.newest) else { return };
        self.event_ids.remove(&id);
        self.events.remove(&seq);
        self.retention.events += 1;
    }

    /// Notes that a life is over, and how far its transcript goes.
    fn end(&mut self, life: SessionId) {
        let ids = self.entries.values().filter(|(_, entry)| entry.session == life);
        let last = ids.map(|(seq, _)| (self.events[seq].header.id, *seq));
        let last = last.reduce(|one, other| (one.0.max(other.0), one.1.max(other.1)));
        if let Some(last) = last {
            self.retention.ended.insert(life, last);
        }
    }

    /// Takes out transcripts that are over and wholly old, the newest entry first, so that no entry
    /// is ever without its parent.
    fn sweep(&mut self, limit: usize) -> usize {
        let over = self.retention.ended.iter().filter(|(_, last)| last.0 <= self.retention.looked);
        let over: Vec<_> = over.map(|(life, last)| (*life, last.1)).collect();
        let mut swept = 0;
        for (life, last) in over {
            let entries = self.entries.values().filter(|(_, entry)| entry.session == life);
            let places: BTreeSet<_> = entries.map(|(seq, entry)| (*seq, entry.id)).collect();
            match places.last() {
                Some((newest, _)) if *newest > last => self.end(life),
                Some((newest, _)) if *newest == self.newest => {}
                _ => {
                    let (count, most) = (places.len(), limit - swept);
                    for (seq, entry) in places.into_iter().rev().take(most) {
                        self.entries.remove(&entry);
                        self.forget(self.events[&seq].header.id);
                        swept += 1;
                    }
                    if count <= most {
                        self.retention.ended.remove(&life);
                    }
                }
            }
        }
        swept
    }

    fn forget_inbox(&mut self, before: Timestamp, limit: usize) -> usize {
        let oldest = self.inbox.values().take(limit);
        let done = oldest
            .filter(|row| matches!(row.state, InboxState::Closed { .. }))
            .filter(|row| row.received_at < before);
        let gone: Vec<_> = done.map(|row| (row.id, external_key(row))).collect();
        for (id, external) in &gone {
            self.inbox.remove(id);
            self.received.remove(external);
        }
        gone.len()
    }

    fn forget_outbox(&mut self, before: Timestamp, limit: usize) -> usize {
        let count = self.outbox.len();
        let mut looked = 0;
        self.outbox.retain(|row| {
            looked += usize::from(!pending(row));
            pending(row) || looked > limit || row.expires_at >= before
        });
        let place = |(at, row): (usize, &OutboxRow)| (row.id, at);
        self.outbox_ids = self.outbox.iter().enumerate().map(place).collect();
        let mut orders = HashMap::new();
        for row in &self.outbox {
            let newest = orders.entry(row.outbound.target.clone()).or_insert(row.order);
            *newest = row.order.max(*newest);
        }
        self.orders = orders;
        count - self.outbox.len()
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        let Retention { until, events, usage, .. } = self.retention;
        Snapshot { until, events, usage, nodes: self.entries.len() as u64 }
    }

    pub(crate) fn bases(&self, after: Option<&SessionKey>, limit: usize) -> Vec<Base> {
        let from = after.map_or(Unbounded, Excluded);
        let bases = self.retention.bases.range::<SessionKey, _>((from, Unbounded));
        bases.map(|(_, base)| base.clone()).take(limit).collect()
    }

    pub(crate) fn nodes(&self, ids: &[EntryId]) -> Vec<Node> {
        let node = |id: &EntryId| {
            let (seq, entry) = self.entries.get(id)?;
            let (session, parent, tokens) = (entry.session, entry.parent, entry.tokens);
            Some(Node { id: *id, session, parent, tokens, seq: *seq })
        };
        ids.iter().filter_map(node).collect()
    }
}

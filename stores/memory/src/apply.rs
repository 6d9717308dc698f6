//! How a change that was checked changes the state.

use std::sync::Arc;

use claw_domain::{
    DeviceId, Event, EventBody, EventHeader, EventId, InboundKind, InboxId, MessageText, Seq,
    Session, SessionKey,
};
use claw_store::{
    Change, Committed, DeliveryState, Device, Fence, Grant, InboxRow, InboxState, NewEvent,
    OutboxRow, external_key, fold_session, is_needless,
};

use crate::state::State;

/// Why a look-up by id cannot fail here.
const CHECKED: &str = "row exists: the list of changes was checked before";

impl State {
    /// Carries out changes that [`check`](claw_store::check) has passed.
    pub(crate) fn apply(&mut self, changes: Vec<Change>) -> Committed {
        let mut done = Committed {
            seq: Seq(0),
            received: Vec::new(),
            replaced: Vec::new(),
            orders: Vec::new(),
        };
        for change in changes {
            match change {
                Change::Log(event) => self.log(event, false),
                Change::Import(event) => self.import(event),
                Change::Receive(row) => done.received.push(self.receive(*row)),
                Change::Advance(id, to) => {
                    let row = self.inbox.get_mut(&id).expect(CHECKED);
                    if !matches!(row.state, InboxState::Closed { .. }) {
                        row.state = to;
                    }
                }
                Change::Leave(id) => {
                    self.inbox.get_mut(&id).expect(CHECKED).fence = Fence::NOBODY;
                }
                Change::Replace(id, message) => done.replaced.push(self.replace(id, message)),
                Change::Enqueue(row) => done.orders.push(self.enqueue(*row)),
                Change::Deliver(id, to, not_before) => {
                    let row = &mut self.outbox[self.outbox_ids[&id]];
                    if !matches!(row.state, DeliveryState::Sent { .. }) {
                        row.state = to;
                        row.not_before = not_before.unwrap_or(row.not_before);
                    }
                }
                Change::PutPairing(request) => {
                    let key =
                        (request.channel.clone(), request.account.clone(), request.peer.clone());
                    self.pairings.insert(key, request);
                }
                Change::DropPairing(channel, account, peer) => {
                    self.pairings.remove(&(channel, account, peer));
                }
            }
        }
        done.seq = self.seq();
        done
    }

    fn import(&mut self, event: NewEvent) {
        if !self.event_ids.contains_key(&event.header.id) && !is_needless(self, &event) {
            self.retention.look_again(event.header.id);
            self.log(event, true);
        }
    }

    fn log(&mut self, event: NewEvent, imported: bool) {
        let seq = Seq(self.newest.0 + 1);
        self.newest = seq;
        if let Some(run) = event.run() {
            self.runs.entry(run.clone()).or_default().push(seq);
        }
        let NewEvent { header, body } = event;
        self.event_ids.insert(header.id, seq);
        self.project(seq, &header, &body, imported);
        let key = header.session.clone();
        let in_order = self.fold(&header, &body);
        self.events.insert(seq, Event { seq, header, body, imported });
        if let (Some(key), false) = (key, in_order) {
            self.refold(&key);
        }
    }

    /// Folds an event into its session; `false` when it is older than one that was folded before.
    fn fold(&mut self, header: &EventHeader, body: &EventBody) -> bool {
        let Some(key) = &header.session else { return true };
        let session = self.sessions.remove(key);
        let newest = session.as_ref().map(|session| session.newest);
        let newest = newest.or_else(|| self.deleted.get(key).copied()).unwrap_or_default();
        let in_order = header.id > newest;
        if in_order {
            self.put(key, fold_session(session, header, body), header.id);
        }
        in_order
    }

    /// Folds a session again from its events, in the order of their ids.
    fn refold(&mut self, key: &SessionKey) {
        let base = self.retention.base(key);
        let ours = self.events.values().filter(|event| event.header.session.as_ref() == Some(key));
        let mut events: Vec<&Event> = ours.filter(|event| !base.covers(event.header.id)).collect();
        events.sort_by_key(|event| event.header.id);
        let newest = events.last().map_or(base.newest, |event| event.header.id);
        let session = events
            .iter()
            .fold(base.session, |session, event| fold_session(session, &event.header, &event.body));
        self.put(key, session, newest);
    }

    fn put(&mut self, key: &SessionKey, session: Option<Session>, newest: EventId) {
        match session {
            Some(session) => drop(self.sessions.insert(key.clone(), session)),
            None => drop(self.deleted.insert(key.clone(), newest)),
        }
    }

    fn project(&mut self, seq: Seq, header: &EventHeader, body: &EventBody, imported: bool) {
        match body {
            EventBody::EntryAdded(entry) => {
                self.entries.insert(entry.id, (seq, Arc::new(entry.clone())));
            }
            EventBody::Used(record) => self.usage.add(&record.usage),
            // Whom another installation let in is its own affair.
            EventBody::GrantGiven { .. }
            | EventBody::DevicePaired { .. }
            | EventBody::DeviceRemoved { .. }
                if imported => {}
            EventBody::GrantGiven { channel, account, peer, .. } => {
                let key = (channel.clone(), account.clone(), peer.clone());
                self.grants.entry(key).or_insert_with(|| Grant {
                    channel: channel.clone(),
                    account: account.clone(),
                    peer: peer.clone(),
                    at: header.at,
                });
            }
            EventBody::DevicePaired { device, record } => {
                let paired = Device { id: device.clone(), record: record.clone() };
                self.register(header, device, Some(paired));
            }
            EventBody::DeviceRemoved { device } => self.register(header, device, None),
            EventBody::SessionOpened { .. }
            | EventBody::SessionSet { .. }
            | EventBody::SessionDeleted
            | EventBody::SessionSeen { .. }
            | EventBody::ContextTrimmed { .. }
            | EventBody::PrefixEpoch { .. }
            | EventBody::RunStarted { .. }
            | EventBody::AnswerFailed { .. }
            | EventBody::ToolStarted { .. }
            | EventBody::StopAsked { .. }
            | EventBody::RunFinished { .. } => {}
        }
    }

    fn register(&mut self, header: &EventHeader, id: &DeviceId, device: Option<Device>) {
        let newest = self.devices.get(id).is_none_or(|(by, _)| header.id > *by);
        if newest {
            self.devices.insert(id.clone(), (header.id, device));
        }
    }

    fn receive(&mut self, row: InboxRow) -> bool {
        let key = external_key(&row);
        let new = !self.received.contains_key(&key);
        if new {
            self.received.insert(key, row.id);
            self.inbox.insert(row.id, row);
        }
        new
    }

    fn replace(&mut self, id: InboxId, message: MessageText) -> bool {
        let waits = {
            let row = &self.inbox[&id];
            !matches!(row.state, InboxState::Closed { .. }) && !self.started(&row.run)
        };
        match &mut self.inbox.get_mut(&id).expect(CHECKED).inbound.kind {
            InboundKind::Message(text) if waits => {
                *text = message;
                true
            }
            _ => false,
        }
    }

    fn enqueue(&mut self, mut row: OutboxRow) -> u64 {
        let newest = self.orders.entry(row.outbound.target.clone()).or_insert(0);
        if row.part == 0 {
            *newest += 1;
        }
        row.order = *newest;
        let order = row.order;
        self.outbox_ids.insert(row.id, self.outbox.len());
        self.outbox.push(row);
        order
    }
}

//! How a change that was checked changes the state.

use std::sync::Arc;

use claw_domain::{
    DeviceId, Event, EventBody, EventHeader, InboundKind, InboxId, MessageText, Seq,
};
use claw_store::{
    Change, Committed, DeliveryState, Device, Grant, InboxRow, InboxState, NewEvent, OutboxRow,
    fold_session,
};

use crate::{check::external_key, state::State};

/// Why a look-up by id cannot fail here.
const CHECKED: &str = "row exists: the list of changes was checked before";

impl State {
    /// Carries out changes that [`check`](crate::check::check) has passed.
    pub(crate) fn apply(&mut self, changes: Vec<Change>) -> Committed {
        let mut done = Committed {
            seq: Seq(0),
            received: Vec::new(),
            replaced: Vec::new(),
            orders: Vec::new(),
        };
        for change in changes {
            match change {
                Change::Log(event) => self.log(event),
                Change::Receive(row) => done.received.push(self.receive(*row)),
                Change::Advance(id, to) => {
                    let row = self.inbox.get_mut(&id).expect(CHECKED);
                    if !matches!(row.state, InboxState::Closed { .. }) {
                        row.state = to;
                    }
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

    fn log(&mut self, event: NewEvent) {
        if let Some(run) = event.run() {
            self.runs.entry(run.clone()).or_default().push(self.events.len());
        }
        let NewEvent { header, body } = event;
        self.event_ids.insert(header.id, self.events.len());
        if let Some(key) = &header.session {
            let before = self.sessions.remove(key);
            if let Some(after) = fold_session(before, &header, &body) {
                self.sessions.insert(key.clone(), after);
            }
        }
        self.project(&header, &body);
        let seq = Seq(self.seq().0 + 1);
        self.events.push(Event { seq, header, body });
    }

    fn project(&mut self, header: &EventHeader, body: &EventBody) {
        match body {
            EventBody::EntryAdded(entry) => {
                self.entries.insert(entry.id, Arc::new(entry.clone()));
            }
            EventBody::Used(record) => self.usage.add(&record.usage),
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

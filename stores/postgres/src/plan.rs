//! What a group of commits writes, worked out from what is known before anything is written.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use claw_domain::{
    Event, EventBody, EventHeader, EventId, InboundKind, InboxId, MessageText, OutboxId, Seq,
    SessionKey, Usage,
};
use claw_store::{
    Change, Committed, DeliveryState, Error, Fence, Grant, InboxRow, InboxState, NewEvent,
    OutboxRow, PairingRequest, check, external_key, fold_session, is_needless,
};

use crate::{
    column::json,
    event::Line,
    inbox::{Arrival, Move, Seen},
    known::Known,
    outbox::{Moved, Queued},
    people::{Devices, PeerKey},
    session::Standing,
    transcript::Leaf,
};

/// Why a look-up by id cannot fail here.
const CHECKED: &str = "row exists: the list of changes was checked before";

/// What commits do, one after another, and so far.
pub(crate) struct Plan {
    known: Known,
    writes: Writes,
}

/// Rows to write. Of a row that several changes are about, how it is in the end.
#[derive(Default)]
pub(crate) struct Writes {
    pub(crate) events: Vec<Line>,
    pub(crate) newest: u64,
    pub(crate) used: Usage,
    pub(crate) entries: Vec<Leaf>,
    pub(crate) sessions: BTreeMap<SessionKey, Standing>,
    pub(crate) arrived: Vec<Arrival>,
    pub(crate) moved: HashMap<InboxId, Move>,
    pub(crate) queued: Vec<Queued>,
    pub(crate) delivered: HashMap<OutboxId, Moved>,
    pub(crate) pairings: BTreeMap<PeerKey, Option<PairingRequest>>,
    pub(crate) grants: Vec<Grant>,
    pub(crate) devices: Devices,
    /// The oldest event that was imported.
    pub(crate) imported: Option<EventId>,
    touched: BTreeSet<SessionKey>,
}

impl Plan {
    pub(crate) fn new(known: Known) -> Self {
        let writes = Writes { newest: known.newest, ..Writes::default() };
        Self { known, writes }
    }

    /// Adds a commit, whole or not at all.
    pub(crate) fn add(&mut self, fence: &Fence, changes: &[Change]) -> Result<Committed, Error> {
        if !self.known.fences.contains(fence) {
            return Err(Error::fenced(fence));
        }
        check(&self.known, changes)?;
        let (mut received, mut replaced, mut orders) = (Vec::new(), Vec::new(), Vec::new());
        for change in changes {
            match change {
                Change::Log(event) => self.log(event, false),
                Change::Import(event) => self.import(event),
                Change::Receive(row) => received.push(self.receive(row)),
                Change::Advance(id, to) => self.advance(*id, to),
                Change::Leave(id) => self.move_of(*id).fence = Some(Fence::NOBODY),
                Change::Replace(id, message) => replaced.push(self.replace(*id, message)),
                Change::Enqueue(row) => orders.push(self.enqueue(row)),
                Change::Deliver(id, to, not_before) => {
                    let sent = self.known.outbox.get_mut(id).expect(CHECKED);
                    if !*sent {
                        *sent = matches!(to, DeliveryState::Sent { .. });
                        let before = self.writes.delivered.get(id).and_then(|(_, at)| *at);
                        let moved = (to.clone(), not_before.or(before));
                        self.writes.delivered.insert(*id, moved);
                    }
                }
                Change::PutPairing(request) => {
                    let key =
                        (request.channel.clone(), request.account.clone(), request.peer.clone());
                    self.writes.pairings.insert(key, Some(request.clone()));
                }
                Change::DropPairing(channel, account, peer) => {
                    let key = (channel.clone(), account.clone(), peer.clone());
                    self.writes.pairings.insert(key, None);
                }
            }
        }
        Ok(Committed { seq: Seq(self.writes.newest), received, replaced, orders })
    }

    /// All that has to be written.
    pub(crate) fn finish(self) -> Writes {
        let Self { mut known, mut writes } = self;
        for key in std::mem::take(&mut writes.touched) {
            let mut standing = known.sessions.remove(&key).expect(CHECKED);
            if let Some(late) = known.late.remove(&key).filter(|late| late.disordered) {
                let mut events = late.events;
                events.retain(|event| !late.base.covers(event.header.id));
                events.sort_by_key(|event| event.header.id);
                standing.session = events.iter().fold(late.base.session, |session, event| {
                    fold_session(session, &event.header, &event.body)
                });
            }
            writes.sessions.insert(key, standing);
        }
        writes
    }

    fn import(&mut self, event: &NewEvent) {
        let id = event.header.id;
        if !self.known.events.contains(&id) && !is_needless(&self.known, event) {
            let oldest = self.writes.imported.map_or(id, |oldest| oldest.min(id));
            self.writes.imported = Some(oldest);
            self.log(event, true);
        }
    }

    /// Appends an event and brings every projection up to it.
    fn log(&mut self, event: &NewEvent, imported: bool) {
        self.writes.newest += 1;
        let seq = self.writes.newest;
        self.known.events.insert(event.header.id);
        self.writes.events.push(Line::new(seq, event, imported));
        self.fold(Seq(seq), event, imported);
        let NewEvent { header, body } = event;
        match body {
            EventBody::EntryAdded(entry) => {
                self.known.entries.insert(entry.id);
                self.writes.entries.push(Leaf::new(seq, entry));
            }
            EventBody::Used(record) => self.writes.used.add(&record.usage),
            EventBody::RunStarted { run, .. } => {
                self.known.started.insert(run.clone());
            }
            EventBody::GrantGiven { .. }
            | EventBody::DevicePaired { .. }
            | EventBody::DeviceRemoved { .. } => {
                // Whom another installation let in is its own affair.
                if !imported {
                    self.let_in(header, body);
                }
            }
            EventBody::SessionOpened { .. }
            | EventBody::SessionSet { .. }
            | EventBody::SessionDeleted
            | EventBody::SessionSeen { .. }
            | EventBody::ContextTrimmed { .. }
            | EventBody::PrefixEpoch { .. }
            | EventBody::AnswerFailed { .. }
            | EventBody::ToolStarted { .. }
            | EventBody::StopAsked { .. }
            | EventBody::RunFinished { .. } => {}
        }
    }

    fn fold(&mut self, seq: Seq, event: &NewEvent, imported: bool) {
        let NewEvent { header, body } = event;
        let Some(key) = &header.session else { return };
        let standing = self.known.sessions.get_mut(key).expect(CHECKED);
        let in_order = header.id > standing.newest;
        if in_order {
            standing.session = fold_session(standing.session.take(), header, body);
            standing.newest = header.id;
        }
        if let Some(late) = self.known.late.get_mut(key) {
            let (header, body) = (header.clone(), body.clone());
            late.events.push(Event { seq, header, body, imported });
            late.disordered |= !in_order;
        }
        self.writes.touched.insert(key.clone());
    }

    fn let_in(&mut self, header: &EventHeader, body: &EventBody) {
        let (device, record) = match body {
            EventBody::GrantGiven { channel, account, peer, .. } => {
                let (channel, account, peer) = (channel.clone(), account.clone(), peer.clone());
                self.writes.grants.push(Grant { channel, account, peer, at: header.at });
                return;
            }
            EventBody::DevicePaired { device, record } => (device, Some(record)),
            EventBody::DeviceRemoved { device } => (device, None),
            _ => return,
        };
        let newest = self.writes.devices.get(device).is_none_or(|(by, _)| header.id > *by);
        if newest {
            self.writes.devices.insert(device.clone(), (header.id, record.cloned()));
        }
    }

    fn receive(&mut self, row: &InboxRow) -> bool {
        let new = self.known.received.insert(external_key(row));
        if new {
            let seen = Seen {
                run: row.run.clone(),
                closed: matches!(row.state, InboxState::Closed { .. }),
                started: false,
                inbound: Some(row.inbound.clone()),
            };
            self.known.inbox.insert(row.id, seen);
            self.writes.arrived.push(Arrival::new(row));
        }
        new
    }

    fn advance(&mut self, id: InboxId, to: &InboxState) {
        let seen = self.known.inbox.get_mut(&id).expect(CHECKED);
        if !seen.closed {
            seen.closed = matches!(to, InboxState::Closed { .. });
            self.move_of(id).state = Some(to.clone());
        }
    }

    fn replace(&mut self, id: InboxId, message: &MessageText) -> bool {
        let seen = self.known.inbox.get_mut(&id).expect(CHECKED);
        if seen.closed || seen.started || self.known.started.contains(&seen.run) {
            return false;
        }
        let Some(inbound) = &mut seen.inbound else { return false };
        let InboundKind::Message(text) = &mut inbound.kind else { return false };
        *text = message.clone();
        let inbound = json(inbound);
        self.move_of(id).inbound = Some(inbound);
        true
    }

    fn enqueue(&mut self, row: &OutboxRow) -> u64 {
        let newest = self.known.orders.entry(row.outbound.target.clone()).or_insert(0);
        if row.part == 0 {
            *newest += 1;
        }
        let order = *newest;
        self.known.outbox.insert(row.id, matches!(row.state, DeliveryState::Sent { .. }));
        self.writes.queued.push(Queued::new(row, order));
        order
    }

    fn move_of(&mut self, id: InboxId) -> &mut Move {
        self.writes.moved.entry(id).or_default()
    }
}

//! How an event gets its id and its time.

use std::sync::Arc;

use claw_domain::{
    Clock, EventBody, EventHeader, EventId, IdSource, NodeId, SessionKey, Timestamp, TraceId,
};
use claw_store::{Change, NewEvent};

/// Gives events their headers.
#[derive(Clone)]
pub struct Scribe {
    ids: Arc<IdSource>,
    clock: Arc<dyn Clock>,
}

impl Scribe {
    /// A scribe that writes in this node's name.
    pub fn new(ids: Arc<IdSource>, clock: Arc<dyn Clock>) -> Self {
        Self { ids, clock }
    }

    /// The node in whose name it writes.
    pub fn node(&self) -> NodeId {
        self.ids.node()
    }

    /// Writes from now on after this event, which another gateway may have written.
    pub fn observe(&self, id: EventId) {
        self.ids.observe(id);
    }

    /// The time now.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// An event of a session, and its id for what it will cause.
    pub fn write(
        &self,
        trace: TraceId,
        cause: Option<EventId>,
        session: Option<&SessionKey>,
        body: EventBody,
    ) -> (EventId, Change) {
        let at = self.clock.now();
        let id = self.ids.next(at);
        let header = EventHeader { id, trace, cause, session: session.cloned(), at };
        (id, Change::Log(NewEvent { header, body }))
    }
}

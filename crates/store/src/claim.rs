//! Which waiting messages a gateway takes over from the dead and from those that gave them up.

use std::collections::HashMap;

use claw_domain::{AgentId, SessionKey};

use crate::{Claim, Fence, InboxRow, InboxState};

/// Chooses among rows that no living gateway has. Pure, so that every store chooses alike.
#[derive(Debug)]
pub struct Claiming<'a> {
    fence: &'a Fence,
    claim: &'a Claim,
    lanes: HashMap<SessionKey, u64>,
    taken: Vec<InboxRow>,
    lanes_taken: Vec<SessionKey>,
}

impl<'a> Claiming<'a> {
    /// `lanes` are the lanes that somebody living holds, each with the epoch of its holder.
    pub fn new(
        fence: &'a Fence,
        claim: &'a Claim,
        lanes: impl IntoIterator<Item = (SessionKey, u64)>,
    ) -> Self {
        let lanes = lanes.into_iter().collect();
        Self { fence, claim, lanes, taken: Vec::new(), lanes_taken: Vec::new() }
    }

    /// Whether no more rows are wanted.
    pub fn is_full(&self) -> bool {
        self.taken.len() >= self.claim.limit
    }

    /// Looks at the next open row, the oldest first, and takes it when it may be taken.
    pub fn offer(&mut self, row: InboxRow) {
        if self.is_full() {
            return;
        }
        if let InboxState::Admitted { session, .. } = &row.state {
            let elsewhere =
                |agent: AgentId| self.claim.agents_elsewhere.contains(&agent).then_some(());
            if session.agent().and_then(elsewhere).is_some() {
                return;
            }
            match self.lanes.get(session) {
                Some(epoch) if *epoch != self.fence.epoch => return,
                Some(_) => {}
                None => {
                    self.lanes.insert(session.clone(), self.fence.epoch);
                    self.lanes_taken.push(session.clone());
                }
            }
        }
        self.taken.push(InboxRow { fence: *self.fence, ..row });
    }

    /// The rows that were taken, and the lanes that have to be held for them now.
    pub fn finish(self) -> (Vec<InboxRow>, Vec<SessionKey>) {
        (self.taken, self.lanes_taken)
    }
}

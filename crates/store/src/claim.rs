//! Which waiting messages a gateway takes over from the dead and from those that gave them up.

use std::collections::{HashMap, HashSet};

use claw_domain::{Origin, SessionKey};

use crate::{Claim, Fence, Holding, InboxRow, InboxState};

/// Chooses among rows that no living gateway has. Pure, so that every store chooses alike.
///
/// What belongs together is taken by one gateway, so that it stays in its order: what is on its way
/// to a session by the holder of that lane, which whoever takes the first of it becomes; what a
/// channel brought and nobody looked at yet by the holder of the account, and what came there later
/// waits for that.
#[derive(Debug)]
pub struct Claiming<'a> {
    fence: &'a Fence,
    claim: &'a Claim,
    held: HashMap<Holding, u64>,
    /// Accounts of which something older is left to their holder.
    waiting: HashSet<Holding>,
    taken: Vec<InboxRow>,
    lanes_taken: Vec<Holding>,
}

impl<'a> Claiming<'a> {
    /// `held` is what somebody living holds, each with the epoch of its holder.
    pub fn new(
        fence: &'a Fence,
        claim: &'a Claim,
        held: impl IntoIterator<Item = (Holding, u64)>,
    ) -> Self {
        let held = held.into_iter().collect();
        let (waiting, taken, lanes_taken) = (HashSet::new(), Vec::new(), Vec::new());
        Self { fence, claim, held, waiting, taken, lanes_taken }
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
        let inbound = &row.inbound;
        let account = Holding::Account(inbound.channel.clone(), inbound.account.clone());
        let may_take = match (&row.state, &inbound.origin) {
            (InboxState::Admitted { session, .. }, _) => {
                !self.waiting.contains(&account) && self.takes_lane(session)
            }
            (_, Origin::Operator(operator)) => self.takes_lane(&operator.session),
            (_, Origin::Person { .. }) => {
                let ours = self.held.get(&account) == Some(&self.fence.epoch);
                if !ours {
                    self.waiting.insert(account);
                }
                ours
            }
        };
        if may_take {
            self.taken.push(InboxRow { fence: *self.fence, ..row });
        }
    }

    /// Whether the lane is ours, or is free and now ours.
    fn takes_lane(&mut self, session: &SessionKey) -> bool {
        if session.agent().is_some_and(|agent| self.claim.agents_elsewhere.contains(&agent)) {
            return false;
        }
        let lane = Holding::Lane(session.clone());
        match self.held.get(&lane) {
            Some(epoch) => *epoch == self.fence.epoch,
            None => {
                self.held.insert(lane.clone(), self.fence.epoch);
                self.lanes_taken.push(lane);
                true
            }
        }
    }

    /// The rows that were taken, and the lanes that have to be held for them now.
    pub fn finish(self) -> (Vec<InboxRow>, Vec<Holding>) {
        (self.taken, self.lanes_taken)
    }
}

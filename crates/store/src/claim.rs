//! Which waiting messages a gateway takes over from the dead and from those that gave them up.

use std::collections::HashMap;

use crate::{Claim, Fence, Holding, InboxRow};

/// Chooses among rows that no living gateway has. Pure, so that every store chooses alike.
///
/// What belongs together is taken by one gateway, so that it stays in its order: what is on its way
/// to a session by the holder of that lane, what a channel brought and nobody looked at yet by the
/// holder of the account. Whoever takes the first of it becomes the holder. Where somebody else is to
/// look at a row, nobody knows yet to which session it goes, so all that is newer waits for that.
#[derive(Debug)]
pub struct Claiming<'a> {
    fence: &'a Fence,
    claim: &'a Claim,
    held: HashMap<Holding, u64>,
    /// Whether something older is left to the holder of its account.
    waits: bool,
    taken: Vec<InboxRow>,
    held_now: Vec<Holding>,
}

impl<'a> Claiming<'a> {
    /// `held` is what somebody living holds, each with the epoch of its holder.
    pub fn new(
        fence: &'a Fence,
        claim: &'a Claim,
        held: impl IntoIterator<Item = (Holding, u64)>,
    ) -> Self {
        let held = held.into_iter().collect();
        Self { fence, claim, held, waits: false, taken: Vec::new(), held_now: Vec::new() }
    }

    /// Whether no more rows are wanted.
    pub fn is_full(&self) -> bool {
        self.waits || self.taken.len() >= self.claim.limit
    }

    /// Looks at the next open row, the oldest first, and takes it when it may be taken.
    pub fn offer(&mut self, row: InboxRow) {
        if self.is_full() {
            return;
        }
        let may_take = match row.lane() {
            Some(session) => {
                let elsewhere = |agent| self.claim.agents_elsewhere.contains(&agent);
                !session.agent().is_some_and(elsewhere)
                    && self.holds(Holding::Lane(session.clone()))
            }
            None => {
                let inbound = &row.inbound;
                let account = Holding::Account(inbound.channel.clone(), inbound.account.clone());
                let ours = self.holds(account);
                self.waits = !ours;
                ours
            }
        };
        if may_take {
            self.taken.push(InboxRow { fence: *self.fence, ..row });
        }
    }

    /// Whether it is ours, or is free and now ours.
    fn holds(&mut self, holding: Holding) -> bool {
        match self.held.get(&holding) {
            Some(epoch) => *epoch == self.fence.epoch,
            None => {
                self.held.insert(holding.clone(), self.fence.epoch);
                self.held_now.push(holding);
                true
            }
        }
    }

    /// The rows that were taken, and what has to be held for them now.
    pub fn finish(self) -> (Vec<InboxRow>, Vec<Holding>) {
        (self.taken, self.held_now)
    }
}

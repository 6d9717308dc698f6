//! Which entries of a path a prompt holds: the one rule that every store walks by.

use std::sync::Arc;

use claw_domain::{Entry, EntryBody, EntryId};

/// A walk from the head of a transcript toward its root.
///
/// It takes the newest entries that together fit the budget, and at least one. It ends at `start`.
/// The newest compaction on the way stands for all that is older than its `first_kept`: it comes
/// first, the entries from `first_kept` on follow it, and the walk ends there. A compaction older
/// than that one is left out, since the newer summary has taken it in.
#[derive(Debug)]
pub struct ContextWalk {
    start: Option<EntryId>,
    tokens_left: u64,
    compaction: Option<(Arc<Entry>, EntryId)>,
    newest_first: Vec<Arc<Entry>>,
}

impl ContextWalk {
    /// A walk that has taken nothing yet.
    pub fn new(start: Option<EntryId>, tokens_max: u64) -> Self {
        Self { start, tokens_left: tokens_max, compaction: None, newest_first: Vec::new() }
    }

    /// Whether an entry of this size would still be taken; when not, the walk is over.
    pub fn fits(&self, tokens: u64) -> bool {
        let empty = self.newest_first.is_empty() && self.compaction.is_none();
        empty || tokens <= self.tokens_left
    }

    /// Takes an entry that [`fits`](Self::fits); the entry to look at next, or `None` at the end.
    pub fn take(&mut self, entry: Arc<Entry>) -> Option<EntryId> {
        let (id, parent) = (entry.id, entry.parent);
        match (&entry.body, &self.compaction) {
            (EntryBody::Compaction { .. }, Some(_)) => {}
            (EntryBody::Compaction { first_kept, .. }, None) => {
                self.tokens_left = self.tokens_left.saturating_sub(entry.tokens);
                self.compaction = Some((Arc::clone(&entry), *first_kept));
            }
            _ => {
                self.tokens_left = self.tokens_left.saturating_sub(entry.tokens);
                self.newest_first.push(entry);
            }
        }
        let first_kept = self.compaction.as_ref().map(|(_, first_kept)| *first_kept);
        let ended = self.start == Some(id) || first_kept == Some(id);
        parent.filter(|_| !ended)
    }

    /// What was taken: the compaction, then the rest, oldest first.
    pub fn finish(self) -> Vec<Arc<Entry>> {
        let compaction = self.compaction.into_iter().map(|(entry, _)| entry);
        compaction.chain(self.newest_first.into_iter().rev()).collect()
    }
}

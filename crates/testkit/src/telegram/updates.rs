//! The queue of updates that waits for the bot.

use std::{
    collections::{HashSet, VecDeque},
    sync::Arc,
};

use serde_json::{Value, json};

/// Most updates that wait; then the oldest is forgotten. The real server forgets after 24 hours.
const UPDATES_MAX: usize = 250_000;

/// Kinds that are sent only to a bot that names them (Bot API, `getUpdates`).
const OPT_IN: [&str; 3] = ["chat_member", "message_reaction", "message_reaction_count"];

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Update {
    pub(super) id: i64,
    /// The chat and the message, where the update is about one.
    pub(super) message: Option<(i64, i64)>,
    /// The whole `Update` as JSON.
    pub(super) json: Arc<str>,
}

/// Keeps updates until an offset confirms them.
#[derive(Debug)]
pub(super) struct UpdateQueue {
    waiting: VecDeque<Update>,
    /// Updates to hand over once more, whatever was confirmed.
    again: VecDeque<Update>,
    last: Option<Update>,
    next_id: i64,
    allowed: Option<HashSet<String>>,
}

impl UpdateQueue {
    pub(super) fn new(first_id: i64) -> Self {
        let (waiting, again) = Default::default();
        Self { waiting, again, last: None, next_id: first_id, allowed: None }
    }

    /// Which kinds are queued from now on; an empty list stands for the default.
    pub(super) fn allow(&mut self, kinds: &[String]) {
        self.allowed = (!kinds.is_empty()).then(|| kinds.iter().cloned().collect());
    }

    /// Queues the payload of `kind`; returns the update's id, `None` if the kind is not allowed.
    pub(super) fn push(&mut self, kind: &str, payload: Value) -> Option<i64> {
        let allowed = match &self.allowed {
            Some(allowed) => allowed.contains(kind),
            None => !OPT_IN.contains(&kind),
        };
        if !allowed {
            return None;
        }
        let id = self.next_id;
        self.next_id += 1;
        let message = payload["chat"]["id"].as_i64().zip(payload["message_id"].as_i64());
        let json = json!({ "update_id": id, kind: payload }).to_string().into();
        self.add(Update { id, message, json });
        Some(id)
    }

    /// Queues a whole update as it is; it gets an id if it has none.
    pub(super) fn inject(&mut self, mut update: Value) -> i64 {
        let id = update["update_id"].as_i64().unwrap_or(self.next_id);
        update["update_id"] = id.into();
        self.next_id = self.next_id.max(id + 1);
        self.add(Update { id, message: None, json: update.to_string().into() });
        id
    }

    /// Hands the newest update over once more; `false` if there was none yet.
    pub(super) fn repeat_last(&mut self) -> bool {
        let repeated = self.last.clone();
        let is_there = repeated.is_some();
        self.again.extend(repeated);
        is_there
    }

    /// Forgets what `offset` confirms: all before it, or, if it is negative, all but the last
    /// `-offset` updates.
    pub(super) fn confirm(&mut self, offset: i64) {
        if offset < 0 {
            let kept = usize::try_from(offset.unsigned_abs()).unwrap_or(usize::MAX);
            self.waiting.drain(..self.waiting.len().saturating_sub(kept));
        }
        while self.waiting.front().is_some_and(|update| update.id < offset) {
            self.waiting.pop_front();
        }
    }

    /// The oldest updates, at most `limit`; they stay until they are confirmed.
    pub(super) fn take(&mut self, limit: usize) -> Vec<Update> {
        let again = self.again.len().min(limit);
        let mut taken: Vec<Update> = self.again.drain(..again).collect();
        taken.extend(self.waiting.iter().take(limit - again).cloned());
        taken
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    fn add(&mut self, update: Update) {
        self.last = Some(update.clone());
        self.waiting.push_back(update);
        if self.waiting.len() > UPDATES_MAX {
            self.waiting.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(count: usize) -> UpdateQueue {
        let mut queue = UpdateQueue::new(1);
        for _ in 0..count {
            queue.push("message", json!({}));
        }
        queue
    }

    fn ids(queue: &mut UpdateQueue, offset: i64, limit: usize) -> Vec<i64> {
        queue.confirm(offset);
        queue.take(limit).iter().map(|update| update.id).collect()
    }

    #[test]
    fn an_offset_confirms_all_before_it_and_nothing_else_does() {
        let mut queue = queue(3);
        assert_eq!(ids(&mut queue, 0, 2), [1, 2]);
        assert_eq!(ids(&mut queue, 0, 100), [1, 2, 3]);
        assert_eq!(ids(&mut queue, 3, 100), [3]);
        assert_eq!(ids(&mut queue, 0, 100), [3]);
        assert_eq!(ids(&mut queue, 4, 100), [0; 0]);
    }

    #[test]
    fn a_negative_offset_keeps_only_the_newest() {
        assert_eq!(ids(&mut queue(3), -1, 100), [3]);
        assert_eq!(ids(&mut queue(3), -9, 100), [1, 2, 3]);
    }

    #[test]
    fn a_repeated_update_comes_again_after_it_was_confirmed() {
        let mut queue = queue(1);
        assert_eq!(ids(&mut queue, 2, 100), [0; 0]);
        assert!(queue.repeat_last());
        assert_eq!(ids(&mut queue, 2, 100), [1]);
        assert_eq!(ids(&mut queue, 2, 100), [0; 0]);
    }

    #[test]
    fn reactions_are_queued_only_for_a_bot_that_asked() {
        let mut queue = queue(0);
        assert_eq!(queue.push("message_reaction", json!({})), None);
        queue.allow(&["message_reaction".to_owned()]);
        assert_eq!(queue.push("message_reaction", json!({})), Some(1));
        assert_eq!(queue.push("message", json!({})), None);
        queue.allow(&[]);
        assert_eq!(queue.push("message", json!({})), Some(2));
    }
}

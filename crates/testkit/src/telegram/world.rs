//! The chats, messages and pending faults behind a fake Telegram.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{book::now_us, script::Gate};

use super::updates::UpdateQueue;

/// The bot's user id, the part of its token before the colon.
pub(super) const BOT_ID: i64 = 123_456_789;

/// The bot's user name.
pub(super) const BOT_NAME: &str = "fake_bot";

/// How many messages are known, over all chats; then the oldest is forgotten.
const MESSAGES_MAX: usize = 100_000;

/// How often one chat takes a message when the rate limit is on (Bot FAQ: "avoid sending more
/// than one message per second" to one chat).
const SEND_PAUSE: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct World {
    pub(super) updates: UpdateQueue,
    /// Counts long polls; only the newest goes on.
    pub(super) poll: u64,
    pub(super) faults: Faults,
    pub(super) commands: Value,
    chats: HashSet<i64>,
    blocked: HashSet<i64>,
    /// By message id, which is unique over all chats here.
    messages: BTreeMap<i64, Message>,
    next_message_id: i64,
    /// When each chat takes its next message; `None` while the rate limit is off.
    next_send: Option<HashMap<i64, Instant>>,
}

/// What goes wrong next, and how often.
#[derive(Debug, Default)]
pub(super) struct Faults {
    pub(super) throttled: usize,
    pub(super) retry_after_secs: u64,
    pub(super) failing: usize,
    pub(super) status: u16,
    pub(super) lost_answers: usize,
    pub(super) held_answers: (usize, Option<Gate>),
}

impl Faults {
    /// What the answer to this send has to wait for.
    pub(super) fn next_gate(&mut self) -> Option<Gate> {
        let (sends, gate) = &mut self.held_answers;
        *sends = sends.checked_sub(1)?;
        gate.clone()
    }
}

#[derive(Debug, Clone)]
pub(super) struct Message {
    pub(super) chat: i64,
    pub(super) from: i64,
    pub(super) text: String,
    pub(super) date: u64,
}

impl World {
    pub(super) fn new() -> Self {
        Self {
            // Telegram starts at an arbitrary positive number too.
            updates: UpdateQueue::new(700_000_001),
            poll: 0,
            faults: Faults::default(),
            commands: json!([]),
            chats: HashSet::new(),
            blocked: HashSet::new(),
            messages: BTreeMap::new(),
            next_message_id: 1,
            next_send: None,
        }
    }

    /// Makes the bot a member of `chat`; a person who writes does so as well, and lets the bot write
    /// again.
    pub(super) fn join(&mut self, chat: i64) {
        self.blocked.remove(&chat);
        self.chats.insert(chat);
    }

    pub(super) fn knows(&self, chat: i64) -> bool {
        self.chats.contains(&chat)
    }

    pub(super) fn block(&mut self, chat: i64) {
        self.blocked.insert(chat);
    }

    pub(super) fn is_blocked(&self, chat: i64) -> bool {
        self.blocked.contains(&chat)
    }

    pub(super) fn limit_rate(&mut self) {
        self.next_send = Some(HashMap::new());
    }

    /// Counts a send to `chat`; the whole seconds to wait if it comes too early.
    pub(super) fn count_send(&mut self, chat: i64, now: Instant) -> Result<(), u64> {
        let Some(next_send) = &mut self.next_send else { return Ok(()) };
        match next_send.get(&chat) {
            Some(next) if *next > now => Err((*next - now).as_secs() + 1),
            _ => {
                next_send.insert(chat, now + SEND_PAUSE);
                Ok(())
            }
        }
    }

    /// Stores a message and returns its id.
    pub(super) fn add(&mut self, chat: i64, from: i64, text: &str) -> i64 {
        let id = self.next_message_id;
        self.next_message_id += 1;
        let date = now_us() / 1_000_000;
        self.messages.insert(id, Message { chat, from, text: text.to_owned(), date });
        if self.messages.len() > MESSAGES_MAX {
            self.messages.pop_first();
        }
        id
    }

    pub(super) fn message(&self, chat: i64, id: i64) -> Option<&Message> {
        self.messages.get(&id).filter(|message| message.chat == chat)
    }

    /// Gives a message another text; `false` if there is no such message.
    pub(super) fn edit(&mut self, chat: i64, id: i64, text: &str) -> bool {
        let message = self.messages.get_mut(&id).filter(|message| message.chat == chat);
        message.map(|message| message.text = text.to_owned()).is_some()
    }

    pub(super) fn delete(&mut self, chat: i64, id: i64) -> bool {
        self.message(chat, id).is_some() && self.messages.remove(&id).is_some()
    }

    /// The `Message` object, without entities; `null` if there is none.
    pub(super) fn draw(&self, chat: i64, id: i64) -> Value {
        let Some(message) = self.message(chat, id) else { return Value::Null };
        json!({
            "message_id": id,
            "from": user(message.from),
            "chat": draw_chat(chat),
            "date": message.date,
            "text": message.text,
        })
    }
}

/// The `User` object of an id.
pub(super) fn user(id: i64) -> Value {
    if id == BOT_ID {
        return json!({ "id": id, "is_bot": true, "first_name": "Fake", "username": BOT_NAME });
    }
    json!({
        "id": id,
        "is_bot": false,
        "first_name": format!("User {id}"),
        "username": format!("user{id}"),
        "language_code": "en",
    })
}

/// The `Chat` object of an id: a person if positive, else a group.
pub(super) fn draw_chat(id: i64) -> Value {
    if id > 0 {
        let (name, username) = (format!("User {id}"), format!("user{id}"));
        return json!({ "id": id, "type": "private", "first_name": name, "username": username });
    }
    json!({ "id": id, "type": "supergroup", "title": format!("Group {id}") })
}

/// The entities that Telegram finds in a person's text: mentions and commands.
pub(super) fn entities(text: &str) -> Vec<Value> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut found = Vec::new();
    let mut offset = 0;
    let mut before = ' ';
    let mut skip_until = 0;
    for (at, c) in text.char_indices() {
        let kind = match c {
            '@' => Some("mention"),
            '/' => Some("bot_command"),
            _ => None,
        };
        if let Some(kind) = kind.filter(|_| at >= skip_until && !is_word(before) && before != '/') {
            let rest = &text[at + 1..];
            // A command may name its bot: `/stop@fake_bot`.
            let in_entity = |c: char| is_word(c) || (kind == "bot_command" && c == '@');
            let length = rest.find(|c| !in_entity(c)).unwrap_or(rest.len());
            if length > 0 {
                found.push(json!({ "type": kind, "offset": offset, "length": length + 1 }));
                skip_until = at + 1 + length;
            }
        }
        offset += c.len_utf16();
        before = c;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limited_chat_takes_one_message_a_second() {
        let mut world = World::new();
        let start = Instant::now();
        let later = |ms: u64| start + Duration::from_millis(ms);
        assert_eq!(world.count_send(7, start), Ok(()));
        assert_eq!(world.count_send(7, start), Ok(()));
        world.limit_rate();
        assert_eq!(world.count_send(7, start), Ok(()));
        assert_eq!(world.count_send(7, later(400)), Err(1));
        assert_eq!(world.count_send(8, later(400)), Ok(()));
        assert_eq!(world.count_send(7, later(1000)), Ok(()));
    }

    #[test]
    fn mentions_and_commands_are_found_in_utf16_units() {
        let check = |text: &str, expected: Value| {
            assert_eq!(Value::from(entities(text)), expected, "{text}");
        };
        check("mail me@example or 1/2", json!([]));
        check("😀 @fake_bot hi", json!([{ "type": "mention", "offset": 3, "length": 9 }]));
        check("/stop@fake_bot", json!([{ "type": "bot_command", "offset": 0, "length": 14 }]));
        check(
            "/a @b",
            json!([
                { "type": "bot_command", "offset": 0, "length": 2 },
                { "type": "mention", "offset": 3, "length": 2 },
            ]),
        );
    }
}

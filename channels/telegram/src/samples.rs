//! Messages as Telegram writes them, for the tests.

use serde_json::{Value, json};

/// Our own bot.
pub(crate) fn me() -> frankenstein::types::User {
    let me = json!({ "id": 99, "is_bot": true, "first_name": "Claw", "username": "Claw_bot" });
    serde_json::from_value(me).expect("a user as Telegram writes it")
}

pub(crate) fn anna() -> Value {
    json!({ "id": 7, "is_bot": false, "first_name": "Anna", "last_name": "Lee", "username": "anna" })
}

pub(crate) fn group() -> Value {
    json!({ "id": -100, "type": "supergroup", "title": "Team" })
}

/// A message in the group from Anna, with these fields on top.
pub(crate) fn message(fields: Value) -> Value {
    let mut message =
        json!({ "message_id": 5, "date": 1_700_000_000, "chat": group(), "from": anna() });
    message.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    message
}

//! What a message of Telegram is called, what it says, and whether it means us.

use claw_channel::TextUnit;
use claw_domain::{ExternalId, MessageText, Quoted};
use frankenstein::types::{Message, MessageEntity, MessageEntityType, User};

/// How much of a quoted message is useful as context, in characters.
const QUOTE_CHARS_MAX: usize = 500;

/// The id under which a message is known everywhere: message ids alone are unique per chat only.
pub(crate) fn message_id(chat: i64, message: i32) -> ExternalId {
    format!("{chat}:{message}").into()
}

pub(crate) fn id_of(message: &Message) -> ExternalId {
    message_id(message.chat.id, message.message_id)
}

pub(crate) fn name_of(user: &User) -> String {
    match &user.last_name {
        Some(last) => format!("{} {last}", user.first_name),
        None => user.first_name.clone(),
    }
}

/// The text of a message; `None` for service messages and for commands to another bot.
pub(crate) fn text_of(message: &Message, me: &User) -> Option<MessageText> {
    let written = message.text.as_ref().or(message.caption.as_ref());
    let entities = message.entities.as_ref().or(message.caption_entities.as_ref());
    let entities = entities.map_or(&[][..], Vec::as_slice);
    let text = content_of(message)?;
    let (text, named) = match written {
        Some(_) => (without_own_name(&text, entities, me)?, names_us(&text, entities, me)),
        None => (text, false),
    };
    let replied = replied_to(message);
    let replies_to_us =
        replied.and_then(|replied| replied.from.as_ref()).is_some_and(|from| from.id == me.id);
    Some(MessageText {
        text,
        mentions_us: named || replies_to_us,
        quoted: replied.and_then(|to| quoted(message, to)),
    })
}

/// The message that this one answers. In a topic, every message formally answers the service
/// message that opened it.
fn replied_to(message: &Message) -> Option<&Message> {
    message.reply_to_message.as_deref().filter(|replied| replied.forum_topic_created.is_none())
}

fn quoted(message: &Message, replied: &Message) -> Option<Quoted> {
    let chosen = message.quote.as_ref().map(|quote| quote.text.clone());
    let text = chosen.or_else(|| content_of(replied))?;
    let sender = replied.sender_chat.as_ref().and_then(|chat| chat.title.clone());
    Some(Quoted {
        id: id_of(replied),
        sender: sender.or_else(|| replied.from.as_deref().map(name_of)),
        text: text.chars().take(QUOTE_CHARS_MAX).collect(),
    })
}

/// What a message says, or what it carries, so that nothing is lost in silence.
fn content_of(message: &Message) -> Option<String> {
    if let Some(text) = message.text.as_ref().or(message.caption.as_ref()) {
        return Some(text.clone());
    }
    Some(if let Some(voice) = &message.voice {
        format!("[voice message, {} s]", voice.duration)
    } else if let Some(note) = &message.video_note {
        format!("[video message, {} s]", note.duration)
    } else if message.photo.is_some() {
        "[photo]".into()
    } else if message.animation.is_some() {
        // An animation is announced as a document too.
        "[animation]".into()
    } else if let Some(video) = &message.video {
        format!("[video, {} s]", video.duration)
    } else if let Some(audio) = &message.audio {
        named("audio", audio.title.as_ref().or(audio.file_name.as_ref()))
    } else if let Some(document) = &message.document {
        named("document", document.file_name.as_ref())
    } else if let Some(sticker) = &message.sticker {
        named("sticker", sticker.emoji.as_ref())
    } else if let Some(contact) = &message.contact {
        format!("[contact: {}, {}]", contact.first_name, contact.phone_number)
    } else if let Some(venue) = &message.venue {
        format!("[venue: {}, {}]", venue.title, venue.address)
    } else if let Some(location) = &message.location {
        format!("[location: {}, {}]", location.latitude, location.longitude)
    } else if let Some(poll) = &message.poll {
        format!("[poll: {}]", poll.question)
    } else if let Some(dice) = &message.dice {
        format!("[dice: {} {}]", dice.emoji, dice.value)
    } else if message.live_photo.is_some() {
        "[live photo]".into()
    } else if message.paid_media.is_some() {
        "[paid media]".into()
    } else if message.story.is_some() {
        "[story]".into()
    } else if message.checklist.is_some() {
        "[checklist]".into()
    } else if message.game.is_some() {
        "[game]".into()
    } else if message.rich_message.is_some() {
        "[rich message]".into()
    } else {
        return None;
    })
}

fn named(kind: &str, name: Option<&String>) -> String {
    match name {
        Some(name) => format!("[{kind}: {name}]"),
        None => format!("[{kind}]"),
    }
}

fn names_us(text: &str, entities: &[MessageEntity], me: &User) -> bool {
    entities.iter().any(|entity| match entity.type_field {
        MessageEntityType::Mention => slice(text, entity)
            .and_then(|word| word.strip_prefix('@'))
            .is_some_and(|name| is_us(name, me)),
        MessageEntityType::TextMention => entity.user.as_ref().is_some_and(|user| user.id == me.id),
        MessageEntityType::BotCommand => slice(text, entity)
            .and_then(|word| word.split_once('@'))
            .is_some_and(|(_, name)| is_us(name, me)),
        _ => false,
    })
}

/// `/new@us now` as `/new now`; `None` when the message begins with a command to another bot.
fn without_own_name(text: &str, entities: &[MessageEntity], me: &User) -> Option<String> {
    let command = entities
        .iter()
        .find(|entity| entity.type_field == MessageEntityType::BotCommand && entity.offset == 0)
        .and_then(|entity| slice(text, entity));
    match command.and_then(|word| Some((word, word.split_once('@')?))) {
        None => Some(text.to_owned()),
        Some((word, (command, name))) => {
            is_us(name, me).then(|| format!("{command}{}", &text[word.len()..]))
        }
    }
}

fn is_us(name: &str, me: &User) -> bool {
    me.username.as_ref().is_some_and(|own| own.eq_ignore_ascii_case(name))
}

/// The text of an entity; its place is counted in UTF-16 units. `None` when it lies outside.
fn slice<'a>(text: &'a str, entity: &MessageEntity) -> Option<&'a str> {
    let byte_at = |units: usize| {
        let mut seen = 0;
        let ends = text
            .char_indices()
            .map(|(at, character)| (at, TextUnit::Utf16.measure_char(character)));
        ends.chain([(text.len(), 0)]).find_map(|(at, length)| {
            let here = seen;
            seen += length;
            (here == units).then_some(at)
        })
    };
    let start = usize::from(entity.offset);
    text.get(byte_at(start)?..byte_at(start + usize::from(entity.length))?)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::samples::{anna, group, me, message};

    fn said(fields: Value) -> Option<MessageText> {
        let message: Message =
            serde_json::from_value(message(fields)).expect("a message as Telegram writes it");
        text_of(&message, &me())
    }

    fn check_text(fields: Value, expected: Option<(&str, bool)>) {
        let said = said(fields.clone());
        let seen = said.as_ref().map(|message| (message.text.as_str(), message.mentions_us));
        assert_eq!(seen, expected, "{fields}");
    }

    fn entity(kind: &str, offset: u16, length: u16) -> Value {
        json!([{ "type": kind, "offset": offset, "length": length }])
    }

    #[test]
    fn we_are_meant_by_mention_by_command_and_by_reply() {
        let reply = |from: u64| json!({ "message_id": 4, "date": 1, "chat": group(), "text": "x", "from": { "id": from, "is_bot": true, "first_name": "B" } });
        let opened = json!({ "message_id": 3, "date": 1, "chat": group(), "from": { "id": 99, "is_bot": true, "first_name": "C" }, "forum_topic_created": { "name": "T", "icon_color": 1 } });
        for (fields, expected) in [
            (json!({ "text": "hello" }), ("hello", false)),
            // The offset counts UTF-16 units: the emoji is two of them.
            (
                json!({ "text": "😀 @claw_BOT hi", "entities": entity("mention", 3, 9) }),
                ("😀 @claw_BOT hi", true),
            ),
            (
                json!({ "text": "@claw_bot2 hi", "entities": entity("mention", 0, 10) }),
                ("@claw_bot2 hi", false),
            ),
            (
                json!({ "text": "@claw_bot without an entity" }),
                ("@claw_bot without an entity", false),
            ),
            (
                json!({ "caption": "@Claw_bot", "caption_entities": entity("mention", 0, 9), "photo": [] }),
                ("@Claw_bot", true),
            ),
            (
                json!({ "text": "Claw!", "entities": [{ "type": "text_mention", "offset": 0, "length": 4, "user": { "id": 99, "is_bot": true, "first_name": "Claw" } }] }),
                ("Claw!", true),
            ),
            (
                json!({ "text": "/new@claw_bot now", "entities": entity("bot_command", 0, 13) }),
                ("/new now", true),
            ),
            (
                json!({ "text": "/new now", "entities": entity("bot_command", 0, 4) }),
                ("/new now", false),
            ),
            (json!({ "text": "yes", "reply_to_message": reply(99) }), ("yes", true)),
            (json!({ "text": "yes", "reply_to_message": reply(98) }), ("yes", false)),
            (
                json!({ "text": "in a topic of ours", "reply_to_message": opened }),
                ("in a topic of ours", false),
            ),
            // An entity that lies outside of the text is nobody's mention.
            (json!({ "text": "x", "entities": entity("mention", 9, 9) }), ("x", false)),
        ] {
            check_text(fields, Some(expected));
        }
        check_text(
            json!({ "text": "/new@other_bot", "entities": entity("bot_command", 0, 14) }),
            None,
        );
    }

    #[test]
    fn what_is_no_text_is_named_and_service_messages_are_not_heard() {
        let file = |fields: Value| {
            let mut file = json!({ "file_id": "f", "file_unique_id": "u" });
            file.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
            file
        };
        for (fields, expected) in [
            (json!({ "photo": [] }), Some("[photo]")),
            (json!({ "photo": [], "caption": "look" }), Some("look")),
            (json!({ "voice": file(json!({ "duration": 5 })) }), Some("[voice message, 5 s]")),
            (
                json!({ "document": file(json!({ "file_name": "a.pdf" })) }),
                Some("[document: a.pdf]"),
            ),
            (json!({ "document": file(json!({})) }), Some("[document]")),
            (
                json!({ "contact": { "first_name": "Bo", "phone_number": "+49" } }),
                Some("[contact: Bo, +49]"),
            ),
            (
                json!({ "location": { "latitude": 1.5, "longitude": 2.5 } }),
                Some("[location: 1.5, 2.5]"),
            ),
            (json!({ "dice": { "emoji": "🎲", "value": 6 } }), Some("[dice: 🎲 6]")),
            (json!({ "new_chat_title": "Team 2" }), None),
            (json!({ "new_chat_members": [anna()] }), None),
        ] {
            check_text(fields, expected.map(|text| (text, false)));
        }
    }

    #[test]
    fn a_reply_quotes_what_it_answers_cut_to_its_limit() {
        let replied = json!({ "message_id": 4, "date": 1, "chat": group(), "from": anna(), "text": "é".repeat(600) });
        let whole =
            said(json!({ "text": "yes", "reply_to_message": replied })).unwrap().quoted.unwrap();
        assert_eq!(
            whole,
            Quoted { id: "-100:4".into(), sender: Some("Anna Lee".into()), text: "é".repeat(500) }
        );
        let chosen = said(
            json!({ "text": "yes", "reply_to_message": replied, "quote": { "text": "this", "position": 0 } }),
        );
        assert_eq!(chosen.unwrap().quoted.unwrap().text, "this");
    }
}

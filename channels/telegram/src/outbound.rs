//! How an action of ours is asked of Telegram.

use claw_channel::{Error, TextUnit};
use claw_domain::{ExternalId, Target, ThreadId};
use frankenstein::{
    ParseMode,
    methods::{
        DeleteMessageParams, EditMessageTextParams, SendChatActionParams, SendMessageParams,
        SetMessageReactionParams,
    },
    types::{
        ChatAction, ChatId, LinkPreviewOptions, ReactionType, ReactionTypeEmoji, ReplyParameters,
    },
};

use crate::{CHANNEL, html::html};

/// What holds for every text of an account.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Style {
    /// Longest text, in UTF-16 units of Markdown.
    pub(crate) text_max: usize,
    /// Whether links have previews.
    pub(crate) link_preview: bool,
}

pub(crate) fn send(
    target: &Target,
    text: &str,
    reply_to: Option<&ExternalId>,
    silent: bool,
    style: Style,
) -> Result<SendMessageParams, Error> {
    let (text, parse_mode) = written(text, style)?;
    // The answer matters more than what it answers, which may be deleted by now.
    let reply =
        |id| ReplyParameters::builder().message_id(id).allow_sending_without_reply(true).build();
    Ok(SendMessageParams::builder()
        .chat_id(chat_of(target))
        .maybe_message_thread_id(thread_of(target)?)
        .text(text)
        .maybe_parse_mode(parse_mode)
        .maybe_link_preview_options(previews(style))
        .maybe_disable_notification(silent.then_some(true))
        .maybe_reply_parameters(reply_to.map(|id| number_of(id, target)).transpose()?.map(reply))
        .build())
}

pub(crate) fn edit(
    target: &Target,
    message: &ExternalId,
    text: &str,
    style: Style,
) -> Result<EditMessageTextParams, Error> {
    let (text, parse_mode) = written(text, style)?;
    Ok(EditMessageTextParams::builder()
        .chat_id(chat_of(target))
        .message_id(number_of(message, target)?)
        .text(text)
        .maybe_parse_mode(parse_mode)
        .maybe_link_preview_options(previews(style))
        .build())
}

pub(crate) fn delete(target: &Target, message: &ExternalId) -> Result<DeleteMessageParams, Error> {
    let number = number_of(message, target)?;
    Ok(DeleteMessageParams::builder().chat_id(chat_of(target)).message_id(number).build())
}

pub(crate) fn react(
    target: &Target,
    message: &ExternalId,
    emoji: Option<&str>,
) -> Result<SetMessageReactionParams, Error> {
    let reaction =
        emoji.map(|emoji| ReactionType::Emoji(ReactionTypeEmoji { emoji: emoji.to_owned() }));
    Ok(SetMessageReactionParams::builder()
        .chat_id(chat_of(target))
        .message_id(number_of(message, target)?)
        .reaction(reaction.into_iter().collect())
        .build())
}

pub(crate) fn typing(target: &Target) -> Result<SendChatActionParams, Error> {
    Ok(SendChatActionParams::builder()
        .chat_id(chat_of(target))
        .maybe_message_thread_id(thread_of(target)?)
        .action(ChatAction::Typing)
        .build())
}

/// The text as HTML, or as it is where a reader would see nothing of the HTML.
fn written(text: &str, style: Style) -> Result<(String, Option<ParseMode>), Error> {
    let (length, max) = (TextUnit::Utf16.measure(text), style.text_max);
    if length > max {
        return Err(refused(format!("the text has {length} UTF-16 units, the limit is {max}")));
    }
    let html = html(text);
    Ok(if html.is_blank { (text.to_owned(), None) } else { (html.text, Some(ParseMode::Html)) })
}

fn previews(style: Style) -> Option<LinkPreviewOptions> {
    (!style.link_preview).then(|| LinkPreviewOptions::builder().is_disabled(true).build())
}

fn chat_of(target: &Target) -> ChatId {
    let chat = target.chat.as_str();
    chat.parse().map_or_else(|_| ChatId::String(chat.to_owned()), ChatId::Integer)
}

fn thread_of(target: &Target) -> Result<Option<i32>, Error> {
    let number = |thread: &ThreadId| {
        thread.as_str().parse().map_err(|_| refused(format!("`{thread}` is no topic of Telegram")))
    };
    target.thread.as_ref().map(number).transpose()
}

/// Telegram's own number of a message, which counts within its chat: ours has the chat in front.
fn number_of(message: &ExternalId, target: &Target) -> Result<i32, Error> {
    let parts = message
        .as_str()
        .split_once(':')
        .and_then(|(chat, number)| Some((chat, number.parse().ok()?)));
    let Some((chat, number)) = parts else {
        return Err(refused(format!("`{message}` is no message of Telegram")));
    };
    // A chat that is named by its @name cannot be compared.
    let is_elsewhere = matches!(chat_of(target), ChatId::Integer(id) if id.to_string() != chat);
    if is_elsewhere {
        Err(refused(format!("`{message}` is not in the chat `{}`", target.chat)))
    } else {
        Ok(number)
    }
}

fn refused(detail: String) -> Error {
    Error::Refused { channel: CHANNEL.to_owned(), detail }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const STYLE: Style = Style { text_max: 20, link_preview: false };

    fn target(chat: &str, thread: Option<&str>) -> Target {
        Target {
            channel: "telegram".into(),
            account: "default".into(),
            chat: chat.into(),
            thread: thread.map(Into::into),
        }
    }

    #[track_caller]
    fn check<T: serde::Serialize>(params: Result<T, Error>, expected: Value) {
        assert_eq!(serde_json::to_value(params.expect("it can be asked")).unwrap(), expected);
    }

    #[track_caller]
    fn check_refused<T: std::fmt::Debug>(params: Result<T, Error>, said: &str) {
        assert_eq!(
            params.expect_err("it cannot be asked").to_string(),
            format!("telegram refused the action: {said}")
        );
    }

    #[test]
    fn a_message_carries_place_text_and_manner() {
        check(
            send(&target("-100", Some("3")), "*hi*", Some(&"-100:5".into()), true, STYLE),
            json!({
                "chat_id": -100, "message_thread_id": 3, "text": "<i>hi</i>", "parse_mode": "HTML",
                "link_preview_options": { "is_disabled": true }, "disable_notification": true,
                "reply_parameters": { "message_id": 5, "allow_sending_without_reply": true },
            }),
        );
        let style = Style { link_preview: true, ..STYLE };
        check(
            send(&target("@news", None), "hi", Some(&"-100:5".into()), false, style),
            json!({
                "chat_id": "@news", "text": "hi", "parse_mode": "HTML",
                "reply_parameters": { "message_id": 5, "allow_sending_without_reply": true },
            }),
        );
    }

    #[test]
    fn a_text_of_which_nothing_would_be_seen_is_written_as_it_is() {
        let style = Style { link_preview: true, ..STYLE };
        check(
            edit(&target("7", None), &"7:5".into(), "```\n```", style),
            json!({ "chat_id": 7, "message_id": 5, "text": "```\n```" }),
        );
    }

    #[test]
    fn a_reaction_is_set_or_taken_back() {
        let chat = target("7", None);
        check(
            react(&chat, &"7:5".into(), Some("👍")),
            json!({ "chat_id": 7, "message_id": 5, "reaction": [{ "type": "emoji", "emoji": "👍" }] }),
        );
        check(
            react(&chat, &"7:5".into(), None),
            json!({ "chat_id": 7, "message_id": 5, "reaction": [] }),
        );
    }

    #[test]
    fn what_telegram_could_not_mean_is_refused_before_it_is_asked() {
        let chat = target("7", None);
        check_refused(
            send(&chat, &"😀".repeat(11), None, false, STYLE),
            "the text has 22 UTF-16 units, the limit is 20",
        );
        check_refused(typing(&target("7", Some("general"))), "`general` is no topic of Telegram");
        for message in ["T024", "7:x", "7:5:edit:9", "5"] {
            check_refused(
                delete(&chat, &message.into()),
                &format!("`{message}` is no message of Telegram"),
            );
        }
        // Message numbers repeat in every chat: the wrong message would go.
        check_refused(delete(&chat, &"8:5".into()), "`8:5` is not in the chat `7`");
    }
}

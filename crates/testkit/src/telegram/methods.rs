//! What each method of the Bot API does, but for `getUpdates`, which waits.

use std::time::Instant;

use serde_json::{Value, json};

use crate::book::now_us;

use super::{
    Sent, html,
    params::{Params, int},
    world::{BOT_ID, Message, World, draw_chat, user},
};

/// Longest text of a message, in UTF-16 units after entity parsing (Bot API, `sendMessage`).
const TEXT_UNITS_MAX: usize = 4096;

/// Most commands of a bot (Bot API, `setMyCommands`).
const COMMANDS_MAX: usize = 100;

/// Values of `action` (Bot API, `sendChatAction`).
const ACTIONS: [&str; 11] = [
    "typing",
    "upload_photo",
    "record_video",
    "upload_video",
    "record_voice",
    "upload_voice",
    "upload_document",
    "choose_sticker",
    "find_location",
    "record_video_note",
    "upload_video_note",
];

/// An error in the server's words.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) status: u16,
    pub(super) description: String,
    pub(super) retry_after_secs: Option<u64>,
}

/// What a call did: its result, and the message that it sent.
pub(super) struct Done {
    pub(super) result: Value,
    pub(super) sent: Option<Sent>,
}

/// Carries out `method`, written in lower case.
pub(super) fn call(world: &mut World, method: &str, params: &Params) -> Result<Done, Refused> {
    let result = match method {
        "sendmessage" => return send_message(world, params),
        "getme" => get_me(),
        "deletewebhook" | "setmydescription" | "setmyshortdescription" => true.into(),
        "getwebhookinfo" => json!({
            "url": "",
            "has_custom_certificate": false,
            "pending_update_count": world.updates.len(),
        }),
        "setmycommands" => set_my_commands(world, params)?,
        "getmycommands" => world.commands.clone(),
        "sendchataction" => send_chat_action(world, params)?,
        "editmessagetext" => edit_message_text(world, params)?,
        "deletemessage" => {
            let (chat, id) = message_of(world, params, "delete")?;
            world.delete(chat, id).into()
        }
        "setmessagereaction" => {
            message_of(world, params, "react")?;
            true.into()
        }
        "getchat" => get_chat(world, params)?,
        _ => return Err(Refused::new(404, "Not Found: method not found")),
    };
    Ok(Done { result, sent: None })
}

impl Refused {
    pub(super) fn new(status: u16, description: impl Into<String>) -> Self {
        Self { status, description: description.into(), retry_after_secs: None }
    }

    /// Beyond a limit; the caller is to wait.
    pub(super) fn throttled(secs: u64) -> Self {
        let description = format!("Too Many Requests: retry after {secs}");
        Self { retry_after_secs: Some(secs), ..Self::new(429, description) }
    }

    pub(super) fn draw(&self) -> Value {
        let mut body = json!({
            "ok": false,
            "error_code": self.status,
            "description": self.description,
        });
        if let Some(secs) = self.retry_after_secs {
            body["parameters"] = json!({ "retry_after": secs });
        }
        body
    }
}

fn send_message(world: &mut World, params: &Params) -> Result<Done, Refused> {
    let shown = text(params)?;
    let chat = chat(world, params)?;
    let reply_to = reply_to(world, chat, params)?;
    throttle(world)?;
    world.count_send(chat, Instant::now()).map_err(Refused::throttled)?;
    if units(&shown.text) > TEXT_UNITS_MAX {
        return Err(bad("message is too long"));
    }
    let id = world.add(chat, BOT_ID, &shown.text);
    let mut message = world.draw(chat, id);
    if !shown.entities.is_empty() {
        message["entities"] = shown.entities.into();
    }
    if let Some(reply_to) = reply_to {
        message["reply_to_message"] = world.draw(chat, reply_to);
    }
    let sent = Sent {
        chat_id: chat,
        message_id: id,
        text: params.text("text").unwrap_or_default().to_owned(),
        shown: shown.text,
        parse_mode: params.text("parse_mode").map(str::to_owned),
        reply_to,
        thread_id: params.int("message_thread_id"),
        silent: params.flag("disable_notification"),
        at_us: now_us(),
    };
    Ok(Done { result: message, sent: Some(sent) })
}

fn edit_message_text(world: &mut World, params: &Params) -> Result<Value, Refused> {
    let shown = text(params)?;
    let (chat, id) = message_of(world, params, "edit")?;
    throttle(world)?;
    match world.message(chat, id) {
        Some(Message { from, .. }) if *from != BOT_ID => {
            return Err(bad("message can't be edited"));
        }
        Some(Message { text, .. }) if *text == shown.text => {
            return Err(bad("message is not modified: specified new message content and reply \
                        markup are exactly the same as a current content and reply markup of the \
                        message"));
        }
        _ => {}
    }
    if units(&shown.text) > TEXT_UNITS_MAX {
        return Err(bad("message is too long"));
    }
    world.edit(chat, id, &shown.text);
    let mut message = world.draw(chat, id);
    message["edit_date"] = (now_us() / 1_000_000).into();
    if !shown.entities.is_empty() {
        message["entities"] = shown.entities.into();
    }
    Ok(message)
}

fn get_me() -> Value {
    let mut me = user(BOT_ID);
    me["can_join_groups"] = true.into();
    // This bot is given every group message, as with privacy mode switched off.
    me["can_read_all_group_messages"] = true.into();
    me["supports_inline_queries"] = false.into();
    me["can_connect_to_business"] = false.into();
    me["has_main_web_app"] = false.into();
    me
}

fn set_my_commands(world: &mut World, params: &Params) -> Result<Value, Refused> {
    let commands = params.value("commands");
    let list = commands.as_array().ok_or_else(|| bad("parameter \"commands\" is required"))?;
    if list.len() > COMMANDS_MAX {
        return Err(bad("BOT_COMMANDS_TOO_MUCH"));
    }
    for command in list {
        let name = command["command"].as_str().unwrap_or_default();
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
        if !(1..=32).contains(&name.len()) || !name.bytes().all(plain) {
            return Err(bad("BOT_COMMAND_INVALID"));
        }
        let description = command["description"].as_str().unwrap_or_default();
        if !(1..=256).contains(&description.chars().count()) {
            return Err(bad("BOT_COMMAND_DESCRIPTION_INVALID"));
        }
    }
    world.commands = commands;
    Ok(true.into())
}

fn send_chat_action(world: &World, params: &Params) -> Result<Value, Refused> {
    chat(world, params)?;
    match params.text("action") {
        Some(action) if ACTIONS.contains(&action) => Ok(true.into()),
        _ => Err(bad("wrong parameter action in request")),
    }
}

fn get_chat(world: &World, params: &Params) -> Result<Value, Refused> {
    let mut full = draw_chat(chat(world, params)?);
    full["accent_color_id"] = 0.into();
    full["max_reaction_count"] = 11.into();
    full["accepted_gift_types"] = json!({
        "unlimited_gifts": false,
        "limited_gifts": false,
        "unique_gifts": false,
        "premium_subscription": false,
        "gifts_from_channels": false,
    });
    Ok(full)
}

/// The text that readers will see. Of the parse modes only HTML is known here.
fn text(params: &Params) -> Result<html::Parsed, Refused> {
    let text = params.text("text").unwrap_or_default();
    let parsed = match params.text("parse_mode").unwrap_or_default() {
        "" => html::Parsed { text: text.to_owned(), entities: Vec::new() },
        mode if mode.eq_ignore_ascii_case("html") => {
            html::parse(text).map_err(|why| bad(&format!("can't parse entities: {why}")))?
        }
        _ => return Err(bad("unsupported parse_mode")),
    };
    match parsed.text.trim().is_empty() {
        true => Err(bad("message text is empty")),
        false => Ok(parsed),
    }
}

fn chat(world: &World, params: &Params) -> Result<i64, Refused> {
    let missing = params.value("chat_id").is_null() && params.text("chat_id").is_none();
    match params.int("chat_id") {
        _ if missing => Err(bad("chat_id is empty")),
        Some(chat) if world.is_blocked(chat) => {
            Err(Refused::new(403, "Forbidden: bot was blocked by the user"))
        }
        Some(chat) if world.knows(chat) => Ok(chat),
        _ => Err(bad("chat not found")),
    }
}

/// The message that `chat_id` and `message_id` name.
fn message_of(world: &World, params: &Params, verb: &str) -> Result<(i64, i64), Refused> {
    let chat = chat(world, params)?;
    let id = params.int("message_id").filter(|id| world.message(chat, *id).is_some());
    id.map(|id| (chat, id)).ok_or_else(|| bad(&format!("message to {verb} not found")))
}

fn reply_to(world: &World, chat: i64, params: &Params) -> Result<Option<i64>, Refused> {
    let reply = params.value("reply_parameters");
    let Some(id) = int(&reply["message_id"]) else { return Ok(None) };
    match world.message(chat, id) {
        Some(_) => Ok(Some(id)),
        None if reply["allow_sending_without_reply"] == true => Ok(None),
        None => Err(bad("message to be replied not found")),
    }
}

fn throttle(world: &mut World) -> Result<(), Refused> {
    let faults = &mut world.faults;
    if faults.throttled == 0 {
        return Ok(());
    }
    faults.throttled -= 1;
    Err(Refused::throttled(faults.retry_after_secs))
}

fn units(text: &str) -> usize {
    text.encode_utf16().count()
}

fn bad(what: &str) -> Refused {
    Refused::new(400, format!("Bad Request: {what}"))
}

//! A server that speaks Telegram's Bot API.
//!
//! Facts from the Bot API reference; error texts and the rules of long polls as the Bot API
//! server (`tdlib/telegram-bot-api`) has them. Webhooks, files and other parse modes than HTML
//! are not here.

mod html;
mod methods;
mod params;
mod serve;
mod updates;
mod world;

use std::{io, sync::Arc};

use axum::Router;
use serde_json::Value;

use crate::{
    book::lock,
    script::Gate,
    server::{Network, Server},
};

use serve::Shared;
use world::{World, draw_chat, entities, user};

/// The token that the fake takes; any other is refused.
pub const TOKEN: &str = "123456789:AAFakeFakeFakeFakeFakeFakeFakeFake";

/// The bot's user name, without `@`.
pub const USERNAME: &str = world::BOT_NAME;

/// A fake Telegram with one bot. It stops when dropped.
#[derive(Debug)]
pub struct FakeTelegram {
    server: Server,
    shared: Arc<Shared>,
}

/// A message that the bot sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// Where to.
    pub chat_id: i64,
    /// The message's id.
    pub message_id: i64,
    /// The text as the bot wrote it, with its tags.
    pub text: String,
    /// The text that readers see.
    pub shown: String,
    /// `parse_mode` as the bot wrote it.
    pub parse_mode: Option<String>,
    /// The message that it answers.
    pub reply_to: Option<i64>,
    /// `message_thread_id`.
    pub thread_id: Option<i64>,
    /// Sent without a notification.
    pub silent: bool,
    /// When, in microseconds since the Unix epoch.
    pub at_us: u64,
}

/// A call of the Bot API with the right token.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// The method as the bot wrote it.
    pub method: String,
    /// Its parameters.
    pub params: Value,
    /// The HTTP status that was answered; of a pending long poll there is no entry yet.
    pub status: u16,
    /// When it was answered, in microseconds since the Unix epoch.
    pub at_us: u64,
}

impl FakeTelegram {
    /// Starts on a free port of 127.0.0.1.
    ///
    /// # Panics
    /// When no port can be had.
    pub async fn start() -> Self {
        Self::start_on(0).await.expect("a loopback port can be had")
    }

    /// Starts on `port` of 127.0.0.1.
    ///
    /// # Errors
    /// When the port cannot be listened on.
    pub async fn start_on(port: u16) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let router = Router::new().fallback(serve::serve).with_state(Arc::clone(&shared));
        Ok(Self { server: Server::start(port, router).await?, shared })
    }

    /// The API root, as `apiRoot` wants it: `/bot<TOKEN>/<method>` follows.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// The wire to this server.
    pub fn network(&self) -> &Network {
        self.server.network()
    }

    // What people do.

    /// `from` writes `text` in `chat`; returns the message's id.
    ///
    /// A positive `chat` is a private one (there `from` is the same number), a negative one a
    /// group. Mentions and commands in the text become entities.
    pub fn user_says(&self, chat: i64, from: i64, text: &str) -> i64 {
        self.shared.say(chat, from, text, None).message_id
    }

    /// `from` writes `text` as a reply to `message_id`; returns the new message's id.
    pub fn user_replies(&self, chat: i64, from: i64, message_id: i64, text: &str) -> i64 {
        self.shared.say(chat, from, text, Some(message_id)).message_id
    }

    /// The author of `message_id` gives it another text.
    ///
    /// # Panics
    /// When there is no such message.
    pub fn user_edits(&self, chat: i64, message_id: i64, text: &str) {
        self.with(|world| {
            assert!(world.edit(chat, message_id, text), "no message {message_id} in {chat}");
            let mut message = world.draw(chat, message_id);
            message["edit_date"] = message["date"].clone();
            message["entities"] = entities(text).into();
            world.updates.push("edited_message", message);
        });
    }

    /// `from` reacts to `message_id`. Only a bot that asked for `message_reaction` hears of it.
    pub fn user_reacts(&self, chat: i64, from: i64, message_id: i64, emoji: &str) {
        self.with(|world| {
            let reaction = serde_json::json!({
                "chat": draw_chat(chat),
                "message_id": message_id,
                "user": user(from),
                "date": crate::book::now_us() / 1_000_000,
                "old_reaction": [],
                "new_reaction": [{ "type": "emoji", "emoji": emoji }],
            });
            world.updates.push("message_reaction", reaction);
        });
    }

    /// The person of a private chat blocks the bot, until they write again; what is sent there is
    /// refused with 403.
    pub fn user_blocks(&self, chat: i64) {
        self.with(|world| world.block(chat));
    }

    /// Lets the bot write to `chat` though nobody wrote there yet.
    pub fn join(&self, chat: i64) {
        self.with(|world| world.join(chat));
    }

    /// Queues a whole `Update` as it is; returns its id, a new one if it has none.
    pub fn inject(&self, update: Value) -> i64 {
        self.with(|world| world.updates.inject(update))
    }

    /// Delivers the newest update a second time, with the same id, though it was confirmed.
    ///
    /// # Panics
    /// When there was no update yet.
    pub fn repeat_last_update(&self) {
        self.with(|world| assert!(world.updates.repeat_last(), "there was no update yet"));
    }

    // What goes wrong.

    /// Refuses the next `sends` messages and edits with 429.
    pub fn throttle_next(&self, sends: usize, retry_after_secs: u64) {
        self.with(|world| {
            world.faults.throttled = sends;
            world.faults.retry_after_secs = retry_after_secs;
        });
    }

    /// Answers the next `calls` calls of any method with `status` (a 5xx).
    pub fn fail_next(&self, calls: usize, status: u16) {
        self.with(|world| {
            world.faults.failing = calls;
            world.faults.status = status;
        });
    }

    /// Sends the next `sends` messages, but cuts the connection instead of answering.
    pub fn lose_next_answers(&self, sends: usize) {
        self.with(|world| world.faults.lost_answers = sends);
    }

    /// Sends the next `sends` messages, but answers only once `gate` lets it.
    pub fn hold_next_answers(&self, sends: usize, gate: &Gate) {
        self.with(|world| world.faults.held_answers = (sends, Some(gate.clone())));
    }

    /// From now on takes one message a second for each chat, as the real server roughly does.
    pub fn limit_rate(&self) {
        self.with(World::limit_rate);
    }

    // What happened.

    /// What the bot sent, in order.
    pub fn sent(&self) -> Vec<Sent> {
        self.shared.sent.all()
    }

    /// How many messages the bot sent.
    pub fn sent_count(&self) -> usize {
        self.shared.sent.total()
    }

    /// Waits until the bot sent `count` messages and returns them all.
    ///
    /// # Panics
    /// After 30 seconds, with the book.
    pub async fn wait_for_sent(&self, count: usize) -> Vec<Sent> {
        self.shared.sent.wait_for(count, "sent messages").await
    }

    /// The answered calls of `method`, oldest first; of all methods the newest 4,096 are kept.
    pub fn calls(&self, method: &str) -> Vec<Call> {
        self.shared.calls.all().into_iter().filter(|call| call.method == method).collect()
    }

    /// Waits until `method` was called and answered `count` times.
    ///
    /// # Panics
    /// After 30 seconds, with the book.
    pub async fn wait_for_calls(&self, method: &str, count: usize) -> Vec<Call> {
        let of_method = |calls: &[Call]| calls.iter().filter(|call| call.method == method).count();
        let what = format!("{count} calls of {method}");
        self.shared.calls.wait_until(&what, |calls| of_method(calls) >= count).await;
        self.calls(method)
    }

    /// The text that a message shows now; `None` if it was deleted or never was.
    pub fn shown(&self, chat: i64, message_id: i64) -> Option<String> {
        lock(&self.shared.world).message(chat, message_id).map(|message| message.text.clone())
    }

    /// The commands that the bot set.
    pub fn commands(&self) -> Value {
        lock(&self.shared.world).commands.clone()
    }

    /// How many updates the bot has not confirmed.
    pub fn updates_pending(&self) -> usize {
        lock(&self.shared.world).updates.len()
    }

    fn with<T>(&self, change: impl FnOnce(&mut World) -> T) -> T {
        self.shared.change(change)
    }
}

//! Takes calls over HTTP, answers long polls, keeps the books.

use std::{
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, StatusCode, Uri, header};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{sync::watch, time::Instant};

use crate::{
    book::{Book, lock, now_us},
    control,
};

use super::{
    Call, Sent, TOKEN,
    methods::{self, Refused},
    params::Params,
    updates::Update,
    world::{World, entities},
};

/// How many sent messages and handed-over updates the books keep; some minutes of the fastest
/// benchmark.
const SENT_MAX: usize = 250_000;

/// How many calls the book keeps, with their parameters.
const CALLS_MAX: usize = 4096;

/// Longest long poll, in seconds (`LONG_POLL_MAX_TIMEOUT` of the Bot API server).
const POLL_SECS_MAX: i64 = 50;

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) world: Mutex<World>,
    /// Wakes long polls.
    changed: watch::Sender<()>,
    pub(super) sent: Book<Sent>,
    pub(super) calls: Book<Call>,
    handed: Book<Handed>,
}

/// An update that was given to the bot.
#[derive(Debug, Clone)]
struct Handed {
    update_id: i64,
    message: Option<(i64, i64)>,
    at_us: u64,
}

/// What [`Shared::say`] made.
pub(super) struct Said {
    pub(super) message_id: i64,
    update_id: Option<i64>,
}

/// A message that another process lets a person write.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Say {
    chat: i64,
    from: i64,
    text: String,
}

impl Default for Shared {
    fn default() -> Self {
        Self {
            world: Mutex::new(World::new()),
            changed: watch::Sender::new(()),
            sent: Book::new(SENT_MAX),
            calls: Book::new(CALLS_MAX),
            handed: Book::new(SENT_MAX),
        }
    }
}

pub(super) async fn serve(
    State(shared): State<Arc<Shared>>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    match uri.path() {
        control::BOOK => return shared.draw_book(&uri),
        control::SAY => return shared.take_orders(&body),
        _ => {}
    }
    let Some((token, method)) =
        uri.path().strip_prefix("/bot").and_then(|path| path.split_once('/'))
    else {
        return refuse(&Refused::new(404, "Not Found"));
    };
    if token != TOKEN {
        return refuse(&Refused::new(401, "Unauthorized"));
    }
    let params = match Params::read(&uri, &headers, &body) {
        Ok(params) => params,
        Err(why) => return refuse(&Refused::new(400, format!("Bad Request: {why}"))),
    };
    shared.call(method, params).await
}

impl Shared {
    /// Changes the world and wakes the long polls.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut World) -> T) -> T {
        let changed = change(&mut lock(&self.world));
        self.changed.send_replace(());
        changed
    }

    pub(super) fn say(&self, chat: i64, from: i64, text: &str, reply_to: Option<i64>) -> Said {
        self.change(|world| {
            world.join(chat);
            let message_id = world.add(chat, from, text);
            let mut message = world.draw(chat, message_id);
            let entities = entities(text);
            if !entities.is_empty() {
                message["entities"] = entities.into();
            }
            if let Some(reply_to) = reply_to {
                message["reply_to_message"] = world.draw(chat, reply_to);
            }
            Said { message_id, update_id: world.updates.push("message", message) }
        })
    }

    async fn call(&self, method: &str, params: Params) -> Response {
        let lower = method.to_ascii_lowercase();
        let (mut is_lost, mut gate) = (false, None);
        let answered = match self.due_failure() {
            Some(refused) => Err(refused),
            None if lower == "getupdates" => self.get_updates(&params).await,
            None => {
                let mut world = lock(&self.world);
                methods::call(&mut world, &lower, &params).map(|done| {
                    if let Some(sent) = done.sent {
                        is_lost = world.faults.lost_answers > 0;
                        world.faults.lost_answers -= usize::from(is_lost);
                        gate = world.faults.next_gate();
                        // Written while the world is locked: the book has the order of the ids.
                        self.sent.write(sent);
                    }
                    done.result.to_string()
                })
            }
        };
        let status = answered.as_ref().map_or_else(|refused| refused.status, |_| 200);
        let params = params.into_value();
        self.calls.write(Call { method: method.to_owned(), params, status, at_us: now_us() });
        if let Some(gate) = gate {
            gate.pass().await;
        }
        match answered {
            Ok(_) if is_lost => {
                let cut = Err::<Bytes, _>(io::Error::from(io::ErrorKind::ConnectionReset));
                Body::from_stream(stream::iter([cut])).into_response()
            }
            Ok(result) => json_response(format!("{{\"ok\":true,\"result\":{result}}}")),
            Err(refused) => refuse(&refused),
        }
    }

    async fn get_updates(&self, params: &Params) -> Result<String, Refused> {
        // Out of range is pulled into range, not refused.
        let limit = params.int("limit").unwrap_or(100).clamp(1, 100);
        let limit = usize::try_from(limit).unwrap_or(1);
        let timeout = params.int("timeout").unwrap_or(0).clamp(0, POLL_SECS_MAX);
        let deadline = Instant::now() + Duration::from_secs(timeout.unsigned_abs());
        // Subscribed before the first look, so that no change falls between look and wait.
        let mut changed = self.changed.subscribe();
        let poll = {
            let mut world = lock(&self.world);
            if let Ok(kinds) =
                serde_json::from_value::<Vec<String>>(params.value("allowed_updates"))
            {
                world.updates.allow(&kinds);
            }
            world.updates.confirm(params.int("offset").unwrap_or(0));
            let ready = world.updates.take(limit);
            if timeout == 0 || !ready.is_empty() {
                return Ok(self.hand_over(&ready));
            }
            world.poll += 1;
            world.poll
        };
        // An older long poll sees that it is no longer the newest and ends.
        self.changed.send_replace(());
        loop {
            let timed_out = tokio::select! {
                // The sender lives in `self`, so this is always a change.
                _ = changed.changed() => false,
                () = tokio::time::sleep_until(deadline) => true,
            };
            let mut world = lock(&self.world);
            if world.poll != poll {
                return Err(Refused::new(
                    409,
                    "Conflict: terminated by other getUpdates request; make sure that only one \
                     bot instance is running",
                ));
            }
            let ready = world.updates.take(limit);
            if timed_out || !ready.is_empty() {
                return Ok(self.hand_over(&ready));
            }
        }
    }

    fn hand_over(&self, updates: &[Update]) -> String {
        let at_us = now_us();
        let mut result = String::from("[");
        for update in updates {
            if result.len() > 1 {
                result.push(',');
            }
            result.push_str(&update.json);
            let Update { id, message, .. } = *update;
            self.handed.write(Handed { update_id: id, message, at_us });
        }
        result.push(']');
        result
    }

    fn due_failure(&self) -> Option<Refused> {
        let faults = &mut lock(&self.world).faults;
        if faults.failing == 0 {
            return None;
        }
        faults.failing -= 1;
        let status = StatusCode::from_u16(faults.status).ok()?;
        let reason = status.canonical_reason().unwrap_or("Internal Server Error");
        Some(Refused::new(faults.status, reason))
    }

    /// `/_book`: sent messages, or with `?list=handed` the updates that the bot was given.
    fn draw_book(&self, uri: &Uri) -> Response {
        if uri.query().is_some_and(|query| query.contains("list=handed")) {
            return control::book(&self.handed, uri, |handed| {
                let (chat, message) = handed.message.unzip();
                json!({
                    "update_id": handed.update_id,
                    "chat_id": chat,
                    "message_id": message,
                    "at_us": handed.at_us,
                })
            });
        }
        control::book(&self.sent, uri, |sent| {
            json!({
                "chat_id": sent.chat_id,
                "message_id": sent.message_id,
                "text": sent.text,
                "shown": sent.shown,
                "reply_to": sent.reply_to,
                "at_us": sent.at_us,
            })
        })
    }

    /// `/_say`: a list of messages that people write, in order.
    fn take_orders(&self, body: &[u8]) -> Response {
        let orders: Vec<Say> = match serde_json::from_slice(body) {
            Ok(orders) => orders,
            Err(error) => return control::refuse(&error.to_string()),
        };
        let said: Vec<Value> = orders
            .iter()
            .map(|order| {
                let said = self.say(order.chat, order.from, &order.text, None);
                json!({ "message_id": said.message_id, "update_id": said.update_id })
            })
            .collect();
        axum::Json(said).into_response()
    }
}

fn refuse(refused: &Refused) -> Response {
    let mut response = json_response(refused.draw().to_string());
    *response.status_mut() =
        StatusCode::from_u16(refused.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if let Some(secs) = refused.retry_after_secs {
        response.headers_mut().insert(header::RETRY_AFTER, secs.into());
    }
    response
}

fn json_response(body: String) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

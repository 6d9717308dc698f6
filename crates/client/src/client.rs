//! The handle that a program holds of its connection to a gateway.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use claw_domain::Secret;
use claw_protocol::close;
use claw_protocol::frame::{ErrorShape, Event, Request};
use claw_protocol::hello::HelloOk;
use claw_protocol::scope::ROLE_OPERATOR;
use serde_json::Value;
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use crate::connection::{CLOSE_TIMEOUT, Command, Connection, Ending, Wait};
use crate::identity::Identity;
use crate::target::Target;
use crate::{Error, Options, handshake, socket};

/// How many events are kept for a listener that does not read; then it loses the oldest.
const EVENTS_MAX: usize = 1024;

/// How many calls may wait to be written; further callers wait for room.
const CALLS_QUEUED_MAX: usize = 64;

/// How many tick intervals a gateway may be silent.
const SILENT_TICKS_MAX: u32 = 2;

/// The longest tick interval that is believed.
const TICK_MAX: Duration = Duration::from_secs(60 * 60);

/// What a gateway's close reason contains when it does not know the device's token any more.
const TOKEN_MISMATCH: &str = "device token mismatch";

/// An open connection to a gateway. Dropping it cuts the connection; [`Client::close`] ends it.
#[derive(Debug)]
pub struct Client {
    hello: HelloOk,
    commands: mpsc::Sender<Command>,
    /// Weak, so that listeners learn when the connection has ended.
    events: broadcast::WeakSender<Arc<Event>>,
    ending: Ending,
    calls: AtomicU64,
    task: AbortOnDropHandle<()>,
}

/// The gateway's events, from the moment of [`Client::events`] on.
#[derive(Debug)]
pub struct Events(broadcast::Receiver<Arc<Event>>);

/// What a listener is told.
#[derive(Debug, Clone, PartialEq)]
pub enum Notice {
    /// Something happened.
    Event(Arc<Event>),
    /// The listener was too slow and lost this many events, the oldest ones.
    Missed(u64),
}

impl Client {
    /// Connects, introduces itself, and keeps the device's token for the next time.
    ///
    /// # Errors
    /// Every [`Error`] but [`Error::Call`] and [`Error::TooLarge`]. After a refusal for the
    /// device's token, the stored token is forgotten.
    ///
    /// # Cancel safety
    /// Cancel-safe: the connection is dropped.
    pub async fn connect(options: Options) -> Result<Self, Error> {
        let target = Target::parse(&options.url, options.plain_text)?;
        let after = options.timeout;
        timeout(after, Self::open(options, target)).await.unwrap_or(Err(Error::Timeout { after }))
    }

    async fn open(options: Options, target: Target) -> Result<Self, Error> {
        let mut socket = socket::open(&target).await?;
        let token = match &options.identity {
            // A stored token is for a person who gives no other secret.
            Some(identity) if options.token.is_none() && options.password.is_none() => {
                stored_token(identity, &target).await
            }
            _ => None,
        };
        let greeting = handshake::greet(&mut socket, &options, token).await;
        if let Some(identity) = options.identity {
            remember(identity, target, &greeting).await;
        }
        let hello = greeting?;
        let (commands, received) = mpsc::channel(CALLS_QUEUED_MAX);
        let (events, _) = broadcast::channel(EVENTS_MAX);
        let listeners = events.downgrade();
        let ending = Ending::default();
        let connection = Connection {
            socket,
            commands: received,
            events,
            ending: ending.clone(),
            silence_max: tick_interval(&hello) * SILENT_TICKS_MAX,
        };
        let task = AbortOnDropHandle::new(tokio::spawn(connection.run()));
        Ok(Self { hello, commands, events: listeners, ending, calls: AtomicU64::new(0), task })
    }

    /// What the gateway said when it let us in.
    pub fn hello(&self) -> &HelloOk {
        &self.hello
    }

    /// Calls `method` and returns its first answer.
    ///
    /// # Errors
    /// [`Error::Call`] when the gateway answers with an error, [`Error::Timeout`] when it does not
    /// answer in time, [`Error::Closed`] when the connection ends, [`Error::TooLarge`].
    ///
    /// # Cancel safety
    /// Not cancel-safe: the call may have been made.
    pub async fn call(
        &self,
        method: &str,
        params: Value,
        timeout: Duration,
    ) -> Result<Value, Error> {
        self.ask(method, params, timeout, Wait::First).await
    }

    /// Calls `method` and returns its last answer, passing over one that says only `accepted`.
    ///
    /// # Errors
    /// As [`Client::call`].
    ///
    /// # Cancel safety
    /// Not cancel-safe: the call may have been made.
    pub async fn call_final(
        &self,
        method: &str,
        params: Value,
        timeout: Duration,
    ) -> Result<Value, Error> {
        self.ask(method, params, timeout, Wait::Final).await
    }

    /// Listens to the gateway's events from now on. A listener that does not read loses the oldest
    /// of 1,024 and is told how many.
    pub fn events(&self) -> Events {
        let receiver = match self.events.upgrade() {
            Some(events) => events.subscribe(),
            // The connection has ended: a channel without a sender says so.
            None => broadcast::channel(1).1,
        };
        Events(receiver)
    }

    /// Ends the connection, waiting at most two seconds for the gateway to agree.
    pub async fn close(self) {
        let closed = async {
            // A task that has ended already is what we want.
            let _ = self.commands.send(Command::Close).await;
            let _ = self.task.await;
        };
        // What is late is cut off.
        let _ = timeout(CLOSE_TIMEOUT, closed).await;
    }

    async fn ask(
        &self,
        method: &str,
        params: Value,
        after: Duration,
        wait: Wait,
    ) -> Result<Value, Error> {
        let id = self.calls.fetch_add(1, Ordering::Relaxed).to_string();
        let text = Request { id: id.clone(), method: method.into(), params }.encode();
        let (bytes, bytes_max) = (text.len(), self.hello.policy.max_payload);
        if bytes > bytes_max {
            return Err(Error::TooLarge { bytes, bytes_max });
        }
        let (reply, answer) = oneshot::channel();
        let answered = async {
            let command = Command::Call { id, text, wait, reply };
            self.commands.send(command).await.map_err(|_| self.ended())?;
            answer.await.map_err(|_| self.ended())
        };
        let response = timeout(after, answered).await.unwrap_or(Err(Error::Timeout { after }))?;
        if response.ok {
            return Ok(response.payload.unwrap_or_default());
        }
        let unexplained = || ErrorShape::unavailable("the gateway refused and gave no reason");
        Err(Error::Call(Box::new(response.error.unwrap_or_else(unexplained))))
    }

    fn ended(&self) -> Error {
        let lost = || (close::ABNORMAL, "the connection was lost".to_owned());
        let (code, reason) = self.ending.get().cloned().unwrap_or_else(lost);
        Error::Closed { code, reason, answer: None }
    }
}

impl Events {
    /// The next event, or how many were lost; `None` when the connection has ended.
    ///
    /// # Cancel safety
    /// Cancel-safe.
    pub async fn next(&mut self) -> Option<Notice> {
        match self.0.recv().await {
            Ok(event) => Some(Notice::Event(event)),
            Err(broadcast::error::RecvError::Lagged(missed)) => Some(Notice::Missed(missed)),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}

/// How often the gateway promises to tick; what makes no sense is moved into sensible bounds.
fn tick_interval(hello: &HelloOk) -> Duration {
    Duration::from_millis(hello.policy.tick_interval_ms).clamp(Duration::from_millis(1), TICK_MAX)
}

async fn stored_token(identity: &Arc<Identity>, target: &Target) -> Option<Secret> {
    let (identity, target) = (identity.clone(), target.clone());
    let find = move || identity.tokens().find(ROLE_OPERATOR, &target);
    tokio::task::spawn_blocking(find).await.ok().flatten()
}

/// Keeps the token that a gateway gave, or forgets the one that it refused.
async fn remember(identity: Arc<Identity>, target: Target, greeting: &Result<HelloOk, Error>) {
    let auth = match greeting {
        Ok(HelloOk { auth: Some(auth), .. }) => Some(auth.clone()),
        Err(Error::Closed { reason, .. }) if reason.contains(TOKEN_MISMATCH) => None,
        _ => return,
    };
    let kept = tokio::task::spawn_blocking(move || match auth {
        Some(auth) => identity.tokens().store(&auth, &target),
        None => identity.tokens().forget(ROLE_OPERATOR, &target),
    });
    if let Ok(Err(error)) = kept.await {
        // The connection is good without it; the next one needs the shared secret again.
        tracing::warn!(%error, "the device's token could not be kept");
    }
}

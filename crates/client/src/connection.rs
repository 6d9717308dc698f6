//! The life of an open connection: one task that owns the socket.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use claw_protocol::close;
use claw_protocol::frame::{Event, Response, ServerFrame};
use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

use crate::Error;
use crate::socket::{Socket, broken, next_text};

/// How long one frame may take to leave.
const SEND_TIMEOUT: Duration = Duration::from_secs(30);

/// How long the gateway may take to answer our close.
pub(crate) const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// What the connection is asked to do.
pub(crate) enum Command {
    Call { id: String, text: String, wait: Wait, reply: oneshot::Sender<Response> },
    Close,
}

/// Which answer a caller waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wait {
    First,
    /// Not one that only says `status: "accepted"`.
    Final,
}

/// How a connection ended: close code and reason.
pub(crate) type Ending = Arc<OnceLock<(u16, String)>>;

/// An open connection.
pub(crate) struct Connection {
    pub(crate) socket: Socket,
    pub(crate) commands: mpsc::Receiver<Command>,
    pub(crate) events: broadcast::Sender<Arc<Event>>,
    pub(crate) ending: Ending,
    /// Silence longer than this means that the gateway is gone.
    pub(crate) silence_max: Duration,
}

/// The calls that wait, by request id.
#[derive(Default)]
struct Waiting(HashMap<String, (Wait, oneshot::Sender<Response>)>);

impl Connection {
    /// Runs until the gateway closes, falls silent, or nobody is left to serve.
    pub(crate) async fn run(mut self) {
        let mut waiting = Waiting::default();
        let ending = self.serve(&mut waiting).await;
        // Set before the waiting calls are dropped, so that each of them finds it.
        self.ending.get_or_init(|| ending);
    }

    async fn serve(&mut self, waiting: &mut Waiting) -> (u16, String) {
        let mut silent_at = Instant::now() + self.silence_max;
        loop {
            tokio::select! {
                command = self.commands.recv() => match command {
                    Some(Command::Call { id, text, wait, reply }) => {
                        waiting.add(id, wait, reply);
                        if let Err(error) = self.send(Message::text(text)).await {
                            return error;
                        }
                    }
                    Some(Command::Close) | None => {
                        self.say_goodbye(close::NORMAL, "").await;
                        return (close::NORMAL, "closed by us".into());
                    }
                },
                text = next_text(&mut self.socket) => match text {
                    Ok(text) => {
                        silent_at = Instant::now() + self.silence_max;
                        self.handle(&text, waiting);
                    }
                    Err(error) => return ended(error),
                },
                () = sleep_until(silent_at) => {
                    self.say_goodbye(close::TICK_TIMEOUT, close::REASON_TICK_TIMEOUT).await;
                    return (close::TICK_TIMEOUT, close::REASON_TICK_TIMEOUT.into());
                }
            }
        }
    }

    fn handle(&self, text: &str, waiting: &mut Waiting) {
        match ServerFrame::parse(text) {
            Some(ServerFrame::Response(response)) => waiting.answer(response),
            // Without listeners there is nobody to tell.
            Some(ServerFrame::Event(event)) => drop(self.events.send(Arc::new(event))),
            None => tracing::debug!(bytes = text.len(), "ignored a frame of unknown form"),
        }
    }

    async fn send(&mut self, message: Message) -> Result<(), (u16, String)> {
        match timeout(SEND_TIMEOUT, self.socket.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(ended(broken(&error))),
            Err(_) => Err((close::ABNORMAL, "the gateway does not read".into())),
        }
    }

    /// Closes, and reads until the gateway has closed too.
    async fn say_goodbye(&mut self, code: u16, reason: &'static str) {
        let frame = CloseFrame { code: code.into(), reason: reason.into() };
        let goodbye = async {
            if self.socket.close(Some(frame)).await.is_ok() {
                while let Some(Ok(_)) = self.socket.next().await {}
            }
        };
        if timeout(CLOSE_TIMEOUT, goodbye).await.is_err() {
            tracing::debug!("the gateway did not answer our close");
        }
    }
}

impl Waiting {
    fn add(&mut self, id: String, wait: Wait, reply: oneshot::Sender<Response>) {
        // Callers that gave up left their entries here.
        self.0.retain(|_, (_, reply)| !reply.is_closed());
        self.0.insert(id, (wait, reply));
    }

    fn answer(&mut self, response: Response) {
        let Some((wait, _)) = self.0.get(&response.id) else { return };
        if *wait == Wait::Final && response.ok && is_accepted(response.payload.as_ref()) {
            return;
        }
        if let Some((_, reply)) = self.0.remove(&response.id) {
            // A caller that gave up does not need the answer.
            let _ = reply.send(response);
        }
    }
}

/// Whether a payload is the first of two answers.
fn is_accepted(payload: Option<&Value>) -> bool {
    payload.is_some_and(|payload| payload["status"] == "accepted")
}

fn ended(error: Error) -> (u16, String) {
    match error {
        Error::Closed { code, reason, .. } => (code, reason),
        other => (close::ABNORMAL, other.to_string()),
    }
}

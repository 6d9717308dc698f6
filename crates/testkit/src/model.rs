//! What the fake model servers share: script, book, server, control.

use std::{
    fmt, io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::{
    Router,
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, Uri, header};
use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    asked::{Asked, Last},
    book::{Book, now_us},
    control,
    script::{Answer, Refusal, Reply, Script},
    server::{Network, Server},
    stream::Frames,
};

/// How many requests the book keeps whole; each may be as large as a conversation.
const REQUESTS_MAX: usize = 1024;

/// How many notes the book keeps; some minutes of the fastest benchmark.
const NOTES_MAX: usize = 250_000;

/// How much of the asked text a note keeps.
const NOTE_CHARS_MAX: usize = 200;

/// One vendor's words for what a fake model does.
pub trait Vendor: fmt::Debug + Default + Send + Sync + 'static {
    /// What follows the server's address in the vendor's base URL.
    const BASE: &'static str;
    /// The path that asks the model.
    const ASK: &'static str;

    /// Checks the headers of any request.
    fn admit(&self, headers: &HeaderMap) -> Result<(), Refusal>;
    /// Checks the body as the real server would and reads what was asked last.
    fn check(&self, body: &Value) -> Result<Last, Refusal>;
    /// The names of the tools in a checked body.
    fn tools(&self, body: &Value) -> Vec<String>;
    /// The events of a streamed reply; `number` makes ids unique.
    fn stream(&self, reply: &Reply, asked: &Asked, number: usize) -> Frames;
    /// The body of a reply that is not streamed.
    fn whole(&self, reply: &Reply, asked: &Asked, number: usize) -> Value;
    /// The event that reports an error inside a stream.
    fn error_event(&self, kind: &str, message: &str) -> String;
    /// The body of an error before the stream.
    fn error_body(&self, refusal: &Refusal) -> Value;
    /// The list of models.
    fn models(&self) -> Value;
}

/// A fake model server of one vendor. It stops when dropped.
#[derive(Debug)]
pub struct FakeModel<V> {
    server: Server,
    shared: Arc<Shared<V>>,
}

#[derive(Debug)]
struct Shared<V> {
    vendor: V,
    script: Script,
    requests: Book<Arc<Asked>>,
    notes: Book<Note>,
    /// Counts replies, so that ids in them are unique.
    replies: AtomicUsize,
}

impl<V: Vendor> FakeModel<V> {
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
        let shared = Arc::new(Shared {
            vendor: V::default(),
            script: Script::default(),
            requests: Book::new(REQUESTS_MAX),
            notes: Book::new(NOTES_MAX),
            replies: AtomicUsize::new(1),
        });
        let router = Router::new().fallback(serve::<V>).with_state(Arc::clone(&shared));
        Ok(Self { server: Server::start(port, router).await?, shared })
    }

    /// The base URL, as `baseUrl` of this vendor wants it.
    pub fn url(&self) -> String {
        self.server.url() + V::BASE
    }

    /// Puts an answer at the end of the script.
    pub fn answer(&self, answer: impl Into<Answer>) {
        self.shared.script.push(answer.into());
    }

    /// Answers by `answer` when the script is empty, instead of by [`crate::script::echo`].
    pub fn answer_with(&self, answer: impl Fn(&Asked) -> Answer + Send + Sync + 'static) {
        self.shared.script.set_fallback(Arc::new(answer));
    }

    /// How many scripted answers were not given yet.
    pub fn answers_left(&self) -> usize {
        self.shared.script.left()
    }

    /// The valid requests so far, oldest first; of more than 1,024 the newest.
    pub fn requests(&self) -> Vec<Arc<Asked>> {
        self.shared.requests.all()
    }

    /// How many valid requests came so far.
    pub fn requests_total(&self) -> usize {
        self.shared.requests.total()
    }

    /// Waits until `count` valid requests came, answered or not, and returns them.
    ///
    /// # Panics
    /// After 30 seconds.
    pub async fn wait_for_requests(&self, count: usize) -> Vec<Arc<Asked>> {
        self.shared.requests.wait_for(count, "requests").await
    }

    /// The wire to this server.
    pub fn network(&self) -> &Network {
        self.server.network()
    }
}

/// An answered request as other processes see it.
#[derive(Debug, Clone, Serialize)]
struct Note {
    asked_us: u64,
    /// When the answer, or the stream of it, began.
    answered_us: u64,
    model: String,
    bytes: usize,
    /// The start of the user's text, if it was the user who spoke last.
    user: Option<String>,
}

async fn serve<V: Vendor>(
    State(shared): State<Arc<Shared<V>>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    bytes: Bytes,
) -> Response {
    let answered = match (method.as_str(), uri.path()) {
        ("GET", control::BOOK) => return control::book(&shared.notes, &uri, |note| json!(note)),
        ("POST", control::SAY) => return control::queue_answer(&shared.script, &bytes),
        ("POST", path) if path == V::ASK => shared.ask(headers, bytes).await,
        ("GET", "/v1/models") => {
            let admitted = shared.vendor.admit(&headers);
            admitted.map(|()| axum::Json(shared.vendor.models()).into_response())
        }
        _ => Err(Refusal::new(404, "not_found_error", "Not Found")),
    };
    answered.unwrap_or_else(|refusal| shared.refuse(&refusal))
}

impl<V: Vendor> Shared<V> {
    async fn ask(&self, headers: HeaderMap, bytes: Bytes) -> Result<Response, Refusal> {
        let at_us = now_us();
        self.vendor.admit(&headers)?;
        let body: Value = serde_json::from_slice(&bytes).map_err(|error| {
            let message = format!("The request body is not valid JSON: {error}");
            Refusal::new(400, "invalid_request_error", message)
        })?;
        let last = self.vendor.check(&body)?;
        let asked = Arc::new(Asked {
            model: body["model"].as_str().unwrap_or_default().to_owned(),
            stream: body["stream"].as_bool().unwrap_or(false),
            tools: self.vendor.tools(&body),
            last,
            headers,
            body,
            bytes,
            at_us,
        });
        self.requests.write(Arc::clone(&asked));
        let answered = match self.script.next(&asked) {
            Answer::Reply(reply) => Ok(self.reply(reply, &asked).await),
            Answer::Refusal(refusal) => Err(refusal),
            Answer::Raw { status, content_type, body } => {
                Ok((code(status), [(header::CONTENT_TYPE, content_type)], body).into_response())
            }
        };
        self.notes.write(Note::of(&asked));
        answered
    }

    async fn reply(&self, reply: Reply, asked: &Asked) -> Response {
        if let Some(gate) = &reply.pacing.hold {
            gate.pass().await;
        }
        let number = self.replies.fetch_add(1, Ordering::Relaxed);
        if !asked.stream {
            return axum::Json(self.vendor.whole(&reply, asked, number)).into_response();
        }
        let frames = self.vendor.stream(&reply, asked, number);
        let draw_error = |kind: &str, message: &str| self.vendor.error_event(kind, message);
        let body: Body = frames.into_body(reply.pacing, draw_error);
        ([(header::CONTENT_TYPE, "text/event-stream; charset=utf-8")], body).into_response()
    }

    fn refuse(&self, refusal: &Refusal) -> Response {
        let body = axum::Json(self.vendor.error_body(refusal));
        let mut response = (code(refusal.status), body).into_response();
        if let Some(secs) = refusal.retry_after_secs {
            response.headers_mut().insert(header::RETRY_AFTER, secs.into());
        }
        response
    }
}

impl Note {
    fn of(asked: &Asked) -> Self {
        let user = match &asked.last {
            Last::User(text) => Some(text.chars().take(NOTE_CHARS_MAX).collect()),
            Last::ToolResults(_) | Last::Other => None,
        };
        let (model, bytes) = (asked.model.clone(), asked.bytes.len());
        Self { asked_us: asked.at_us, answered_us: now_us(), model, bytes, user }
    }
}

/// The status `status`; a number that is none is the script's mistake and becomes a 500.
fn code(status: u16) -> StatusCode {
    StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

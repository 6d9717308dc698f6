//! How another process reads a fake's book and tells it what to do.
//!
//! Every fake answers `GET /_book?since=N` with `{"total", "since", "entries"}` and takes
//! orders at `POST /_say`; neither path exists at a real server.

use axum::response::{IntoResponse, Response};
use http::{StatusCode, Uri};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    book::Book,
    script::{Answer, Refusal, Reply, Script},
};

pub(crate) const BOOK: &str = "/_book";
pub(crate) const SAY: &str = "/_say";

/// An answer that another process puts into a script.
#[derive(Debug, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
enum Order {
    Text { text: String },
    Tool { tool: String, arguments: Value },
    Refusal { status: u16, kind: String, message: String, retry_after: Option<u64> },
}

/// The entries from number `since` (query, default 0) on.
pub(crate) fn book<T: Clone + std::fmt::Debug>(
    book: &Book<T>,
    uri: &Uri,
    draw: impl Fn(&T) -> Value,
) -> Response {
    let since = number(uri, "since").unwrap_or(0);
    let entries: Vec<Value> = book.since(since).iter().map(draw).collect();
    axum::Json(json!({ "total": book.total(), "since": since, "entries": entries })).into_response()
}

/// Puts the answer that `body` describes at the end of `script`.
pub(crate) fn queue_answer(script: &Script, body: &[u8]) -> Response {
    let order = match serde_json::from_slice(body) {
        Ok(order) => order,
        Err(error) => return refuse(&error.to_string()),
    };
    let answer: Answer = match order {
        Order::Text { text } => Reply::text(text).into(),
        Order::Tool { tool, arguments } => Reply::tool(&tool, arguments).into(),
        Order::Refusal { status, kind, message, retry_after } => {
            let refusal = Refusal::new(status, &kind, message);
            retry_after.map_or(refusal.clone(), |secs| refusal.retry_after(secs)).into()
        }
    };
    script.push(answer);
    axum::Json(json!({ "queued": script.left() })).into_response()
}

/// An order that could not be read.
pub(crate) fn refuse(why: &str) -> Response {
    (StatusCode::BAD_REQUEST, why.to_owned()).into_response()
}

/// The number `name` of the query.
pub(crate) fn number(uri: &Uri, name: &str) -> Option<usize> {
    let query = url::form_urlencoded::parse(uri.query()?.as_bytes());
    query.into_iter().find(|(key, _)| key == name)?.1.parse().ok()
}

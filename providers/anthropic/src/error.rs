//! What the vendor's refusals mean: one table.

use claw_provider::{Error, ErrorKind, quote};
use serde::Deserialize;

/// The body of a refusal, and the data of an `error` event.
#[derive(Debug, Deserialize)]
pub(crate) struct Refusal {
    pub(crate) error: Detail,
}

#[derive(Debug, Default, Deserialize)]
pub(crate) struct Detail {
    #[serde(rename = "type", default)]
    pub(crate) kind: String,
    #[serde(default)]
    pub(crate) message: String,
}

/// The error that a status and its body are.
pub(crate) fn refused(status: u16, body: &str) -> Error {
    let detail = serde_json::from_str(body).map_or_else(
        |_| Detail { message: body.to_owned(), ..Detail::default() },
        |Refusal { error }| error,
    );
    let kind = classify(Some(status), &detail);
    Error::new(kind, format!("the model's server refused ({status}): {}", words(kind, &detail)))
}

/// The error that an `error` event inside a stream is.
pub(crate) fn failed(detail: &Detail) -> Error {
    let kind = classify(None, detail);
    Error::new(
        kind,
        format!("the model's server failed while it answered: {}", words(kind, detail)),
    )
}

/// The vendor's word for the error decides; servers that only look alike may give none, then the
/// status does.
fn classify(status: Option<u16>, detail: &Detail) -> ErrorKind {
    match (detail.kind.as_str(), status) {
        ("rate_limit_error", _) => ErrorKind::Rate,
        ("overloaded_error", _) => ErrorKind::Overloaded,
        ("billing_error", _) => ErrorKind::Billing,
        ("authentication_error" | "permission_error", _) => ErrorKind::Auth,
        ("request_too_large", _) => ErrorKind::ContextTooLong,
        ("not_found_error", _) => ErrorKind::BadRequest,
        ("api_error" | "timeout_error", _) => ErrorKind::Server,
        ("invalid_request_error", _) => invalid(&detail.message),
        (_, Some(401 | 403)) => ErrorKind::Auth,
        (_, Some(402)) => ErrorKind::Billing,
        (_, Some(413)) => ErrorKind::ContextTooLong,
        (_, Some(429)) => ErrorKind::Rate,
        (_, Some(503 | 529)) => ErrorKind::Overloaded,
        (_, Some(400..=499)) => ErrorKind::BadRequest,
        (_, Some(_) | None) => ErrorKind::Server,
    }
}

/// Two conditions have no type of their own; only these words tell them from a mistake.
fn invalid(message: &str) -> ErrorKind {
    let message = message.to_lowercase();
    if message.contains("prompt is too long") || message.contains("exceed context limit") {
        ErrorKind::ContextTooLong
    } else if message.contains("credit balance is too low") {
        ErrorKind::Billing
    } else {
        ErrorKind::BadRequest
    }
}

/// A refusal of the key is told without the vendor's sentence: it may repeat parts of the key.
fn words(kind: ErrorKind, detail: &Detail) -> String {
    let sentence = match kind {
        ErrorKind::Auth => "the key is missing or not allowed to do this".to_owned(),
        _ => quote(&detail.message),
    };
    let parts = [quote(&detail.kind), sentence];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_refusal_has_its_kind() {
        for (status, name, message, kind) in [
            (400, "invalid_request_error", "messages: Field required", ErrorKind::BadRequest),
            (
                400,
                "invalid_request_error",
                "prompt is too long: 9 tokens > 8 maximum",
                ErrorKind::ContextTooLong,
            ),
            (
                400,
                "invalid_request_error",
                "input length and `max_tokens` exceed context limit: 9 + 9 > 10",
                ErrorKind::ContextTooLong,
            ),
            (
                400,
                "invalid_request_error",
                "Your credit balance is too low to access",
                ErrorKind::Billing,
            ),
            (401, "authentication_error", "invalid x-api-key", ErrorKind::Auth),
            (402, "billing_error", "", ErrorKind::Billing),
            (403, "permission_error", "", ErrorKind::Auth),
            (404, "not_found_error", "model: x", ErrorKind::BadRequest),
            (413, "request_too_large", "", ErrorKind::ContextTooLong),
            (429, "rate_limit_error", "", ErrorKind::Rate),
            (500, "api_error", "", ErrorKind::Server),
            (504, "timeout_error", "", ErrorKind::Server),
            (529, "overloaded_error", "", ErrorKind::Overloaded),
        ] {
            let body = json!({ "type": "error", "error": { "type": name, "message": message } });
            assert_eq!(refused(status, &body.to_string()).kind, kind, "{status} {name} {message}");
        }
    }

    #[test]
    fn without_a_type_the_status_decides() {
        for (status, kind) in [
            (400, ErrorKind::BadRequest),
            (401, ErrorKind::Auth),
            (402, ErrorKind::Billing),
            (403, ErrorKind::Auth),
            (404, ErrorKind::BadRequest),
            (413, ErrorKind::ContextTooLong),
            (429, ErrorKind::Rate),
            (500, ErrorKind::Server),
            (502, ErrorKind::Server),
            (503, ErrorKind::Overloaded),
            (529, ErrorKind::Overloaded),
        ] {
            assert_eq!(refused(status, "<h1>no</h1>").kind, kind, "{status}");
        }
        assert_eq!(failed(&Detail::default()).kind, ErrorKind::Server);
    }

    #[test]
    fn an_error_repeats_what_helps_and_no_key() {
        let body = r#"{"error":{"type":"not_found_error","message":"model:\n claude-9"}}"#;
        let shown = "the model's server refused (404): not_found_error: model: claude-9";
        assert_eq!(refused(404, body).to_string(), shown);
        let body = r#"{"error":{"type":"authentication_error","message":"bad key sk-ant-1"}}"#;
        let shown = "the model's server refused (401): authentication_error: the key is missing or not allowed to do this";
        assert_eq!(refused(401, body).to_string(), shown);
    }
}

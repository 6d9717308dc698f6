//! What the vendor's refusals mean: one table.

use claw_provider::{Error, ErrorKind, quote};
use serde::Deserialize;
use serde_json::Value;

/// What a refusal, or an error inside a stream, says. Servers leave out or bend any of it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Detail {
    kind: String,
    code: String,
    message: String,
}

/// The error that a status and its body are.
pub(crate) fn refused(status: u16, body: &str) -> Error {
    #[derive(Deserialize)]
    struct Refusal {
        error: Value,
    }
    let detail = match serde_json::from_str(body) {
        Ok(Refusal { error }) => Detail::read(&error),
        Err(_) => Detail { message: body.to_owned(), ..Detail::default() },
    };
    let kind = classify(Some(status), &detail);
    Error::new(kind, format!("the model's server refused ({status}): {}", words(kind, &detail)))
}

/// The error that an `error` field inside a stream is.
pub(crate) fn failed(error: &Value) -> Error {
    let detail = Detail::read(error);
    // OpenRouter puts the status that another server gave it into the code.
    let kind = classify(detail.code.parse().ok(), &detail);
    Error::new(
        kind,
        format!("the model's server failed while it answered: {}", words(kind, &detail)),
    )
}

impl Detail {
    fn read(error: &Value) -> Self {
        let field = |name: &str| match &error[name] {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            _ => String::new(),
        };
        match error {
            Value::String(message) => Self { message: message.clone(), ..Self::default() },
            _ => Self { kind: field("type"), code: field("code"), message: field("message") },
        }
    }
}

/// The vendor's code decides, then the type, then the status.
fn classify(status: Option<u16>, detail: &Detail) -> ErrorKind {
    let known = [&detail.code, &detail.kind].into_iter().find_map(|word| match word.as_str() {
        "insufficient_quota"
        | "billing_hard_limit_reached"
        | "billing_not_active"
        | "credit_balance_exhausted" => Some(ErrorKind::Billing),
        "context_length_exceeded" | "exceed_context_size_error" => Some(ErrorKind::ContextTooLong),
        "invalid_api_key" | "authentication_error" | "permission_error" => Some(ErrorKind::Auth),
        "model_not_found" => Some(ErrorKind::BadRequest),
        "rate_limit_exceeded" | "rate_limit_error" => Some(ErrorKind::Rate),
        "server_is_overloaded" | "slow_down" | "service_unavailable_error" | "overloaded_error" => {
            Some(ErrorKind::Overloaded)
        }
        _ => None,
    });
    known.unwrap_or_else(|| match status {
        Some(400 | 422) if is_too_long(&detail.message) => ErrorKind::ContextTooLong,
        Some(401 | 403) => ErrorKind::Auth,
        Some(402) => ErrorKind::Billing,
        Some(413) => ErrorKind::ContextTooLong,
        Some(429) => ErrorKind::Rate,
        Some(503 | 529) => ErrorKind::Overloaded,
        Some(400..=499) => ErrorKind::BadRequest,
        Some(_) | None => ErrorKind::Server,
    })
}

/// Servers other than OpenAI's (vLLM, llama.cpp) give an overfull window no code of its own.
fn is_too_long(message: &str) -> bool {
    let message = message.to_lowercase();
    ["maximum context length", "context window", "context size"]
        .iter()
        .any(|words| message.contains(words))
}

/// A refusal of the key is told without the vendor's sentence: it repeats parts of the key.
fn words(kind: ErrorKind, detail: &Detail) -> String {
    let sentence = match kind {
        ErrorKind::Auth => "the key is missing or not allowed to do this".to_owned(),
        _ => quote(&detail.message),
    };
    let parts = [quote(&detail.code), sentence];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_refusal_has_its_kind() {
        for (status, kind, code, message, expected) in [
            (400, "invalid_request_error", json!(null), "bad", ErrorKind::BadRequest),
            (
                400,
                "invalid_request_error",
                json!("context_length_exceeded"),
                "",
                ErrorKind::ContextTooLong,
            ),
            (
                400,
                "BadRequestError",
                json!(400),
                "maximum context length is 8 tokens",
                ErrorKind::ContextTooLong,
            ),
            (400, "exceed_context_size_error", json!(400), "", ErrorKind::ContextTooLong),
            (401, "invalid_request_error", json!("invalid_api_key"), "", ErrorKind::Auth),
            (401, "", json!(null), "", ErrorKind::Auth),
            (402, "", json!(null), "", ErrorKind::Billing),
            (403, "", json!("unsupported_country_region_territory"), "", ErrorKind::Auth),
            (404, "invalid_request_error", json!("model_not_found"), "", ErrorKind::BadRequest),
            (413, "", json!(null), "", ErrorKind::ContextTooLong),
            (429, "insufficient_quota", json!("insufficient_quota"), "", ErrorKind::Billing),
            (429, "tokens", json!("rate_limit_exceeded"), "", ErrorKind::Rate),
            (429, "", json!(null), "", ErrorKind::Rate),
            (500, "server_error", json!(null), "", ErrorKind::Server),
            (503, "service_unavailable_error", json!("slow_down"), "", ErrorKind::Overloaded),
            (503, "server_error", json!(null), "", ErrorKind::Overloaded),
        ] {
            let body = json!({ "error": { "type": kind, "code": code, "message": message } });
            assert_eq!(refused(status, &body.to_string()).kind, expected, "{status} {body}");
        }
    }

    #[test]
    fn bodies_that_are_no_refusal_are_quoted() {
        let check =
            |body: &str, expected: &str| assert_eq!(refused(502, body).to_string(), expected);
        check("<h1>Bad\nGateway</h1>", "the model's server refused (502): <h1>Bad Gateway</h1>");
        check(r#"{"error":"no such model"}"#, "the model's server refused (502): no such model");
        check(r#"{"error":{"code":"x","message":"y"}}"#, "the model's server refused (502): x: y");
    }

    #[test]
    fn an_error_inside_a_stream_may_carry_a_status() {
        assert_eq!(failed(&json!({ "code": 429, "message": "slow" })).kind, ErrorKind::Rate);
        assert_eq!(failed(&json!({ "code": "server_error" })).kind, ErrorKind::Server);
        assert_eq!(failed(&json!(null)).kind, ErrorKind::Server);
    }

    #[test]
    fn a_refused_key_is_not_repeated() {
        let body = r#"{"error":{"code":"invalid_api_key","message":"Incorrect API key provided: sk-1***9"}}"#;
        assert!(!refused(401, body).to_string().contains("sk-1"));
    }
}

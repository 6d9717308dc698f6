//! A server that speaks OpenAI's Chat Completions API.
//!
//! Facts from OpenAI's API reference: "Chat", "Streaming", "Error codes". `reasoning_content` is
//! not OpenAI's own; many servers that speak this API stream thinking under that name.

mod check;
mod draw;

use http::HeaderMap;
use serde_json::{Value, json};

use crate::{
    asked::{Asked, Last},
    model::{FakeModel, Vendor},
    script::{Refusal, Reply, Usage, tokens},
    stream::Frames,
};

/// The key that the fake takes; any other is refused.
pub const KEY: &str = "sk-fake";

/// The model that the fake lists. It answers to any name.
pub const MODEL: &str = "gpt-fake-1";

/// A fake OpenAI.
pub type FakeOpenAi = FakeModel<OpenAi>;

/// OpenAI's words.
#[derive(Debug, Default)]
pub struct OpenAi;

/// The refusal beyond a rate limit (429).
pub fn rate_limited(retry_after_secs: u64) -> Refusal {
    let message =
        format!("Rate limit reached for requests. Please try again in {retry_after_secs}s.");
    Refusal::new(429, "rate_limit_exceeded", message).retry_after(retry_after_secs)
}

/// The refusal of an account without credit (also 429, but waiting does not help).
pub fn no_credit() -> Refusal {
    let message = "You exceeded your current quota, please check your plan and billing details.";
    Refusal::new(429, "insufficient_quota", message)
}

/// The refusal of a request that is longer than the model's context window (400).
pub fn context_too_long(tokens: u64, tokens_max: u64) -> Refusal {
    let message = format!(
        "This model's maximum context length is {tokens_max} tokens. However, your messages \
         resulted in {tokens} tokens. Please reduce the length of the messages."
    );
    Refusal::new(400, "context_length_exceeded", message)
}

/// The refusal of a server that has too much to do (503).
pub fn overloaded() -> Refusal {
    let message = "The engine is currently overloaded, please try again later";
    Refusal::new(503, "server_error", message)
}

impl Vendor for OpenAi {
    const BASE: &'static str = "/v1";
    const ASK: &'static str = "/v1/chat/completions";

    fn admit(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        check::headers(headers)
    }

    fn check(&self, body: &Value) -> Result<Last, Refusal> {
        check::body(body)
    }

    fn tools(&self, body: &Value) -> Vec<String> {
        let tools = body["tools"].as_array().into_iter().flatten();
        tools.filter_map(|tool| tool["function"]["name"].as_str().map(str::to_owned)).collect()
    }

    fn stream(&self, reply: &Reply, asked: &Asked, number: usize) -> Frames {
        let wants_usage = asked.body["stream_options"]["include_usage"] == true;
        draw::stream(reply, &asked.model, wants_usage.then(|| usage(reply, asked)), number)
    }

    fn whole(&self, reply: &Reply, asked: &Asked, number: usize) -> Value {
        draw::whole(reply, &asked.model, usage(reply, asked), number)
    }

    fn error_event(&self, kind: &str, message: &str) -> String {
        format!("data: {}\n\n", error(kind, message))
    }

    fn error_body(&self, refusal: &Refusal) -> Value {
        error(&refusal.kind, &refusal.message)
    }

    fn models(&self) -> Value {
        json!({
            "object": "list",
            "data": [{ "id": MODEL, "object": "model", "created": 0, "owned_by": "openai" }],
        })
    }
}

/// OpenAI's error names a `type` and, where there is one, a finer `code`; `kind` is the finer.
fn error(kind: &str, message: &str) -> Value {
    let (class, code) = match kind {
        "rate_limit_exceeded" => ("requests", Some(kind)),
        "insufficient_quota" => (kind, Some(kind)),
        "context_length_exceeded" | "invalid_api_key" | "model_not_found" => {
            ("invalid_request_error", Some(kind))
        }
        _ => (kind, None),
    };
    json!({ "error": { "message": message, "type": class, "param": null, "code": code } })
}

fn usage(reply: &Reply, asked: &Asked) -> Usage {
    let estimate =
        || Usage { input: tokens(asked.bytes.len()), output: reply.tokens(), ..Usage::default() };
    reply.usage.unwrap_or_else(estimate)
}

//! A server that speaks Anthropic's Messages API.
//!
//! Facts from Anthropic's API reference: "Messages", "Streaming messages", "Errors", "Prompt
//! caching", "Extended thinking".

mod check;
mod draw;

use std::{
    collections::HashSet,
    hash::{DefaultHasher, Hasher},
    io,
    sync::Mutex,
};

use http::HeaderMap;
use serde_json::{Value, json};

use crate::{
    asked::{Asked, Last},
    book::lock,
    model::{FakeModel, Vendor},
    script::{Refusal, Reply, Usage, tokens},
    stream::Frames,
};

/// The key that the fake takes; any other is refused.
pub const KEY: &str = "sk-ant-api03-fake";

/// The model that the fake lists. It answers to any name.
pub const MODEL: &str = "claude-fake-1";

/// How many prompt prefixes the fake's cache remembers before it starts over.
const CACHED_PREFIXES_MAX: usize = 10_000;

/// A fake Anthropic.
pub type FakeAnthropic = FakeModel<Anthropic>;

/// Anthropic's words, and the prompt cache.
#[derive(Debug, Default)]
pub struct Anthropic {
    cached_prefixes: Mutex<HashSet<u64>>,
}

/// The refusal of a server that has too much to do (529).
pub fn overloaded() -> Refusal {
    Refusal::new(529, "overloaded_error", "Overloaded")
}

/// The refusal beyond a rate limit (429).
pub fn rate_limited(retry_after_secs: u64) -> Refusal {
    let message = "This request would exceed your account's rate limit. Please try again later.";
    Refusal::new(429, "rate_limit_error", message).retry_after(retry_after_secs)
}

/// The refusal of a request that is longer than the model's context window (400).
pub fn prompt_too_long(tokens: u64, tokens_max: u64) -> Refusal {
    let message = format!("prompt is too long: {tokens} tokens > {tokens_max} maximum");
    Refusal::new(400, "invalid_request_error", message)
}

/// The refusal of an account without credit (400).
pub fn no_credit() -> Refusal {
    let message = "Your credit balance is too low to access the Anthropic API. Please go to \
                   Plans & Billing to upgrade or purchase credits.";
    Refusal::new(400, "invalid_request_error", message)
}

/// The signature that the fake gives to `thinking`; it refuses any other in a later request.
pub fn signature(thinking: &str) -> String {
    let mut hasher = DefaultHasher::new();
    hasher.write(thinking.as_bytes());
    format!("EqQBfake{:016x}", hasher.finish())
}

impl Vendor for Anthropic {
    const BASE: &'static str = "";
    const ASK: &'static str = "/v1/messages";

    fn admit(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        check::headers(headers)
    }

    fn check(&self, body: &Value) -> Result<Last, Refusal> {
        check::body(body)
    }

    fn tools(&self, body: &Value) -> Vec<String> {
        let tools = body["tools"].as_array().into_iter().flatten();
        tools.filter_map(|tool| tool["name"].as_str().map(str::to_owned)).collect()
    }

    fn stream(&self, reply: &Reply, asked: &Asked, number: usize) -> Frames {
        draw::stream(reply, &asked.model, self.usage(reply, asked), number)
    }

    fn whole(&self, reply: &Reply, asked: &Asked, number: usize) -> Value {
        draw::whole(reply, &asked.model, self.usage(reply, asked), number)
    }

    fn error_event(&self, kind: &str, message: &str) -> String {
        let body = json!({ "type": "error", "error": { "type": kind, "message": message } });
        format!("event: error\ndata: {body}\n\n")
    }

    fn error_body(&self, refusal: &Refusal) -> Value {
        json!({
            "type": "error",
            "error": { "type": refusal.kind, "message": refusal.message },
            "request_id": "req_fake",
        })
    }

    fn models(&self) -> Value {
        json!({
            "data": [{
                "type": "model",
                "id": MODEL,
                "display_name": "Claude Fake 1",
                "created_at": "2026-01-01T00:00:00Z",
            }],
            "has_more": false,
            "first_id": MODEL,
            "last_id": MODEL,
        })
    }
}

impl Anthropic {
    /// The scripted tokens, else an estimate: a marked prefix (tools and system prompt) costs a
    /// write the first time and a read from then on.
    fn usage(&self, reply: &Reply, asked: &Asked) -> Usage {
        if let Some(usage) = reply.usage {
            return usage;
        }
        let whole = tokens(asked.bytes.len());
        let prefix = [&asked.body["tools"], &asked.body["system"]];
        let (hash, bytes) = digest(&prefix);
        let cached =
            if prefix.iter().any(|part| check::marks(part) > 0) { tokens(bytes) } else { 0 };
        let is_new = cached > 0 && {
            let mut prefixes = lock(&self.cached_prefixes);
            if prefixes.len() >= CACHED_PREFIXES_MAX {
                prefixes.clear();
            }
            prefixes.insert(hash)
        };
        Usage {
            input: whole.saturating_sub(cached),
            output: reply.tokens(),
            cache_read: if is_new { 0 } else { cached },
            cache_write: if is_new { cached } else { 0 },
        }
    }
}

/// A hash of `parts` as JSON, and how many bytes they are.
fn digest(parts: &[&Value]) -> (u64, usize) {
    struct Digest(DefaultHasher, usize);
    impl io::Write for Digest {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.write(bytes);
            self.1 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut digest = Digest(DefaultHasher::new(), 0);
    serde_json::to_writer(&mut digest, parts).expect("values serialize into memory");
    (digest.0.finish(), digest.1)
}

//! Ours to theirs: the body of a request.
//!
//! What stays for an epoch stands before the messages, and a message is always drawn the same:
//! vendors of this interface cache by the bytes they have seen.

use std::borrow::Cow;

use claw_domain::{AssistantMessage, Block, EntryBody, UserMessage};
use claw_provider::{Message, Prefix, Request, Thinking, ToolSpec};
use serde::Serialize;
use serde_json::{Value, json};

use crate::{Compat, MaxTokensField, ThinkingFormat};

/// What the assistant says between a result and the user, where a server wants words there.
const BRIDGE: &str = "(The tool has answered.)";

/// How long Mistral's call ids are.
const MISTRAL_ID_CHARS: usize = 9;

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    stream: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream_options: Option<StreamOptions>,
    #[serde(skip_serializing_if = "Option::is_none")]
    store: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_completion_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_effort: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    enable_thinking: Option<bool>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<Tool<'a>>,
    messages: Vec<Said<'a>>,
}

#[derive(Serialize)]
struct StreamOptions {
    include_usage: bool,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Tool<'a> {
    Function { function: Function<'a> },
}

#[derive(Serialize)]
struct Function<'a> {
    name: &'a str,
    description: &'a str,
    parameters: &'a Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    strict: Option<bool>,
}

#[derive(Serialize)]
#[serde(tag = "role", rename_all = "snake_case")]
enum Said<'a> {
    System {
        content: &'a str,
    },
    Developer {
        content: &'a str,
    },
    User {
        content: Content<'a>,
    },
    Assistant {
        content: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        reasoning_content: Option<String>,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        tool_calls: Vec<Call<'a>>,
    },
    Tool {
        tool_call_id: Cow<'a, str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        name: Option<&'a str>,
        content: &'a str,
    },
}

/// Plain words are a string, since many servers take no more than that.
#[derive(Serialize)]
#[serde(untagged)]
enum Content<'a> {
    Text(Cow<'a, str>),
    Parts(Vec<Part<'a>>),
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Part<'a> {
    Text { text: Cow<'a, str> },
    ImageUrl { image_url: ImageUrl },
}

#[derive(Serialize)]
struct ImageUrl {
    url: String,
}

#[derive(Serialize)]
struct Call<'a> {
    id: Cow<'a, str>,
    r#type: &'static str,
    function: Called<'a>,
}

#[derive(Serialize)]
struct Called<'a> {
    name: &'a str,
    arguments: String,
}

/// The body that asks for `request` of a server that differs by `compat`.
pub(crate) fn body(request: &Request, compat: &Compat) -> Vec<u8> {
    let prefix = &*request.prefix;
    let model = prefix.model();
    let output_max = request.output_max.min(model.output_max).max(1);
    let limit = |field| (compat.max_tokens_field == field).then_some(output_max);
    let format = model.reasoning.then_some(compat.thinking_format);
    let thinks = request.thinking != Thinking::Off;
    let body = Body {
        model: &model.reference.model,
        stream: true,
        stream_options: compat
            .supports_usage_in_streaming
            .then_some(StreamOptions { include_usage: true }),
        store: compat.supports_store.then_some(false),
        max_tokens: limit(MaxTokensField::MaxTokens),
        max_completion_tokens: limit(MaxTokensField::MaxCompletionTokens),
        reasoning_effort: format
            .filter(|format| *format == ThinkingFormat::OpenAi && compat.supports_reasoning_effort)
            .and_then(|_| effort(request.thinking)),
        thinking: (format == Some(ThinkingFormat::Zai))
            .then(|| json!({ "type": if thinks { "enabled" } else { "disabled" } })),
        enable_thinking: (format == Some(ThinkingFormat::Qwen)).then_some(thinks),
        tools: prefix.tools().iter().map(|spec| tool(spec, compat)).collect(),
        messages: conversation(prefix, &request.messages, compat),
    };
    serde_json::to_vec(&body).expect("strings, numbers and JSON values have a JSON form")
}

/// Without a word a model thinks as its maker set it; not every one can be told "none".
fn effort(thinking: Thinking) -> Option<&'static str> {
    match thinking {
        Thinking::Off => None,
        Thinking::Minimal => Some("minimal"),
        Thinking::Low => Some("low"),
        Thinking::Medium => Some("medium"),
        Thinking::High => Some("high"),
        Thinking::XHigh => Some("xhigh"),
    }
}

fn tool<'a>(spec: &'a ToolSpec, compat: &Compat) -> Tool<'a> {
    let ToolSpec { name, description, parameters } = spec;
    let strict = compat.supports_strict_mode.then_some(false);
    Tool::Function { function: Function { name, description, parameters, strict } }
}

fn conversation<'a>(prefix: &'a Prefix, messages: &'a [Message], compat: &Compat) -> Vec<Said<'a>> {
    let mut said = Vec::new();
    let content = prefix.system();
    if !content.is_empty() {
        let is_developer = compat.supports_developer_role && prefix.model().reasoning;
        said.push(if is_developer {
            Said::Developer { content }
        } else {
            Said::System { content }
        });
    }
    for next in messages.iter().filter_map(|message| draw(prefix, message, compat)) {
        let skips_a_turn =
            matches!((said.last(), &next), (Some(Said::Tool { .. }), Said::User { .. }));
        if compat.requires_assistant_after_tool_result && skips_a_turn {
            let content = Some(BRIDGE.to_owned());
            said.push(Said::Assistant { content, reasoning_content: None, tool_calls: Vec::new() });
        }
        said.push(next);
    }
    said
}

fn draw<'a>(prefix: &Prefix, message: &'a Message, compat: &Compat) -> Option<Said<'a>> {
    let user = |text: &'a str| {
        (!text.is_empty()).then(|| Said::User { content: Content::Text(text.into()) })
    };
    let entry = match message {
        Message::Entry(entry) => entry,
        Message::Summary(text) => return user(text),
    };
    match &entry.body {
        EntryBody::User(message) => asked(message, prefix.model().images),
        EntryBody::Assistant(message) => answered(prefix, message, compat),
        EntryBody::ToolResult(result) => Some(Said::Tool {
            tool_call_id: id(result.call.as_str(), compat),
            name: compat.requires_tool_result_name.then_some(&result.tool),
            content: &result.text,
        }),
        EntryBody::Compaction { summary, .. } => user(summary),
        EntryBody::Foreign { .. } => None,
    }
}

fn asked(message: &UserMessage, sees: bool) -> Option<Said<'_>> {
    let mut parts: Vec<Part<'_>> =
        message.content.iter().filter_map(|block| part(block, sees)).collect();
    let content = match parts.pop()? {
        Part::Text { text } if parts.is_empty() => Content::Text(text),
        last => {
            parts.push(last);
            Content::Parts(parts)
        }
    };
    Some(Said::User { content })
}

fn part(block: &Block, sees: bool) -> Option<Part<'_>> {
    match block {
        Block::Text { text } if !text.is_empty() => Some(Part::Text { text: text.into() }),
        Block::Image { mime, base64 } if sees => Some(Part::ImageUrl {
            image_url: ImageUrl { url: format!("data:{mime};base64,{base64}") },
        }),
        Block::Image { mime, .. } => {
            Some(Part::Text { text: format!("[{mime}, which this model cannot see]").into() })
        }
        Block::Text { .. }
        | Block::Thinking { .. }
        | Block::RedactedThinking { .. }
        | Block::ToolCall { .. } => None,
    }
}

fn answered<'a>(
    prefix: &Prefix,
    message: &'a AssistantMessage,
    compat: &Compat,
) -> Option<Said<'a>> {
    let tool_calls: Vec<Call<'a>> = message
        .tool_calls()
        .map(|(call, name, arguments)| Call {
            id: id(call.as_str(), compat),
            r#type: "function",
            function: Called { name, arguments: written(arguments) },
        })
        .collect();
    let is_own = message.model.as_ref() == Some(&prefix.model().reference);
    let thought = Some(thought(message)).filter(|thought| is_own && !thought.is_empty());
    let text = message.text();
    let (reasoning_content, text) = match thought {
        Some(thought) if compat.requires_thinking_as_text => (None, join(thought, text)),
        // DeepSeek demands the thought that led to a call; elsewhere it is not looked at.
        Some(thought) if !tool_calls.is_empty() => (Some(thought), text),
        Some(_) | None => (None, text),
    };
    let content = Some(text).filter(|text| !text.is_empty());
    let is_empty = content.is_none() && tool_calls.is_empty();
    (!is_empty).then_some(Said::Assistant { content, reasoning_content, tool_calls })
}

fn thought(message: &AssistantMessage) -> String {
    let thoughts = message.content.iter().filter_map(|block| match block {
        Block::Thinking { text, .. } => Some(text.as_str()),
        _ => None,
    });
    thoughts.collect()
}

fn join(thought: String, text: String) -> String {
    if text.is_empty() { thought } else { format!("{thought}\n\n{text}") }
}

/// Arguments that never parsed are shown as what they were; some servers refuse broken JSON.
fn written(arguments: &Value) -> String {
    match arguments {
        Value::Object(_) => arguments.to_string(),
        raw => json!({ "raw_arguments": raw }).to_string(),
    }
}

/// A call's id as the server takes it; the same id always becomes the same.
fn id<'a>(call: &'a str, compat: &Compat) -> Cow<'a, str> {
    let fits = call.len() == MISTRAL_ID_CHARS && call.chars().all(|c| c.is_ascii_alphanumeric());
    if fits || !compat.requires_mistral_tool_ids {
        return call.into();
    }
    // FNV-1a, 64 bits: of the 36^9 ids no two calls of one conversation will meet.
    let hash = call.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let digits = (0..MISTRAL_ID_CHARS as u32).map(|place| (hash / 36_u64.pow(place) % 36) as u32);
    digits.filter_map(|digit| char::from_digit(digit, 36)).collect()
}

#[cfg(test)]
mod tests;

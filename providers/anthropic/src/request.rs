//! Ours to theirs: the body of a request.
//!
//! What stays for an epoch stands before the messages, and a message is always drawn the same, so
//! that the vendor's cache finds what it knows. Only the mark on the newest message moves.

use std::borrow::Cow;

use claw_domain::{AssistantMessage, Block, EntryBody, ModelRef};
use claw_provider::{Message, Prefix, Request, Thinking, ToolSpec};
use serde::Serialize;
use serde_json::{Value, json};

/// The smallest budget that the vendor takes (reference, `thinking.budget_tokens`).
const BUDGET_MIN: u64 = 1024;

/// What is said in the user's place where a conversation begins with the assistant, which the
/// vendor does not take.
const OPENING: &str = "(The conversation begins with your own message.)";

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    max_tokens: u64,
    stream: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking: Option<Effort>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_config: Option<Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<Marked<Tool<'a>>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    system: Vec<Marked<Part<'a>>>,
    messages: Vec<Turn<'a>>,
}

/// Something that the vendor's cache may end with. At most four of a request may be marked; we
/// mark the last tool, the system prompt and the newest message.
#[derive(Serialize)]
struct Marked<T> {
    #[serde(flatten)]
    content: T,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_control: Option<Mark>,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Mark {
    Ephemeral,
}

#[derive(Serialize)]
struct Tool<'a> {
    name: &'a str,
    description: &'a str,
    input_schema: &'a Value,
}

#[derive(Serialize)]
struct Turn<'a> {
    role: Role,
    content: Vec<Marked<Part<'a>>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Role {
    User,
    Assistant,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Part<'a> {
    Text { text: Cow<'a, str> },
    Image { source: Source<'a> },
    Thinking { thinking: &'a str, signature: &'a str },
    RedactedThinking { data: &'a str },
    ToolUse { id: Cow<'a, str>, name: &'a str, input: Cow<'a, Value> },
    ToolResult { tool_use_id: Cow<'a, str>, content: &'a str, is_error: bool },
}

#[derive(Serialize)]
#[serde(tag = "type", rename = "base64")]
struct Source<'a> {
    media_type: &'a str,
    data: &'a str,
}

#[derive(Debug, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Effort {
    Enabled { budget_tokens: u64 },
    Adaptive,
}

/// The body that asks for `request`.
pub(crate) fn body(request: &Request) -> Vec<u8> {
    let prefix = &*request.prefix;
    let (max_tokens, thinking) = effort(request);
    let output_config =
        (thinking == Some(Effort::Adaptive)).then(|| json!({ "effort": level(request.thinking) }));
    let system = Some(prefix.system()).filter(|text| is_said(text));
    let body = Body {
        model: &prefix.model().reference.model,
        max_tokens,
        stream: true,
        thinking,
        output_config,
        tools: mark_last(prefix.tools().iter().map(tool)),
        system: mark_last(system.map(|text| Part::Text { text: text.into() })),
        messages: turns(prefix, &request.messages),
    };
    serde_json::to_vec(&body).expect("strings, numbers and JSON values have a JSON form")
}

fn mark_last<T>(contents: impl IntoIterator<Item = T>) -> Vec<Marked<T>> {
    let mut marked: Vec<_> = contents.into_iter().map(plain).collect();
    if let Some(last) = marked.last_mut() {
        last.cache_control = Some(Mark::Ephemeral);
    }
    marked
}

fn plain<T>(content: T) -> Marked<T> {
    Marked { content, cache_control: None }
}

fn tool(spec: &ToolSpec) -> Tool<'_> {
    Tool { name: &spec.name, description: &spec.description, input_schema: &spec.parameters }
}

/// The longest answer, thought included, and how the model is asked to think.
fn effort(request: &Request) -> (u64, Option<Effort>) {
    let model = request.prefix.model();
    let plain = request.output_max.min(model.output_max).max(1);
    if request.thinking == Thinking::Off || !model.reasoning {
        return (plain, None);
    }
    if thinks_adaptively(&model.reference.model) {
        return (plain, Some(Effort::Adaptive));
    }
    let budget = match request.thinking {
        Thinking::Off | Thinking::Minimal => BUDGET_MIN,
        Thinking::Low => 2048,
        Thinking::Medium => 8192,
        Thinking::High => 16384,
        Thinking::XHigh => 32768,
    };
    // The budget is part of the answer and must be smaller; half is left to the words.
    let max_tokens = (plain + budget).min(model.output_max).max(plain);
    let budget_tokens = budget.min(max_tokens / 2);
    let thinking = (budget_tokens >= BUDGET_MIN).then_some(Effort::Enabled { budget_tokens });
    (if thinking.is_some() { max_tokens } else { plain }, thinking)
}

/// Whether a model decides itself how long it thinks: Claude from 4.6 on, where later models
/// refuse a budget. Models of other makers behind this interface take budgets.
fn thinks_adaptively(model: &str) -> bool {
    let Some(rest) = model.strip_prefix("claude-") else { return false };
    // Longer numbers are dates.
    let mut version =
        rest.split('-').filter(|part| part.len() <= 2).filter_map(|part| part.parse::<u32>().ok());
    match (version.next(), version.next()) {
        (Some(major), minor) => (major, minor.unwrap_or(0)) >= (4, 6),
        (None, _) => true,
    }
}

fn level(thinking: Thinking) -> &'static str {
    match thinking {
        Thinking::Off | Thinking::Minimal | Thinking::Low => "low",
        Thinking::Medium => "medium",
        Thinking::High => "high",
        Thinking::XHigh => "max",
    }
}

/// The conversation: neighbours of one role are one turn, and a user's turn begins with its tool
/// results, as the vendor demands.
fn turns<'a>(prefix: &'a Prefix, messages: &'a [Message]) -> Vec<Turn<'a>> {
    let mut turns: Vec<Turn<'a>> = Vec::new();
    for (role, parts) in messages.iter().map(|message| parts(prefix, message)) {
        if parts.is_empty() {
            continue;
        }
        if turns.is_empty() && role == Role::Assistant {
            turns.push(Turn {
                role: Role::User,
                content: vec![plain(Part::Text { text: OPENING.into() })],
            });
        }
        let parts = parts.into_iter().map(plain);
        match turns.last_mut() {
            Some(turn) if turn.role == role => turn.content.extend(parts),
            _ => turns.push(Turn { role, content: parts.collect() }),
        }
    }
    for turn in &mut turns {
        turn.content.sort_by_key(|part| {
            turn.role == Role::User && !matches!(part.content, Part::ToolResult { .. })
        });
    }
    let newest = turns.last_mut().filter(|turn| turn.role == Role::User);
    if let Some(part) = newest.and_then(|turn| turn.content.last_mut()) {
        part.cache_control = Some(Mark::Ephemeral);
    }
    turns
}

fn parts<'a>(prefix: &Prefix, message: &'a Message) -> (Role, Vec<Part<'a>>) {
    let entry = match message {
        Message::Entry(entry) => entry,
        Message::Summary(text) => return (Role::User, said(text).into_iter().collect()),
    };
    match &entry.body {
        EntryBody::User(message) => {
            let sees = prefix.model().images;
            (Role::User, message.content.iter().filter_map(|block| shown(block, sees)).collect())
        }
        EntryBody::Assistant(message) => {
            (Role::Assistant, answered(&prefix.model().reference, message))
        }
        EntryBody::ToolResult(result) => {
            let (tool_use_id, content) = (id(result.call.as_str()), result.text.as_str());
            (Role::User, vec![Part::ToolResult { tool_use_id, content, is_error: result.is_error }])
        }
        EntryBody::Compaction { summary, .. } => (Role::User, said(summary).into_iter().collect()),
        EntryBody::Foreign { .. } => (Role::User, Vec::new()),
    }
}

fn shown(block: &Block, sees: bool) -> Option<Part<'_>> {
    match block {
        Block::Text { text } => said(text),
        Block::Image { mime, base64 } if sees => {
            Some(Part::Image { source: Source { media_type: mime, data: base64 } })
        }
        Block::Image { mime, .. } => {
            Some(Part::Text { text: format!("[{mime}, which this model cannot see]").into() })
        }
        Block::Thinking { .. } | Block::RedactedThinking { .. } | Block::ToolCall { .. } => None,
    }
}

/// Thoughts go back only to the model that thought them: their proof is valid nowhere else.
fn answered<'a>(model: &ModelRef, message: &'a AssistantMessage) -> Vec<Part<'a>> {
    let is_own = message.model.as_ref() == Some(model);
    let part = |block: &'a Block| match block {
        Block::Text { text } => said(text),
        Block::Thinking { text, signature: Some(signature) } if is_own => {
            Some(Part::Thinking { thinking: text, signature })
        }
        Block::RedactedThinking { sealed } if is_own => {
            Some(Part::RedactedThinking { data: sealed })
        }
        Block::ToolCall { id: call, name, arguments } => {
            Some(Part::ToolUse { id: id(call.as_str()), name, input: input(arguments) })
        }
        Block::Thinking { .. } | Block::RedactedThinking { .. } | Block::Image { .. } => None,
    };
    message.content.iter().filter_map(part).collect()
}

/// The vendor refuses texts without a visible character.
fn said(text: &str) -> Option<Part<'_>> {
    is_said(text).then(|| Part::Text { text: text.into() })
}

fn is_said(text: &str) -> bool {
    !text.trim().is_empty()
}

/// The vendor takes letters, digits, `_` and `-`; ids that another vendor gave may hold more.
fn id(call: &str) -> Cow<'_, str> {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if call.chars().all(fits) {
        return call.into();
    }
    call.chars().map(|c| if fits(c) { c } else { '_' }).collect()
}

/// The vendor takes an object only; arguments that never parsed are shown as what they were.
fn input(arguments: &Value) -> Cow<'_, Value> {
    match arguments {
        Value::Object(_) => Cow::Borrowed(arguments),
        raw => Cow::Owned(json!({ "raw_arguments": raw })),
    }
}

#[cfg(test)]
mod tests;

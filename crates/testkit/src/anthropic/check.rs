//! What the Messages API refuses, in its words.

use std::collections::HashSet;

use http::HeaderMap;
use serde_json::Value;

use crate::{asked::Last, script::Refusal};

use super::{KEY, signature};

/// Most blocks of one request that may carry `cache_control` (Prompt caching guide).
const CACHE_MARKS_MAX: usize = 4;

/// Longest name of a tool, in characters (Messages reference, `tools[].name`).
const TOOL_NAME_CHARS_MAX: usize = 128;

/// Consecutive messages of one role count as one turn.
struct Turn<'a> {
    /// The place of the turn's last message.
    index: usize,
    is_user: bool,
    blocks: Vec<Block<'a>>,
}

struct Block<'a> {
    place: String,
    kind: &'a str,
    value: &'a Value,
}

pub(super) fn headers(headers: &HeaderMap) -> Result<(), Refusal> {
    let key = headers.get("x-api-key");
    let denied = |message: &str| Err(Refusal::new(401, "authentication_error", message));
    match key {
        None => denied("x-api-key header is required"),
        Some(key) if key != KEY => denied("invalid x-api-key"),
        Some(_) if headers.get("anthropic-version").is_none() => {
            Err(invalid("anthropic-version: header is required"))
        }
        Some(_) => Ok(()),
    }
}

pub(super) fn body(body: &Value) -> Result<Last, Refusal> {
    if body["model"].as_str().is_none_or(str::is_empty) {
        return Err(invalid("model: Field required"));
    }
    match &body["max_tokens"] {
        Value::Null => return Err(invalid("max_tokens: Field required")),
        max if max.as_u64().is_none_or(|max| max == 0) => {
            return Err(invalid("max_tokens: Input should be greater than or equal to 1"));
        }
        _ => {}
    }
    tools(&body["tools"])?;
    let marks = marks(body);
    if marks > CACHE_MARKS_MAX {
        return Err(invalid(format!(
            "A maximum of {CACHE_MARKS_MAX} blocks with cache_control may be provided. \
             Found {marks}."
        )));
    }
    let Some(messages) = body["messages"].as_array() else {
        return Err(invalid("messages: Field required"));
    };
    let turns = turns(messages)?;
    conversation(&turns)?;
    Ok(last(turns.last()))
}

/// How many cache marks `value` holds. Schemas and arguments are the caller's own data, so an
/// own property of that name is counted only where it is an object with a `type`.
pub(super) fn marks(value: &Value) -> usize {
    match value {
        Value::Array(values) => values.iter().map(marks).sum(),
        Value::Object(fields) => fields
            .iter()
            .filter(|(name, _)| !matches!(name.as_str(), "input" | "input_schema"))
            .map(|(name, value)| match name.as_str() {
                "cache_control" => usize::from(value["type"].is_string()),
                _ => marks(value),
            })
            .sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}

fn tools(tools: &Value) -> Result<(), Refusal> {
    let mut names = HashSet::new();
    for (index, tool) in tools.as_array().into_iter().flatten().enumerate() {
        let name = tool["name"].as_str().unwrap_or_default();
        let fits = (1..=TOOL_NAME_CHARS_MAX).contains(&name.len())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        if !fits {
            return Err(invalid(format!(
                "tools.{index}.custom.name: String should match pattern \
                 '^[a-zA-Z0-9_-]{{1,{TOOL_NAME_CHARS_MAX}}}$'"
            )));
        }
        if !names.insert(name) {
            return Err(invalid("tools: Tool names must be unique."));
        }
        match &tool["input_schema"] {
            Value::Null => {
                let message = format!("tools.{index}.custom.input_schema: Field required");
                return Err(invalid(message));
            }
            schema if schema["type"] != "object" => {
                let place = format!("tools.{index}.custom.input_schema.type");
                return Err(invalid(format!("{place}: Input should be 'object'")));
            }
            _ => {}
        }
    }
    Ok(())
}

fn turns(messages: &[Value]) -> Result<Vec<Turn<'_>>, Refusal> {
    let mut turns: Vec<Turn<'_>> = Vec::new();
    for (index, message) in messages.iter().enumerate() {
        let is_user = match message["role"].as_str() {
            Some("user") => true,
            Some("assistant") => false,
            _ => {
                let place = format!("messages.{index}.role");
                return Err(invalid(format!("{place}: Input should be 'user' or 'assistant'")));
            }
        };
        let blocks = blocks(index, &message["content"])?;
        if blocks.is_empty() && index + 1 < messages.len() {
            return Err(invalid(format!(
                "messages.{index}: all messages must have non-empty content except for the \
                 optional final assistant message"
            )));
        }
        match turns.last_mut() {
            Some(turn) if turn.is_user == is_user => {
                turn.index = index;
                turn.blocks.extend(blocks);
            }
            _ => turns.push(Turn { index, is_user, blocks }),
        }
    }
    Ok(turns)
}

fn blocks(index: usize, content: &Value) -> Result<Vec<Block<'_>>, Refusal> {
    match content {
        Value::String(text) if text.is_empty() => Ok(Vec::new()),
        Value::String(_) => {
            let place = format!("messages.{index}.content");
            Ok(vec![Block { place, kind: "text", value: content }])
        }
        Value::Array(blocks) => {
            blocks.iter().enumerate().map(|(at, value)| block(index, at, value)).collect()
        }
        _ => Err(invalid(format!("messages.{index}.content: Field required"))),
    }
}

fn block(index: usize, at: usize, value: &Value) -> Result<Block<'_>, Refusal> {
    let place = format!("messages.{index}.content.{at}");
    let kind = value["type"].as_str().unwrap_or_default();
    let wrong = match kind {
        "text" if value["text"].as_str().is_none_or(str::is_empty) => {
            return Err(invalid("messages: text content blocks must be non-empty"));
        }
        "tool_use" if !value["input"].is_object() => {
            ".tool_use.input: Input should be a valid dictionary"
        }
        "tool_use" if !value["id"].is_string() => ".tool_use.id: Field required",
        "tool_use" if !value["name"].is_string() => ".tool_use.name: Field required",
        "tool_result" if !value["tool_use_id"].is_string() => {
            ".tool_result.tool_use_id: Field required"
        }
        "thinking" if !value["signature"].is_string() => ".thinking.signature: Field required",
        "thinking"
            if value["signature"] != signature(value["thinking"].as_str().unwrap_or_default()) =>
        {
            ": Invalid `signature` in `thinking` block"
        }
        "thinking" if value.get("cache_control").is_some() => {
            ".thinking.cache_control: Extra inputs are not permitted"
        }
        "text" | "image" | "document" | "thinking" | "redacted_thinking" | "tool_use"
        | "tool_result" => return Ok(Block { place, kind, value }),
        _ => ": Input tag does not match any of the expected tags",
    };
    Err(invalid(format!("{place}{wrong}")))
}

fn conversation(turns: &[Turn<'_>]) -> Result<(), Refusal> {
    match turns.first() {
        None => return Err(invalid("messages: at least one message is required")),
        Some(turn) if !turn.is_user => {
            return Err(invalid("messages: first message must use the \"user\" role"));
        }
        Some(_) => {}
    }
    let mut open: Vec<&str> = Vec::new();
    let mut asked_at = 0;
    let mut ever = HashSet::new();
    for turn in turns {
        if turn.is_user {
            results(turn, &mut open)?;
        }
        unanswered(&open, asked_at)?;
        for block in turn.blocks.iter().filter(|block| block.kind == "tool_use") {
            let id = block.value["id"].as_str().unwrap_or_default();
            if turn.is_user {
                let what = "`tool_use` blocks can only be in `assistant` messages";
                return Err(invalid(format!("{}: {what}", block.place)));
            }
            if !ever.insert(id) {
                return Err(invalid(format!("{}: `tool_use` ids must be unique", block.place)));
            }
            open.push(id);
        }
        asked_at = turn.index;
    }
    unanswered(&open, asked_at)
}

/// Takes the calls that `turn` answers out of `open`. Results count only before any other block
/// (Tool use guide, "Handle tool calls").
fn results<'a>(turn: &Turn<'a>, open: &mut Vec<&'a str>) -> Result<(), Refusal> {
    let leading = turn.blocks.iter().take_while(|block| block.kind == "tool_result").count();
    for (index, block) in turn.blocks.iter().enumerate() {
        if block.kind != "tool_result" {
            continue;
        }
        let id = block.value["tool_use_id"].as_str().unwrap_or_default();
        let Some(at) = open.iter().position(|open| *open == id) else {
            return Err(invalid(format!(
                "{}: unexpected `tool_use_id` found in `tool_result` blocks: {id}. Each \
                 `tool_result` block must have a corresponding `tool_use` block in the previous \
                 message.",
                block.place
            )));
        };
        if index < leading {
            open.remove(at);
        }
    }
    Ok(())
}

fn unanswered(open: &[&str], asked_at: usize) -> Result<(), Refusal> {
    if open.is_empty() {
        return Ok(());
    }
    Err(invalid(format!(
        "messages.{asked_at}: `tool_use` ids were found without `tool_result` blocks immediately \
         after: {}. Each `tool_use` block must have a corresponding `tool_result` block in the \
         next message.",
        open.join(", ")
    )))
}

fn last(turn: Option<&Turn<'_>>) -> Last {
    let Some(turn) = turn.filter(|turn| turn.is_user) else { return Last::Other };
    let of_kind = |kind: &str| -> Vec<String> {
        let blocks = turn.blocks.iter().filter(|block| block.kind == kind);
        blocks.map(|block| text_of(block.value)).collect()
    };
    let texts = of_kind("text");
    if texts.is_empty() {
        Last::ToolResults(of_kind("tool_result"))
    } else {
        Last::User(texts.join("\n"))
    }
}

fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(blocks) => blocks.iter().map(text_of).collect::<Vec<_>>().join("\n"),
        Value::Object(_) if value["type"] == "tool_result" => text_of(&value["content"]),
        _ => value["text"].as_str().unwrap_or_default().to_owned(),
    }
}

fn invalid(message: impl Into<String>) -> Refusal {
    Refusal::new(400, "invalid_request_error", message)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(messages: Value, expected: Result<Last, &str>) {
        let request = json!({ "model": "m", "max_tokens": 9, "messages": messages });
        let checked = body(&request).map_err(|refusal| refusal.message);
        assert_eq!(checked, expected.map_err(str::to_owned));
    }

    fn call(id: &str) -> Value {
        let block = json!({ "type": "tool_use", "id": id, "name": "exec", "input": {} });
        json!({ "role": "assistant", "content": [block] })
    }

    fn result(id: &str) -> Value {
        let block = json!({ "type": "tool_result", "tool_use_id": id, "content": "done" });
        json!({ "role": "user", "content": [block] })
    }

    fn user(text: &str) -> Value {
        json!({ "role": "user", "content": text })
    }

    #[test]
    fn a_call_and_its_result_belong_together() {
        let done = Ok(Last::ToolResults(vec!["done".to_owned()]));
        check(json!([user("hi"), call("a"), result("a")]), done);
        check(
            json!([user("hi"), call("a"), user("well?")]),
            Err("messages.1: `tool_use` ids were found without `tool_result` blocks immediately \
                 after: a. Each `tool_use` block must have a corresponding `tool_result` block \
                 in the next message."),
        );
        check(
            json!([user("hi"), result("b")]),
            Err("messages.1.content.0: unexpected `tool_use_id` found in `tool_result` blocks: \
                 b. Each `tool_result` block must have a corresponding `tool_use` block in the \
                 previous message."),
        );
        check(
            json!([user("hi"), call("a"), result("a"), call("a"), result("a")]),
            Err("messages.3.content.0: `tool_use` ids must be unique"),
        );
    }

    #[test]
    fn results_may_come_in_several_user_messages_of_one_turn() {
        let both = json!({ "role": "assistant", "content": [
            { "type": "tool_use", "id": "a", "name": "exec", "input": {} },
            { "type": "tool_use", "id": "b", "name": "exec", "input": {} },
        ]});
        let expected = Ok(Last::User("and?".to_owned()));
        check(json!([user("hi"), both, result("b"), result("a"), user("and?")]), expected);
    }

    #[test]
    fn empty_and_misplaced_content_is_refused() {
        check(json!([]), Err("messages: at least one message is required"));
        check(
            json!([{ "role": "assistant", "content": "hi" }]),
            Err("messages: first message must use the \"user\" role"),
        );
        check(
            json!([{ "role": "user", "content": [{ "type": "text", "text": "" }] }]),
            Err("messages: text content blocks must be non-empty"),
        );
        check(
            json!([user(""), user("hi")]),
            Err("messages.0: all messages must have non-empty content except for the optional \
                 final assistant message"),
        );
        check(
            json!([{ "role": "system", "content": "hi" }]),
            Err("messages.0.role: Input should be 'user' or 'assistant'"),
        );
    }

    #[test]
    fn thinking_must_come_back_with_its_own_signature() {
        let thought = |signature: String| {
            let block = json!({ "type": "thinking", "thinking": "hm", "signature": signature });
            json!([user("hi"), { "role": "assistant", "content": [block] }, user("go on")])
        };
        check(thought(signature("hm")), Ok(Last::User("go on".to_owned())));
        check(
            thought(signature("ha")),
            Err("messages.1.content.0: Invalid `signature` in `thinking` block"),
        );
    }

    #[test]
    fn at_most_four_blocks_carry_a_cache_mark() {
        let marked = json!({
            "type": "text", "text": "a", "cache_control": { "type": "ephemeral" },
        });
        let with =
            |count: usize| json!([{ "role": "user", "content": vec![marked.clone(); count] }]);
        check(with(4), Ok(Last::User("a\na\na\na".to_owned())));
        let refused = "A maximum of 4 blocks with cache_control may be provided. Found 5.";
        check(with(5), Err(refused));
    }

    #[test]
    fn tools_need_a_plain_unique_name_and_an_object_schema() {
        let check = |tools: Value, expected: &str| {
            let request =
                json!({ "model": "m", "max_tokens": 9, "messages": [user("hi")], "tools": tools });
            assert_eq!(body(&request).unwrap_err().message, expected);
        };
        let tool = json!({ "name": "a", "input_schema": { "type": "object" } });
        check(json!([tool, tool]), "tools: Tool names must be unique.");
        let pattern = "String should match pattern '^[a-zA-Z0-9_-]{1,128}$'";
        check(json!([{ "name": "a b" }]), &format!("tools.0.custom.name: {pattern}"));
        check(json!([{ "name": "a" }]), "tools.0.custom.input_schema: Field required");
    }
}

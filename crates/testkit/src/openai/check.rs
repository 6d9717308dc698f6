//! What the Chat Completions API refuses, in its words.

use http::{HeaderMap, header};
use serde_json::Value;

use crate::{asked::Last, script::Refusal};

use super::KEY;

const ROLES: [&str; 5] = ["system", "developer", "user", "assistant", "tool"];

pub(super) fn headers(headers: &HeaderMap) -> Result<(), Refusal> {
    let key = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    match key.and_then(|key| key.strip_prefix("Bearer ")) {
        Some(KEY) => Ok(()),
        Some(_) => Err(Refusal::new(401, "invalid_api_key", "Incorrect API key provided.")),
        None => Err(Refusal::new(
            401,
            "invalid_request_error",
            "You didn't provide an API key. You need to provide your API key in an Authorization \
             header using Bearer auth (i.e. Authorization: Bearer YOUR_KEY).",
        )),
    }
}

pub(super) fn body(body: &Value) -> Result<Last, Refusal> {
    if body["model"].as_str().is_none_or(str::is_empty) {
        return Err(invalid("you must provide a model parameter"));
    }
    let Some(messages) = body["messages"].as_array() else {
        return Err(invalid("Missing required parameter: 'messages'."));
    };
    if messages.is_empty() {
        let what = "Invalid 'messages': empty array. Expected an array with minimum length 1, \
                    but got an empty array instead.";
        return Err(invalid(what));
    }
    if !body["stream_options"].is_null() && body["stream"] != true {
        let what = "The 'stream_options' parameter is only allowed when 'stream' is enabled.";
        return Err(invalid(what));
    }
    tools(&body["tools"])?;
    conversation(messages)?;
    Ok(last(messages))
}

fn tools(tools: &Value) -> Result<(), Refusal> {
    if tools.as_array().is_some_and(Vec::is_empty) {
        return Err(invalid("Invalid 'tools': empty array."));
    }
    for (index, tool) in tools.as_array().into_iter().flatten().enumerate() {
        if tool["type"] != "function" {
            return Err(invalid(format!("Missing required parameter: 'tools[{index}].type'.")));
        }
        if tool["function"]["name"].as_str().is_none_or(str::is_empty) {
            let place = format!("tools[{index}].function.name");
            return Err(invalid(format!("Missing required parameter: '{place}'.")));
        }
    }
    Ok(())
}

fn conversation(messages: &[Value]) -> Result<(), Refusal> {
    let mut open: Vec<&str> = Vec::new();
    for (index, message) in messages.iter().enumerate() {
        let role = message["role"].as_str().unwrap_or_default();
        if !ROLES.contains(&role) {
            let what = format!(
                "Invalid value: '{role}'. Supported values are: 'system', \
                'developer', 'user', 'assistant', and 'tool'."
            );
            return Err(invalid(what));
        }
        if role == "tool" {
            let id = message["tool_call_id"].as_str().unwrap_or_default();
            let Some(at) = open.iter().position(|open| *open == id) else {
                return Err(invalid(
                    "Invalid parameter: messages with role 'tool' must be a response to a \
                     preceding message with 'tool_calls'.",
                ));
            };
            open.remove(at);
            continue;
        }
        unanswered(&open)?;
        let calls = message["tool_calls"].as_array().map_or(&[][..], Vec::as_slice);
        if message["content"].is_null() && calls.is_empty() {
            let what = "Invalid value for 'content': expected a string, got null.";
            return Err(invalid(what));
        }
        for (at, call) in calls.iter().enumerate() {
            let place = format!("messages[{index}].tool_calls[{at}]");
            let Some(id) = call["id"].as_str() else {
                return Err(invalid(format!("Missing required parameter: '{place}.id'.")));
            };
            if !call["function"]["arguments"].is_string() {
                let place = format!("{place}.function.arguments");
                return Err(invalid(format!("Invalid type for '{place}': expected a string.")));
            }
            open.push(id);
        }
    }
    unanswered(&open)
}

fn unanswered(open: &[&str]) -> Result<(), Refusal> {
    if open.is_empty() {
        return Ok(());
    }
    Err(invalid(format!(
        "An assistant message with 'tool_calls' must be followed by tool messages responding to \
         each 'tool_call_id'. The following tool_call_ids did not have response messages: {}",
        open.join(", ")
    )))
}

fn last(messages: &[Value]) -> Last {
    let of_role = |role: &'static str| {
        let trailing = messages.iter().rev().take_while(move |message| message["role"] == role);
        let mut texts: Vec<String> = trailing.map(|message| text_of(&message["content"])).collect();
        texts.reverse();
        texts
    };
    match messages.last().and_then(|message| message["role"].as_str()) {
        Some("user") => Last::User(of_role("user").join("\n")),
        Some("tool") => Last::ToolResults(of_role("tool")),
        _ => Last::Other,
    }
}

fn text_of(content: &Value) -> String {
    match content {
        Value::Array(parts) => {
            let texts = parts.iter().filter_map(|part| part["text"].as_str());
            texts.collect::<Vec<_>>().join("\n")
        }
        _ => content.as_str().unwrap_or_default().to_owned(),
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
        let request = json!({ "model": "m", "messages": messages });
        let checked = body(&request).map_err(|refusal| refusal.message);
        assert_eq!(checked, expected.map_err(str::to_owned));
    }

    fn user(text: &str) -> Value {
        json!({ "role": "user", "content": text })
    }

    fn calls(ids: &[&str]) -> Value {
        let function = json!({ "name": "exec", "arguments": "{}" });
        let call = |id: &&str| json!({ "id": id, "type": "function", "function": function });
        let calls: Vec<Value> = ids.iter().map(call).collect();
        json!({ "role": "assistant", "content": null, "tool_calls": calls })
    }

    fn result(id: &str) -> Value {
        json!({ "role": "tool", "tool_call_id": id, "content": format!("did {id}") })
    }

    #[test]
    fn every_call_is_answered_before_anyone_else_speaks() {
        let both = Ok(Last::ToolResults(vec!["did b".to_owned(), "did a".to_owned()]));
        check(json!([user("hi"), calls(&["a", "b"]), result("b"), result("a")]), both);
        check(
            json!([user("hi"), calls(&["a", "b"]), result("b"), user("well?")]),
            Err("An assistant message with 'tool_calls' must be followed by tool messages \
                 responding to each 'tool_call_id'. The following tool_call_ids did not have \
                 response messages: a"),
        );
        check(
            json!([user("hi"), result("a")]),
            Err("Invalid parameter: messages with role 'tool' must be a response to a preceding \
                 message with 'tool_calls'."),
        );
    }

    #[test]
    fn content_may_be_a_list_of_parts() {
        let parts = json!([{ "type": "text", "text": "a" }, { "type": "text", "text": "b" }]);
        check(json!([{ "role": "user", "content": parts }]), Ok(Last::User("a\nb".to_owned())));
        check(
            json!([user("hi"), { "role": "assistant", "content": null }]),
            Err("Invalid value for 'content': expected a string, got null."),
        );
    }
}

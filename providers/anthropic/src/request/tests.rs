use std::sync::Arc;

use claw_domain::{ModelInfo, ToolResult, UserMessage};
use claw_provider::contract::message;

use super::*;

fn model(id: &str) -> ModelInfo {
    ModelInfo {
        reference: ModelRef { provider: "anthropic".into(), model: id.into() },
        name: id.into(),
        context_window: 200_000,
        output_max: 64_000,
        reasoning: true,
        images: false,
        cost: None,
    }
}

fn tools() -> Vec<ToolSpec> {
    ["read", "exec"]
        .map(|name| ToolSpec {
            name: name.into(),
            description: format!("Does {name}."),
            parameters: json!({ "type": "object", "properties": { "path": { "type": "string" } } }),
        })
        .into()
}

fn request(messages: Vec<Message>) -> Request {
    let prefix = Arc::new(Prefix::new(model("claude-sonnet-4-5"), "Be terse.", tools()));
    Request { prefix, messages, output_max: 4096, thinking: Thinking::Off }
}

fn user(text: &str) -> Message {
    message(EntryBody::User(UserMessage::text(text)))
}

fn assistant(content: Vec<Block>) -> Message {
    let model = Some("anthropic/claude-sonnet-4-5".parse().unwrap());
    message(EntryBody::Assistant(AssistantMessage {
        content,
        model,
        ..AssistantMessage::injected("")
    }))
}

fn call(id: &str, arguments: Value) -> Block {
    Block::ToolCall { id: id.into(), name: "exec".into(), arguments }
}

fn result(call: &str, text: &str) -> Message {
    let (call, tool, text) = (call.into(), "exec".into(), text.into());
    message(EntryBody::ToolResult(ToolResult {
        call,
        tool,
        text,
        is_error: false,
        details: Value::Null,
    }))
}

fn text(text: &str) -> Block {
    Block::Text { text: text.into() }
}

fn drawn(request: &Request) -> Value {
    serde_json::from_slice(&body(request)).unwrap()
}

/// The messages as the vendor gets them, without the mark that moves.
fn check(messages: Vec<Message>, expected: Value) {
    let mut drawn = drawn(&request(messages))["messages"].take();
    unmark(&mut drawn);
    assert_eq!(drawn, expected);
}

fn unmark(messages: &mut Value) {
    for message in messages.as_array_mut().unwrap() {
        for part in message["content"].as_array_mut().unwrap() {
            part.as_object_mut().unwrap().remove("cache_control");
        }
    }
}

#[test]
fn a_request_is_drawn_as_the_vendor_wants_it() {
    insta::assert_snapshot!(String::from_utf8(body(&request(vec![user("hi")]))).unwrap(), @r#"{"model":"claude-sonnet-4-5","max_tokens":4096,"stream":true,"tools":[{"name":"read","description":"Does read.","input_schema":{"type":"object","properties":{"path":{"type":"string"}}}},{"name":"exec","description":"Does exec.","input_schema":{"type":"object","properties":{"path":{"type":"string"}}},"cache_control":{"type":"ephemeral"}}],"system":[{"type":"text","text":"Be terse.","cache_control":{"type":"ephemeral"}}],"messages":[{"role":"user","content":[{"type":"text","text":"hi","cache_control":{"type":"ephemeral"}}]}]}"#);
}

#[test]
fn what_is_empty_is_left_out() {
    let prefix = Arc::new(Prefix::new(model("claude-sonnet-4-5"), " ", Vec::new()));
    let request =
        Request { prefix, ..request(vec![user("hi"), assistant(vec![text("")]), user("ho")]) };
    let drawn = drawn(&request);
    assert_eq!((drawn.get("system"), drawn.get("tools")), (None, None));
    assert_eq!(drawn["messages"].as_array().unwrap().len(), 1);
}

#[test]
fn neighbours_of_one_role_are_one_turn_that_begins_with_results() {
    check(
        vec![
            user("hi"),
            assistant(vec![call("a", json!({})), call("b", json!({ "path": "x" }))]),
            result("a", "1"),
            user("and?"),
            result("b", "2"),
        ],
        json!([
            { "role": "user", "content": [{ "type": "text", "text": "hi" }] },
            { "role": "assistant", "content": [
                { "type": "tool_use", "id": "a", "name": "exec", "input": {} },
                { "type": "tool_use", "id": "b", "name": "exec", "input": { "path": "x" } },
            ]},
            { "role": "user", "content": [
                { "type": "tool_result", "tool_use_id": "a", "content": "1", "is_error": false },
                { "type": "tool_result", "tool_use_id": "b", "content": "2", "is_error": false },
                { "type": "text", "text": "and?" },
            ]},
        ]),
    );
}

#[test]
fn only_signed_thoughts_of_the_same_model_go_back() {
    let thoughts = || {
        vec![
            Block::Thinking { text: "mine".into(), signature: Some("Eq==".into()) },
            Block::Thinking { text: "unsigned".into(), signature: None },
            Block::Thinking { text: String::new(), signature: Some("E0".into()) },
            Block::RedactedThinking { sealed: "x".into() },
            text("a"),
        ]
    };
    let other = AssistantMessage {
        content: thoughts(),
        model: Some("anthropic/claude-opus-4-1".parse().unwrap()),
        ..AssistantMessage::injected("")
    };
    check(
        vec![user("1"), assistant(thoughts()), user("2"), message(EntryBody::Assistant(other))],
        json!([
            { "role": "user", "content": [{ "type": "text", "text": "1" }] },
            { "role": "assistant", "content": [
                { "type": "thinking", "thinking": "mine", "signature": "Eq==" },
                { "type": "thinking", "thinking": "", "signature": "E0" },
                { "type": "redacted_thinking", "data": "x" },
                { "type": "text", "text": "a" },
            ]},
            { "role": "user", "content": [{ "type": "text", "text": "2" }] },
            { "role": "assistant", "content": [{ "type": "text", "text": "a" }] },
        ]),
    );
}

#[test]
fn what_the_vendor_would_refuse_is_made_fit() {
    let image = Block::Image { mime: "image/png".into(), base64: "AAAA".into() };
    let blind = UserMessage { content: vec![image, text("see")], said: None };
    check(
        vec![
            assistant(vec![text("good morning"), call("a|b.1", json!("{\"broken"))]),
            result("a|b.1", "no"),
            message(EntryBody::User(blind)),
            Message::Summary("earlier".into()),
        ],
        json!([
            { "role": "user", "content": [{ "type": "text", "text": OPENING }] },
            { "role": "assistant", "content": [
                { "type": "text", "text": "good morning" },
                { "type": "tool_use", "id": "a_b_1", "name": "exec", "input": { "raw_arguments": "{\"broken" } },
            ]},
            { "role": "user", "content": [
                { "type": "tool_result", "tool_use_id": "a_b_1", "content": "no", "is_error": false },
                { "type": "text", "text": "[image/png, which this model cannot see]" },
                { "type": "text", "text": "see" },
                { "type": "text", "text": "earlier" },
            ]},
        ]),
    );
}

#[test]
fn a_model_that_sees_gets_pictures() {
    let image = Block::Image { mime: "image/png".into(), base64: "AAAA".into() };
    let message = message(EntryBody::User(UserMessage { content: vec![image], said: None }));
    let prefix = Arc::new(Prefix::new(ModelInfo { images: true, ..model("m") }, "", Vec::new()));
    let drawn = drawn(&Request { prefix, ..request(vec![message]) });
    let source = json!({ "type": "base64", "media_type": "image/png", "data": "AAAA" });
    assert_eq!(drawn["messages"][0]["content"][0]["source"], source);
}

#[test]
fn the_bytes_of_what_was_sent_never_change() {
    let messages = [
        user("hi"),
        assistant(vec![
            Block::Thinking { text: "hm".into(), signature: Some("Eq==".into()) },
            call("a", json!({ "z": 1, "a": [true, null] })),
        ]),
        result("a", "done"),
        assistant(vec![text("there")]),
        user("thanks"),
    ];
    let bodies: Vec<String> = [1, 3, 5]
        .map(|sent| String::from_utf8(body(&request(messages[..sent].to_vec()))).unwrap())
        .into();
    let mark = r#","cache_control":{"type":"ephemeral"}"#;
    for pair in bodies.windows(2) {
        let [(head, tail), (next_head, next_tail)] =
            [&pair[0], &pair[1]].map(|body| body.split_once(r#""messages":["#).unwrap());
        assert_eq!(head, next_head);
        let sent = tail.replace(mark, "");
        let sent = sent.strip_suffix("]}").unwrap();
        assert!(
            next_tail.replace(mark, "").starts_with(sent),
            "{next_tail}\ndoes not begin with\n{sent}"
        );
    }
    assert!(bodies.iter().all(|body| body.matches(mark).count() == 3), "{bodies:?}");
}

#[test]
fn a_budget_is_smaller_than_the_answer() {
    let check = |thinking, output_max, model_max, expected: (u64, Option<u64>)| {
        let model = ModelInfo { output_max: model_max, ..model("claude-sonnet-4-5") };
        let prefix = Arc::new(Prefix::new(model, "", Vec::new()));
        let request = Request { prefix, thinking, output_max, ..request(vec![]) };
        let (max_tokens, budget_tokens) = expected;
        let thinking = budget_tokens.map(|budget_tokens| Effort::Enabled { budget_tokens });
        assert_eq!(effort(&request), (max_tokens, thinking));
    };
    check(Thinking::Off, 4096, 64_000, (4096, None));
    check(Thinking::Minimal, 4096, 64_000, (5120, Some(1024)));
    check(Thinking::Low, 4096, 64_000, (6144, Some(2048)));
    check(Thinking::Medium, 16_384, 64_000, (24_576, Some(8192)));
    check(Thinking::High, 32_000, 64_000, (48_384, Some(16_384)));
    check(Thinking::XHigh, 64_000, 64_000, (64_000, Some(32_000)));
    check(Thinking::High, 8192, 8192, (8192, Some(4096)));
    // Too small to think in.
    check(Thinking::High, 1000, 1500, (1000, None));
    check(Thinking::Off, 9000, 8192, (8192, None));
}

#[test]
fn newer_models_choose_how_long_they_think() {
    for (id, expected) in [
        ("claude-3-7-sonnet-20250219", false),
        ("claude-sonnet-4-20250514", false),
        ("claude-opus-4-1", false),
        ("claude-sonnet-4-5-20250929", false),
        ("claude-haiku-4-5", false),
        ("claude-opus-4-6", true),
        ("claude-opus-4-7", true),
        ("claude-sonnet-5", true),
        ("claude-mythos-preview", true),
        ("MiniMax-M2.1", false),
    ] {
        assert_eq!(thinks_adaptively(id), expected, "{id}");
    }
    let prefix = Arc::new(Prefix::new(model("claude-opus-5"), "", Vec::new()));
    let drawn = drawn(&Request { prefix, thinking: Thinking::XHigh, ..request(vec![]) });
    assert_eq!(drawn["thinking"], json!({ "type": "adaptive" }));
    assert_eq!(
        (&drawn["output_config"], &drawn["max_tokens"]),
        (&json!({ "effort": "max" }), &json!(4096))
    );
}

#[test]
fn a_model_that_does_not_think_is_not_asked_to() {
    let prefix =
        Arc::new(Prefix::new(ModelInfo { reasoning: false, ..model("m") }, "", Vec::new()));
    let drawn = drawn(&Request { prefix, thinking: Thinking::High, ..request(vec![]) });
    assert_eq!(drawn.get("thinking"), None);
}

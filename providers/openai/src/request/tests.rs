use std::sync::Arc;

use claw_domain::{ModelInfo, ToolResult};
use claw_provider::contract::message;

use super::*;

const OLLAMA: &str = "http://127.0.0.1:11434/v1";
const OPENAI: &str = "https://api.openai.com/v1";

fn model() -> ModelInfo {
    ModelInfo {
        reference: "openai/gpt-5".parse().unwrap(),
        name: "GPT-5".into(),
        context_window: 200_000,
        output_max: 8192,
        reasoning: true,
        images: false,
        cost: None,
    }
}

fn request(messages: Vec<Message>) -> Request {
    let exec = ToolSpec {
        name: "exec".into(),
        description: "Runs a command.".into(),
        parameters: json!({ "type": "object", "properties": {} }),
    };
    let prefix = Arc::new(Prefix::new(model(), "Be terse.", vec![exec]));
    Request { prefix, messages, output_max: 4096, thinking: Thinking::Low }
}

fn user(text: &str) -> Message {
    message(EntryBody::User(UserMessage::text(text)))
}

fn assistant(content: Vec<Block>) -> Message {
    let model = Some(model().reference);
    message(EntryBody::Assistant(AssistantMessage {
        content,
        model,
        ..AssistantMessage::injected("")
    }))
}

fn call(id: &str, arguments: Value) -> Block {
    Block::ToolCall { id: id.into(), name: "exec".into(), arguments }
}

fn thought(text: &str) -> Block {
    Block::Thinking { text: text.into(), signature: None }
}

fn text(text: &str) -> Block {
    Block::Text { text: text.into() }
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

fn drawn(request: &Request, compat: &Compat) -> Value {
    serde_json::from_slice(&body(request, compat)).unwrap()
}

/// The messages after the system prompt.
fn check(messages: Vec<Message>, compat: Compat, expected: Value) {
    let drawn = drawn(&request(messages), &compat);
    assert_eq!(Value::from(drawn["messages"].as_array().unwrap()[1..].to_vec()), expected);
}

#[test]
fn a_request_is_drawn_as_the_vendor_wants_it() {
    let body = body(&request(vec![user("hi")]), &Compat::of(OPENAI));
    insta::assert_snapshot!(String::from_utf8(body).unwrap(), @r#"{"model":"gpt-5","stream":true,"stream_options":{"include_usage":true},"store":false,"max_completion_tokens":4096,"reasoning_effort":"low","tools":[{"type":"function","function":{"name":"exec","description":"Runs a command.","parameters":{"type":"object","properties":{}},"strict":false}}],"messages":[{"role":"developer","content":"Be terse."},{"role":"user","content":"hi"}]}"#);
}

#[test]
fn other_servers_get_what_all_of_them_take() {
    let body = body(&request(vec![user("hi")]), &Compat::of(OLLAMA));
    insta::assert_snapshot!(String::from_utf8(body).unwrap(), @r#"{"model":"gpt-5","stream":true,"stream_options":{"include_usage":true},"max_tokens":4096,"tools":[{"type":"function","function":{"name":"exec","description":"Runs a command.","parameters":{"type":"object","properties":{}}}}],"messages":[{"role":"system","content":"Be terse."},{"role":"user","content":"hi"}]}"#);
}

#[test]
fn calls_and_results_are_drawn_in_their_roles() {
    check(
        vec![
            user("hi"),
            assistant(vec![text("let me see"), call("a", json!({ "z": 1, "a": "ä" }))]),
            result("a", "done"),
            assistant(vec![call("b", json!("{\"broken"))]),
            result("b", "no"),
            assistant(vec![text("")]),
            Message::Summary("earlier".into()),
        ],
        Compat::of(OPENAI),
        json!([
            { "role": "user", "content": "hi" },
            { "role": "assistant", "content": "let me see", "tool_calls": [
                { "id": "a", "type": "function", "function": { "name": "exec", "arguments": "{\"z\":1,\"a\":\"ä\"}" } },
            ]},
            { "role": "tool", "tool_call_id": "a", "content": "done" },
            { "role": "assistant", "content": null, "tool_calls": [
                { "id": "b", "type": "function", "function": {
                    "name": "exec", "arguments": "{\"raw_arguments\":\"{\\\"broken\"}" } },
            ]},
            { "role": "tool", "tool_call_id": "b", "content": "no" },
            { "role": "user", "content": "earlier" },
        ]),
    );
}

#[test]
fn a_thought_goes_back_where_it_led_to_a_call() {
    let foreign = AssistantMessage {
        content: vec![thought("theirs"), call("b", json!({}))],
        model: Some("deepseek/chat".parse().unwrap()),
        ..AssistantMessage::injected("")
    };
    let called = |id: &str| json!([{ "id": id, "type": "function", "function": { "name": "exec", "arguments": "{}" } }]);
    let messages = || {
        vec![
            assistant(vec![thought("hm"), call("a", json!({}))]),
            message(EntryBody::Assistant(foreign.clone())),
            assistant(vec![thought("so"), text("done")]),
        ]
    };
    check(
        messages(),
        Compat::of(OLLAMA),
        json!([
            { "role": "assistant", "content": null, "reasoning_content": "hm", "tool_calls": called("a") },
            { "role": "assistant", "content": null, "tool_calls": called("b") },
            { "role": "assistant", "content": "done" },
        ]),
    );
    check(
        messages(),
        Compat { requires_thinking_as_text: true, ..Compat::of(OLLAMA) },
        json!([
            { "role": "assistant", "content": "hm", "tool_calls": called("a") },
            { "role": "assistant", "content": null, "tool_calls": called("b") },
            { "role": "assistant", "content": "so\n\ndone" },
        ]),
    );
}

#[test]
fn servers_that_want_more_get_it() {
    let compat = Compat {
        requires_tool_result_name: true,
        requires_assistant_after_tool_result: true,
        requires_mistral_tool_ids: true,
        ..Compat::of(OLLAMA)
    };
    let drawn = drawn(
        &request(vec![
            assistant(vec![call("call_1", json!({})), call("abc123XYZ", json!({}))]),
            result("call_1", "1"),
            result("abc123XYZ", "2"),
            user("and?"),
        ]),
        &compat,
    );
    let said = &drawn["messages"];
    let id = said[1]["tool_calls"][0]["id"].as_str().unwrap();
    assert!(id.len() == 9 && id.bytes().all(|b| b.is_ascii_alphanumeric()), "{id}");
    assert_eq!(said[1]["tool_calls"][1]["id"], "abc123XYZ");
    assert_eq!(
        said[2],
        json!({ "role": "tool", "tool_call_id": id, "name": "exec", "content": "1" })
    );
    assert_eq!(said[4], json!({ "role": "assistant", "content": BRIDGE }));
    assert_eq!(said[5], json!({ "role": "user", "content": "and?" }));
}

#[test]
fn thinking_is_asked_for_in_the_servers_words() {
    let fields = |thinking, compat: Compat| {
        let drawn = drawn(&Request { thinking, ..request(vec![]) }, &compat);
        ["reasoning_effort", "thinking", "enable_thinking"].map(|field| drawn[field].clone())
    };
    let null = || Value::Null;
    let effort = Compat { supports_reasoning_effort: true, ..Compat::of(OLLAMA) };
    assert_eq!(fields(Thinking::XHigh, effort), [json!("xhigh"), null(), null()]);
    assert_eq!(fields(Thinking::Off, effort), [null(), null(), null()]);
    assert_eq!(fields(Thinking::High, Compat::of(OLLAMA)), [null(), null(), null()]);
    let zai = Compat { thinking_format: ThinkingFormat::Zai, ..effort };
    assert_eq!(fields(Thinking::High, zai), [null(), json!({ "type": "enabled" }), null()]);
    assert_eq!(fields(Thinking::Off, zai), [null(), json!({ "type": "disabled" }), null()]);
    let qwen = Compat { thinking_format: ThinkingFormat::Qwen, ..effort };
    assert_eq!(fields(Thinking::High, qwen), [null(), null(), json!(true)]);
    assert_eq!(fields(Thinking::Off, qwen), [null(), null(), json!(false)]);
}

#[test]
fn only_a_model_that_sees_gets_pictures() {
    let image = Block::Image { mime: "image/png".into(), base64: "AAAA".into() };
    let look = UserMessage { content: vec![text("look"), image], said: None };
    let sent = |images| {
        let prefix = Arc::new(Prefix::new(ModelInfo { images, ..model() }, "", Vec::new()));
        let request = Request { prefix, ..request(vec![message(EntryBody::User(look.clone()))]) };
        drawn(&request, &Compat::of(OPENAI))["messages"][0]["content"][1].clone()
    };
    let url = json!({ "type": "image_url", "image_url": { "url": "data:image/png;base64,AAAA" } });
    assert_eq!(sent(true), url);
    assert_eq!(
        sent(false),
        json!({ "type": "text", "text": "[image/png, which this model cannot see]" })
    );
}

#[test]
fn the_bytes_of_what_was_sent_never_change() {
    let messages = [
        user("hi"),
        assistant(vec![thought("hm"), call("a", json!({ "z": 1, "a": [true, null] }))]),
        result("a", "done"),
        assistant(vec![text("there")]),
        user("thanks"),
    ];
    let bodies =
        [1, 3, 5].map(|sent| body(&request(messages[..sent].to_vec()), &Compat::of(OPENAI)));
    for pair in bodies.windows(2) {
        let sent = pair[0].strip_suffix(b"]}").unwrap();
        assert!(pair[1].starts_with(sent));
    }
}

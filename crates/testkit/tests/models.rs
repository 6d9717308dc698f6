//! The fake model servers over real HTTP.

use claw_testkit::{
    Answer, FakeAnthropic, FakeOpenAi, Gate, Kind, Last, Refusal, Reply, Stop, Usage, anthropic,
    openai,
};
use reqwest::{RequestBuilder, Response};
use serde_json::{Value, json};

fn client() -> reqwest::Client {
    claw_testkit::init();
    reqwest::Client::new()
}

fn ask_anthropic(fake: &FakeAnthropic, body: &Value) -> RequestBuilder {
    client()
        .post(format!("{}/v1/messages", fake.url()))
        .header("x-api-key", anthropic::KEY)
        .header("anthropic-version", "2023-06-01")
        .json(body)
}

fn ask_openai(fake: &FakeOpenAi, body: &Value) -> RequestBuilder {
    client().post(format!("{}/chat/completions", fake.url())).bearer_auth(openai::KEY).json(body)
}

fn claude(text: &str, stream: bool) -> Value {
    let tool = json!({ "name": "exec", "input_schema": { "type": "object" } });
    json!({
        "model": "claude-x",
        "max_tokens": 99,
        "stream": stream,
        "tools": [tool],
        "messages": [{ "role": "user", "content": text }],
    })
}

fn gpt(text: &str) -> Value {
    json!({
        "model": "gpt-x",
        "stream": true,
        "stream_options": { "include_usage": true },
        "messages": [{ "role": "user", "content": text }],
    })
}

/// The `data` of each event in an SSE body.
fn events(body: &str) -> Vec<Value> {
    let lines = body.lines().filter_map(|line| line.strip_prefix("data: "));
    lines.filter(|line| *line != "[DONE]").map(|line| line.parse().unwrap()).collect()
}

fn kinds(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["type"].as_str().unwrap()).collect()
}

/// What the field at `pointer` adds up to over the events.
fn joined(events: &[Value], pointer: &str) -> String {
    events.iter().filter_map(|event| event.pointer(pointer)?.as_str()).collect()
}

async fn error_of(res: Response) -> (u16, Value) {
    (res.status().as_u16(), res.json::<Value>().await.unwrap()["error"].take())
}

#[tokio::test]
async fn anthropic_streams_thinking_text_and_a_tool_call() {
    let fake = FakeAnthropic::start().await;
    let usage = Usage { input: 5, output: 6, cache_read: 7, cache_write: 8 };
    let arguments = json!({ "command": "echo \"ä😀\"" });
    fake.answer(
        Reply::thinking("hm").and_text("so").and_tool("exec", arguments.clone()).usage(usage),
    );
    let res = ask_anthropic(&fake, &claude("hi", true)).send().await.unwrap();
    assert_eq!(res.headers()["content-type"], "text/event-stream; charset=utf-8");
    let events = events(&res.text().await.unwrap());

    let mut kinds = kinds(&events);
    kinds.dedup();
    let block = ["content_block_start", "content_block_delta", "content_block_stop"];
    let first = ["content_block_start", "ping", "content_block_delta", "content_block_stop"];
    let expected =
        [&["message_start"][..], &first, &block, &block, &["message_delta", "message_stop"]];
    assert_eq!(kinds, expected.concat());
    assert_eq!(
        events[0]["message"]["usage"],
        json!({
            "input_tokens": 5,
            "cache_creation_input_tokens": 8,
            "cache_read_input_tokens": 7,
            "output_tokens": 1,
        })
    );
    assert_eq!(joined(&events, "/delta/thinking"), "hm");
    assert_eq!(joined(&events, "/delta/signature"), anthropic::signature("hm"));
    assert_eq!(joined(&events, "/delta/text"), "so");
    let input = joined(&events, "/delta/partial_json");
    assert_eq!(input.parse::<Value>().unwrap(), arguments);
    let end = &events[events.len() - 2];
    assert_eq!(end["delta"]["stop_reason"], "tool_use");
    assert_eq!(end["usage"]["output_tokens"], 6);
}

#[tokio::test]
async fn anthropic_answers_whole_when_no_stream_is_asked_for() {
    let fake = FakeAnthropic::start().await;
    fake.answer(Reply::tool("exec", json!({ "command": "ls" })).stopping(Stop::MaxTokens));
    let res = ask_anthropic(&fake, &claude("hi", false)).send().await.unwrap();
    let message: Value = res.json().await.unwrap();
    assert_eq!(message["content"][0]["input"], json!({ "command": "ls" }));
    assert_eq!(message["stop_reason"], "max_tokens");
}

#[tokio::test]
async fn an_empty_script_echoes_runs_and_quotes_results() {
    let fake = FakeAnthropic::start().await;
    let body = ask_anthropic(&fake, &claude("hi", true)).send().await.unwrap().text().await;
    assert_eq!(joined(&events(&body.unwrap()), "/delta/text"), "echo: hi");

    let mut request = claude("run: ls", false);
    let res = ask_anthropic(&fake, &request).send().await.unwrap();
    let call: Value = res.json::<Value>().await.unwrap()["content"].take();
    assert_eq!(call[0]["input"], json!({ "command": "ls" }));
    let result = json!([{ "type": "tool_result", "tool_use_id": call[0]["id"], "content": "a b" }]);
    let messages = request["messages"].as_array_mut().unwrap();
    messages.push(json!({ "role": "assistant", "content": call }));
    messages.push(json!({ "role": "user", "content": result }));
    let res = ask_anthropic(&fake, &request).send().await.unwrap();
    assert_eq!(res.json::<Value>().await.unwrap()["content"][0]["text"], "result: a b");
}

#[tokio::test]
async fn anthropic_refuses_wrong_keys_and_wrong_requests() {
    let fake = FakeAnthropic::start().await;
    let url = format!("{}/v1/messages", fake.url());
    let res = client().post(&url).json(&claude("hi", true)).send().await.unwrap();
    let error =
        json!({ "type": "authentication_error", "message": "x-api-key header is required" });
    assert_eq!(error_of(res).await, (401, error));

    let without_version = client().post(&url).header("x-api-key", anthropic::KEY);
    let res = without_version.json(&claude("hi", true)).send().await.unwrap();
    assert_eq!(error_of(res).await.0, 400);

    let mut body = claude("hi", true);
    body.as_object_mut().unwrap().remove("max_tokens");
    let res = ask_anthropic(&fake, &body).send().await.unwrap();
    let error = json!({ "type": "invalid_request_error", "message": "max_tokens: Field required" });
    assert_eq!(error_of(res).await, (400, error));
    assert_eq!(fake.requests_total(), 0);
}

#[tokio::test]
async fn a_marked_prefix_is_written_to_the_cache_once_and_then_read() {
    let fake = FakeAnthropic::start().await;
    let mut body = claude("hi", false);
    body["system"] = json!([{
        "type": "text", "text": "be kind", "cache_control": { "type": "ephemeral" },
    }]);
    let mut seen = Vec::new();
    for text in ["one", "two"] {
        body["messages"][0]["content"] = text.into();
        let res = ask_anthropic(&fake, &body).send().await.unwrap();
        let usage = res.json::<Value>().await.unwrap()["usage"].take();
        let tokens = |name: &str| usage[name].as_u64().unwrap();
        seen.push((tokens("cache_creation_input_tokens"), tokens("cache_read_input_tokens")));
    }
    let (written, nothing_read) = seen[0];
    assert!(written > 0);
    assert_eq!((nothing_read, seen[1]), (0, (0, written)));
}

#[tokio::test]
async fn errors_carry_their_status_kind_and_wait() {
    let fake = FakeAnthropic::start().await;
    fake.answer(anthropic::rate_limited(7));
    fake.answer(anthropic::overloaded());
    fake.answer(Refusal::new(413, "request_too_large", "too large"));
    let res = ask_anthropic(&fake, &claude("hi", true)).send().await.unwrap();
    assert_eq!(res.headers()["retry-after"], "7");
    let (status, error) = error_of(res).await;
    assert_eq!((status, &error["type"]), (429, &json!("rate_limit_error")));
    for expected in [529, 413] {
        let res = ask_anthropic(&fake, &claude("hi", true)).send().await.unwrap();
        assert_eq!(res.status(), expected);
    }
    assert_eq!(fake.answers_left(), 0);
}

#[tokio::test]
async fn a_cut_stream_breaks_after_exactly_the_events_that_were_asked_for() {
    let fake = FakeAnthropic::start().await;
    fake.answer(Reply::pieces(["a", "b", "c"]).cut_after(4));
    let mut res = ask_anthropic(&fake, &claude("hi", true)).send().await.unwrap();
    let mut received = String::new();
    let error = loop {
        match res.chunk().await {
            Ok(Some(chunk)) => received.push_str(std::str::from_utf8(&chunk).unwrap()),
            Ok(None) => panic!("the stream ended in good order"),
            Err(error) => break error,
        }
    };
    assert!(error.is_body() || error.is_decode(), "{error:?}");
    let expected = ["message_start", "content_block_start", "ping", "content_block_delta"];
    assert_eq!(kinds(&events(&received)), expected);
}

#[tokio::test]
async fn a_stream_may_end_early_or_with_an_error_event() {
    let fake = FakeAnthropic::start().await;
    fake.answer(Reply::text("a").end_after(1));
    fake.answer(Reply::text("a").error_after(1, "overloaded_error", "Overloaded"));
    let body = ask_anthropic(&fake, &claude("hi", true)).send().await.unwrap().text().await;
    assert_eq!(kinds(&events(&body.unwrap())), ["message_start"]);
    let body = ask_anthropic(&fake, &claude("hi", true)).send().await.unwrap().text().await;
    let events = events(&body.unwrap());
    assert_eq!(kinds(&events), ["message_start", "error"]);
    assert_eq!(events[1]["error"]["type"], "overloaded_error");
}

#[tokio::test]
async fn a_gate_releases_one_piece_at_a_time() {
    let fake = FakeAnthropic::start().await;
    let (start, pieces) = (Gate::new(), Gate::new());
    fake.answer(Reply::pieces(["a", "b", "c"]).held_by(&start).paced_by(&pieces));
    let sending = tokio::spawn(ask_anthropic(&fake, &claude("hi", true)).send());
    fake.wait_for_requests(1).await;
    start.open();
    let mut res = sending.await.unwrap().unwrap();
    let mut received = String::new();
    for text in ["a", "b"] {
        pieces.pass_times(1);
        while !received.contains(&format!("\"text\":\"{text}\"")) {
            let chunk = res.chunk().await.unwrap().unwrap();
            received.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }
    assert!(!received.contains("\"text\":\"c\""));
}

#[tokio::test]
async fn a_stalled_stream_goes_on_when_it_is_released() {
    let fake = FakeAnthropic::start().await;
    let gate = Gate::new();
    fake.answer(Reply::text("a").stall_after(1, &gate));
    let mut res = ask_anthropic(&fake, &claude("hi", true)).send().await.unwrap();
    let first = res.chunk().await.unwrap().unwrap();
    assert!(first.starts_with(b"event: message_start"));
    gate.open();
    let rest = res.text().await.unwrap();
    assert_eq!(kinds(&events(&rest)).last(), Some(&"message_stop"));
}

#[tokio::test]
async fn foreign_bytes_come_as_they_are() {
    let fake = FakeAnthropic::start().await;
    fake.answer(Answer::html());
    fake.answer(Answer::empty_stream());
    let res = ask_anthropic(&fake, &claude("hi", true)).send().await.unwrap();
    assert_eq!(
        (res.status().as_u16(), &res.headers()["content-type"]),
        (200, &"text/html".parse().unwrap())
    );
    let res = ask_anthropic(&fake, &claude("hi", true)).send().await.unwrap();
    assert_eq!(res.text().await.unwrap(), "");
}

#[tokio::test]
async fn broken_arguments_arrive_broken() {
    let fake = FakeAnthropic::start().await;
    fake.answer(Reply::broken_tool("exec", "{\"command\": \"ls"));
    let body = ask_anthropic(&fake, &claude("hi", true)).send().await.unwrap().text().await;
    assert_eq!(joined(&events(&body.unwrap()), "/delta/partial_json"), "{\"command\": \"ls");
}

#[tokio::test]
async fn requests_are_kept_to_the_byte() {
    let fake = FakeAnthropic::start().await;
    fake.answer_with(|asked| match &asked.last {
        Last::User(text) => Reply::text(text.to_uppercase()).into(),
        _ => Refusal::new(500, "api_error", "unexpected").into(),
    });
    let bytes = br#"{"stream":false, "max_tokens":9,"model":"m","messages":[{"role":"user","content":"hi"}]}"#;
    let res = ask_anthropic(&fake, &Value::Null).body(&bytes[..]).send().await.unwrap();
    assert_eq!(res.json::<Value>().await.unwrap()["content"][0]["text"], "HI");
    let asked = &fake.requests()[0];
    assert_eq!(asked.bytes, &bytes[..]);
    assert_eq!((asked.model.as_str(), asked.stream), ("m", false));
}

#[tokio::test]
async fn a_broken_network_cuts_streams_and_refuses_until_it_is_back() {
    let fake = FakeAnthropic::start().await;
    fake.answer(Reply::text("a").stall_after(1, &Gate::new()));
    let client = client();
    let ask = || {
        let request = ask_anthropic(&fake, &claude("hi", true)).build().unwrap();
        client.execute(request)
    };
    let mut res = ask().await.unwrap();
    res.chunk().await.unwrap();
    fake.network().go_down();
    res.chunk().await.unwrap_err();
    ask().await.unwrap_err();
    fake.network().come_back();
    assert_eq!(ask().await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_dropped_fake_lets_go_of_its_clients() {
    let fake = FakeAnthropic::start().await;
    fake.answer(Reply::text("a").stall_after(1, &Gate::new()));
    let mut res = ask_anthropic(&fake, &claude("hi", true)).send().await.unwrap();
    res.chunk().await.unwrap();
    let again = ask_anthropic(&fake, &claude("hi", true));
    drop(fake);
    res.chunk().await.unwrap_err();
    again.send().await.unwrap_err();
}

#[tokio::test]
async fn openai_streams_thinking_text_calls_and_usage() {
    let fake = FakeOpenAi::start().await;
    let usage = Usage { input: 5, output: 6, cache_read: 7, cache_write: 0 };
    let arguments = json!({ "path": "a.txt" });
    fake.answer(
        Reply::thinking("hm")
            .and_text("so")
            .and_tool("read", arguments.clone())
            .and_tool("exec", json!({}))
            .usage(usage),
    );
    let body = ask_openai(&fake, &gpt("hi")).send().await.unwrap().text().await.unwrap();
    assert!(body.ends_with("data: [DONE]\n\n"));
    let chunks = events(&body);
    assert_eq!(chunks[0]["choices"][0]["delta"], json!({ "role": "assistant", "content": "" }));
    assert_eq!(joined(&chunks, "/choices/0/delta/reasoning_content"), "hm");
    assert_eq!(joined(&chunks, "/choices/0/delta/content"), "so");
    let calls: Vec<&Value> =
        chunks.iter().filter_map(|chunk| chunk.pointer("/choices/0/delta/tool_calls/0")).collect();
    let started: Vec<&Value> =
        calls.iter().filter_map(|call| call.pointer("/function/name")).collect();
    assert_eq!(started, ["read", "exec"]);
    let first = calls.iter().filter(|call| call["index"] == 0);
    let pieces: String = first.filter_map(|call| call["function"]["arguments"].as_str()).collect();
    assert_eq!(pieces.parse::<Value>().unwrap(), arguments);
    let finish = &chunks[chunks.len() - 2];
    assert_eq!(finish["choices"][0]["finish_reason"], "tool_calls");
    assert_eq!(finish["usage"], Value::Null);
    let end = chunks.last().unwrap();
    assert_eq!(end["choices"], json!([]));
    assert_eq!(
        end["usage"],
        json!({
            "prompt_tokens": 12,
            "completion_tokens": 6,
            "total_tokens": 18,
            "prompt_tokens_details": { "cached_tokens": 7 },
        })
    );
}

#[tokio::test]
async fn openai_refuses_in_its_own_words() {
    let fake = FakeOpenAi::start().await;
    let check = async |refusal: Refusal, status: u16, class: &str, code: Value| {
        fake.answer(refusal);
        let (seen, error) = error_of(ask_openai(&fake, &gpt("hi")).send().await.unwrap()).await;
        assert_eq!((seen, &error["type"], &error["code"]), (status, &json!(class), &code));
    };
    check(openai::rate_limited(3), 429, "requests", json!("rate_limit_exceeded")).await;
    check(openai::no_credit(), 429, "insufficient_quota", json!("insufficient_quota")).await;
    let code = json!("context_length_exceeded");
    check(openai::context_too_long(9, 8), 400, "invalid_request_error", code).await;
    check(openai::overloaded(), 503, "server_error", Value::Null).await;

    let url = format!("{}/models", fake.url());
    let (status, error) =
        error_of(client().get(&url).bearer_auth("no").send().await.unwrap()).await;
    assert_eq!((status, &error["code"]), (401, &json!("invalid_api_key")));
}

#[tokio::test]
async fn both_list_their_models() {
    let (claude, gpt) = (FakeAnthropic::start().await, FakeOpenAi::start().await);
    let res = client().get(format!("{}/models", gpt.url())).bearer_auth(openai::KEY).send().await;
    assert_eq!(res.unwrap().json::<Value>().await.unwrap()["data"][0]["id"], openai::MODEL);
    let url = format!("{}/v1/models", claude.url());
    let res = client()
        .get(url)
        .header("x-api-key", anthropic::KEY)
        .header("anthropic-version", "2023-06-01")
        .send()
        .await;
    assert_eq!(res.unwrap().json::<Value>().await.unwrap()["data"][0]["id"], anthropic::MODEL);
}

#[tokio::test]
async fn another_process_can_script_a_model_and_read_its_book() {
    let served = claw_testkit::serve("openai".parse::<Kind>().unwrap(), 0).await.unwrap();
    let root = served.url().trim_end_matches("/v1").to_owned();
    let order = json!({ "text": "as told" });
    let res = client().post(format!("{root}/_say")).json(&order).send().await.unwrap();
    assert_eq!(res.json::<Value>().await.unwrap(), json!({ "queued": 1 }));
    let ask = client().post(format!("{}/chat/completions", served.url())).bearer_auth(openai::KEY);
    let body = ask.json(&gpt("hi")).send().await.unwrap().text().await.unwrap();
    assert_eq!(joined(&events(&body), "/choices/0/delta/content"), "as told");

    let book: Value =
        client().get(format!("{root}/_book?since=0")).send().await.unwrap().json().await.unwrap();
    assert_eq!((&book["total"], &book["entries"][0]["user"]), (&json!(1), &json!("hi")));
    let wrong = client().post(format!("{root}/_say")).body("{}").send().await.unwrap();
    assert_eq!(wrong.status(), 400);
}

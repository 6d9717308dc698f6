use std::sync::Arc;

use claw_domain::{AssistantMessage, Ending, SessionId, Settings, ToolResult, millis};
use claw_protocol::chat;
use serde_json::json;

use super::*;

const RUN: &str = "idem-1";
const SESSION: &str = "agent:main:main";

fn signal(at: i64, kind: SignalKind) -> Signal {
    Signal { run: RUN.into(), session: SESSION.into(), at: millis(at), kind }
}

fn text(piece: &str) -> SignalKind {
    SignalKind::Text(piece.into())
}

fn replied(text: &str) -> SignalKind {
    SignalKind::Finished(Ending::Replied { text: text.into() })
}

fn asked() -> Runs {
    let mut runs = Runs::default();
    assert!(runs.hold(&RUN.into(), &SESSION.into(), Asker::Chat { session_key: "main".into() }));
    assert_eq!(runs.release(&RUN.into()), []);
    runs
}

/// The payloads of the events that a captured conversation holds, with every id and time made ours.
fn captured(capture: &str, run_prefix: &str) -> Vec<(String, Value)> {
    let frames = capture.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let events = frames.filter_map(|line| {
        let frame = &line["frame"];
        let payload = &frame["payload"];
        let run = payload["runId"].as_str()?;
        (frame["type"] == "event" && run.starts_with(run_prefix)).then(|| {
            let mut payload = payload.clone();
            payload["runId"] = RUN.into();
            (frame["event"].as_str().unwrap_or_default().to_owned(), timeless(payload))
        })
    });
    events.collect()
}

/// Sets every time to 0.
fn timeless(mut value: Value) -> Value {
    fn walk(value: &mut Value) {
        if let Value::Object(fields) = value {
            for (key, value) in fields {
                match key.as_str() {
                    "ts" | "timestamp" | "startedAt" | "endedAt" => *value = 0.into(),
                    _ => walk(value),
                }
            }
        }
    }
    walk(&mut value);
    value
}

fn shown(outputs: Vec<Output>) -> Vec<(String, Value)> {
    let show = |output| match output {
        Output::Agent(payload) | Output::Tool(_, payload) => ("agent".to_owned(), payload),
        Output::Delta(payload) | Output::Chat(payload) => ("chat".to_owned(), payload),
    };
    outputs.into_iter().map(show).map(|(event, payload)| (event, timeless(payload))).collect()
}

/// Plays signals, 200 ms apart, and compares with the capture byte for byte.
#[track_caller]
fn check(capture: &str, run_prefix: &str, signals: impl IntoIterator<Item = SignalKind>) {
    let mut runs = asked();
    let heard = signals.into_iter().enumerate();
    let outputs =
        heard.flat_map(|(number, kind)| runs.hear(signal(200 * number as i64, kind))).collect();
    let text = |events: Vec<(String, Value)>| -> Vec<String> {
        events.into_iter().map(|(event, payload)| format!("{event} {payload}")).collect()
    };
    assert_eq!(text(shown(outputs)), text(captured(capture, run_prefix)));
}

#[test]
fn a_streamed_answer_looks_as_it_was_captured() {
    let whole = "Hello from mock. You said: [Sat 2026-11-21 09:18 UTC] hi there";
    check(
        include_str!("../../tests/fixtures/v3-chat-send-stream.jsonl"),
        "idem-",
        [
            SignalKind::Started,
            text("Hello"),
            text(" from"),
            text(" mock."),
            text(" You said:"),
            text(" [Sat 2026-11-21 09:18 UTC] hi there"),
            replied(whole),
        ],
    );
}

#[test]
fn a_failed_run_looks_as_it_was_captured() {
    let error = "HTTP 500 api_error: mock failure 500";
    let failed = Ending::Failed { error: error.into(), code: "overloaded".into() };
    check(
        include_str!("../../tests/fixtures/v3-chat-error.jsonl"),
        "err-",
        [SignalKind::Started, SignalKind::Finished(failed)],
    );
}

#[test]
fn a_tool_call_is_told_to_followers_and_its_result_only_at_the_full_level() {
    let mut runs = asked();
    let arguments = json!({"command": "ls"});
    let result = ToolResult {
        call: "t1".into(),
        tool: "exec".into(),
        text: "secret listing".into(),
        is_error: false,
        details: Value::Null,
    };
    let result = Arc::new(result);
    let call = |name: &str| SignalKind::ToolStarted {
        call: "t1".into(),
        name: name.into(),
        arguments: arguments.clone(),
    };
    runs.hear(signal(0, SignalKind::Started));
    let started = runs.hear(signal(1, call("exec")));
    let event = json!({
        "runId": RUN, "stream": "tool",
        "data": {"phase": "start", "name": "exec", "toolCallId": "t1", "args": arguments},
        "sessionKey": SESSION, "seq": 2, "ts": 1,
    });
    assert_eq!(started, [Output::Tool(SESSION.into(), event)]);
    let data = |outputs: Vec<Output>| match outputs.as_slice() {
        [Output::Tool(_, payload)] => payload["data"].clone(),
        other => panic!("one tool event: {other:?}"),
    };
    let plain = data(runs.hear(signal(2, SignalKind::ToolFinished(result.clone()))));
    assert_eq!(
        plain,
        json!({"phase": "result", "name": "exec", "toolCallId": "t1", "isError": false})
    );
    runs.learn(&session(Some("full"), None));
    let full = data(runs.hear(signal(3, SignalKind::ToolFinished(result))));
    assert_eq!(full["result"], "secret listing");
}

#[test]
fn answers_before_and_after_a_tool_are_two_paragraphs_and_a_retry_voids_only_the_later() {
    let mut runs = asked();
    runs.hear(signal(0, SignalKind::Started));
    runs.hear(signal(0, text("I look. ")));
    let arguments = Value::Null;
    runs.hear(signal(
        0,
        SignalKind::ToolStarted { call: "t".into(), name: "exec".into(), arguments },
    ));
    runs.hear(signal(0, text("Half a")));
    runs.hear(signal(0, SignalKind::Restarted));
    let outputs = runs.hear(signal(200, text("Done.")));
    let message = |output: &Output| match output {
        Output::Agent(payload) => payload["data"].clone(),
        Output::Delta(payload) => payload["message"]["content"][0]["text"].clone(),
        other => panic!("{other:?}"),
    };
    let said: Vec<_> = outputs.iter().map(message).collect();
    assert_eq!(
        said,
        [json!({"text": "I look.\n\nDone.", "delta": "\n\nDone."}), json!("I look.\n\nDone.")]
    );
}

#[test]
fn deltas_come_at_most_every_150_ms_and_the_first_at_once() {
    let mut runs = asked();
    let mut delta_times = Vec::new();
    for at in [0, 50, 149, 150, 299, 300] {
        let outputs = runs.hear(signal(at, text("x")));
        if outputs.iter().any(|output| matches!(output, Output::Delta(_))) {
            delta_times.push(at);
        }
    }
    assert_eq!(delta_times, [0, 150, 300]);
}

#[test]
fn silence_is_shown_by_no_delta_and_a_final_without_message() {
    let mut runs = asked();
    let outputs = ["NO", "_REPLY"]
        .into_iter()
        .enumerate()
        .flat_map(|(at, piece)| runs.hear(signal(200 * at as i64, text(piece))));
    assert!(outputs.collect::<Vec<_>>().iter().all(|output| matches!(output, Output::Agent(_))));
    let last = runs.hear(signal(500, replied("NO_REPLY"))).pop();
    let silent = json!({"runId": RUN, "sessionKey": SESSION, "seq": 3, "state": "final"});
    assert_eq!(last, Some(Output::Chat(silent)));
}

#[test]
fn a_stopped_run_is_told_once_and_heard_no_more() {
    let mut runs = asked();
    runs.hear(signal(0, SignalKind::Started));
    runs.hear(signal(0, text("w0")));
    let told = runs.abort(&RUN.into(), StopCause::Rpc, 9);
    let event = json!({
        "runId": RUN, "sessionKey": SESSION, "seq": 3, "state": "aborted", "stopReason": "rpc",
        "message": {"role": "assistant", "content": [{"type": "text", "text": "w0"}], "timestamp": 9},
    });
    assert_eq!(told, [Output::Chat(event)]);
    assert_eq!(runs.abort(&RUN.into(), StopCause::Command, 9), []);
    assert_eq!(runs.hear(signal(10, text(" w1"))), []);
    let stopped = Ending::Stopped { cause: StopCause::Rpc, text: "w0 w1".into() };
    assert_eq!(runs.hear(signal(11, SignalKind::Finished(stopped))), []);
    assert_eq!(runs.ended(&RUN.into()).map(|end| end.ended_at), Some(11));
}

#[test]
fn a_commands_answer_names_the_session_as_its_asker_did() {
    let mut runs = asked();
    let answer = Arc::new(AssistantMessage::injected("fine"));
    let told = runs.hear(signal(5, SignalKind::Injected(answer)));
    let event = json!({
        "runId": RUN, "sessionKey": "main", "seq": 1, "state": "final",
        "message": chat::injected("fine", 5),
    });
    assert_eq!(told, [Output::Chat(event)]);
    assert!(runs.ended(&RUN.into()).is_some());
}

#[test]
fn a_queued_message_is_final_at_once_and_its_turn_has_another_id() {
    let mut runs = asked();
    let told = runs.hear(signal(0, SignalKind::Queued));
    let event = json!({"runId": RUN, "sessionKey": "main", "seq": 1, "state": "final"});
    assert_eq!(told, [Output::Chat(event)]);
    let public = runs.public(&RUN.into());
    assert_ne!(public.as_str(), RUN);
    assert_eq!(runs.behind(&public).as_str(), RUN);
    let started = runs.hear(signal(1, SignalKind::Started));
    assert!(matches!(&started[..], [Output::Agent(event)] if event["runId"] == public.as_str()));
}

#[test]
fn the_asker_has_its_answer_before_anything_is_told() {
    let mut runs = Runs::default();
    assert!(runs.hold(&RUN.into(), &SESSION.into(), Asker::Agent));
    assert!(!runs.hold(&RUN.into(), &SESSION.into(), Asker::Agent), "one asker at a time");
    assert_eq!(runs.hear(signal(0, SignalKind::Started)), []);
    assert_eq!(runs.hear(signal(0, text("hi"))), []);
    assert_eq!(runs.release(&RUN.into()).len(), 3);
}

#[test]
fn thinking_is_told_only_where_the_session_asked_for_its_stream() {
    let mut runs = asked();
    assert_eq!(runs.hear(signal(0, SignalKind::Thinking("hm".into()))), []);
    runs.learn(&session(None, Some("stream")));
    let told = runs.hear(signal(1, SignalKind::Thinking("so".into())));
    assert!(matches!(&told[..], [Output::Agent(event)] if event["data"]["text"] == "so"));
}

#[test]
fn only_so_many_ends_are_remembered_and_only_for_ten_minutes() {
    let mut runs = Runs::default();
    let end = |at| SignalKind::Finished(Ending::Replied { text: at });
    for number in 0..=ENDED_MAX {
        let run = RunId::from(number.to_string());
        runs.hear(Signal { run, ..signal(0, end(String::new())) });
    }
    assert!(runs.ended(&"0".into()).is_none());
    assert!(runs.ended(&"1".into()).is_some());
    runs.hear(Signal { run: "late".into(), ..signal(ENDED_AGE_MS_MAX + 1, end(String::new())) });
    assert_eq!(runs.ended.len(), 1);
}

fn session(verbose: Option<&str>, reasoning: Option<&str>) -> Session {
    let mut settings = Settings { verbose_level: verbose.map(Into::into), ..Settings::default() };
    if let Some(level) = reasoning {
        settings.other.insert("reasoningLevel".into(), level.into());
    }
    Session {
        key: SESSION.into(),
        id: SessionId::generate(),
        agent: "main".into(),
        kind: claw_domain::ChatKind::Direct,
        created_at: millis(0),
        updated_at: millis(0),
        newest: claw_domain::EventId::default(),
        head: None,
        tokens_sum: 0,
        context_start: None,
        prefix: None,
        compactions: 0,
        usage: claw_domain::Usage::default(),
        cost: 0.0,
        prompt_tokens: 0,
        model: None,
        last_target: None,
        aborted_last_run: false,
        settings,
    }
}

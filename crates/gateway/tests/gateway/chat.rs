//! Conversations: real turns through delivery and the agent, seen from a socket.

use serde_json::{Value, json};

use crate::support::{Raw, Stand};

fn history() -> Value {
    json!({"sessionKey": "agent:main:main"})
}

/// The names and states of a run's events, in the order in which they came.
fn story(client: &Raw, run: &str) -> Vec<String> {
    let of_run = |event: &&Value| event["payload"]["runId"] == run;
    let name = |event: &Value| {
        let payload = &event["payload"];
        match event["event"].as_str() {
            Some("chat") => format!("chat {}", payload["state"].as_str().unwrap_or_default()),
            _ => {
                let phase = payload["data"]["phase"].as_str().unwrap_or_default();
                format!("{} {phase}", payload["stream"].as_str().unwrap_or_default())
                    .trim()
                    .to_owned()
            }
        }
    };
    client.events.iter().filter(of_run).map(name).collect()
}

#[tokio::test]
async fn a_message_is_answered_streamed_and_kept_and_the_same_key_is_not_run_again() {
    let stand = Stand::start().await;
    let mut client = stand.client(&[]).await;
    let started = client.say("hi there", "idem-1").await;
    assert_eq!(started, json!({"runId": "idem-1", "status": "started"}));
    let last = client.chat("idem-1", "final").await;
    assert_eq!(last["message"]["content"][0]["text"], "You said: hi there");
    assert_eq!(last["sessionKey"], "agent:main:main");
    let story = story(&client, "idem-1");
    assert_eq!(&story[..3], ["lifecycle start", "assistant", "chat delta"]);
    assert_eq!(story.last().map(String::as_str), Some("lifecycle end"));
    let again = client.say("hi there", "idem-1").await;
    assert_eq!(again, json!({"runId": "idem-1", "status": "ok"}));
    let kept = client.call("chat.history", history()).await;
    let messages = kept["messages"].as_array().expect("a list");
    assert_eq!(messages.len(), 2);
    let said = messages[0]["content"][0]["text"].as_str().expect("a text");
    assert!(said.contains("\"sender\": \"cli\"") && said.ends_with("hi there"), "{said}");
    assert_eq!(messages[1]["provider"], "mocka");
    assert_eq!(kept["thinkingLevel"], "low");
    stand.stop().await;
}

#[tokio::test]
async fn the_answer_to_a_message_comes_before_its_events() {
    let stand = Stand::start().await;
    let mut client = stand.client(&[]).await;
    client.say("/help", "cmd-1").await;
    assert_eq!(story(&client, "cmd-1"), Vec::<String>::new());
    client.chat("cmd-1", "final").await;
    stand.stop().await;
}

#[tokio::test]
async fn a_stop_is_told_to_everybody_before_its_caller_is_answered() {
    let stand = Stand::start().await;
    let (mut client, mut watcher) = (stand.client(&[]).await, stand.client(&[]).await);
    client.say("linger", "slow-1").await;
    client.chat("slow-1", "delta").await;
    let params = json!({"sessionKey": "agent:main:main", "runId": "slow-1"});
    let answer = client.call("chat.abort", params).await;
    assert_eq!(answer, json!({"ok": true, "aborted": true, "runIds": ["slow-1"]}));
    assert!(story(&client, "slow-1").contains(&"chat aborted".to_owned()), "it came first");
    let seen = watcher.chat("slow-1", "aborted").await;
    assert_eq!(
        (&seen["stopReason"], &seen["message"]["content"][0]["text"]),
        (&json!("rpc"), &json!("w0"))
    );
    let nothing = client.call("chat.abort", json!({"sessionKey": "agent:main:main"})).await;
    assert_eq!(nothing, json!({"ok": true, "aborted": false, "runIds": []}));
    stand.stop().await;
}

#[tokio::test]
async fn the_word_stop_stops_and_is_answered_with_what_it_stopped() {
    let stand = Stand::start().await;
    let mut client = stand.client(&[]).await;
    client.say("linger", "slow-1").await;
    client.chat("slow-1", "delta").await;
    let answer = client.say("/stop", "stop-1").await;
    assert_eq!(answer, json!({"ok": true, "aborted": true, "runIds": ["slow-1"]}));
    assert_eq!(client.chat("slow-1", "aborted").await["stopReason"], "stop");
    stand.stop().await;
}

#[tokio::test]
async fn a_run_of_another_session_is_not_stopped() {
    let stand = Stand::start().await;
    let mut client = stand.client(&[]).await;
    client.say("linger", "slow-1").await;
    client.chat("slow-1", "delta").await;
    let params = json!({"sessionKey": "agent:main:other", "runId": "slow-1"});
    assert_eq!(client.refused("chat.abort", params).await, "runId does not match sessionKey");
    stand.stop().await;
}

#[tokio::test]
async fn a_command_is_answered_by_the_gateway_under_the_key_that_was_written() {
    let stand = Stand::start().await;
    let mut client = stand.client(&[]).await;
    let params = json!({"sessionKey": "main", "message": "/status", "idempotencyKey": "cmd-1"});
    client.call("chat.send", params).await;
    let last = client.chat("cmd-1", "final").await;
    assert_eq!((&last["sessionKey"], &last["seq"]), (&json!("main"), &json!(1)));
    assert_eq!(last["message"]["model"], "gateway-injected");
    let text = last["message"]["content"][0]["text"].as_str().expect("a text");
    assert!(text.starts_with("🦞 Rusty Claw 0.1.0\n🧠 Model: mocka/mock-a"), "{text}");
    stand.stop().await;
}

#[tokio::test]
async fn a_failure_is_told_and_repeated_for_the_same_key() {
    let stand = Stand::start().await;
    let mut client = stand.client(&[]).await;
    client.say("fail", "err-1").await;
    let told = client.chat("err-1", "error").await;
    let message = told["errorMessage"].as_str().expect("a message");
    assert!(message.contains("the key is not accepted"), "{message}");
    let params =
        json!({"sessionKey": "agent:main:main", "message": "fail", "idempotencyKey": "err-1"});
    let again = client.request("chat.send", params).await;
    assert_eq!((&again["ok"], &again["payload"]["status"]), (&json!(false), &json!("error")));
    stand.stop().await;
}

#[tokio::test]
async fn tools_are_seen_by_those_who_asked_to_and_wrote_there() {
    let stand = Stand::start().await;
    let mut asked = stand.client(&["tool-events"]).await;
    let mut watcher = stand.client(&["tool-events"]).await;
    asked.say("tool", "tool-1").await;
    for client in [&mut asked, &mut watcher] {
        let last = client.chat("tool-1", "final").await;
        assert_eq!(last["message"]["content"][0]["text"], "tool done");
    }
    let tools = |client: &Raw| -> Vec<Value> {
        let is_tool = |event: &&Value| event["payload"]["stream"] == "tool";
        client.events.iter().filter(is_tool).cloned().collect()
    };
    let seen = tools(&asked);
    let phases: Vec<_> = seen.iter().map(|event| &event["payload"]["data"]["phase"]).collect();
    assert_eq!(phases, ["start", "result"]);
    assert!(seen.iter().all(|event| event["seq"].is_null()), "they have no place in the sequence");
    assert_eq!(seen[1]["payload"]["data"]["result"], Value::Null, "stripped unless asked for");
    assert_eq!(tools(&watcher), Vec::<Value>::new());
    stand.stop().await;
}

#[tokio::test]
async fn a_message_to_a_busy_session_is_final_at_once_and_runs_later_under_another_id() {
    let stand = Stand::start().await;
    let mut client = stand.client(&[]).await;
    client.say("linger", "slow-1").await;
    client.chat("slow-1", "delta").await;
    client.say("second", "next-1").await;
    assert_eq!(client.chat("next-1", "final").await["message"], Value::Null);
    client.call("chat.abort", json!({"sessionKey": "main", "runId": "slow-1"})).await;
    let answered = |event: &Value| {
        event["payload"]["message"]["content"][0]["text"] == "You said: second"
            && event["payload"]["state"] == "final"
    };
    let later = client.event(answered).await;
    assert_ne!(later["payload"]["runId"], "next-1");
    stand.stop().await;
}

#[tokio::test]
async fn a_message_that_cannot_be_used_is_refused_with_the_reason() {
    let stand = Stand::start().await;
    let mut client = stand.client(&[]).await;
    let send =
        |message: &str| json!({"sessionKey": "main", "message": message, "idempotencyKey": "k"});
    for (params, refusal) in [
        (send("   "), "message or attachment required"),
        (send("a\0b"), "message must not contain null bytes"),
        (
            json!({"sessionKey": "main", "message": "x", "idempotencyKey": "k", "attachments": [{}]}),
            "attachments are not supported yet",
        ),
        (
            json!({"sessionKey": "main", "message": "x", "idempotencyKey": "k".repeat(257)}),
            "the idempotencyKey is longer than 256 characters",
        ),
        (
            json!({"sessionKey": "k".repeat(513), "message": "x", "idempotencyKey": "k"}),
            "the session key is longer than 512 characters",
        ),
        (
            json!({"sessionKey": "main", "message": "x", "idempotencyKey": "k", "thinking": "deep"}),
            "invalid thinkingLevel (use off|minimal|low|medium|high|xhigh)",
        ),
    ] {
        assert_eq!(client.refused("chat.send", params).await, refusal);
    }
    stand.stop().await;
}

#[tokio::test]
async fn the_agent_answers_twice_and_its_end_can_be_waited_for() {
    let stand = Stand::start().await;
    let mut client = stand.client(&[]).await;
    let params = json!({"message": "hello agent", "sessionKey": "agent:main:main", "idempotencyKey": "ag-1"});
    let id = client.post("agent", params.clone()).await;
    let accepted = client.response(&id).await;
    assert_eq!(accepted["payload"]["status"], "accepted");
    let waited = client.call("agent.wait", json!({"runId": "ag-1"})).await;
    assert_eq!(waited["status"], "ok");
    let done = client.response(&id).await["payload"].clone();
    assert_eq!((&done["status"], &done["summary"]), (&json!("ok"), &json!("completed")));
    assert_eq!(
        done["result"]["payloads"],
        json!([{"text": "You said: hello agent", "mediaUrl": null}])
    );
    assert_eq!(done["result"]["meta"]["agentMeta"]["model"], "mock-a");
    let again = client.call("agent", params).await;
    assert_eq!(again["result"]["payloads"], done["result"]["payloads"]);
    stand.stop().await;
}

#[tokio::test]
async fn waiting_for_a_run_that_never_was_ends_with_the_wait() {
    let stand = Stand::start().await;
    let mut client = stand.client(&[]).await;
    let waited = client.call("agent.wait", json!({"runId": "nope", "timeoutMs": 1})).await;
    assert_eq!(waited, json!({"runId": "nope", "status": "timeout"}));
    stand.stop().await;
}

#[tokio::test]
async fn what_the_agent_cannot_do_yet_and_what_is_not_a_clients_to_say_is_refused() {
    let stand = Stand::start().await;
    let mut client = stand.client(&[]).await;
    // SEC-20
    for (key, value) in [
        ("spawnedBy", json!("agent:main:main")),
        ("inputProvenance", json!({"kind": "internal_system"})),
        ("deliver", json!(true)),
        ("to", json!("+15550100")),
    ] {
        let mut params = json!({"message": "x", "idempotencyKey": "k"});
        params[key] = value;
        let refusal = client.refused("agent", params).await;
        assert_eq!(refusal, format!("invalid agent params: {key} is not supported"));
    }
    let unknown = json!({"message": "x", "idempotencyKey": "k", "agentId": "ops"});
    assert_eq!(
        client.refused("agent", unknown).await,
        "invalid agent params: unknown agent id \"ops\""
    );
    stand.stop().await;
}

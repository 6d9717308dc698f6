//! Frames of a client that is in: the wrong ones answered as captured, and nothing broken by them.

use serde_json::{Value, json};

use crate::support::Stand;

/// Plays what was captured of a client that is in, and compares every answer.
#[tokio::test]
async fn wrong_frames_are_answered_as_captured() {
    let stand = Stand::start().await;
    let mut client = stand.client(&[]).await;
    let captured = include_str!("../fixtures/v3-bad-frames.jsonl");
    for line in captured.lines() {
        let line: Value = serde_json::from_str(line).expect("JSON");
        match (line["dir"].as_str(), line["raw"].as_str()) {
            (Some("c2s"), Some(raw)) => client.send(raw).await,
            (Some("c2s"), None) => client.send(line["frame"].to_string()).await,
            (Some("s2c"), _) if line["frame"]["type"] == "res" => {
                let id = line["frame"]["id"].as_str().expect("an id");
                assert_eq!(client.response(id).await, line["frame"]);
            }
            _ => {}
        }
    }
    client.call("health", Value::Null).await;
    stand.stop().await;
}

#[tokio::test]
async fn an_unknown_method_is_named_to_those_who_may_call_everything() {
    let stand = Stand::start().await;
    let mut client = stand.client(&[]).await;
    assert_eq!(client.refused("nope.method", json!({})).await, "unknown method: nope.method");
    stand.stop().await;
}

#[tokio::test]
async fn more_calls_than_run_at_one_time_are_all_answered() {
    let stand = Stand::start().await;
    let mut client = stand.client(&[]).await;
    let mut ids = Vec::new();
    for _ in 0..200 {
        ids.push(client.post("agents.list", json!({})).await);
    }
    let mut answered = Vec::new();
    while answered.len() < ids.len() {
        let frame = client.frame().await;
        if frame["type"] == "res" {
            answered.push(frame["id"].as_str().expect("an id").to_owned());
        }
    }
    answered.sort();
    ids.sort();
    assert_eq!(answered, ids);
    stand.stop().await;
}

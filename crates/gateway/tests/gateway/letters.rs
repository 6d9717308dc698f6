//! What became of messages and replies, over the wire.

use serde_json::json;

use crate::support::Stand;

#[tokio::test]
async fn why_tells_the_steps_of_a_run_and_never_its_words() {
    let stand = Stand::start().await;
    let mut client = stand.client(&[]).await;
    client.say("tool", "idem-1").await;
    client.chat("idem-1", "final").await;
    let story = client.call("why", json!({"id": "idem-1"})).await;
    let steps = story["steps"].as_array().expect("steps");
    let words: Vec<_> = steps.iter().map(|step| step["step"].as_str().expect("a word")).collect();
    assert_eq!(words, ["received", "admitted", "turn", "model", "tool", "model", "ended"]);
    assert_eq!(steps[1]["rule"], "operator-scope");
    assert!(steps.iter().all(|step| step["ok"] == true && step["at"].is_i64()), "{story}");
    assert_eq!(client.call("why", json!({"id": story["id"]})).await, story);
    // SEC-96: neither what was said nor what a tool gave back.
    assert!(!story.to_string().contains("tool done") && !story.to_string().contains("noted"));

    let unknown = client.refused("why", json!({"id": "telegram:7:5"})).await;
    assert_eq!(unknown, "nothing is known of telegram:7:5");
    let long = client.refused("why", json!({"id": "x".repeat(513)})).await;
    assert_eq!(long, "the id is longer than 512 characters");
    stand.stop().await;
}

#[tokio::test]
async fn inbox_and_outbox_are_listed_by_state() {
    let stand = Stand::start().await;
    let mut client = stand.client(&[]).await;
    client.say("linger", "slow").await;
    client.chat("slow", "delta").await;
    client.say("next", "waits").await;
    let open = client.call("inbox.list", json!({})).await;
    let rows = open["rows"].as_array().expect("rows");
    let states: Vec<_> = rows.iter().map(|row| (&row["state"], &row["attempts"])).collect();
    assert_eq!(states, [(&json!("received"), &json!(0)), (&json!("admitted"), &json!(1))]);
    assert_eq!(rows[0]["target"], "webchat:agent:main:main");
    let newest = client.call("inbox.list", json!({"state": "all", "limit": 1})).await;
    assert_eq!(newest["rows"], json!([rows[0]]));
    assert_eq!(client.call("inbox.list", json!({"state": "closed"})).await["rows"], json!([]));
    assert_eq!(client.call("outbox.list", json!({})).await["rows"], json!([]));
    let status = client.call("status", json!({})).await;
    assert_eq!(status["outbox"], json!({"pending": 0, "dead": 0}));
    stand.stop().await;
}

#[tokio::test]
async fn a_reply_that_is_not_there_is_refused_with_what_to_do() {
    let stand = Stand::start().await;
    let mut client = stand.client(&[]).await;
    let id = "0199f3a0-0000-7000-8000-000000000000";
    for method in ["outbox.retry", "outbox.drop"] {
        let refusal = client.request(method, json!({"id": id})).await;
        assert_eq!(refusal["error"]["message"], format!("no outbox row has the id {id}"));
        let hint = refusal["error"]["details"]["hint"].as_str().expect("a hint");
        assert!(hint.contains("outbox list"), "{hint}");
        assert_eq!(client.refused(method, json!({"id": "x"})).await, "no outbox row has the id x");
    }
    let done = client.call("outbox.retry", json!({"allDead": true})).await;
    assert_eq!(done, json!({"ok": true, "sent": []}));
    for neither in [json!({}), json!({"id": id, "allDead": true}), json!({"allDead": false})] {
        assert_eq!(client.refused("outbox.retry", neither).await, "name either an id or allDead");
    }
    stand.stop().await;
}

//! The methods that look and change: their answers over the wire.

use claw_gateway::ChannelAccount;
use serde_json::{Value, json};

use crate::support::{Choice, Stand};

#[tokio::test]
async fn sessions_are_listed_previewed_and_found() {
    let stand = Stand::start().await;
    let mut client = stand.client(&[]).await;
    client.say("hi there", "idem-1").await;
    client.chat("idem-1", "final").await;
    let wanted = json!({"includeDerivedTitles": true, "includeLastMessage": true});
    let listed = client.call("sessions.list", wanted).await;
    let row = &listed["sessions"][0];
    assert_eq!((&listed["count"], &row["key"]), (&json!(1), &json!("agent:main:main")));
    assert_eq!(
        (&row["derivedTitle"], &row["lastMessagePreview"]),
        (&json!("hi there"), &json!("You said: hi there"))
    );
    assert_eq!((&row["kind"], &row["model"]), (&json!("direct"), &json!("mock-a")));
    assert_eq!(client.call("sessions.list", json!({"search": "nothing"})).await["count"], 0);
    let previews = client.call("sessions.preview", json!({"keys": ["main", "other"]})).await;
    let items = json!([{"role": "user", "text": "hi there"}, {"role": "assistant", "text": "You said: hi there"}]);
    assert_eq!(
        previews["previews"],
        json!([
            {"key": "main", "status": "ok", "items": items},
            {"key": "other", "status": "missing", "items": []},
        ])
    );
    let found = client.call("sessions.resolve", json!({"sessionId": row["sessionId"]})).await;
    assert_eq!(found, json!({"ok": true, "key": "agent:main:main"}));
    assert_eq!(
        client.refused("sessions.resolve", json!({"key": "a", "label": "b"})).await,
        "Provide either key, sessionId, or label (not multiple)"
    );
    assert_eq!(
        client.refused("sessions.resolve", json!({"label": "b"})).await,
        "No session found: b"
    );
    stand.stop().await;
}

#[tokio::test]
async fn a_patch_begins_a_session_and_labels_are_unique() {
    let stand = Stand::start().await;
    let mut client = stand.client(&[]).await;
    let patch =
        json!({"key": "side", "label": "home", "thinkingLevel": "high", "verboseLevel": "full"});
    let patched = client.call("sessions.patch", patch).await;
    assert_eq!(
        (&patched["key"], &patched["entry"]["label"]),
        (&json!("agent:main:side"), &json!("home"))
    );
    assert_eq!(patched["resolved"], json!({"modelProvider": "mocka", "model": "mock-a"}));
    let shown = client.call("chat.history", json!({"sessionKey": "side"})).await;
    assert_eq!((&shown["thinkingLevel"], &shown["verboseLevel"]), (&json!("high"), &json!("full")));
    let taken = json!({"key": "third", "label": "home"});
    assert_eq!(client.refused("sessions.patch", taken).await, "label already in use: home");
    let unknown = json!({"key": "side", "model": "no/model"});
    assert_eq!(client.refused("sessions.patch", unknown).await, "model not allowed: no/model");
    stand.stop().await;
}

#[tokio::test]
async fn a_reset_stops_what_runs_keeps_the_settings_and_begins_anew() {
    let stand = Stand::start().await;
    let mut client = stand.client(&[]).await;
    client.call("sessions.patch", json!({"key": "main", "thinkingLevel": "high"})).await;
    client.say("linger", "slow-1").await;
    client.chat("slow-1", "delta").await;
    let before = client.call("chat.history", json!({"sessionKey": "main"})).await;
    let reset = client.call("sessions.reset", json!({"key": "main"})).await;
    client.chat("slow-1", "aborted").await;
    assert_ne!(reset["entry"]["sessionId"], before["sessionId"]);
    assert_eq!(reset["entry"]["thinkingLevel"], "high");
    let after = client.call("chat.history", json!({"sessionKey": "main"})).await;
    assert_eq!(after["messages"], json!([]));
    stand.stop().await;
}

#[tokio::test]
async fn any_session_but_the_main_one_can_be_deleted() {
    let stand = Stand::start().await;
    let mut client = stand.client(&[]).await;
    client.call("sessions.patch", json!({"key": "side", "label": "home"})).await;
    let deleted = |deleted: bool| json!({"ok": true, "key": "agent:main:side", "deleted": deleted, "archived": []});
    assert_eq!(client.call("sessions.delete", json!({"key": "side"})).await, deleted(true));
    assert_eq!(client.call("sessions.delete", json!({"key": "side"})).await, deleted(false));
    assert_eq!(
        client.refused("sessions.delete", json!({"key": "main"})).await,
        "Cannot delete the main session (agent:main:main)."
    );
    stand.stop().await;
}

#[tokio::test]
async fn what_is_configured_and_connected_is_shown() {
    let account = ChannelAccount {
        channel: "telegram".into(),
        label: "Telegram".into(),
        account: "default".into(),
        enabled: true,
        configured: true,
        running: true,
        last_error: Some("down".into()),
        ..ChannelAccount::default()
    };
    let stand = Stand::start_with(Choice { channels: vec![account], ..Choice::default() }).await;
    let mut client = stand.client(&[]).await;
    let channels = client.call("channels.status", json!({})).await;
    assert_eq!(channels["channelOrder"], json!(["telegram"]));
    assert_eq!(channels["channelDefaultAccountId"], json!({"telegram": "default"}));
    assert_eq!(
        channels["channelAccounts"]["telegram"],
        json!([{"accountId": "default", "enabled": true, "configured": true, "running": true, "connected": false, "lastError": "down"}])
    );
    assert_eq!(channels["channels"]["telegram"]["lastError"], "down");
    let config = client.call("config.get", json!({})).await;
    assert_eq!((&config["valid"], &config["warnings"][0]["path"]), (&json!(true), &json!("a.b")));
    let models = client.call("models.list", json!({})).await;
    assert_eq!(models["models"][0]["id"], "mock-a");
    let agents = client.call("agents.list", json!({})).await;
    assert_eq!(
        (&agents["defaultId"], &agents["agents"]),
        (&json!("main"), &json!([{"id": "main"}]))
    );
    let identity = client.call("agent.identity.get", json!({})).await;
    assert_eq!(identity, json!({"agentId": "main", "name": "Assistant", "avatar": "A"}));
    assert_eq!(client.call("node.list", json!({})).await["nodes"], json!([]));
    let status = client.call("status", Value::Null).await;
    assert_eq!(status["channelSummary"], json!(["Telegram default: not connected"]));
    stand.stop().await;
}

#[tokio::test]
async fn a_wrong_pairing_code_is_refused_with_what_to_do() {
    let stand = Stand::start().await;
    let mut client = stand.client(&[]).await;
    assert_eq!(client.call("pairing.list", json!({})).await, json!({"requests": []}));
    let params = json!({"channel": "telegram", "code": "AAAAAAAA"});
    let refusal = client.request("pairing.approve", params).await;
    assert_eq!(refusal["error"]["code"], "INVALID_REQUEST");
    assert!(
        refusal["error"]["details"]["hint"]
            .as_str()
            .is_some_and(|hint| hint.contains("pairing list"))
    );
    stand.stop().await;
}

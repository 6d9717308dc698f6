//! Coming in: who is let in, with what, and how everybody else is turned away.

use std::time::Duration;

use claw_client::{Client, Error, Identity, Options};
use claw_domain::Secret;
use claw_gateway::Limits;
use claw_protocol::device::DeviceKey;
use serde_json::{Value, json};

use crate::support::{Choice, SCOPES, Stand, TOKEN, auth, limits, page};

const MISMATCH: &str = "unauthorized: device token mismatch (rotate/reissue device token)";

#[tokio::test]
async fn our_client_is_let_in_and_comes_back_with_its_device_token() {
    let stand = Stand::start().await;
    let state = tempfile::tempdir().expect("a folder");
    let options = || {
        let identity = Identity::load_or_create(state.path()).expect("made");
        Options::command_line(stand.url()).identity(identity)
    };
    let first = Client::connect(options().token(Secret::new(TOKEN))).await.expect("let in");
    let given = first.hello().auth.clone().and_then(|auth| auth.device_token).expect("a token");
    assert_eq!(given.expose().len(), 43);
    first.close().await;
    let again = Client::connect(options()).await.expect("its own token is enough");
    let health = again.call("health", json!({}), Duration::from_secs(30)).await.expect("answered");
    assert_eq!(health["ok"], true);
    let same = again.hello().auth.clone().and_then(|auth| auth.device_token).expect("a token");
    assert_eq!(same.expose(), given.expose());
    again.close().await;
    stand.stop().await;
}

#[tokio::test]
async fn hello_tells_what_is_here_and_nothing_else() {
    let stand = Stand::start().await;
    let client = stand.client(&[]).await;
    let hello = &client.hello;
    assert_eq!(hello["type"], "hello-ok");
    assert_eq!(
        hello["policy"],
        json!({"maxPayload": 26214400, "maxBufferedBytes": 52428800, "tickIntervalMs": 30000})
    );
    let snapshot = &hello["snapshot"];
    assert_eq!(snapshot["authMode"], "token");
    assert_eq!(snapshot["presence"][0]["mode"], "gateway");
    assert_eq!(snapshot["health"]["ok"], true);
    assert_eq!(
        snapshot["sessionDefaults"],
        json!({"defaultAgentId": "main", "mainKey": "main", "mainSessionKey": "agent:main:main", "scope": "per-sender"})
    );
    let methods = hello["features"]["methods"].as_array().expect("a list");
    assert!(methods.contains(&json!("chat.send")) && !methods.contains(&json!("connect")));
    stand.stop().await;
}

#[tokio::test]
async fn every_listed_method_exists() {
    let stand = Stand::start().await;
    let mut client = stand.client(&[]).await;
    let methods = client.hello["features"]["methods"].clone();
    for method in methods.as_array().expect("a list") {
        let name = method.as_str().expect("a name");
        let response = client.request(name, json!({"noSuchKey": 1})).await;
        assert_ne!(response["error"]["message"], format!("unknown method: {name}"));
    }
    stand.stop().await;
}

#[tokio::test]
async fn a_first_frame_that_is_wrong_is_answered_and_closed_as_captured() {
    let stand = Stand::start().await;
    let wrong: Vec<(&str, u16, &str)> = vec![
        ("not json", 1000, ""),
        (
            r#"{"type":"req","id":"1","method":"health"}"#,
            1008,
            "invalid handshake: first request must be connect",
        ),
        (
            r#"{"type":"req","id":"1","method":"connect"}"#,
            1008,
            "invalid connect params: must be object",
        ),
        (r#"{"type":"hello"}"#, 1008, "invalid request frame"),
        ("[]", 1008, "invalid request frame"),
    ];
    for (text, code, reason) in wrong {
        let mut raw = stand.knock().await;
        raw.send(text).await;
        assert_eq!(raw.closed().await, (code, reason.to_owned()), "{text}");
    }
    stand.stop().await;
}

#[tokio::test]
async fn a_replayed_connect_is_refused() {
    // SEC-74: the signature names the nonce of one connection.
    let stand = Stand::start().await;
    let mut first = stand.knock().await;
    let params =
        first.connect_params(&[], &SCOPES, json!({"token": TOKEN}), &DeviceKey::generate());
    first.connect(params.clone()).await.expect("let in");
    let mut replay = stand.knock().await;
    assert_eq!(replay.connect(params).await, Err("device nonce mismatch".into()));
    assert_eq!(replay.closed().await, (1008, "device nonce mismatch".into()));
    stand.stop().await;
}

#[tokio::test]
async fn wrong_secrets_are_refused_one_after_the_other_and_the_right_one_still_works() {
    // SEC-04: guessing is slowed down, nobody is locked out.
    let stand = Stand::start().await;
    let key = DeviceKey::generate();
    for _ in 0..4 {
        let mut raw = stand.knock().await;
        let params = raw.connect_params(&[], &SCOPES, json!({"token": "guess"}), &key);
        assert_eq!(raw.connect(params).await, Err(MISMATCH.into()));
        assert_eq!(raw.closed().await, (1008, MISMATCH.into()));
    }
    stand.client(&[]).await;
    stand.stop().await;
}

#[tokio::test]
async fn a_token_without_a_device_connects_and_may_do_nothing() {
    // SEC-06, as captured.
    let stand = Stand::start().await;
    let mut raw = stand.knock().await;
    let params = json!({
        "minProtocol": 3, "maxProtocol": 3, "scopes": SCOPES, "auth": {"token": TOKEN},
        "client": {"id": "cli", "version": "1.0.0", "platform": "linux", "mode": "cli"},
    });
    raw.connect(params).await.expect("let in");
    assert_eq!(raw.hello["auth"], Value::Null);
    assert_eq!(raw.refused("health", Value::Null).await, "missing scope: operator.read");
    assert_eq!(raw.refused("no.such", Value::Null).await, "missing scope: operator.admin");
    stand.stop().await;
}

#[tokio::test]
async fn behind_a_proxy_a_new_device_waits_until_somebody_approves_exactly_what_it_asked() {
    // SEC-28a: a forwarded request is not from here, whatever its address.
    let stand = Stand::start().await;
    let mut owner = stand.client(&[]).await;
    let key = DeviceKey::generate();
    let forwarded = [("x-forwarded-for", "203.0.113.7")];
    let mut stranger = stand.knock_with(&forwarded).await.expect("it upgrades");
    let params = stranger.connect_params(&[], &["operator.read"], json!({"token": TOKEN}), &key);
    assert_eq!(stranger.connect(params).await, Err("pairing required".into()));
    let asked = owner.event(|event| event["event"] == "device.pair.requested").await;
    let request = &asked["payload"];
    assert_eq!(request["scopes"], json!(["operator.read"]));
    let listed = owner.call("device.pair.list", json!({})).await;
    assert_eq!(listed["pending"][0]["requestId"], request["requestId"]);
    owner.call("device.pair.approve", json!({"requestId": request["requestId"]})).await;
    let mut back = stand.knock_with(&forwarded).await.expect("it upgrades");
    let params = back.connect_params(&[], &["operator.read"], json!({"token": TOKEN}), &key);
    back.connect(params).await.expect("let in");
    back.call("health", json!({})).await;
    // SEC-11: more than was approved is another request.
    let mut more = stand.knock_with(&forwarded).await.expect("it upgrades");
    let params = more.connect_params(&[], &["operator.admin"], json!({"token": TOKEN}), &key);
    assert_eq!(more.connect(params).await, Err("pairing required".into()));
    stand.stop().await;
}

#[tokio::test]
async fn nobody_approves_more_than_they_may_do_themselves() {
    // SEC-08, SEC-09
    let stand = Stand::start().await;
    let mut stranger =
        stand.knock_with(&[("x-real-ip", "203.0.113.7")]).await.expect("it upgrades");
    let params = stranger.connect_params(
        &[],
        &["operator.admin"],
        json!({"token": TOKEN}),
        &DeviceKey::generate(),
    );
    stranger.connect(params).await.expect_err("it waits");
    let mut pairer = stand.knock().await;
    let params = pairer.connect_params(
        &[],
        &["operator.pairing"],
        json!({"token": TOKEN}),
        &DeviceKey::generate(),
    );
    pairer.connect(params).await.expect("let in");
    let listed = pairer.call("device.pair.list", json!({})).await;
    let id = listed["pending"][0]["requestId"].clone();
    let refusal = pairer.refused("device.pair.approve", json!({"requestId": id})).await;
    assert_eq!(refusal, "missing scope: operator.admin");
    pairer.call("device.pair.reject", json!({"requestId": id})).await;
    assert_eq!(
        pairer.refused("device.pair.approve", json!({"requestId": id})).await,
        "unknown requestId"
    );
    stand.stop().await;
}

#[tokio::test]
async fn a_foreign_page_is_refused_and_so_is_a_page_without_origin() {
    // SEC-04, SEC-05
    let stand = Stand::start().await;
    let refusal = "origin not allowed (open the Control UI from the gateway host or allow it in gateway.controlUi.allowedOrigins)";
    let own = format!("http://{}", stand.address);
    for (origin, expected) in [
        (Some(own.as_str()), Ok(())),
        (Some("https://evil.example"), Err(refusal.to_owned())),
        (None, Err(refusal.to_owned())),
    ] {
        let headers: Vec<_> = origin.iter().map(|origin| ("origin", *origin)).collect();
        let mut raw = stand.knock_with(&headers).await.expect("it upgrades");
        let params = json!({
            "minProtocol": 3, "maxProtocol": 3, "role": "operator", "scopes": SCOPES,
            "client": {"id": "openclaw-control-ui", "version": "1", "platform": "web", "mode": "webchat"},
            "auth": {"token": TOKEN},
        });
        let params = raw.signed(params, &DeviceKey::generate());
        assert_eq!(raw.connect(params).await, expected, "{origin:?}");
    }
    stand.stop().await;
}

#[tokio::test]
async fn a_frame_too_large_is_refused_before_the_handshake_and_taken_after_it() {
    // SEC-22
    let stand = Stand::start().await;
    let mut stranger = stand.knock().await;
    stranger.send(" ".repeat(64 * 1024 + 1)).await;
    assert_eq!(stranger.closed().await.0, 1009);
    let mut client = stand.client(&[]).await;
    let params =
        json!({"sessionKey": "main", "message": "x".repeat(300_000), "idempotencyKey": "k"});
    let refusal = client.refused("chat.send", params).await;
    assert_eq!(refusal, "the message has 300000 bytes, and at most 262144 fit");
    // The header of a frame of 25 MiB and one byte.
    client.send_bytes(&[0x81, 0xff, 0, 0, 0, 0, 1, 0x90, 0, 1, 0, 0, 0, 0]).await;
    assert_eq!(client.closed().await.0, 1009);
    stand.stop().await;
}

#[tokio::test]
async fn half_a_frame_is_waited_for_no_longer_than_a_handshake_may_take() {
    // SEC-22
    let handshake = Duration::from_millis(100);
    let limits = Limits { handshake, ..limits() };
    let stand = Stand::start_with(Choice { limits, ..Choice::default() }).await;
    let mut raw = stand.knock().await;
    raw.send_bytes(&[0x81, 0x85, 1, 2, 3, 4, 0x68]).await;
    assert_eq!(raw.closed().await, (1000, String::new()));
    stand.stop().await;
}

#[tokio::test]
async fn only_so_many_strangers_are_heard_at_one_time() {
    // SEC-22
    let limits = Limits { strangers_max: 1, ..limits() };
    let stand = Stand::start_with(Choice { limits, ..Choice::default() }).await;
    let mut stranger = stand.knock().await;
    let refused = stand.knock_with(&[]).await.err().expect("one is enough");
    assert!(refused.to_string().contains("503"), "{refused}");
    let params =
        stranger.connect_params(&[], &SCOPES, json!({"token": TOKEN}), &DeviceKey::generate());
    stranger.connect(params).await.expect("let in");
    stand.client(&[]).await;
    stand.stop().await;
}

#[tokio::test]
async fn a_changed_secret_ends_the_sockets_that_the_old_one_let_in() {
    // SEC-15
    let stand = Stand::start().await;
    let mut client = stand.client(&[]).await;
    stand.gateway.reconfigure(auth(TOKEN), page(true));
    client.call("health", json!({})).await;
    stand.gateway.reconfigure(auth("another"), page(true));
    assert_eq!(client.closed().await, (1008, "the gateway's secret was changed".into()));
    let state = tempfile::tempdir().expect("a folder");
    let identity = Identity::load_or_create(state.path()).expect("made");
    let old = Options::command_line(stand.url()).identity(identity).token(Secret::new(TOKEN));
    let refused = Client::connect(old).await.expect_err("the old one is worth nothing");
    assert!(matches!(refused, Error::Closed { code: 1008, .. }), "{refused}");
    stand.stop().await;
}

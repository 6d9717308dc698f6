//! Whole conversations with a gateway that behaves as recorded, over real sockets.

mod support;

use std::io::ErrorKind;
use std::time::Duration;

use claw_client::{Client, Error, Identity, Notice, Options};
use claw_domain::Secret;
use serde_json::json;
use support::{Gateway, NONCE, Peer};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_tungstenite::tungstenite::Message;

/// Longer than any test takes.
const LONG: Duration = Duration::from_secs(60);
/// A tick interval that no test outlives, and that no clock can add.
const QUIET_MS: u64 = u64::MAX;

/// Connects without a device to `gateway`, which lets it in.
async fn connected(gateway: &Gateway) -> (Client, Peer) {
    let options = Options::command_line(gateway.url()).token(Secret::new("tok"));
    let (client, (peer, _)) = tokio::join!(Client::connect(options), gateway.welcome(QUIET_MS));
    (client.expect("let in"), peer)
}

fn device(state: &TempDir, gateway: &Gateway) -> Options {
    let identity = Identity::load_or_create(state.path()).expect("an identity");
    Options::command_line(gateway.url()).identity(identity)
}

async fn error_of(options: Options) -> Error {
    Client::connect(options).await.expect_err("it must not connect")
}

#[tokio::test]
async fn a_device_signs_the_nonce_and_keeps_the_token_it_is_given() {
    let (state, gateway) = (tempfile::tempdir().expect("a folder"), Gateway::bind().await);
    let first = device(&state, &gateway).token(Secret::new("tok"));
    let (client, (_peer, connect)) =
        tokio::join!(Client::connect(first), gateway.welcome(QUIET_MS));
    assert_eq!(connect.token(), "tok");
    let proof = connect.device.expect("signed, and checked by the gateway");
    assert_eq!(proof.nonce.as_deref(), Some(NONCE));
    assert_eq!(connect.scopes, ["operator.admin", "operator.approvals", "operator.pairing"]);
    assert_eq!(client.expect("let in").hello().server.version, "dev");

    let again = device(&state, &gateway);
    let (client, (_peer, connect)) =
        tokio::join!(Client::connect(again), gateway.welcome(QUIET_MS));
    client.expect("let in");
    assert_eq!(connect.token(), "LZ-sgA1CFUXoTeYru-YnoqSOqqcEVap8FQetKtSLHRg");
}

#[tokio::test]
async fn a_stored_token_is_not_sent_to_another_gateway() {
    // SEC-01, SEC-02
    let (state, gateway) = (tempfile::tempdir().expect("a folder"), Gateway::bind().await);
    let first = device(&state, &gateway).token(Secret::new("tok"));
    let (client, _) = tokio::join!(Client::connect(first), gateway.welcome(QUIET_MS));
    client.expect("let in");

    let other = Gateway::bind().await;
    let options = device(&state, &other);
    let (client, (_peer, connect)) =
        tokio::join!(Client::connect(options), other.welcome(QUIET_MS));
    client.expect("let in");
    assert_eq!(connect.token(), "");
}

#[tokio::test]
async fn a_refused_device_token_is_forgotten() {
    let (state, gateway) = (tempfile::tempdir().expect("a folder"), Gateway::bind().await);
    let first = device(&state, &gateway).token(Secret::new("tok"));
    let (client, _) = tokio::join!(Client::connect(first), gateway.welcome(QUIET_MS));
    client.expect("let in");

    const REASON: &str = "unauthorized: device token mismatch (rotate/reissue device token)";
    let refuse = async {
        let mut peer = gateway.accept().await;
        let (id, connect) = peer.connect_request().await;
        peer.refuse(&id, "INVALID_REQUEST", REASON).await;
        peer.close(1008, REASON).await;
        connect
    };
    let (error, connect) = tokio::join!(error_of(device(&state, &gateway)), refuse);
    assert!(!connect.token().is_empty());
    assert_eq!(error.to_string(), format!("gateway closed (1008): {REASON}"));

    let again = device(&state, &gateway);
    let (client, (_peer, connect)) =
        tokio::join!(Client::connect(again), gateway.welcome(QUIET_MS));
    client.expect("let in");
    assert_eq!(connect.token(), "");
}

#[tokio::test]
async fn a_gateway_without_a_challenge_gets_a_signature_without_a_nonce() {
    let (state, gateway) = (tempfile::tempdir().expect("a folder"), Gateway::bind().await);
    let serve = async { gateway.accept().await.request().await };
    let options = device(&state, &gateway);
    let (error, request) = tokio::join!(error_of(options), serve);
    let device = &request["params"]["device"];
    assert!(device["signature"].is_string() && device["nonce"].is_null(), "{device}");
    assert_eq!(error.to_string(), "gateway closed (1006): the connection was lost");
}

#[tokio::test]
async fn answers_may_arrive_in_any_order() {
    let gateway = Gateway::bind().await;
    let (client, mut peer) = connected(&gateway).await;
    let serve = async {
        let (first, second) = (peer.request().await, peer.request().await);
        for request in [&second, &first] {
            let id = request["id"].as_str().expect("an id");
            peer.answer(id, request["params"].clone()).await;
        }
    };
    let (one, two, ()) = tokio::join!(
        client.call("echo", json!({"n": 1}), LONG),
        client.call("echo", json!({"n": 2}), LONG),
        serve
    );
    assert_eq!(
        (one.expect("answered"), two.expect("answered")),
        (json!({"n": 1}), json!({"n": 2}))
    );
}

#[tokio::test]
async fn the_final_answer_can_be_awaited() {
    let gateway = Gateway::bind().await;
    let (client, mut peer) = connected(&gateway).await;
    let serve = async {
        for _ in 0..2 {
            let request = peer.request().await;
            let id = request["id"].as_str().expect("an id");
            peer.answer(id, json!({"runId": "r", "status": "accepted"})).await;
            peer.answer(id, json!({"runId": "r", "status": "ok"})).await;
        }
    };
    let calls = async {
        let first = client.call("agent", json!({}), LONG).await.expect("answered");
        let last = client.call_final("agent", json!({}), LONG).await.expect("answered");
        (first["status"].clone(), last["status"].clone())
    };
    let (statuses, ()) = tokio::join!(calls, serve);
    assert_eq!(statuses, (json!("accepted"), json!("ok")));
}

#[tokio::test]
async fn an_error_answer_is_told_in_the_gateways_words() {
    let gateway = Gateway::bind().await;
    let (client, mut peer) = connected(&gateway).await;
    let serve = async {
        let request = peer.request().await;
        let id = request["id"].as_str().expect("an id");
        peer.refuse(id, "INVALID_REQUEST", "unknown method: nope").await;
    };
    let (result, ()) = tokio::join!(client.call("nope", json!({}), LONG), serve);
    assert_eq!(result.expect_err("refused").to_string(), "unknown method: nope");
}

#[tokio::test]
async fn a_failure_without_an_error_is_still_a_failure() {
    let gateway = Gateway::bind().await;
    let (client, mut peer) = connected(&gateway).await;
    let serve = async {
        let request = peer.request().await;
        peer.send(json!({"type": "res", "id": request["id"], "ok": false, "payload": 1})).await;
    };
    let (result, ()) = tokio::join!(client.call("health", json!({}), LONG), serve);
    let error = result.expect_err("refused");
    assert_eq!(error.to_string(), "the gateway refused and gave no reason");
}

#[tokio::test]
async fn a_call_that_takes_too_long_leaves_the_connection_usable() {
    let gateway = Gateway::bind().await;
    let (client, mut peer) = connected(&gateway).await;
    let late = client.call("slow", json!({}), Duration::from_millis(20)).await;
    assert_eq!(late.expect_err("too late").to_string(), "gateway timeout after 20ms");
    let serve = async {
        let (slow, next) = (peer.request().await, peer.request().await);
        peer.answer(slow["id"].as_str().expect("an id"), json!("late")).await;
        peer.answer(next["id"].as_str().expect("an id"), json!("in time")).await;
    };
    let (result, ()) = tokio::join!(client.call("next", json!({}), LONG), serve);
    assert_eq!(result.expect("answered"), "in time");
}

#[tokio::test]
async fn a_silent_gateway_is_given_up() {
    let gateway = Gateway::bind().await;
    let mut options = Options::command_line(gateway.url());
    options.timeout = Duration::from_millis(30);
    let (error, _peer) = tokio::join!(error_of(options), gateway.accept());
    assert_eq!(error.to_string(), "gateway timeout after 30ms");
}

#[tokio::test]
async fn a_closing_gateway_ends_every_call_with_its_reason() {
    let gateway = Gateway::bind().await;
    let (client, mut peer) = connected(&gateway).await;
    let mut events = client.events();
    let serve = async {
        peer.request().await;
        peer.close(1012, "service restart").await;
    };
    let (pending, ()) = tokio::join!(client.call("health", json!({}), LONG), serve);
    let later = client.call("health", json!({}), LONG).await;
    for result in [pending, later] {
        let error = result.expect_err("closed");
        assert_eq!(error.to_string(), "gateway closed (1012): service restart");
    }
    assert_eq!(events.next().await, None);
    assert_eq!(client.events().next().await, None);
}

#[tokio::test]
async fn frames_of_unknown_form_are_passed_over() {
    let gateway = Gateway::bind().await;
    let (client, mut peer) = connected(&gateway).await;
    let serve = async {
        let request = peer.request().await;
        for raw in
            ["not json", "[]", r#"{"type":"hello"}"#, r#"{"type":"res","id":"zzz","ok":true}"#]
        {
            peer.send_raw(Message::text(raw)).await;
        }
        peer.send_raw(Message::binary(vec![0xff])).await;
        peer.answer(request["id"].as_str().expect("an id"), json!("fine")).await;
    };
    let (result, ()) = tokio::join!(client.call("health", json!({}), LONG), serve);
    assert_eq!(result.expect("answered"), "fine");
}

#[tokio::test]
async fn a_slow_listener_is_told_how_much_it_missed() {
    let gateway = Gateway::bind().await;
    let (client, mut peer) = connected(&gateway).await;
    let mut events = client.events();
    let serve = async {
        let request = peer.request().await;
        for seq in 1..=1030 {
            peer.send(json!({"type": "event", "event": "tick", "payload": {}, "seq": seq})).await;
        }
        peer.answer(request["id"].as_str().expect("an id"), json!(null)).await;
    };
    let (result, ()) = tokio::join!(client.call("health", json!({}), LONG), serve);
    result.expect("answered after the events");
    assert_eq!(events.next().await, Some(Notice::Missed(6)));
    match events.next().await {
        Some(Notice::Event(event)) => assert_eq!(event.seq, Some(7)),
        other => panic!("expected an event, got {other:?}"),
    }
}

#[tokio::test]
async fn a_call_above_the_gateways_limit_is_not_sent() {
    let gateway = Gateway::bind().await;
    let (client, _peer) = connected(&gateway).await;
    let text = "x".repeat(client.hello().policy.max_payload);
    let error = client.call("chat.send", json!({"message": text}), LONG).await;
    assert!(matches!(error, Err(Error::TooLarge { bytes_max: 26_214_400, .. })), "{error:?}");
}

#[tokio::test]
async fn closing_says_goodbye() {
    let gateway = Gateway::bind().await;
    let (client, peer) = connected(&gateway).await;
    let ((), closed) = tokio::join!(client.close(), peer.closed());
    assert_eq!(closed, (1000, String::new()));
}

#[tokio::test]
async fn a_gateway_that_stops_ticking_is_left() {
    let gateway = Gateway::bind().await;
    let options = Options::command_line(gateway.url());
    let (client, (peer, _)) = tokio::join!(Client::connect(options), gateway.welcome(10));
    let client = client.expect("let in");
    assert_eq!(peer.closed().await, (4000, "tick timeout".into()));
    let error = client.call("health", json!({}), LONG).await.expect_err("left");
    assert_eq!(error.to_string(), "gateway closed (4000): tick timeout");
}

#[tokio::test]
async fn no_gateway_is_an_error_that_says_how_to_start_one() {
    let gone = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("ws://{}", gone.local_addr().expect("it is bound"));
    drop(gone);
    let error = error_of(Options::command_line(url)).await;
    match &error {
        Error::Unreachable { source, .. } => {
            assert_eq!(source.kind(), ErrorKind::ConnectionRefused);
        }
        other => panic!("{other}"),
    }
    assert!(error.hint().is_some_and(|hint| hint.contains("`rusty-claw gateway run`")));
}

#[tokio::test]
async fn a_server_that_does_not_encrypt_is_no_gateway_for_wss() {
    let gateway = Gateway::bind().await;
    let options = Options::command_line(gateway.url().replace("ws://", "wss://"));
    let (error, ()) = tokio::join!(error_of(options), gateway.hang_up());
    assert!(matches!(error, Error::NotAGateway { .. } | Error::NoCertificates), "{error}");
}

#[tokio::test]
async fn a_refusal_without_a_close_is_still_told() {
    let gateway = Gateway::bind().await;
    let refuse = async {
        let mut peer = gateway.accept().await;
        let (id, _) = peer.connect_request().await;
        peer.refuse(&id, "NOT_PAIRED", "pairing required").await;
    };
    let (error, ()) = tokio::join!(error_of(Options::command_line(gateway.url())), refuse);
    assert_eq!(error.to_string(), "gateway closed (1006): pairing required");
}

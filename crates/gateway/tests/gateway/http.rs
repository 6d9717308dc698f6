//! Plain HTTP: alive, ready, the page, and the trade of a code.

use claw_gateway::ChannelAccount;
use claw_protocol::device::DeviceKey;
use serde_json::{Value, json};

use crate::support::{Choice, Stand};

fn body(answer: &str) -> Value {
    let (_, body) = answer.split_once("\r\n\r\n").expect("a body");
    serde_json::from_str(body).unwrap_or_else(|error| panic!("{error} in {answer}"))
}

fn telegram(connected: bool) -> ChannelAccount {
    ChannelAccount {
        channel: "telegram".into(),
        label: "Telegram".into(),
        account: "default".into(),
        enabled: true,
        configured: true,
        running: true,
        connected,
        last_error: Some("bot token 123:SECRET was refused".into()),
        ..ChannelAccount::default()
    }
}

#[tokio::test]
async fn alive_and_ready_tell_words_and_no_more() {
    let choice = Choice { channels: vec![telegram(true)], ..Choice::default() };
    let stand = Stand::start_with(choice).await;
    let (status, answer) = stand.http("GET /health HTTP/1.1", "").await;
    assert_eq!((status, body(&answer)), (200, json!({"status": "ok"})));
    let (status, answer) = stand.http("GET /ready HTTP/1.1", "").await;
    let channels = json!({"telegram:default": {"running": true, "connected": true}});
    assert_eq!(
        (status, body(&answer)),
        (200, json!({"ready": true, "store": "up", "channels": channels}))
    );
    stand.stop().await;
}

#[tokio::test]
async fn a_channel_that_is_down_or_a_store_that_is_closed_is_not_ready() {
    let choice = Choice { channels: vec![telegram(false)], ..Choice::default() };
    let stand = Stand::start_with(choice).await;
    let (status, answer) = stand.http("GET /ready HTTP/1.1", "").await;
    assert_eq!((status, &body(&answer)["store"]), (503, &json!("up")));
    assert!(!answer.contains("SECRET"), "SEC-96");
    stand.store.close().await.expect("it closes");
    let (status, answer) = stand.http("GET /ready HTTP/1.1", "").await;
    assert_eq!((status, &body(&answer)["store"]), (503, &json!("down")));
    stand.stop().await;
}

#[tokio::test]
async fn the_page_answers_every_path_that_is_not_ours_with_its_protections() {
    let stand = Stand::start().await;
    for path in ["/", "/nope/path", "/v1/models"] {
        let (status, answer) = stand.http(&format!("GET {path} HTTP/1.1"), "").await;
        assert_eq!(status, 200, "{path}");
        for header in
            ["content-security-policy: default-src 'none'", "x-frame-options: DENY", "text/html"]
        {
            assert!(answer.contains(header), "{path}: {answer:.600}");
        }
    }
    for (head, expected) in [
        ("GET /rpc HTTP/1.1", 404),
        ("GET /auth/code HTTP/1.1", 405),
        ("GET /auth/other HTTP/1.1", 404),
        ("GET /assets/none.js HTTP/1.1", 404),
        ("POST /nope HTTP/1.1", 404),
    ] {
        assert_eq!(stand.http(head, "").await.0, expected, "{head}");
    }
    stand.stop().await;
}

#[tokio::test]
async fn a_page_that_is_known_is_not_sent_again() {
    let stand = Stand::start().await;
    let (_, first) = stand.http("GET / HTTP/1.1", "").await;
    let etag = first.lines().find_map(|line| line.strip_prefix("etag: ")).expect("an etag");
    let head = format!("GET / HTTP/1.1\r\nif-none-match: {etag}");
    assert_eq!(stand.http(&head, "").await.0, 304);
    stand.stop().await;
}

#[tokio::test]
async fn a_page_that_is_switched_off_is_not_there() {
    let stand = Stand::start_with(Choice { page: false, ..Choice::default() }).await;
    assert_eq!(stand.http("GET / HTTP/1.1", "").await.0, 404);
    assert_eq!(stand.http("GET /health HTTP/1.1", "").await.0, 200);
    stand.stop().await;
}

#[tokio::test]
async fn a_socket_opens_on_any_path_but_one() {
    let stand = Stand::start().await;
    let upgrade = |path: &str| {
        format!(
            "GET {path} HTTP/1.1\r\nupgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ=="
        )
    };
    assert_eq!(stand.http(&upgrade("/rpc"), "").await.0, 404);
    let old = upgrade("/").replace("version: 13", "version: 8");
    assert_eq!(stand.http(&old, "").await.0, 426);
    stand.stop().await;
}

const TRADE: &str = "POST /auth/code HTTP/1.1\r\ncontent-type: application/json";

fn trade(code: &str, key: &DeviceKey) -> String {
    let (id, public) = (key.public().id(), key.public().to_string());
    json!({"code": code, "deviceId": id, "publicKey": public, "displayName": "Firefox on Linux"})
        .to_string()
}

#[tokio::test]
async fn a_code_is_traded_once_for_a_token_that_opens_the_page() {
    // SEC-13
    let stand = Stand::start().await;
    let code = stand.gateway.setup_code();
    let key = DeviceKey::generate();
    let (status, answer) = stand.http(TRADE, &trade(code.code.expose(), &key)).await;
    let given = body(&answer);
    assert_eq!((status, &given["role"]), (200, &json!("operator")));
    let scopes = json!(["operator.admin", "operator.approvals", "operator.pairing"]);
    assert_eq!(given["scopes"], scopes);
    let (status, answer) = stand.http(TRADE, &trade(code.code.expose(), &key)).await;
    assert_eq!(status, 401);
    assert!(
        body(&answer)["error"]["message"]
            .as_str()
            .is_some_and(|text| text.contains("rusty-claw dashboard"))
    );
    let origin = format!("http://{}", stand.address);
    let mut browser = stand.knock_with(&[("origin", &origin)]).await.expect("it upgrades");
    let params = json!({
        "minProtocol": 3, "maxProtocol": 3, "role": "operator", "scopes": scopes,
        "client": {"id": "openclaw-control-ui", "version": "1", "platform": "web", "mode": "webchat"},
        "auth": {"token": given["deviceToken"]},
    });
    let params = browser.signed(params, &key);
    browser.connect(params).await.expect("let in");
    let another = browser.call("device.pair.setupCode", json!({})).await;
    assert_ne!(another["code"], code.code.expose());
    let listed = browser.call("device.pair.list", json!({})).await;
    assert_eq!(listed["paired"][0]["displayName"], "Firefox on Linux");
    assert!(
        !listed.to_string().contains(given["deviceToken"].as_str().expect("a token")),
        "SEC-96"
    );
    stand.stop().await;
}

#[tokio::test]
async fn another_spelling_of_a_path_is_another_path() {
    // SEC-23
    let stand = Stand::start().await;
    let good = trade(stand.gateway.setup_code().code.expose(), &DeviceKey::generate());
    for path in ["/auth/code/", "//auth/code", "/auth%2fcode", "/AUTH/code", "/x/../auth/code"] {
        let head = TRADE.replace("/auth/code", path);
        assert_eq!(stand.http(&head, &good).await.0, 404, "{path}");
    }
    stand.stop().await;
}

#[tokio::test]
async fn a_trade_that_is_not_whole_costs_no_code() {
    let stand = Stand::start().await;
    let code = stand.gateway.setup_code();
    let key = DeviceKey::generate();
    let good = trade(code.code.expose(), &key);
    let other = good.replace(&key.public().id(), &"0".repeat(64));
    let large = format!("{good}{}", " ".repeat(70_000));
    for (head, sent, expected) in [
        (TRADE, "not json", 400),
        (TRADE, "{}", 400),
        (TRADE, &other, 400),
        (TRADE, &large, 413),
        ("POST /auth/code HTTP/1.1\r\ncontent-type: text/plain", &good, 415),
        (
            "POST /auth/code HTTP/1.1\r\ncontent-type: application/json\r\norigin: https://evil.example",
            &good,
            403,
        ),
    ] {
        assert_eq!(stand.http(head, sent).await.0, expected, "{head} {sent:.40}");
    }
    assert_eq!(stand.http(TRADE, &good).await.0, 200);
    stand.stop().await;
}

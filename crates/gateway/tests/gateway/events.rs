//! Broadcasts: one sequence for all, slow readers, presence, and the end.

use std::time::Duration;

use claw_domain::{Ending, SignalKind};
use claw_gateway::Limits;
use claw_protocol::device::DeviceKey;
use serde_json::{Value, json};

use crate::support::{Choice, Raw, Stand, TOKEN, limits};

fn seqs(client: &Raw) -> Vec<u64> {
    client.events.iter().filter_map(|event| event["seq"].as_u64()).collect()
}

#[tokio::test]
async fn two_clients_see_the_same_events_under_the_same_numbers_without_a_gap() {
    let stand = Stand::start().await;
    let (mut one, mut two) = (stand.client(&[]).await, stand.client(&[]).await);
    one.say("hi there", "idem-1").await;
    let mut seen = Vec::new();
    for client in [&mut one, &mut two] {
        let is_final = |event: &Value| event["payload"]["state"] == "final";
        let last = client.event(is_final).await;
        client.events.push(last);
        let numbers = seqs(client);
        assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "{numbers:?}");
        let of_run = |event: &&Value| event["payload"]["runId"] == "idem-1";
        seen.push(client.events.iter().filter(of_run).cloned().collect::<Vec<_>>());
    }
    assert_eq!(seen[0], seen[1]);
    stand.stop().await;
}

#[tokio::test]
async fn a_client_that_comes_hears_health_at_once_with_the_versions() {
    let stand = Stand::start().await;
    let mut client = stand.client(&[]).await;
    let health = client.frame().await;
    assert_eq!((&health["event"], &health["payload"]["ok"]), (&json!("health"), &json!(true)));
    assert!(health["seq"].is_u64() && health["stateVersion"]["health"].is_u64(), "{health}");
    stand.stop().await;
}

#[tokio::test]
async fn a_client_that_does_not_read_is_closed_and_others_are_not_held_up() {
    let limits =
        Limits { socket_bytes_max: 64 * 1024, goodbye: Duration::from_secs(60), ..limits() };
    let stand = Stand::start_with(Choice { limits, ..Choice::default() }).await;
    let (mut slow, mut quick) = (stand.narrow_client().await, stand.client(&[]).await);
    // More than the system holds for sending (4 MiB on Linux).
    let text = "x".repeat(1 << 20);
    for run in (0..10).map(|number| format!("run-{number}")) {
        stand.signal(&run, SignalKind::Finished(Ending::Replied { text: text.clone() }));
        let is_final = |frame: &str| frame.contains(&run) && frame.contains("final");
        while !is_final(&quick.beginning().await) {}
    }
    assert_eq!(slow.closed().await, (1008, "slow consumer".into()));
    stand.stop().await;
}

#[tokio::test]
async fn who_leaves_is_told_to_the_others() {
    let stand = Stand::start().await;
    let mut watcher = stand.client(&[]).await;
    let mut phone = stand.knock().await;
    let params = json!({
        "minProtocol": 3, "maxProtocol": 3, "role": "operator", "scopes": ["operator.read"],
        "client": {"id": "openclaw-ios", "version": "1", "platform": "ios", "mode": "ui", "displayName": "Phone"},
        "auth": {"token": TOKEN},
    });
    let params = phone.signed(params, &DeviceKey::generate());
    phone.connect(params).await.expect("let in");
    let listed = watcher.call("system-presence", Value::Null).await;
    assert_eq!((&listed[1]["host"], &listed[1]["reason"]), (&json!("Phone"), &json!("connect")));
    phone.leave().await;
    let told = watcher.event(|event| event["event"] == "presence").await;
    assert_eq!(told["payload"]["presence"][1]["reason"], "disconnect");
    assert!(told["stateVersion"]["presence"].is_u64());
    stand.stop().await;
}

#[tokio::test]
async fn a_gateway_that_stops_says_so_and_closes() {
    let stand = Stand::start().await;
    let mut client = stand.client(&[]).await;
    let stranger = stand.knock().await;
    stand.ask_to_stop();
    let told = client.event(|event| event["event"] == "shutdown").await;
    assert_eq!(client.closed().await, (1012, "service restart".into()));
    assert_eq!(told["payload"]["restartExpectedMs"], Value::Null);
    drop((client, stranger));
    stand.stop().await;
}

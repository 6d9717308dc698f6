//! A gateway of the real binary, spoken to by the real binary.

#[expect(dead_code, reason = "shared by several test binaries")]
mod process;
mod support;

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use process::Gateway;
use serde_json::Value;
use support::{DEMO, Rig};

#[test]
fn one_conversation_from_start_to_stop() {
    let rig = Rig::with_config(DEMO);
    let gateway = rig.gateway(&[]);

    assert_eq!(rig.json(&["health", "--json"])["ok"], true);
    assert!(rig.prints(&["health"]).starts_with("gateway  well"));
    assert!(!rig.prints(&["agent", "-m", "hello"]).trim().is_empty());
    let answer = rig.json(&["agent", "run", "--message", "hello", "--json"]);
    assert_eq!(answer["status"], "ok");
    assert!(answer["result"]["payloads"][0]["text"].is_string(), "{answer}");

    let params = r#"{sessionKey: 'main', message: 'hi', idempotencyKey: 'k-1'}"#;
    let sent = rig.json(&["gateway", "call", "chat.send", "--params", params]);
    assert_eq!((&sent["runId"], &sent["status"]), (&"k-1".into(), &"started".into()));

    let listed = rig.json(&["sessions", "--json"]);
    let keys: Vec<_> =
        listed["sessions"].as_array().unwrap().iter().map(|row| &row["key"]).collect();
    assert_eq!(keys, [&Value::from("agent:main:main")]);
    assert!(rig.prints(&["sessions", "list", "--active", "5"]).starts_with("agent:main:main"));
    let status = rig.prints(&["status"]);
    assert!(status.contains("model    demo\n"), "{status}");
    assert!(status.contains("session  agent:main:main: "), "{status}");
    assert_eq!(rig.prints(&["pairing", "list"]), "nobody waits to be let in\n");
    assert_eq!(rig.json(&["sessions", "reset", "agent:main:main", "--json"])["ok"], true);

    let told = rig.json(&["gateway", "status", "--json"]);
    assert_eq!((&told["pid"], &told["rpc"]["ok"]), (&gateway.pid().into(), &true.into()));
    let config = rig.config().display().to_string();
    assert!(rig.prints(&["gateway", "-c", &config, "probe"]).contains("answers  version "));
    let deep = rig.json(&["gateway", "status", "--deep", "--json"]);
    assert_eq!(deep["health"]["ok"], true);

    let stopped = rig.prints(&["gateway", "stop"]);
    assert_eq!(stopped, format!("stopped the gateway (process {})\n", gateway.pid()));
    let (code, log) = gateway.ended();
    assert_eq!(code, Some(0), "{log}");
    assert_eq!(rig.run(&["health"]).code, 1);
}

#[test]
fn the_dashboard_gives_a_new_address_every_time() {
    let rig = Rig::with_config(DEMO);
    let gateway = rig.gateway(&[]);
    let page = format!("http://127.0.0.1:{}/#code=", gateway.port);
    let mut codes = vec![gateway.page.clone()];
    for _ in 0..2 {
        let ended = rig.run(&["dashboard", "--no-open"]);
        assert_eq!(ended.code, 0, "{ended:?}");
        assert!(ended.stderr.starts_with("works once, for "), "{}", ended.stderr);
        codes.push(ended.stdout.trim_end().to_owned());
    }
    for code in &codes {
        // 128 random bits are at least 22 letters.
        assert!(code.strip_prefix(&page).is_some_and(|code| code.len() >= 22), "{code}");
    }
    codes.dedup();
    assert_eq!(codes.len(), 3);
}

#[test]
fn a_first_start_needs_nothing() {
    use std::os::unix::fs::PermissionsExt;
    let rig = Rig::new();
    let gateway = rig.gateway(&[]);
    let state = rig.state().display().to_string();
    assert!(gateway.prints("state").ends_with(&state));
    assert!(rig.config_text().contains("token:"));
    // SEC-65
    for (file, mode) in [("", 0o700), ("config.json", 0o600), ("workspace", 0o700)] {
        let found = std::fs::metadata(rig.state().join(file)).unwrap().permissions().mode();
        assert_eq!(found & 0o777, mode, "{file}");
    }
    assert_eq!(rig.json(&["health", "--json"])["ok"], true);
}

#[test]
fn a_wrong_token_is_refused_and_not_repeated() {
    let rig = Rig::with_config(DEMO);
    let gateway = rig.gateway(&["--token", "right-canary"]);
    let url = url(&gateway);
    let right = ["gateway", "call", "health", "--url", &url, "--token", "right-canary"];
    assert_eq!(rig.json(&right)["ok"], true);

    let stranger = Rig::new();
    let ended =
        stranger.run(&["gateway", "call", "health", "--url", &url, "--token", "wrong-canary"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (1, ""));
    let first =
        "Gateway call failed: Error: gateway closed (1008): unauthorized: device token mismatch";
    assert!(ended.stderr.starts_with(first), "{}", ended.stderr);
    let place = format!(
        "Gateway target: {url}\nSource: cli --url\nConfig: STATE/config.json\nBind: loopback\n"
    );
    assert!(ended.stderr.contains(&place), "{}", ended.stderr);
    assert!(!ended.stderr.contains("canary"), "{}", ended.stderr);
}

#[test]
fn a_method_that_is_not_there_fails_the_call() {
    let rig = Rig::with_config(DEMO);
    let _gateway = rig.gateway(&[]);
    let ended = rig.run(&["gateway", "call", "no.such"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (1, ""));
    assert_eq!(ended.stderr, "Gateway call failed: Error: unknown method: no.such\n");
}

#[test]
fn no_secret_is_logged_at_any_level() {
    // SEC-96
    let rig = Rig::with_config(DEMO);
    let gateway = rig.gateway(&["--token", "canary-token", "--log-level", "trace"]);
    let url = url(&gateway);
    let words = ["agent", "-m", "canary-message", "--url", &url, "--token", "canary-token"];
    assert_eq!(rig.run(&words).code, 0);
    assert_eq!(rig.run(&["gateway", "stop"]).code, 0);
    let (code, log) = gateway.ended();
    assert_eq!(code, Some(0));
    assert!(!log.is_empty() && !log.contains("canary"), "{log}");
}

#[test]
fn an_interrupt_ends_the_gateway_in_order() {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let rig = Rig::with_config(DEMO);
        let gateway = rig.gateway(&[]);
        kill(pid(&gateway), signal).unwrap();
        let (code, log) = gateway.ended();
        assert_eq!(code, Some(0), "{signal}: {log}");
    }
}

#[test]
fn a_second_gateway_is_told_who_holds_the_folder() {
    let rig = Rig::with_config(DEMO);
    let gateway = rig.gateway(&[]);
    let ended = rig.run(&["gateway", "run", "--port", "0"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (1, ""));
    let first =
        format!("error: another gateway (process {}) runs on this state folder\n", gateway.pid());
    assert!(ended.stderr.starts_with(&first), "{}", ended.stderr);
    assert!(ended.stderr.contains("hint: stop it with `rusty-claw gateway stop`"));
}

#[test]
fn force_takes_the_folder_over() {
    let rig = Rig::with_config(DEMO);
    let first = rig.gateway(&[]);
    let second = rig.gateway(&["--force"]);
    assert_eq!(first.ended().0, Some(0));
    let told = rig.json(&["gateway", "status", "--no-probe", "--json"]);
    assert_eq!(told["pid"], second.pid());
}

fn url(gateway: &Gateway) -> String {
    format!("ws://127.0.0.1:{}", gateway.port)
}

fn pid(gateway: &Gateway) -> Pid {
    Pid::from_raw(gateway.pid().try_into().unwrap())
}

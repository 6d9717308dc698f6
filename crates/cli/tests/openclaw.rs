//! OpenClaw's own command line (2026.2.17) against our gateway.

#[expect(dead_code, reason = "shared by several test binaries")]
mod process;

use std::{
    path::Path,
    process::{Command, Output},
};

use process::{Gateway, configure};
use serde_json::Value;

const TOKEN: &str = "tok-openclaw";

struct OpenClaw<'a> {
    program: &'a Path,
    home: &'a Path,
    port: u16,
}

impl OpenClaw<'_> {
    fn run(&self, words: &[&str]) -> Output {
        let url = format!("ws://127.0.0.1:{}", self.port);
        Command::new(self.program)
            .args(words)
            .args(["--url", &url, "--token", TOKEN, "--timeout", "60000"])
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.home)
            .env("OPENCLAW_STATE_DIR", self.home)
            .env("OPENCLAW_CONFIG_PATH", self.home.join("openclaw.json"))
            .env("NO_COLOR", "1")
            .env("OPENCLAW_HIDE_BANNER", "1")
            .output()
            .expect("it starts")
    }

    fn call(&self, method: &str, params: &str) -> Value {
        let output = self.run(&["gateway", "call", method, "--json", "--params", params]);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        serde_json::from_str(&text).unwrap_or_else(|error| {
            panic!("{method}: {error}\n{text}\n{}", String::from_utf8_lossy(&output.stderr))
        })
    }
}

#[test]
fn openclaws_own_command_line_connects_and_chats() {
    let Some(program) = claw_testkit::needs("openclaw") else { return };
    let home = tempfile::tempdir().unwrap();
    configure(
        home.path(),
        &format!(
            "{{ gateway: {{ auth: {{ token: '{TOKEN}' }} }}, agents: {{ defaults: {{ model: 'demo/demo' }} }} }}"
        ),
    );
    let gateway = Gateway::start(home.path());
    let client = home.path().join("client");
    std::fs::create_dir(&client).unwrap();
    let openclaw = OpenClaw { program: &program, home: &client, port: gateway.port };

    let health = openclaw.call("health", "{}");
    assert_eq!((&health["ok"], &health["defaultAgentId"]), (&Value::Bool(true), &"main".into()));

    let sent = openclaw
        .call("chat.send", r#"{"sessionKey":"main","message":"hello","idempotencyKey":"k-1"}"#);
    assert_eq!(sent, serde_json::json!({"runId": "k-1", "status": "started"}));
    let waited = openclaw.call("agent.wait", r#"{"runId":"k-1","timeoutMs":30000}"#);
    assert_eq!(waited["status"], "ok");
    let history = openclaw.call("chat.history", r#"{"sessionKey":"main"}"#);
    let roles: Vec<_> =
        history["messages"].as_array().unwrap().iter().map(|message| &message["role"]).collect();
    assert_eq!(roles, ["user", "assistant"]);

    let unknown = openclaw.run(&["gateway", "call", "no.such.method"]);
    let said = String::from_utf8_lossy(&unknown.stderr).into_owned();
    assert!(said.contains("unknown method: no.such.method"), "{said}");
    assert_eq!(unknown.status.code(), Some(1));
}

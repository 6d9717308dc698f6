//! A configuration that changes while the gateway runs.

#[expect(dead_code, reason = "shared by several test binaries")]
mod process;

use std::path::Path;

use process::{Gateway, command, configure};

fn config(token: &str, more: &str) -> String {
    format!(
        "{{ gateway: {{ auth: {{ token: '{token}' }}, reload: {{ debounceMs: 20 }} }}, agents: {{ defaults: {{ model: 'demo/demo' }} }}, {more} }}"
    )
}

/// Whether a client with this token is let in.
fn let_in(home: &Path, gateway: &Gateway, token: &str) -> bool {
    let url = format!("ws://127.0.0.1:{}", gateway.port);
    let words = ["gateway", "call", "health", "--url", &url, "--token", token];
    // A state folder of its own, so that no device token helps.
    let client = home.join(format!("client-{token}"));
    command(&client).args(words).output().expect("the binary starts").status.success()
}

#[test]
fn a_sound_change_is_in_force_and_a_broken_one_is_refused() {
    let home = tempfile::tempdir().unwrap();
    configure(home.path(), &config("one", ""));
    let gateway = Gateway::start(home.path());
    assert!(let_in(home.path(), &gateway, "one"));

    configure(home.path(), &config("two", "sesion: {}"));
    let refused = gateway.prints("refused");
    assert!(
        refused.contains("config.json:1:") && refused.contains("did you mean `session`?"),
        "{refused}"
    );
    assert!(let_in(home.path(), &gateway, "one"), "the running configuration stays");

    configure(home.path(), &config("two", "session: { dmScope: 'per-peer' }"));
    gateway.prints("in force");
    assert!(let_in(home.path(), &gateway, "two"));
    assert!(!let_in(home.path(), &gateway, "wrong"));

    configure(home.path(), &config("two", "store: { backend: 'memory' }"));
    let waits = gateway.prints("needs a restart");
    assert!(waits.contains("store"), "{waits}");
    assert_eq!(gateway.terminate(), Some(0));
}

//! Files written for other plans of the same assistant load as they are.

use claw_config::{Config, LoadOptions, Path};

/// Loads `text` as TOML and compares the whole, secrets included, with `expected` as JSON5.
#[track_caller]
fn check(text: &str, expected: &str) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.toml");
    std::fs::write(&path, text).unwrap();
    let env = |name: &str| name.ends_with("BOT_TOKEN").then(|| format!("value of {name}"));
    let config = Config::load(&LoadOptions { path: &path, env: &env, sections: &[] }).unwrap();
    let expected: serde_json::Value = json5::from_str(expected).unwrap();
    assert_eq!(config.get(&Path::root()).unwrap().to_json(), expected);
}

#[test]
fn the_full_example_in_snake_case_toml_loads() {
    check(
        r#"
        [gateway]
        bind_address = "0.0.0.0"
        port = 18789
        max_connections = 1000
        [storage]
        backend = "sqlite"
        [agents]
        model = "gpt-4"
        [agents.sandbox]
        mode = "non_main"
        timeout_secs = 300
        [channels.telegram]
        enabled = true
        token = "${TELEGRAM_BOT_TOKEN}"
        [channels.discord]
        enabled = true
        token = "${DISCORD_BOT_TOKEN}"
        "#,
        r#"{
        gateway: {port: 18789, maxConnections: 1000, bind: "lan"},
        store: {backend: "sqlite"},
        agents: {defaults: {model: {primary: "openai/gpt-4"}, sandbox: {mode: "non-main"}}},
        tools: {exec: {timeoutSec: 300}},
        channels: {
            telegram: {enabled: true, botToken: "value of TELEGRAM_BOT_TOKEN"},
            discord: {enabled: true, token: "value of DISCORD_BOT_TOKEN"},
        },
        }"#,
    );
}

#[test]
fn the_lean_example_in_toml_loads() {
    check(
        r#"
        [server]
        host = "0.0.0.0"
        port = 18789
        [server.tls]
        [channels.telegram]
        bot_token = "t"
        allowed_users = ["123"]
        [channels.discord]
        bot_token = "d"
        guild_id = "42"
        [agent]
        provider = "anthropic"
        model = "claude-x"
        api_key = "k"
        max_tokens = 4096
        "#,
        r#"{
        gateway: {port: 18789, tls: {}, bind: "lan"},
        channels: {
            telegram: {botToken: "t", allowFrom: ["123"]},
            discord: {token: "d", guilds: {"42": {}}},
        },
        models: {providers: {anthropic: {apiKey: "k"}}},
        agents: {defaults: {
            models: {"anthropic/claude-x": {params: {maxTokens: 4096}}},
            model: {primary: "anthropic/claude-x"},
        }},
        }"#,
    );
}

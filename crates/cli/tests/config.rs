//! The configuration, read and changed by the real binary.

#[expect(dead_code, reason = "shared by several test binaries")]
mod process;
#[expect(dead_code, reason = "shared by several test binaries")]
mod support;

use support::Rig;

const COMMENTED: &str = r#"// Mine.
{
  gateway: {
    port: 18789, // the usual one
    auth: { token: "canary-7261" },
  },
  /* later */ server: { tls: { enabled: false } },
}
"#;

#[test]
fn a_changed_value_leaves_every_other_byte() {
    let rig = Rig::with_config(
        &COMMENTED.replace("  /* later */ server: { tls: { enabled: false } },\n", ""),
    );
    let before = rig.config_text();
    let ended = rig.run(&["config", "set", "gateway.port", "4000"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (0, ""));
    let note = "set gateway.port in STATE/config.json; a running gateway picks it up by itself\n";
    assert_eq!(ended.stderr, note);
    assert_eq!(rig.config_text(), before.replace("18789", "4000"));
    assert_eq!(rig.prints(&["config", "get", "gateway.port"]), "4000\n");

    assert_eq!(rig.run(&["config", "set", "gateway.bind", "lan"]).code, 0);
    assert_eq!(rig.prints(&["config", "get", "gateway.bind"]), "lan\n");
    assert_eq!(rig.prints(&["config", "get", "gateway.bind", "--json"]), "\"lan\"\n");
    assert_eq!(rig.run(&["config", "unset", "gateway.bind"]).code, 0);
    assert_eq!(rig.run(&["config", "set", "gateway.port", "18789"]).code, 0);
    assert_eq!(rig.config_text(), before);
}

#[test]
fn a_first_value_makes_the_file() {
    use std::os::unix::fs::PermissionsExt;
    let rig = Rig::new();
    assert_eq!(rig.run(&["config", "set", "gateway.auth.token", "${TOKEN}"]).code, 1);
    assert!(!rig.config().exists(), "a variable that is not there is refused");
    let set = &["config", "set", "gateway.auth.token", "${TOKEN}"];
    assert_eq!(rig.run_with(&[("TOKEN", "canary")], set).code, 0);
    assert!(rig.config_text().contains("${TOKEN}"), "SEC-97: the reference is kept");
    // SEC-65
    let mode = std::fs::metadata(rig.config()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn secrets_are_not_shown() {
    // SEC-96
    let rig = Rig::with_config(COMMENTED);
    assert_eq!(rig.prints(&["config", "get", "gateway.auth.token"]), "__OPENCLAW_REDACTED__\n");
    let shown = rig.prints(&["config", "show"]);
    assert!(!shown.contains("canary") && shown.contains("__OPENCLAW_REDACTED__"), "{shown}");
}

#[test]
fn what_stands_for_a_secret_is_not_written_back() {
    // SEC-97
    let rig = Rig::with_config(COMMENTED);
    let ended = rig.run(&["config", "set", "gateway.auth.token", "__OPENCLAW_REDACTED__"]);
    assert_eq!(ended.code, 1);
    assert_eq!(rig.config_text(), COMMENTED);
}

#[test]
fn a_change_that_would_break_the_configuration_is_not_written() {
    let rig = Rig::with_config("{\n  gateway: { port: 1 },\n}\n");
    let before = rig.config_text();
    for (words, told) in [
        (["config", "set", "gateway.prot", "1"], "did you mean `gateway.port`?"),
        (["config", "set", "gateway.port", "many"], "gateway.port"),
        (["config", "set", "gateway.bind", "everywhere"], "gateway.bind"),
    ] {
        let ended = rig.run(&words);
        assert_eq!(ended.code, 1, "{words:?}");
        assert!(ended.stderr.contains("STATE/config.json:"), "{}", ended.stderr);
        assert!(ended.stderr.contains(told), "{}", ended.stderr);
        assert!(ended.stderr.ends_with("hint: nothing was written\n"), "{}", ended.stderr);
        assert_eq!(rig.config_text(), before);
    }
    let left: Vec<_> = std::fs::read_dir(rig.state()).unwrap().collect();
    assert_eq!(left.len(), 1, "{left:?}");
}

#[test]
fn json_wants_json5() {
    let rig = Rig::with_config("{}\n");
    let ended = rig.run(&["config", "set", "--json", "gateway.bind", "lan"]);
    assert_eq!(ended.code, 1);
    assert!(ended.stderr.starts_with("error: the value is not JSON5\n"), "{}", ended.stderr);
    assert_eq!(rig.run(&["config", "set", "--json", "gateway.bind", "'lan'"]).code, 0);
}

#[test]
fn a_value_from_elsewhere_is_changed_where_it_is() {
    let rig = Rig::with_config("{ gateway: { $include: './gateway.json' } }\n");
    std::fs::write(rig.state().join("gateway.json"), "{\n  port: 1,\n}\n").unwrap();
    assert_eq!(rig.prints(&["config", "get", "gateway.port"]), "1\n");
    let ended = rig.run(&["config", "set", "gateway.port", "2"]);
    assert_eq!(ended.code, 1);
    assert!(ended.stderr.contains("gateway.json, line 2"), "{}", ended.stderr);

    let toml = Rig::new();
    std::fs::create_dir_all(toml.state()).unwrap();
    std::fs::write(toml.state().join("config.toml"), "[gateway]\nport = 1\n").unwrap();
    let ended = toml.run(&["config", "set", "gateway.port", "2"]);
    assert_eq!(ended.code, 1);
    assert!(ended.stderr.contains("STATE/config.toml, line 2"), "{}", ended.stderr);
}

#[test]
fn another_word_for_a_key_is_read_as_openclaws() {
    let rig = Rig::with_config("{ server: { port: 7 } }\n");
    assert_eq!(rig.prints(&["config", "get", "gateway.port"]), "7\n");
    assert_eq!(rig.prints(&["config", "get", "server.port"]), "7\n");
}

#[test]
fn what_is_not_there_is_said() {
    let rig = Rig::with_config("{}\n");
    for words in [["config", "get", "gateway.port"], ["config", "unset", "gateway.port"]] {
        let ended = rig.run(&words);
        assert_eq!((ended.code, ended.stderr.as_str()), (1, "error: `gateway.port` is not set\n"));
    }
}

#[test]
fn a_sound_configuration_names_what_has_no_effect_yet() {
    let rig = Rig::with_config("{ discovery: { mdns: { mode: 'off' } } }\n");
    let said = rig.prints(&["config", "validate"]);
    assert_eq!(
        said,
        "STATE/config.json is sound\nSTATE/config.json:1:3: discovery has no effect yet\n"
    );
    let told = rig.json(&["config", "validate", "--json"]);
    assert_eq!((&told["valid"], &told["pending"][0]["path"]), (&true.into(), &"discovery".into()));
}

#[test]
fn the_schema_is_json_schema() {
    let schema = Rig::new().json(&["config", "schema"]);
    assert!(schema["properties"]["gateway"].is_object());
}

#[test]
fn the_file_can_be_named() {
    let rig = Rig::new();
    let named = rig.path().join("other.json");
    std::fs::write(&named, "{ gateway: { port: 9 } }").unwrap();
    let name = named.to_str().unwrap();
    assert_eq!(rig.prints(&["-c", name, "config", "get", "gateway.port"]), "9\n");
    assert_eq!(rig.prints(&["config", "--config", name, "get", "gateway.port"]), "9\n");
    let ended = rig.run_with(&[("OPENCLAW_CONFIG_PATH", name)], &["config", "get", "gateway.port"]);
    assert_eq!(ended.stdout, "9\n");
}

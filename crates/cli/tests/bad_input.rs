//! What is said of words, files and gateways that are not as they should be.

#[expect(dead_code, reason = "shared by several test binaries")]
mod process;
#[expect(dead_code, reason = "shared by several test binaries")]
mod support;

use support::{DEMO, Rig};

#[track_caller]
fn check(rig: &Rig, words: &[&str], stderr: &str) {
    let ended = rig.run(words);
    assert_eq!((ended.code, ended.stdout.as_str()), (1, ""), "{words:?}: {ended:?}");
    assert_eq!(ended.stderr, stderr, "{words:?}");
}

#[test]
fn a_typo_in_the_configuration_is_shown_where_it_stands() {
    let rig = Rig::with_config("{\n  gateway: {\n    prot: 18789,\n  },\n}\n");
    let problem = "error: the configuration has a problem\n  \
        STATE/config.json:3:5: gateway.prot: unknown key (did you mean `gateway.port`?)\n\
        hint: mend the file; `rusty-claw config validate` checks it again\n";
    for words in [
        &["gateway", "run"][..],
        &["config", "validate"],
        &["config", "show"],
        &["health"],
        &["status"],
    ] {
        check(&rig, words, problem);
    }
    let ended = rig.run(&["config", "validate", "--json"]);
    assert_eq!((ended.code, ended.stderr.as_str()), (1, ""));
    let told: serde_json::Value = serde_json::from_str(&ended.stdout).expect("JSON");
    assert_eq!(told["valid"], false);
    assert_eq!((&told["issues"][0]["line"], &told["issues"][0]["column"]), (&3.into(), &5.into()));
}

#[test]
fn a_value_of_the_wrong_type_is_shown_where_it_stands() {
    let rig = Rig::with_config("{ gateway: { port: 'x' } }");
    let ended = rig.run(&["config", "validate"]);
    assert_eq!(ended.code, 1);
    assert!(ended.stderr.contains("STATE/config.json:1:20: gateway.port: "), "{}", ended.stderr);
}

#[test]
fn a_configuration_that_was_named_must_be_there() {
    let rig = Rig::new();
    let ended = rig.run(&["-c", "nowhere.json", "config", "show"]);
    assert_eq!(ended.code, 1);
    assert!(ended.stderr.contains("nowhere.json"), "{}", ended.stderr);
}

#[test]
fn an_unknown_command_names_the_nearest() {
    let rig = Rig::new();
    check(&rig, &["statsu"], "error: unknown command `statsu`\nhint: did you mean `status`?\n");
    check(
        &rig,
        &["xyzzy"],
        "error: unknown command `xyzzy`\nhint: `rusty-claw --help` lists the commands\n",
    );
    let not_yet = "hint: `rusty-claw --help` lists the commands that are\n";
    check(&rig, &["onboard"], &format!("error: `onboard` is not here yet\n{not_yet}"));
    let install = format!("error: `gateway install` is not here yet\n{not_yet}");
    check(&rig, &["gateway", "install"], &install);
}

#[test]
fn an_unknown_option_ends_with_one() {
    let rig = Rig::new();
    for words in [&["--nope"][..], &["gateway", "call"], &["agent"], &["config", "set", "a"]] {
        let ended = rig.run(words);
        assert_eq!((ended.code, ended.stdout.as_str()), (1, ""), "{words:?}");
        assert!(ended.stderr.starts_with("error: "), "{words:?}: {}", ended.stderr);
    }
}

#[test]
fn without_a_gateway_the_error_says_how_to_start_one() {
    // Port 1 of loopback: nobody listens there.
    let rig = Rig::with_config("{ gateway: { port: 1, auth: { token: 'canary' } } }");
    let failure = "Gateway call failed: Error: no gateway at ws://127.0.0.1:1/\n  \
        Connection refused (os error 111)\n\
        Gateway target: ws://127.0.0.1:1\n\
        Source: local loopback\n\
        Config: STATE/config.json\n\
        Bind: loopback\n\
        hint: start the gateway with `rusty-claw gateway run`\n";
    for words in [
        &["health"][..],
        &["status", "--json"],
        &["gateway", "call", "health"],
        &["agent", "-m", "hello"],
        &["dashboard"],
        &["sessions", "reset", "agent:main:main"],
    ] {
        check(&rig, words, failure);
    }
    let ended = rig.run(&["gateway", "status"]);
    assert_eq!((ended.code, ended.stderr.as_str()), (1, failure));
    assert!(ended.stdout.starts_with("gateway  none runs on this state folder\n"));
}

#[test]
fn the_known_secret_goes_to_no_address_from_the_line() {
    // SEC-1, SEC-2
    let rig = Rig::with_config("{ gateway: { auth: { token: 'canary' } } }");
    let refused = "error: gateway url override requires explicit credentials\n\
        hint: pass --token or --password\n";
    for words in [&["health"][..], &["gateway", "call", "health"], &["gateway", "status"]] {
        let words: Vec<_> = words.iter().copied().chain(["--url", "ws://127.0.0.1:1"]).collect();
        check(&rig, &words, refused);
    }
}

#[test]
fn a_secret_is_not_sent_unencrypted_over_the_network() {
    // SEC-71
    let rig = Rig::new();
    let ended = rig.run(&["health", "--url", "ws://192.0.2.1:1", "--token", "canary"]);
    assert_eq!(ended.code, 1);
    let first = "Gateway call failed: Error: refusing to send credentials to `192.0.2.1` without encryption\n";
    assert!(ended.stderr.starts_with(first), "{}", ended.stderr);
    assert!(!ended.stderr.contains("canary"));
}

#[test]
fn parameters_that_are_not_json5_are_refused_before_anything_is_called() {
    let rig = Rig::new();
    let ended = rig.run(&["gateway", "call", "health", "--params", "{a"]);
    assert_eq!(ended.code, 1);
    assert!(ended.stderr.starts_with("error: --params is not JSON5\n  1:3: "), "{}", ended.stderr);
}

#[test]
fn a_profile_is_no_path() {
    // SEC-56
    let rig = Rig::new();
    let refused = "error: `../x` is no name for a profile\n\
        hint: use 1 to 64 letters, digits, `-` and `_`\n";
    check(&rig, &["--profile", "../x", "config", "file"], refused);
    let file = rig.prints(&["--profile", "work", "config", "file"]);
    let expected = rig.path().join(".rusty_claw-work/config.json");
    assert_eq!(file, format!("{}\n", expected.display()));
}

#[test]
fn stopping_where_nothing_runs_is_no_failure() {
    let rig = Rig::with_config(DEMO);
    assert_eq!(rig.prints(&["gateway", "stop"]), "no gateway runs on STATE\n");
    assert_eq!(rig.json(&["gateway", "stop", "--json"])["result"], "not-running");
}

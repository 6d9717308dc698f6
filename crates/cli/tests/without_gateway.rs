//! What works where no gateway runs: the same parts, in the command's own process.

#[expect(dead_code, reason = "shared by several test binaries")]
mod process;
#[expect(dead_code, reason = "shared by several test binaries")]
mod support;

use support::{DEMO, Rig};

#[test]
fn a_turn_runs_in_this_process() {
    let rig = Rig::with_config(DEMO);
    assert!(!rig.prints(&["agent", "--local", "-m", "hello"]).trim().is_empty());
    let answer = rig.json(&["agent", "--local", "-m", "hello", "--json"]);
    assert_eq!(answer["status"], "ok");
    assert!(answer["result"]["payloads"][0]["text"].is_string(), "{answer}");

    assert!(rig.prints(&["sessions"]).starts_with("agent:main:main"));
    let listed = rig.json(&["sessions", "list", "--json", "--limit", "1"]);
    assert_eq!(
        (&listed["count"], &listed["sessions"][0]["key"]),
        (&1.into(), &"agent:main:main".into())
    );
}

#[test]
fn a_turn_in_this_process_uses_tools() {
    let rig = Rig::with_config(DEMO);
    let said = rig.prints(&["agent", "--local", "-m", "run: echo from-a-tool"]);
    assert!(said.contains("from-a-tool"), "{said}");
}

#[test]
fn nobody_waits_in_a_new_store() {
    let rig = Rig::with_config(DEMO);
    assert_eq!(rig.prints(&["pairing", "list"]), "nobody waits to be let in\n");
    assert_eq!(
        rig.json(&["pairing", "list", "telegram", "--json"])["requests"],
        serde_json::json!([])
    );
}

#[test]
fn a_new_state_folder_is_made_where_one_is_needed() {
    for words in [&["sessions"][..], &["pairing", "list"]] {
        let ended = Rig::new().run(words);
        assert_eq!((ended.code, ended.stderr.as_str()), (0, ""), "{words:?}");
    }
}

#[test]
fn a_wrong_code_lets_nobody_in() {
    let rig = Rig::with_config(DEMO);
    for words in [
        &["pairing", "approve", "telegram", "ABCDEFGH"][..],
        &["pairing", "approve", "--channel", "telegram", "ABCDEFGH"],
    ] {
        let ended = rig.run(words);
        assert_eq!((ended.code, ended.stdout.as_str()), (1, ""));
        assert!(ended.stderr.contains("ABCDEFGH"), "{}", ended.stderr);
    }
    let ended = rig.run(&["pairing", "approve", "ABCDEFGH"]);
    assert!(ended.stderr.starts_with("error: the channel is missing\n"), "{}", ended.stderr);
}

#[test]
fn the_doctor_says_what_is_wrong() {
    let rig = Rig::with_config(DEMO);
    let told = rig.run(&["doctor", "--json"]);
    let told: serde_json::Value = serde_json::from_str(&told.stdout).expect("JSON");
    let names: Vec<_> =
        told["checks"].as_array().unwrap().iter().map(|check| &check["name"]).collect();
    assert!(names.contains(&&"configuration".into()), "{names:?}");

    let broken = Rig::with_config("{ gateway: { prot: 1 } }\n");
    let ended = broken.run(&["doctor"]);
    assert_eq!((ended.code, ended.stderr.as_str()), (1, ""));
    assert!(
        ended.stdout.contains("fail  configuration: STATE/config.json:1:14: gateway.prot"),
        "{}",
        ended.stdout
    );
}

//! The log, as the command line checks it and carries it from one installation to another.

#[expect(dead_code, reason = "shared by several test binaries")]
mod process;
#[expect(dead_code, reason = "shared by several test binaries")]
mod support;

use std::fs;

use serde_json::json;
use support::{DEMO, Rig};

#[test]
fn a_log_is_checked_and_carried_to_another_installation() {
    let (here, there) = (Rig::with_config(DEMO), Rig::with_config(DEMO));
    here.prints(&["agent", "--local", "-m", "said here"]);
    there.prints(&["agent", "--local", "-m", "said there", "--session-key", "other"]);
    let report = here.json(&["events", "verify", "--json"]);
    assert_eq!((&report["sessions"], &report["entries"]), (&json!(1), &json!(2)));
    assert_eq!(report["differences"], json!([]));

    let file = here.path().join("log.jsonl");
    let file = file.to_str().unwrap();
    let told = here.prints(&["events", "export", file]);
    assert!(told.ends_with(&format!(" events written to {file}\n")), "{told}");
    let written =
        fs::read_to_string(file).unwrap().replace(here.state().to_str().unwrap(), "STATE");
    assert_eq!(here.prints(&["events", "export", "-"]), written);

    let first = there.json(&["events", "import", file, "--json"]);
    assert_eq!((&first["known"], &first["added"]), (&json!(0), &report["events"]));
    let again = there.json(&["events", "import", file, "--json"]);
    assert_eq!((&again["known"], &again["added"]), (&report["events"], &json!(0)));
    let sessions = there.prints(&["sessions"]);
    assert!(sessions.contains("agent:main:main") && sessions.contains("other"), "{sessions}");
    let told = there.prints(&["events", "verify"]);
    assert!(told.ends_with("everything is as the log makes it\n"), "{told}");
    // The conversation goes on where the other one left it.
    there.prints(&["agent", "--local", "-m", "and on"]);
    let report = there.json(&["events", "verify", "--json"]);
    assert_eq!((&report["entries"], &report["differences"]), (&json!(6), &json!([])));
}

#[test]
fn beside_a_running_gateway_the_log_is_read_and_not_written() {
    let rig = Rig::with_config(DEMO);
    let gateway = rig.gateway(&[]);
    rig.prints(&["agent", "-m", "hello"]);
    let told = rig.prints(&["events", "verify"]);
    assert!(told.contains("1 session, 2 entries"), "{told}");
    let file = rig.path().join("log.jsonl");
    let file = file.to_str().unwrap();
    rig.prints(&["events", "export", file]);
    let refused = rig.run(&["events", "import", file]);
    assert_eq!((refused.code, refused.stdout.as_str()), (1, ""));
    assert!(refused.stderr.contains("another gateway"), "{}", refused.stderr);
    assert!(refused.stderr.contains("hint: stop it with"), "{}", refused.stderr);
    // It goes on as before.
    rig.prints(&["agent", "-m", "hello again"]);
    assert_eq!(gateway.terminate(), Some(0));
    rig.prints(&["events", "import", file]);
}

#[test]
fn what_is_not_in_order_ends_with_1() {
    let rig = Rig::with_config(DEMO);
    let ended = rig.run(&["events", "verify"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (1, ""), "there is no store yet");
    rig.prints(&["agent", "--local", "-m", "hello"]);
    let conn = rusqlite::Connection::open(rig.state().join("claw.sqlite")).unwrap();
    conn.execute("UPDATE usage SET input = 1234567", []).unwrap();
    drop(conn);
    let ended = rig.run(&["events", "verify"]);
    assert_eq!((ended.code, ended.stderr.as_str()), (1, ""));
    assert!(ended.stdout.contains("usage all: the log makes"), "{}", ended.stdout);
    assert!(ended.stdout.ends_with("1 difference\n"), "{}", ended.stdout);
}

#[test]
fn a_file_that_is_no_log_is_refused() {
    let rig = Rig::with_config(DEMO);
    let file = rig.path().join("log.jsonl");
    let path = file.to_str().unwrap();
    let ended = rig.run(&["events", "import", path]);
    assert!(ended.code == 1 && ended.stderr.contains("cannot be read"), "{}", ended.stderr);
    fs::write(&file, "{\"ok\": true}\n").unwrap();
    let ended = rig.run(&["events", "import", path]);
    assert!(ended.stderr.contains("is no log that rusty-claw exported"), "{}", ended.stderr);
    let header = r#"{"format":"rusty-claw-log","version":9,"node":"1","events":0}"#;
    fs::write(&file, header).unwrap();
    let ended = rig.run(&["events", "import", path]);
    assert!(ended.stderr.contains("format version 9"), "{}", ended.stderr);
    let events = rig.json(&["events", "verify", "--json"])["events"].clone();
    assert_eq!(events, json!(0), "nothing was taken in");
}

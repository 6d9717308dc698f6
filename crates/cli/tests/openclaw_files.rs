//! OpenClaw's session files, as the command line reads and writes them and a gateway mirrors them.

#[expect(dead_code, reason = "shared by several test binaries")]
mod process;
#[expect(dead_code, reason = "shared by several test binaries")]
mod support;

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};
use support::{DEMO, Rig};

const SESSION: &str = "3f0c9a52-5d7e-4b11-9a43-8a1f0f6f2a01";

/// A folder as OpenClaw's, with one session whose last line a crash broke.
fn folder(rig: &Rig) -> PathBuf {
    let folder = rig.path().join("openclaw");
    let sessions = folder.join("agents/main/sessions");
    fs::create_dir_all(&sessions).unwrap();
    let list = json!({"agent:main:main": {"sessionId": SESSION, "updatedAt": 1_795_252_700_500_i64,
        "label": "home", "later": true}});
    fs::write(sessions.join("sessions.json"), list.to_string()).unwrap();
    let said = json!({"type": "message", "id": "12198197", "parentId": null,
        "timestamp": "2026-11-21T09:18:10.031Z", "message": {"role": "user",
            "content": [{"type": "text", "text": "from before"}], "timestamp": 1}});
    let header = json!({"type": "session", "version": 3, "id": SESSION,
        "timestamp": "2026-11-21T09:18:10.019Z", "cwd": "/w"});
    fs::write(sessions.join(format!("{SESSION}.jsonl")), format!("{header}\n{said}\n{{\"ty"))
        .unwrap();
    folder
}

/// A transcript's texts; empty where there is no file yet.
fn texts(file: &Path) -> Vec<String> {
    let text = fs::read_to_string(file).unwrap_or_default();
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let text = |line: Value| Some(line["message"]["content"][0]["text"].as_str()?.to_owned());
    lines.filter_map(text).collect()
}

#[test]
fn a_user_of_openclaw_moves_and_moves_back() {
    let rig = Rig::with_config(DEMO);
    let from = folder(&rig);
    let from = from.to_str().unwrap();
    let looked = rig.run(&["import", "openclaw", from, "--dry-run"]);
    assert_eq!(
        (looked.code, looked.stdout.lines().last()),
        (0, Some("1 entry understood, 1 would be added"))
    );
    let warning = format!("warning: agents/main/sessions/{SESSION}.jsonl:3: is no JSON");
    assert!(looked.stderr.starts_with(&warning), "{}", looked.stderr);
    assert_eq!(rig.prints(&["sessions"]), "there are no sessions\n");

    let read = rig.json(&["import", "openclaw", from, "--agent", "main", "--json"]);
    assert_eq!(
        (&read["sessions"], &read["entries"], &read["added"], &read["problems"][0]["line"]),
        (&json!(1), &json!(1), &json!(1), &json!(3))
    );
    assert!(rig.prints(&["sessions"]).starts_with("agent:main:main"));
    rig.prints(&["agent", "--local", "-m", "said here"]);

    let to = rig.path().join("again");
    let written = rig.json(&["export", "openclaw", to.to_str().unwrap(), "--json"]);
    assert_eq!((&written["sessions"], &written["entries"]), (&json!(1), &json!(3)));
    let sessions = to.join("agents/main/sessions");
    let texts = texts(&sessions.join(format!("{SESSION}.jsonl")));
    assert_eq!(texts.len(), 3);
    assert!(texts[0] == "from before" && texts[1].contains("said here"), "{texts:?}");
    let list: Value =
        serde_json::from_slice(&fs::read(sessions.join("sessions.json")).unwrap()).unwrap();
    let record = &list["agent:main:main"];
    assert_eq!((&record["later"], &record["label"]), (&json!(true), &json!("home")));

    let refused = rig.run(&["export", "openclaw", to.to_str().unwrap()]);
    assert_eq!(refused.code, 1);
    assert!(refused.stderr.contains("holds files already"), "{}", refused.stderr);
}

#[test]
fn a_folder_that_is_not_openclaws_is_refused() {
    let rig = Rig::with_config(DEMO);
    let ended = rig.run(&["import", "openclaw", rig.path().to_str().unwrap()]);
    assert_eq!((ended.code, ended.stdout.as_str()), (1, ""));
    assert!(ended.stderr.contains("holds no sessions of OpenClaw"), "{}", ended.stderr);
    assert!(ended.stderr.contains("hint: name OpenClaw's state folder"), "{}", ended.stderr);
}

#[test]
fn files_are_not_read_into_a_store_that_a_gateway_has() {
    let rig = Rig::with_config(DEMO);
    let folder = folder(&rig);
    let gateway = rig.gateway(&[]);
    for words in [["import", "openclaw"], ["export", "openclaw"]] {
        let ended = rig.run(&[words[0], words[1], folder.to_str().unwrap()]);
        let said = format!("another gateway (process {}) runs on this state folder", gateway.pid());
        assert_eq!(ended.code, 1);
        assert!(ended.stderr.contains(&said), "{}", ended.stderr);
        assert!(ended.stderr.contains("rusty-claw gateway stop"), "{}", ended.stderr);
    }
}

#[test]
fn a_gateway_keeps_the_mirror_and_a_killed_one_goes_on_with_it() {
    let rig = Rig::with_config(
        "{ session: { mirror: 'openclaw' }, agents: { defaults: { model: 'demo/demo' } } }\n",
    );
    let gateway = rig.gateway(&[]);
    rig.prints(&["agent", "-m", "one"]);
    gateway.kill();
    let gateway = rig.gateway(&[]);
    rig.prints(&["agent", "-m", "two"]);
    assert_eq!(gateway.terminate(), Some(0));

    let mirror = rig.state().join("agents/main/sessions");
    let list: Value =
        serde_json::from_slice(&fs::read(mirror.join("sessions.json")).unwrap()).unwrap();
    let session = list["agent:main:main"]["sessionId"].as_str().expect("a session");
    let mirrored = texts(&mirror.join(format!("{session}.jsonl")));
    assert_eq!(mirrored.len(), 4, "{mirrored:?}");
    assert!(mirrored[0].contains("one") && mirrored[2].contains("two"), "{mirrored:?}");

    let to = rig.path().join("exported");
    rig.prints(&["export", "openclaw", to.to_str().unwrap()]);
    let exported = to.join("agents/main/sessions").join(format!("{session}.jsonl"));
    let mirrored = mirror.join(format!("{session}.jsonl"));
    assert_eq!(fs::read_to_string(mirrored).unwrap(), fs::read_to_string(exported).unwrap());
}

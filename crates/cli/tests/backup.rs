//! The drill: a state folder is lost while its gateway runs, and comes back from a backup.

#[expect(dead_code, reason = "shared by several test binaries")]
mod process;
mod support;

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};
use support::{DEMO, Rig};

const PASSPHRASE: &str = "RUSTY_CLAW_BACKUP_PASSPHRASE";

struct Drill {
    rig: Rig,
    variables: Vec<(&'static str, &'static str)>,
}

impl Drill {
    fn new(config: &str, passphrase: Option<&'static str>) -> Self {
        let rig = Rig::with_config(config);
        let large: String = (0..100_000).map(|line| format!("line {line}\n")).collect();
        fs::create_dir(rig.state().join("workspace")).unwrap();
        fs::write(rig.state().join("workspace/large"), large).unwrap();
        Self { rig, variables: passphrase.map(|text| (PASSPHRASE, text)).into_iter().collect() }
    }

    fn place(&self) -> PathBuf {
        self.rig.path().join("backup")
    }

    /// `backup WORD PATH --json`, whose standard output is JSON and nothing else.
    #[track_caller]
    fn backup(&self, word: &str) -> Value {
        let place = self.place();
        let words = ["backup", word, place.to_str().unwrap(), "--json"];
        let ended = self.rig.run_with(&self.variables, &words);
        assert_eq!((ended.code, ended.stderr.as_str()), (0, ""), "{words:?}: {ended:?}");
        serde_json::from_str(&ended.stdout).expect("JSON")
    }

    fn say(&self, text: &str) {
        assert!(!self.rig.prints(&["agent", "-m", text]).trim().is_empty());
    }

    /// What was said to the agent, as the running gateway knows it.
    fn said(&self) -> Vec<String> {
        let params = "{sessionKey: 'main'}";
        let history = self.rig.json(&["gateway", "call", "chat.history", "--params", params]);
        let messages = history["messages"].as_array().expect("messages").iter();
        let texts = messages.filter(|message| message["role"] == "user").map(Value::to_string);
        texts.collect()
    }
}

/// Whether any file below the folder holds this text.
fn holds(folder: &Path, text: &str) -> bool {
    fs::read_dir(folder).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() {
            return holds(&path, text);
        }
        let bytes = fs::read(path).unwrap();
        bytes.windows(text.len()).any(|part| part == text.as_bytes())
    })
}

/// Says, backs up, says more, backs up, loses everything, restores, does what is left to the owner,
/// and looks.
fn check(drill: &Drill, secrets: &[&str], encrypted: bool, owner: impl FnOnce()) {
    let gateway = drill.rig.gateway(&[]);
    drill.say("first words");
    let first = drill.backup("create");
    assert_eq!((&first["encrypted"], &first["newChunks"]), (&encrypted.into(), &first["chunks"]));
    drill.say("second words");
    let second = drill.backup("create");
    let [chunks, new] = ["chunks", "newChunks"].map(|key| second[key].as_u64().unwrap());
    assert!(chunks > 20 && (1..=8).contains(&new), "{new} of {chunks} are new");
    drill.say("words that no backup has");
    let verified = drill.backup("verify");
    assert_eq!(verified["ok"], true, "{verified}");
    assert_eq!(verified["snapshots"], json!([first["snapshot"], second["snapshot"]]));

    // SEC-96: nothing that opens anything is in the backup.
    let state = drill.rig.state();
    let made = ["gateway-token", "device-secret"].map(|name| fs::read_to_string(state.join(name)));
    let made: Vec<_> = made.iter().flatten().map(|text| text.trim()).collect();
    assert!(!made.is_empty());
    let absent: Vec<_> = made.iter().chain(secrets).map(|text| (*text).to_owned()).collect();
    for secret in &absent {
        assert!(!holds(&drill.place(), secret), "{secret}");
    }

    gateway.kill();
    let before = fs::read_to_string(state.join("device-secret")).unwrap();
    fs::remove_dir_all(&state).unwrap();
    let restored = drill.backup("restore");
    assert_eq!(restored["snapshot"], second["snapshot"]);
    assert_eq!(restored["leftOut"].as_array().unwrap().is_empty(), encrypted, "{restored}");
    assert_eq!(fs::read_to_string(state.join("device-secret")).ok(), encrypted.then_some(before));

    if !encrypted {
        // In the backup it might be packed.
        absent.iter().for_each(|secret| assert!(!holds(&state, secret), "{secret}"));
    }
    owner();
    let _gateway = drill.rig.gateway(&[]);
    let said = drill.said();
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said[0].contains("first words") && said[1].contains("second words"), "{said:?}");
    drill.say("and on");
    assert_eq!(drill.said().len(), 3);
    let kind = if encrypted { "encrypted" } else { "in the clear" };
    println!(
        "figure: {kind}: messages restored = 2 of 2, {new} of {chunks} pieces new in the second backup"
    );
}

#[test]
fn what_was_said_comes_back_from_an_encrypted_backup() {
    let drill = Drill::new(DEMO, Some("correct horse battery staple"));
    check(&drill, &["AGENTS.md", "claw.sqlite"], true, || {});
}

#[test]
fn what_was_said_comes_back_from_a_backup_in_the_clear_and_no_secret_does() {
    let config = "{ agents: { defaults: { model: { primary: 'demo/demo' } } },\n\
                  gateway: { auth: { mode: 'token', token: 'canary-of-a-token' } } }\n";
    let drill = Drill::new(config, None);
    check(&drill, &["canary-of-a-token"], false, || {
        let text = drill.rig.config_text();
        assert_eq!(text, config.replace("'canary-of-a-token'", "\"\""));
        let set = drill.rig.run(&["config", "set", "gateway.auth.token", "new-token"]);
        assert_eq!(set.code, 0, "{set:?}");
    });
}

#[test]
fn a_restore_stands_back_for_a_gateway_and_for_what_is_there() {
    let drill = Drill::new(DEMO, None);
    let gateway = drill.rig.gateway(&[]);
    drill.backup("create");
    let place = drill.place().display().to_string();
    let refused = drill.rig.run(&["backup", "restore", &place]);
    let running = format!("error: a gateway (process {}) runs on STATE\n", gateway.pid());
    assert_eq!((refused.code, refused.stdout.as_str()), (1, ""));
    assert!(refused.stderr.starts_with(&running), "{}", refused.stderr);
    assert_eq!(gateway.terminate(), Some(0));
    let refused = drill.rig.run(&["backup", "restore", &place]);
    let full = "error: STATE is not empty, and a restore replaces nothing\n";
    assert!(refused.code == 1 && refused.stderr.starts_with(full), "{}", refused.stderr);
}

#[test]
fn a_passphrase_comes_from_a_file_and_a_wrong_one_is_told() {
    let drill = Drill::new(DEMO, None);
    let (place, file) = (drill.place(), drill.rig.path().join("passphrase"));
    let (place, file) = (place.to_str().unwrap(), file.to_str().unwrap());
    fs::write(file, "correct horse\n").unwrap();
    let create = ["backup", "create", place, "--passphrase-file", file];
    let created = drill.rig.run(&create);
    assert_eq!((created.code, created.stderr.as_str()), (0, ""), "{created:?}");
    assert!(created.stdout.starts_with("snapshot 2"), "{}", created.stdout);
    let listed = drill.rig.run_with(&[(PASSPHRASE, "correct horse")], &["backup", "list", place]);
    assert_eq!((listed.code, listed.stdout.lines().count()), (0, 1), "{listed:?}");

    let verify = ["backup", "verify", place];
    let wrong = drill.rig.run_with(&[(PASSPHRASE, "correct hors")], &verify);
    let expected = "error: the backup cannot be unlocked\n  the passphrase is wrong\nhint: ";
    assert!(wrong.code == 1 && wrong.stderr.starts_with(expected), "{}", wrong.stderr);
    let without = drill.rig.run(&verify);
    let expected = "error: the backup is encrypted, and no passphrase was given\n";
    assert!(without.code == 1 && without.stderr.starts_with(expected), "{}", without.stderr);
    fs::write(file, "\n").unwrap();
    let empty = drill.rig.run(&create);
    assert!(
        empty.code == 1 && empty.stderr.contains("its first line is empty"),
        "{}",
        empty.stderr
    );
}

#[test]
fn damage_is_told_and_the_exit_code_says_it() {
    let drill = Drill::new(DEMO, None);
    drill.backup("create");
    let chunks = drill.place().join("chunks");
    let folder = fs::read_dir(chunks).unwrap().next().unwrap().unwrap().path();
    fs::remove_dir_all(folder).unwrap();
    let place = drill.place().display().to_string();
    let ended = drill.rig.run(&["backup", "verify", &place]);
    assert_eq!((ended.code, ended.stderr.as_str()), (1, ""));
    assert!(ended.stdout.contains("missing or damaged"), "{}", ended.stdout);
    assert!(ended.stdout.contains("this backup is damaged: 1 snapshot, "), "{}", ended.stdout);
}

#[test]
fn a_variable_that_only_the_gateway_has_does_not_stop_a_backup() {
    let config = "{ agents: { defaults: { model: { primary: 'demo/demo' } } },\n\
                  channels: { telegram: { botToken: '${BOT_TOKEN}' } } }\n";
    let drill = Drill::new(config, None);
    assert_eq!(drill.backup("create")["leftOut"], json!([]));
    fs::remove_dir_all(drill.rig.state()).unwrap();
    drill.backup("restore");
    assert_eq!(drill.rig.config_text(), config);
}

#[test]
fn a_broken_configuration_does_not_stop_a_backup() {
    let drill = Drill::new("{ gateway: { prot: 1 } }\n", Some("correct horse"));
    let place = drill.place().display().to_string();
    let ended = drill.rig.run_with(&drill.variables, &["backup", "create", &place]);
    assert!(ended.code == 0 && ended.stderr.contains("gateway.prot"), "{ended:?}");
    fs::remove_dir_all(drill.rig.state()).unwrap();
    drill.backup("restore");
    assert_eq!(drill.rig.config_text(), "{ gateway: { prot: 1 } }\n");
}

#[test]
fn where_there_is_nothing_to_back_up_it_says_so_and_makes_nothing() {
    let rig = Rig::new();
    let place = rig.path().join("backup");
    let ended = rig.run(&["backup", "create", place.to_str().unwrap()]);
    assert!(
        ended.code == 1 && ended.stderr.starts_with("error: there is no state folder at STATE"),
        "{ended:?}"
    );
    assert!(!place.exists());
}

//! A store is moved to a server and back, and a server's store is backed up.

#[expect(dead_code, reason = "shared by several test binaries")]
mod process;
mod support;

use std::fs;

use claw_testkit::PgServer;
use serde_json::{Value, json};
use support::{DEMO, Rig};

/// A password that the server does not ask for, and that nothing may show.
const CANARY: &str = "canary-of-a-password";

fn url(server: &PgServer, database: &str) -> String {
    server.url(database).replace("claw@", &format!("claw:{CANARY}@"))
}

fn use_store(rig: &Rig, url: &str) {
    let agents = "agents: { defaults: { model: { primary: 'demo/demo' } } }";
    fs::write(rig.config(), format!("{{ {agents}, store: {{ url: '{url}' }} }}\n")).unwrap();
}

/// Migrates; what it printed, and what it said beside.
#[track_caller]
fn migrate(rig: &Rig, to: &str) -> (Value, String) {
    let ended = rig.run(&["store", "migrate", "--to", to, "--json"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(!ended.stdout.contains(CANARY) && !ended.stderr.contains(CANARY), "{ended:?}");
    (serde_json::from_str(&ended.stdout).expect("JSON"), ended.stderr)
}

fn rows<'a>(migrated: &'a Value, key: &str) -> Vec<(&'a str, &'a Value)> {
    let tables = migrated["tables"].as_array().expect("tables").iter();
    tables.map(|table| (table["table"].as_str().expect("a name"), &table[key])).collect()
}

fn entries(rig: &Rig) -> Value {
    let report = rig.json(&["events", "verify", "--json"]);
    assert_eq!(report["differences"], json!([]));
    report["entries"].clone()
}

/// Runs blocking calls where the server's task can go on.
async fn off_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.expect("no assertion fails")
}

#[tokio::test]
async fn a_store_is_moved_to_a_server_and_back() {
    let Some(server) = PgServer::start().await else { return };
    let there = url(&server, "postgres");
    off_thread(move || {
        let rig = Rig::with_config(DEMO);
        rig.prints(&["agent", "--local", "-m", "said here"]);
        let (moved, said) = migrate(&rig, &there);
        let config =
            "set `store.url` in STATE/config.json to the address that you gave with --to\n";
        assert!(said.ends_with(config), "{said}");
        assert_eq!(rig.config_text(), DEMO, "the configuration is left alone");
        // Once more: all of it is known, and the same.
        let (again, _) = migrate(&rig, &there);
        assert_eq!(rows(&again, "sha256"), rows(&moved, "sha256"));
        let copied = rows(&again, "copied");
        let anew = copied.iter().filter(|(table, _)| !["usage", "snapshot"].contains(table));
        assert!(anew.clone().all(|(_, copied)| **copied == json!(0)), "{copied:?}");

        use_store(&rig, &there);
        assert_eq!(entries(&rig), json!(2));
        rig.prints(&["agent", "--local", "-m", "said there"]);
        let same = rig.run(&["store", "migrate", "--to", &there]);
        assert!(same.code == 1 && same.stderr.contains("already"), "{same:?}");
        // What was left here is no beginning of what is there any more.
        let here = format!("sqlite://{}", rig.state().join("claw.sqlite").display());
        let refused = rig.run(&["store", "migrate", "--to", &here]);
        assert!(refused.code == 1 && refused.stderr.contains("is not empty"), "{refused:?}");
        let back = format!("sqlite://{}", rig.state().join("back.sqlite").display());
        let (_, said) = migrate(&rig, &back);
        assert!(said.ends_with("to \"sqlite://STATE/back.sqlite\"\n"), "{said}");
        use_store(&rig, &back);
        assert_eq!(entries(&rig), json!(4));
        rig.prints(&["agent", "--local", "-m", "and on"]);
        assert_eq!(entries(&rig), json!(6));
    })
    .await;
}

#[tokio::test]
async fn a_store_that_a_gateway_is_at_work_on_is_not_moved() {
    let Some(server) = PgServer::start().await else { return };
    let there = url(&server, "postgres");
    off_thread(move || {
        let (rig, other) = (Rig::with_config(DEMO), Rig::with_config(DEMO));
        let gateway = rig.gateway(&[]);
        let refused = rig.run(&["store", "migrate", "--to", &there]);
        assert!(refused.stderr.contains("another gateway (process "), "{refused:?}");
        assert_eq!(gateway.terminate(), Some(0));
        // One that runs elsewhere has a lease on the server.
        use_store(&rig, &there);
        use_store(&other, &there);
        let gateway = other.gateway(&[]);
        let back = format!("sqlite://{}", rig.state().join("back.sqlite").display());
        let refused = rig.run(&["store", "migrate", "--to", &back]);
        assert!(refused.stderr.contains("is at work on postgres://127.0.0.1"), "{refused:?}");
        assert!(refused.stderr.contains("member:"), "{refused:?}");
        assert_eq!(gateway.terminate(), Some(0));
        migrate(&rig, &back);
    })
    .await;
}

#[tokio::test]
async fn a_store_on_a_server_is_backed_up_and_comes_back_as_a_file() {
    let Some(server) = PgServer::start().await else { return };
    let there = url(&server, "postgres");
    off_thread(move || {
        let rig = Rig::with_config(DEMO);
        use_store(&rig, &there);
        let gateway = rig.gateway(&[]);
        rig.prints(&["agent", "-m", "hello"]);
        let place = rig.path().join("backup");
        let place = place.to_str().unwrap();
        let made = rig.run(&["backup", "create", place, "--json"]);
        assert_eq!((made.code, made.stderr.as_str()), (0, ""), "{made:?}");
        let left = |name: &str| name.starts_with(".backup-copy") && !name.ends_with(".lock");
        let names = fs::read_dir(rig.state()).unwrap().map(|entry| entry.unwrap().file_name());
        let copies: Vec<_> = names.filter(|name| left(name.to_str().unwrap())).collect();
        assert!(copies.is_empty(), "{copies:?}");
        assert_eq!(rig.json(&["backup", "verify", place, "--json"])["ok"], json!(true));
        let sealed = rig.path().join("sealed");
        let sealed = ["create", "restore"].map(|word| ["backup", word, sealed.to_str().unwrap()]);
        let passphrase = [("RUSTY_CLAW_BACKUP_PASSPHRASE", "correct horse")];
        let made = rig.run_with(&passphrase, &sealed[0]);
        assert_eq!(made.code, 0, "{made:?}");
        gateway.kill();
        fs::remove_dir_all(rig.state()).unwrap();
        let restored = rig.run(&["backup", "restore", place]);
        assert_eq!(restored.code, 0, "{restored:?}");
        // The address is a secret, so this backup in the clear left it out.
        assert_eq!(entries(&rig), json!(2));
        fs::remove_dir_all(rig.state()).unwrap();
        let restored = rig.run_with(&passphrase, &sealed[1]);
        assert_eq!(restored.code, 0, "{restored:?}");
        assert!(rig.config_text().contains(&there));
        assert_eq!(rig.run(&["config", "unset", "store.url"]).code, 0);
        rig.prints(&["agent", "--local", "-m", "in the file"]);
        assert_eq!(entries(&rig), json!(4));
    })
    .await;
}

#[test]
fn a_password_in_an_address_may_come_from_the_environment() {
    let rig = Rig::with_config(DEMO);
    rig.prints(&["agent", "--local", "-m", "said here"]);
    let place = rig.path().join("copy.sqlite").display().to_string();
    let to = ["store", "migrate", "--to", "sqlite://${COPY}"];
    assert_eq!(rig.run_with(&[("COPY", &place)], &to).code, 0);
    assert!(std::path::Path::new(&place).exists());
    let refused = rig.run(&to);
    assert!(refused.stderr.contains("the variable `COPY` is not set"), "{refused:?}");
}

#[test]
fn an_address_that_is_none_is_refused_and_not_repeated() {
    // SEC-96
    let rig = Rig::with_config(DEMO);
    for wrong in ["mysql://me:canary-of-a-password@db/claw", "canary-of-a-password", "sqlite://x"] {
        let refused = rig.run(&["store", "migrate", "--to", wrong]);
        assert_eq!((refused.code, refused.stdout.as_str()), (1, ""), "{refused:?}");
        assert!(refused.stderr.starts_with("error: --to: "), "{refused:?}");
        assert!(!refused.stderr.contains(CANARY), "{refused:?}");
    }
    let nowhere = rig.run(&["store", "migrate", "--to", "memory:"]);
    assert!(nowhere.stderr.contains("a store in memory keeps nothing"), "{nowhere:?}");
}

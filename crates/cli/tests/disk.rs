//! Real faults below a running gateway: a disk that is full or read-only, a file that is damaged.

#[expect(dead_code, reason = "shared by several test binaries")]
mod process;

use std::{
    fs::OpenOptions,
    io::{Seek, SeekFrom, Write},
    path::Path,
    process::Output,
};

use claw_testkit::{
    SmallDisk,
    script::{Gate, Reply},
};
use process::{Gateway, command, configure, world::World};

/// Room for a gateway that has little to do.
const DISK_BYTES: u64 = 3 << 20;

/// What a client may send again without it being answered twice.
const SEND: [&str; 5] = [
    "gateway",
    "call",
    "chat.send",
    "--params",
    r#"{"sessionKey": "main", "message": "hi", "idempotencyKey": "k-1"}"#,
];

fn run(home: &Path, words: &[&str]) -> (bool, String) {
    let Output { status, stdout, stderr } = command(home).args(words).output().unwrap();
    let text = [stdout, stderr].concat();
    (status.success(), String::from_utf8_lossy(&text).into_owned())
}

/// A start that is to fail; what it said.
fn refused_start(home: &Path) -> String {
    let (started, said) = run(home, &["gateway", "run", "--port", "0"]);
    assert!(!started, "{said}");
    said
}

fn expect_not_ready(gateway: &Gateway, reason: &str) {
    let (status, ready) = gateway.get("/ready");
    assert_eq!((status, &ready["store"]), (503, &"down".into()), "{ready}");
    let said = format!("no new work is taken, because of the store: {reason}");
    assert_eq!(ready["reason"], said);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_new_work_and_everything_is_answered_once_there_is_room() {
    let Some(disk) = SmallDisk::new(DISK_BYTES) else { return };
    let world = World::new(disk.path()).await;
    let gateway = world.start();
    world.says("first");
    assert_eq!(world.shown(1).await, ["echo: first"]);
    // The client's own identity is made with its first call, on the same disk.
    let (well, health) = run(disk.path(), &["health"]);
    assert!(well && health.starts_with("gateway  well"), "{health}");
    let gate = Gate::new();
    world.model.answer(Reply::text("second").held_by(&gate));
    world.says("held");
    world.model.wait_for_requests(2).await;

    disk.fill();
    gate.open();
    gateway.prints("the store did not keep a step of a turn");
    world.says("third");
    let line = gateway.prints("the updates could not be kept");
    assert!(line.contains("is full"), "{line}");
    assert_eq!(world.telegram.updates_pending(), 1, "the platform keeps it");
    expect_not_ready(&gateway, "the disk is full");
    let (taken, said) = run(disk.path(), &SEND);
    assert!(
        !taken && said.contains("the disk that holds ") && said.contains("make room"),
        "{said}"
    );
    let (_, health) = run(disk.path(), &["health"]);
    assert!(health.starts_with("gateway  takes no new work: the disk that holds "), "{health}");
    let (_, status) = run(disk.path(), &["status"]);
    assert!(status.contains("takes no new work: the disk that holds "), "{status}");
    assert_eq!(world.telegram.sent().len(), 1, "what is not on disk is not sent");

    disk.free();
    assert_eq!(world.shown(3).await, ["echo: first", "second", "echo: third"]);
    let (taken, said) = run(disk.path(), &SEND);
    assert!(taken, "{said}");
    world.says("fourth");
    assert_eq!(world.shown(4).await[3], "echo: fourth");
    assert_eq!(gateway.get("/ready").0, 200);
    while !run(disk.path(), &["health"]).1.starts_with("gateway  well") {
        assert_eq!(gateway.get("/ready").0, 200, "it is well, and says so within a second");
    }
    assert_eq!(gateway.terminate(), Some(0));
    assert_eq!(world.telegram.sent().len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_on_a_full_disk_it_goes_on_from_what_was_kept() {
    let Some(disk) = SmallDisk::new(DISK_BYTES) else { return };
    let world = World::new(disk.path()).await;
    let gate = Gate::new();
    world.model.answer(Reply::text("not kept").held_by(&gate));
    let gateway = world.start();
    world.says("held");
    world.model.wait_for_requests(1).await;
    disk.fill();
    gate.open();
    gateway.prints("the store did not keep a step of a turn");
    gateway.kill();
    let said = refused_start(disk.path());
    assert!(said.contains("hint: make"), "{said}");

    disk.free();
    let gateway = world.start();
    assert_eq!(world.shown(1).await, ["echo: held"]);
    assert_eq!(gateway.terminate(), Some(0));
    assert_eq!(world.telegram.sent().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_folder_that_cannot_be_written_is_refused_at_the_start() {
    let Some(disk) = SmallDisk::new(DISK_BYTES) else { return };
    let world = World::new(disk.path()).await;
    assert_eq!(world.start().terminate(), Some(0));
    disk.set_read_only(true);
    let said = refused_start(disk.path());
    assert!(
        said.contains("Read-only file system") && said.contains("hint: make it writable"),
        "{said}"
    );
    disk.set_read_only(false);
    assert_eq!(world.start().terminate(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_damaged_ends_the_start_and_names_the_way_back() {
    let home = tempfile::tempdir().unwrap();
    let world = World::new(home.path()).await;
    let gateway = world.start();
    world.says("first");
    world.shown(1).await;
    assert_eq!(gateway.terminate(), Some(0));
    damage(&world.store());
    let said = refused_start(home.path());
    assert!(said.starts_with("error: the store cannot be opened\n"), "{said}");
    assert!(said.contains("the store holds a broken database file"), "{said}");
    assert!(said.contains("`rusty-claw backup restore PATH`"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_that_shows_at_run_time_refuses_new_work_and_names_the_way_back() {
    let home = tempfile::tempdir().unwrap();
    let world = World::new(home.path()).await;
    let gateway = world.start();
    world.says("first");
    world.shown(1).await;
    assert_eq!(gateway.terminate(), Some(0));
    let gateway = world.start();
    damage(&world.store());
    // Whoever reads first finds it: here the gateway, when it looks who the client is.
    for words in [&SEND[..], &["health"]] {
        let (taken, said) = run(home.path(), words);
        assert!(!taken && said.contains("the store holds a broken database file"), "{said}");
        assert!(said.contains("`rusty-claw backup restore PATH`"), "{said}");
    }
    expect_not_ready(&gateway, "it is damaged");
    world.says("second");
    gateway.prints("the updates could not be kept");
    assert_eq!(world.telegram.updates_pending(), 1, "the platform keeps it");
    assert_eq!(gateway.terminate(), Some(0));
    assert_eq!(world.telegram.sent().len(), 1);
}

#[test]
fn a_store_of_a_newer_program_says_which_one_to_use() {
    let home = tempfile::tempdir().unwrap();
    configure(home.path(), "{ agents: { defaults: { model: 'demo/demo' } } }");
    assert_eq!(Gateway::start(home.path()).terminate(), Some(0));
    // The schema's version stands in the file's header, big-endian, from byte 60 on.
    overwrite(&home.path().join("state/claw.sqlite"), 60, &99_u32.to_be_bytes());
    let said = refused_start(home.path());
    assert!(said.contains("has schema 99, given by rusty-claw "), "{said}");
    assert!(said.contains(&format!("hint: use rusty-claw {} or newer", env!("CARGO_PKG_VERSION"))));
}

/// Overwrites all pages but the first, which holds the schema.
fn damage(store: &Path) {
    const PAGE: u64 = 4096;
    let bytes = store.metadata().unwrap().len() - PAGE;
    overwrite(store, PAGE, &vec![0xff; bytes as usize]);
}

fn overwrite(path: &Path, at: u64, bytes: &[u8]) {
    let mut file = OpenOptions::new().write(true).open(path).unwrap();
    file.seek(SeekFrom::Start(at)).unwrap();
    file.write_all(bytes).unwrap();
}

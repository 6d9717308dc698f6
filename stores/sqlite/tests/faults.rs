//! Real faults: a disk that is full or read-only, a file that another process holds, pages that are
//! damaged. Nothing that was acknowledged is lost, and what can pass is over when its cause is.

mod support;

use std::{
    fs::{self, OpenOptions},
    io::{Read, Seek, SeekFrom, Write},
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
};

use claw_domain::{EventBody, Seq, TraceId, UserMessage};
use claw_store::{Change, Error, Fence, NewEvent, Store};
use claw_store_sqlite::Sqlite;
use claw_testkit::SmallDisk;
use support::{change, fill, hold};
use tempfile::TempDir;

/// Names the store to the process that is to hold it.
const HELD_STORE: &str = "CLAW_TEST_HELD_STORE";

/// Room for a store and a few hundred commits.
const DISK_BYTES: u64 = 2 << 20;

/// A SQLite page.
const PAGE: usize = 4096;

#[tokio::test]
async fn a_full_disk_loses_nothing_and_is_forgotten_when_there_is_room() {
    let Some(disk) = SmallDisk::new(DISK_BYTES) else { return };
    let path = disk.path().join("claw.sqlite");
    let store = Sqlite::open(&path).await.unwrap();
    let fence = hold(&store).await;
    commit(&store, &fence, 1).await.unwrap();
    disk.fill();
    let full = commit(&store, &fence, 2).await.unwrap_err();
    assert!(matches!(full, Error::Full { .. }), "{full:?}");
    assert!(full.may_pass() && full.hint().is_some());
    let full = store.writable().await.unwrap_err();
    assert!(matches!(full, Error::Full { .. }), "{full:?}");
    assert_eq!(store.totals().await.unwrap().events, 1, "reading goes on");

    disk.free();
    commit(&store, &fence, 2).await.unwrap();
    store.writable().await.unwrap();
    store.close().await.unwrap();
    let store = Sqlite::open(&path).await.unwrap();
    assert_eq!(store.totals().await.unwrap().events, 2);
}

#[tokio::test]
async fn what_was_acknowledged_until_the_disk_was_full_is_there_after_a_restart() {
    let Some(disk) = SmallDisk::new(DISK_BYTES) else { return };
    let path = disk.path().join("claw.sqlite");
    let store = Sqlite::open(&path).await.unwrap();
    let fence = hold(&store).await;
    let mut acknowledged = 0;
    while commit(&store, &fence, acknowledged + 1).await.is_ok() {
        acknowledged += 1;
    }
    assert!(acknowledged > 10, "{acknowledged} commits before it was full");
    // No close: as a process that dies leaves it.
    drop(store);
    let store = Sqlite::open(&path).await.unwrap();
    assert_eq!(store.totals().await.unwrap().events, acknowledged);
}

#[tokio::test]
async fn a_store_on_a_read_only_file_system_is_refused() {
    let Some(disk) = SmallDisk::new(DISK_BYTES) else { return };
    let path = disk.path().join("claw.sqlite");
    Sqlite::open(&path).await.unwrap().close().await.unwrap();
    disk.set_read_only(true);
    let refused = refusal(&path).await;
    assert!(matches!(refused, Error::ReadOnly { .. }), "{refused:?}");
    disk.set_read_only(false);
    Sqlite::open(&path).await.unwrap();
}

#[tokio::test]
async fn an_upgrade_without_room_for_the_copy_changes_nothing() {
    let old = include_bytes!("fixtures/v1.sqlite");
    // The old store fits, and a part of a second one.
    let Some(disk) = SmallDisk::new(old.len() as u64 * 2) else { return };
    let path = disk.path().join("claw.sqlite");
    fs::write(&path, old).unwrap();
    let refused = refusal(&path).await;
    assert!(matches!(refused, Error::NoRoom { .. }), "{refused:?}");
    let text = refused.to_string();
    assert!(text.contains("needs an upgrade, which takes 204 KiB of free disk space"), "{text}");
    assert_eq!(fs::read(&path).unwrap().len(), old.len());
    let files = fs::read_dir(disk.path()).unwrap().count();
    assert_eq!(files, 1, "nothing is left beside it");

    let roomy = TempDir::new().unwrap();
    fs::copy(&path, roomy.path().join("claw.sqlite")).unwrap();
    Sqlite::open(roomy.path().join("claw.sqlite")).await.unwrap();
    assert!(roomy.path().join("claw.sqlite.v1.bak").exists());
}

#[tokio::test]
async fn a_commit_waits_for_another_process_that_holds_the_file_and_then_goes_on() {
    if let Some(path) = std::env::var_os(HELD_STORE) {
        return hold_until_told(Path::new(&path));
    }
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("claw.sqlite");
    let store = Arc::new(Sqlite::open(&path).await.unwrap());
    let fence = hold(&*store).await;
    let holder = Holder::start(&path);
    let waiting = tokio::spawn({
        let store = Arc::clone(&store);
        async move { commit(&store, &fence, 1).await }
    });
    // Questions are answered meanwhile, and the commit is not there before the file is let go.
    for _ in 0..20 {
        assert_eq!(store.totals().await.unwrap().events, 0);
    }
    assert!(!waiting.is_finished());
    holder.let_go();
    waiting.await.unwrap().unwrap();
    assert_eq!(store.totals().await.unwrap().events, 1);
}

#[tokio::test]
async fn a_damaged_page_met_at_run_time_stops_all_writing_and_says_the_way_back() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("claw.sqlite");
    let store = Sqlite::open(&path).await.unwrap();
    fill(&store).await;
    store.close().await.unwrap();
    let store = Sqlite::open(&path).await.unwrap();
    let fence = hold(&store).await;
    store.writable().await.unwrap();
    damage(&path);

    let found = store.events(Seq(0), 1000).await.unwrap_err();
    assert!(matches!(found, Error::Corrupt { .. }), "{found:?}");
    let refused = commit(&store, &fence, 1).await.unwrap_err();
    assert!(matches!(refused, Error::Corrupt { .. }), "{refused:?}");
    assert!(refused.hint().unwrap().contains("rusty-claw backup restore"));
    assert!(matches!(store.writable().await, Err(Error::Corrupt { .. })));
}

#[tokio::test]
async fn a_store_that_is_damaged_at_the_start_is_refused_wherever_the_damage_is() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("claw.sqlite");
    let store = Sqlite::open(&path).await.unwrap();
    fill(&store).await;
    store.close().await.unwrap();
    let whole = fs::read(&path).unwrap();
    for page in 1..whole.len() / PAGE {
        let mut bytes = whole.clone();
        bytes[page * PAGE..][..PAGE].fill(0xff);
        fs::write(&path, bytes).unwrap();
        let refused = refusal(&path).await;
        assert!(matches!(refused, Error::Corrupt { .. }), "page {page}: {refused:?}");
    }
}

/// Commits one event of about a page.
async fn commit(store: &Sqlite, fence: &Fence, number: u64) -> Result<(), Error> {
    let Change::Log(mut event) = change(number, 2, 0, 0) else { unreachable!("an entry") };
    let EventBody::EntryAdded(entry) = &mut event.body else { unreachable!("kind 2 is an entry") };
    entry.id = claw_domain::EntryId(uuid::Uuid::from_u128(number.into()));
    entry.parent = None;
    entry.body = claw_domain::EntryBody::User(UserMessage::text("x".repeat(PAGE)));
    event.header.id = claw_domain::EventId::new(number, 0, support::NODE);
    event.header.trace = TraceId(uuid::Uuid::nil());
    let event = NewEvent { header: event.header, body: event.body };
    store.commit(fence, vec![Change::Log(event)]).await.map(drop)
}

/// Overwrites all pages but the first, which holds the schema.
fn damage(path: &Path) {
    let mut file = OpenOptions::new().write(true).open(path).unwrap();
    let bytes = usize::try_from(file.metadata().unwrap().len()).unwrap();
    file.seek(SeekFrom::Start(PAGE as u64)).unwrap();
    file.write_all(&vec![0xff; bytes - PAGE]).unwrap();
}

async fn refusal(path: &Path) -> Error {
    match Sqlite::open(path).await {
        Ok(_) => panic!("{} was opened", path.display()),
        Err(error) => error,
    }
}

/// Another process that holds the file.
struct Holder(Child);

impl Holder {
    fn start(path: &Path) -> Self {
        let test = "a_commit_waits_for_another_process_that_holds_the_file_and_then_goes_on";
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture"])
            .env(HELD_STORE, path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = Vec::new();
        let mut byte = [0];
        let stdout = child.stdout.as_mut().unwrap();
        while !said.ends_with(b"held\n") {
            assert_eq!(stdout.read(&mut byte).unwrap(), 1, "{}", String::from_utf8_lossy(&said));
            said.push(byte[0]);
        }
        Self(child)
    }

    fn let_go(mut self) {
        drop(self.0.stdin.take());
        self.0.wait().unwrap();
    }
}

/// What the other process does: holds the file until its input ends.
fn hold_until_told(path: &Path) {
    let conn = rusqlite::Connection::open(path).unwrap();
    conn.execute_batch("BEGIN EXCLUSIVE").unwrap();
    println!("held");
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
}

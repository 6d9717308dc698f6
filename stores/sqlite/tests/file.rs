//! The file: who may read it, what it survives, and what is refused.

mod support;

use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
};

use claw_domain::{EventBody, SessionId, millis};
use claw_store::{Change, Error, NewEvent, Store};
use claw_store_sqlite::Sqlite;
use support::{NOW, change, fill, hold, inbox_row};
use tempfile::TempDir;

/// Names the store to the process that is to be killed.
const KILLED_STORE: &str = "CLAW_TEST_KILLED_STORE";

#[tokio::test]
async fn what_was_acknowledged_survives_a_kill() {
    if let Some(path) = std::env::var_os(KILLED_STORE) {
        return commit_for_ever(Path::new(&path)).await;
    }
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("claw.sqlite");
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "what_was_acknowledged_survives_a_kill", "--nocapture"])
        .env(KILLED_STORE, &path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let acknowledged =
        lines.filter_map(|line| line.strip_prefix("committed ")?.parse::<u64>().ok());
    let last = acknowledged.take(50).last().unwrap();
    child.kill().unwrap();
    child.wait().unwrap();

    let store = Sqlite::open(&path).await.unwrap();
    let totals = store.totals().await.unwrap();
    assert!(totals.events >= last, "{} of {last} acknowledged commits", totals.events);
    let fence = hold(&store).await;
    store.commit(&fence, vec![deleted(1_000_000)]).await.unwrap();
}

async fn commit_for_ever(path: &Path) {
    let store = Sqlite::open(path).await.unwrap();
    let fence = hold(&store).await;
    for number in 1_u64.. {
        let done = store.commit(&fence, vec![deleted(number)]).await.unwrap();
        println!("committed {}", done.seq.0);
    }
}

#[tokio::test]
async fn many_commits_at_once_each_get_their_own_place() {
    let folder = TempDir::new().unwrap();
    let store = Arc::new(Sqlite::open(folder.path().join("claw.sqlite")).await.unwrap());
    let fence = hold(&*store).await;
    let mut commits = tokio::task::JoinSet::new();
    // More than may wait at once, so that some callers wait for a place in the queue.
    for number in 0..2000_u64 {
        let store = Arc::clone(&store);
        commits.spawn(async move {
            let seq = store.commit(&fence, vec![deleted(number)]).await.unwrap().seq;
            let found = store.events(claw_domain::Seq(seq.0 - 1), 1).await.unwrap();
            assert_eq!(
                Change::Log(NewEvent {
                    header: found[0].header.clone(),
                    body: found[0].body.clone()
                }),
                deleted(number)
            );
            seq.0
        });
    }
    let mut places = commits.join_all().await;
    places.sort_unstable();
    assert_eq!(places, (1..=2000).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_closed_store_is_one_file_and_opens_again() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("claw.sqlite");
    let store = Sqlite::open(&path).await.unwrap();
    let fence = hold(&store).await;
    store.commit(&fence, vec![Change::Receive(Box::new(inbox_row(1, 1)))]).await.unwrap();
    store.close().await.unwrap();
    let names: Vec<_> =
        fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().file_name()).collect();
    assert_eq!(names, ["claw.sqlite"]);

    let store = Sqlite::open(&path).await.unwrap();
    assert_eq!(store.open_inbox(None, 9).await.unwrap(), [inbox_row(1, 1)]);
    let again =
        store.commit(&fence, vec![Change::Receive(Box::new(inbox_row(1, 2)))]).await.unwrap();
    assert_eq!(again.received, [false], "a duplicate is one after a restart, too");
}

// SEC-65
#[tokio::test]
async fn nobody_else_can_read_the_files() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("claw.sqlite");
    fs::write(&path, "").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let store = Sqlite::open(&path).await.unwrap();
    hold(&store).await;
    let mut modes = Vec::new();
    for file in fs::read_dir(folder.path()).unwrap() {
        let file = file.unwrap();
        modes.push((
            file.file_name().into_string().unwrap(),
            file.metadata().unwrap().permissions().mode() & 0o777,
        ));
    }
    modes.sort();
    let expected =
        ["claw.sqlite", "claw.sqlite-shm", "claw.sqlite-wal"].map(|name| (name.to_owned(), 0o600));
    assert_eq!(modes, expected);
}

#[tokio::test]
async fn a_newer_store_is_refused() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("claw.sqlite");
    let newer = rusqlite::Connection::open(&path).unwrap();
    newer.pragma_update(None, "user_version", 99).unwrap();
    drop(newer);
    let refused = refusal(&path).await;
    assert!(matches!(refused, Error::Newer { found: 99, known: 2, .. }), "{refused:?}");
    assert!(refused.hint().is_some());
}

#[tokio::test]
async fn a_place_that_cannot_be_written_is_refused() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("file"), "").unwrap();
    for path in [
        folder.path().join("file/claw.sqlite"),
        folder.path().join("absent/claw.sqlite"),
        folder.path().into(),
    ] {
        let refused = refusal(&path).await;
        assert!(matches!(refused, Error::ReadOnly { .. }), "{}: {refused:?}", path.display());
        assert!(refused.hint().is_some());
    }
}

#[tokio::test]
async fn what_is_no_database_is_refused_and_left_as_it_is() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("claw.sqlite");
    let garbage = "not a database, ".repeat(1000);
    fs::write(&path, &garbage).unwrap();
    let refused = refusal(&path).await;
    assert!(matches!(refused, Error::Corrupt { .. }), "{refused:?}");
    assert_eq!(fs::read_to_string(&path).unwrap(), garbage);
}

#[tokio::test]
async fn a_broken_page_is_said_to_be_broken() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("claw.sqlite");
    let store = Sqlite::open(&path).await.unwrap();
    fill(&store).await;
    store.close().await.unwrap();
    let whole = fs::read(&path).unwrap();

    // All but the file's header of 100 bytes: the schema itself does not read.
    let mut bytes = whole.clone();
    bytes[100..].fill(0xff);
    fs::write(&path, bytes).unwrap();
    let refused = refusal(&path).await;
    assert!(matches!(refused, Error::Corrupt { .. }), "{refused:?}");

    // The first page, which holds the schema, is sound: the damage shows when it is read.
    let mut bytes = whole;
    let page = 4096;
    bytes[page..].fill(0xff);
    fs::write(&path, bytes).unwrap();
    let broken = match Sqlite::open(&path).await {
        Ok(store) => store.events(claw_domain::Seq(0), 10).await.expect_err("the log is broken"),
        Err(error) => error,
    };
    assert!(matches!(broken, Error::Corrupt { .. }), "{broken:?}");
}

#[tokio::test]
async fn a_record_that_does_not_parse_is_said_to_be_broken() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("claw.sqlite");
    let store = Sqlite::open(&path).await.unwrap();
    let fence = hold(&store).await;
    let Change::Log(opened) = change(1, 0, 0, 0) else { unreachable!("kind 0 is an event") };
    let key = opened.header.session.clone().unwrap();
    store.commit(&fence, vec![Change::Log(opened)]).await.unwrap();
    let other = rusqlite::Connection::open(&path).unwrap();
    other
        .execute_batch(
            "UPDATE sessions SET record = '{'; UPDATE events SET body = '{\"kind\":\"?\"}'",
        )
        .unwrap();

    assert!(matches!(store.session(&key).await, Err(Error::Corrupt { .. })));
    assert!(matches!(store.events(claw_domain::Seq(0), 1).await, Err(Error::Corrupt { .. })));
    let head = claw_domain::EntryId(uuid::Uuid::nil());
    assert_eq!(store.history(SessionId(uuid::Uuid::nil()), head, 1).await.unwrap(), []);
    store.writable().await.unwrap();
}

fn deleted(number: u64) -> Change {
    let Change::Log(mut event) = change(number, 11, 5, 0) else {
        unreachable!("kind 11 is an event")
    };
    event.header.at = millis(NOW);
    assert_eq!(event.body, EventBody::SessionDeleted);
    Change::Log(event)
}

async fn refusal(path: &Path) -> Error {
    match Sqlite::open(path).await {
        Ok(_) => panic!("{} was opened", path.display()),
        Err(error) => error,
    }
}

//! A store that an older program filled reads back whole. `cargo run -p claw-store-sqlite --example
//! fill` of that program made each file; none is made anew once a release has written such files.

mod support;

use std::collections::BTreeSet;

use claw_domain::Seq;
use claw_store::{Change, InboxState, Store};
use claw_store_memory::Memory;
use claw_store_sqlite::Sqlite;
use support::{assert_same, filling, hold};
use tempfile::TempDir;

#[tokio::test]
async fn a_store_of_schema_1_reads_back_whole() {
    // That program did not keep which rule had let a message in.
    let without_rule = |change| match change {
        Change::Advance(id, InboxState::Closed { outcome, detail, at, .. }) => {
            Change::Advance(id, InboxState::Closed { outcome, detail, rule: None, at })
        }
        change => change,
    };
    check(include_bytes!("fixtures/v1.sqlite"), without_rule).await;
}

#[tokio::test]
async fn a_store_of_schema_2_reads_back_whole() {
    check(include_bytes!("fixtures/v2.sqlite"), |change| change).await;
}

/// Opens a copy of the file and compares it with what filled it, as far as that was `kept`.
async fn check(file: &[u8], kept: impl Fn(Change) -> Change) {
    let folder = TempDir::new().unwrap();
    let copy = folder.path().join("claw.sqlite");
    std::fs::write(&copy, file).unwrap();
    let expected = Memory::default();
    let fence = hold(&expected).await;
    let mut taken = 0;
    for commit in filling() {
        let commit = commit.into_iter().map(&kept).collect();
        taken += usize::from(expected.commit(&fence, commit).await.is_ok());
    }
    assert!(taken > 100, "{taken} commits were taken");
    let events = expected.events(Seq(0), usize::MAX).await.unwrap();
    let kinds: BTreeSet<_> = events.iter().map(|event| event.body.kind()).collect();
    assert_eq!(kinds.len(), 16, "the log holds every kind of event: {kinds:?}");
    assert_same(&expected, &Sqlite::open(copy).await.unwrap()).await;
}

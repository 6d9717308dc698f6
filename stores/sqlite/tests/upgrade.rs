//! A store that an older program filled reads back whole. `cargo run -p claw-store-sqlite --example
//! fill` made the file; it is not made anew once a release has written such files.

mod support;

use std::collections::BTreeSet;

use claw_domain::Seq;
use claw_store::Store;
use claw_store_memory::Memory;
use claw_store_sqlite::Sqlite;
use support::{assert_same, fill};
use tempfile::TempDir;

#[tokio::test]
async fn a_store_of_schema_1_reads_back_whole() {
    let folder = TempDir::new().unwrap();
    let copy = folder.path().join("claw.sqlite");
    std::fs::write(&copy, include_bytes!("fixtures/v1.sqlite")).unwrap();
    let expected = Memory::default();
    let taken = fill(&expected).await;
    assert!(taken > 100, "{taken} commits were taken");
    let events = expected.events(Seq(0), usize::MAX).await.unwrap();
    let kinds: BTreeSet<_> = events.iter().map(|event| event.body.kind()).collect();
    assert_eq!(kinds.len(), 16, "the log holds every kind of event: {kinds:?}");
    assert_same(&expected, &Sqlite::open(copy).await.unwrap()).await;
}

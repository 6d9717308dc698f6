//! Any history of changes has the same outcome on SQLite and in memory.

mod support;

use claw_domain::millis;
use claw_store::{Change, Store};
use claw_store_memory::Memory;
use claw_store_sqlite::Sqlite;
use proptest::{collection::vec, prelude::*};
use support::{KINDS, assert_same, change, hold};
use tempfile::TempDir;

/// Each history costs real flushes.
const HISTORIES: u32 = 48;

proptest! {
    #![proptest_config(ProptestConfig { cases: HISTORIES, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_history_has_the_same_outcome_on_sqlite_and_in_memory(
        lists in vec(vec((0..KINDS, 0..6_u8, 0..10_u8), 1..6), 1..40),
        retention in vec((0..40_usize, 0..12_i64, 1..9_usize), 0..6),
    ) {
        let mut number = 0;
        let mut numbered = |(kind, a, b)| {
            number += 1;
            change(number, kind, a, b)
        };
        let commits = lists.into_iter().map(|list| list.into_iter().map(&mut numbered).collect()).collect();
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(tell(commits, &retention));
    }
}

/// Commits them, and folds after some of them what is older than so many seconds, in small steps.
async fn tell(commits: Vec<Vec<Change>>, retention: &[(usize, i64, usize)]) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("claw.sqlite");
    let (memory, sqlite) = (Memory::default(), Sqlite::open(&path).await.unwrap());
    let fence = hold(&memory).await;
    assert_eq!(hold(&sqlite).await, fence);
    for (number, changes) in commits.into_iter().enumerate() {
        let one = memory.commit(&fence, changes.clone()).await;
        let other = sqlite.commit(&fence, changes.clone()).await;
        match (one, other) {
            (Ok(one), Ok(other)) => assert_eq!(one, other, "{changes:#?}"),
            (Err(one), Err(other)) => {
                let same = std::mem::discriminant(&one) == std::mem::discriminant(&other);
                assert!(same, "{one:?} against {other:?}: {changes:#?}");
            }
            (one, other) => panic!("{one:?} against {other:?}: {changes:#?}"),
        }
        for (_, seconds, limit) in retention.iter().filter(|(after, ..)| *after == number) {
            let before = millis(seconds * 1000);
            let one = memory.fold(&fence, before, *limit).await.unwrap();
            assert_eq!(one, sqlite.fold(&fence, before, *limit).await.unwrap());
        }
    }
    assert_same(&memory, &sqlite).await;
    sqlite.close().await.unwrap();
    assert_same(&memory, &Sqlite::open(&path).await.unwrap()).await;
}

//! Merging the logs of installations that lived apart: once is as good as twice, and no order of
//! merging matters.

mod support;

use std::sync::Arc;

use claw_store::Store;
use claw_store_sqlite::Sqlite;
use proptest::{collection::vec, prelude::*};
use support::{Installation, KINDS, assert_acts_alone, assert_clean, story};
use tempfile::TempDir;

/// Histories over memory, and over SQLite, where each commit costs a flush.
const HISTORIES: u32 = 96;
const HISTORIES_ON_DISK: u32 = 6;

/// Who, what, in which chat, how much later (the clocks of two machines differ), with which number.
type Step = (usize, u8, u8, i64, u8);

fn steps(installations: usize, count: usize) -> impl Strategy<Value = Vec<Step>> {
    vec((0..installations, 0..KINDS, 0..2_u8, -50..500_i64, 0..12_u8), 1..count)
}

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

fn block_on(future: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.expect("a runtime can be built").block_on(future);
}

/// Installations that share a beginning, and then live apart.
async fn apart(count: u64, shared: &[Step], steps: &[Step]) -> Vec<Installation> {
    let first = Installation::new(1).await;
    let mut ms = 0;
    for (_, kind, chat, later, number) in shared {
        ms += later;
        first.step(*kind, *chat, ms, *number).await;
    }
    let mut all = Vec::new();
    for node in 1..=count {
        all.push(if node == 1 { first.copy(1).await } else { first.begin_again(node).await });
    }
    for (who, kind, chat, later, number) in steps {
        ms += later;
        all[*who].step(*kind, *chat, ms, *number).await;
    }
    all
}

/// `here` with `there` taken in, in a store of its own.
async fn merged(here: &Installation, there: &Installation) -> Installation {
    let merged = here.copy(here.node.0).await;
    merged.merge(there).await;
    assert_acts_alone(&merged).await;
    assert_clean(&*merged.store).await;
    merged
}

proptest! {
    #![proptest_config(config(HISTORIES))]

    #[test]
    fn merging_twice_is_merging_once(shared in steps(1, 12), steps in steps(2, 40)) {
        block_on(async {
            let [one, other] = &apart(2, &shared, &steps).await[..] else { unreachable!("two") };
            let both = merged(one, other).await;
            let (log, told) = (both.exported().await, story(&*both.store).await);
            let again = both.merge(other).await;
            assert_eq!(again.known, again.events);
            assert_eq!(both.exported().await, log);
            assert_eq!(story(&*both.store).await, told);
            // One's own log is known as well.
            both.take(&log).await;
            assert_eq!(both.exported().await, log);
        });
    }

    #[test]
    fn it_does_not_matter_who_takes_in_whom(shared in steps(1, 12), steps in steps(2, 40)) {
        block_on(async {
            let [one, other] = &apart(2, &shared, &steps).await[..] else { unreachable!("two") };
            let (here, there) = (merged(one, other).await, merged(other, one).await);
            assert_eq!(story(&*here.store).await, story(&*there.store).await);
        });
    }

    #[test]
    fn it_does_not_matter_which_two_of_three_are_merged_first(
        shared in steps(1, 12), steps in steps(3, 60)
    ) {
        block_on(async {
            let [a, b, c] = &apart(3, &shared, &steps).await[..] else { unreachable!("three") };
            let left = merged(&merged(a, b).await, c).await;
            let right = merged(a, &merged(b, c).await).await;
            let other = merged(&merged(c, a).await, b).await;
            let told = story(&*left.store).await;
            assert_eq!(story(&*right.store).await, told);
            assert_eq!(story(&*other.store).await, told);
        });
    }

    #[test]
    fn what_was_merged_can_go_on_and_be_merged_again(
        shared in steps(1, 12), first in steps(2, 30), second in steps(2, 30)
    ) {
        block_on(async {
            let all = apart(2, &shared, &first).await;
            all[0].merge(&all[1]).await;
            all[1].merge(&all[0]).await;
            let mut ms = 20_000;
            for (who, kind, chat, later, number) in second {
                ms += later;
                all[who].step(kind, chat, ms, number).await;
            }
            all[0].merge(&all[1]).await;
            all[1].merge(&all[0]).await;
            assert_eq!(story(&*all[0].store).await, story(&*all[1].store).await);
            for one in &all {
                assert_acts_alone(one).await;
                assert_clean(&*one.store).await;
            }
        });
    }

    #[test]
    fn folding_what_is_old_changes_no_session_and_no_later_merge(
        shared in steps(1, 30), steps in steps(2, 30), before in 0..20_000_i64
    ) {
        block_on(async {
            let all = apart(2, &shared, &steps).await;
            let told = merged(&all[0], &all[1]).await;
            let expected = told.store.sessions(&Default::default()).await.unwrap();
            let before = claw_domain::millis(support::NOW + before);
            claw_log::fold(&*told.store, &told.fence, before).await.unwrap();
            assert_clean(&*told.store).await;
            assert_eq!(told.store.sessions(&Default::default()).await.unwrap(), expected);
            let usage = told.store.totals().await.unwrap().usage;
            // What went comes back from neither log.
            told.merge(&all[0]).await;
            told.merge(&all[1]).await;
            assert_clean(&*told.store).await;
            assert_eq!(told.store.sessions(&Default::default()).await.unwrap(), expected);
            assert_eq!(told.store.totals().await.unwrap().usage, usage);
        });
    }

    #[test]
    fn a_folded_log_can_be_imported_elsewhere(
        shared in steps(1, 60), before in 0..20_000_i64
    ) {
        block_on(async {
            let one = apart(1, &shared, &[]).await.remove(0);
            claw_log::fold(&*one.store, &one.fence, claw_domain::millis(support::NOW + before))
                .await
                .unwrap();
            let other = Installation::new(2).await;
            other.merge(&one).await;
            assert_clean(&*other.store).await;
            // What a session is, without the sums of what went.
            let told = |session: claw_domain::Session| {
                (session.key, session.id, session.head, session.tokens_sum, session.settings,
                    session.last_target, session.prefix, session.context_start)
            };
            let [here, there] = [&one, &other].map(|of| of.store.clone());
            let here = here.sessions(&Default::default()).await.unwrap();
            let there = there.sessions(&Default::default()).await.unwrap();
            let by_key = |mut all: Vec<claw_domain::Session>| {
                all.sort_by(|a, b| a.key.cmp(&b.key));
                all.into_iter().map(told).collect::<Vec<_>>()
            };
            assert_eq!(by_key(here), by_key(there));
        });
    }
}

proptest! {
    #![proptest_config(config(HISTORIES_ON_DISK))]

    #[test]
    fn sqlite_merges_as_memory_does(shared in steps(1, 12), steps in steps(2, 30), before in 0..9_000_i64) {
        block_on(async {
            let [one, other] = &apart(2, &shared, &steps).await[..] else { unreachable!("two") };
            let folder = TempDir::new().unwrap();
            let open = async |name: &str| {
                Arc::new(Sqlite::open(folder.path().join(name)).await.unwrap()) as Arc<dyn Store>
            };
            let here = one.copy_to(open("here").await, 1).await;
            let there = other.copy_to(open("there").await, 2).await;
            here.merge(&there).await;
            there.merge(one).await;
            let told = story(&*merged(one, other).await.store).await;
            for installation in [&here, &there] {
                assert_eq!(story(&*installation.store).await, told);
                assert_acts_alone(installation).await;
                assert_clean(&*installation.store).await;
            }
            claw_log::fold(&*here.store, &here.fence, claw_domain::millis(support::NOW + before))
                .await
                .unwrap();
            assert_clean(&*here.store).await;
        });
    }
}

#[tokio::test]
async fn two_copies_that_went_apart_become_a_tree_whose_head_is_the_newest() {
    let one = Installation::new(1).await;
    let key = "agent:main:0".into();
    let said = |text: &str| claw_domain::EntryBody::User(claw_domain::UserMessage::text(text));
    one.open(&key, 0, "first").await;
    let root = one.say(&key, 1, said("root")).await;
    let other = one.begin_again(2).await;
    // Turn by turn in time, yet each goes on from its own.
    let mut paths = [vec![root], vec![root]];
    for ms in 2..10 {
        let (here, who) = if ms % 2 == 0 { (&one, 0) } else { (&other, 1) };
        paths[who].push(here.say(&key, ms, said("on")).await);
    }
    one.merge(&other).await;
    let session = one.store.session(&key).await.unwrap().unwrap();
    let path = one.store.history(session.id, session.head.unwrap(), 99).await.unwrap();
    let path: Vec<_> = path.iter().map(|entry| entry.id).collect();
    assert_eq!(path, paths[1], "the newest word was the other's, and none of ours is between");
    let ours = *paths[0].last().unwrap();
    assert_eq!(one.store.history(session.id, ours, 99).await.unwrap().len(), paths[0].len());
}

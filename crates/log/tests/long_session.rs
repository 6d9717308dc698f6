//! A turn in a long session does what one in a short session does. The normal run compares how much
//! is read; with `CLAW_SOAK=1` turns are measured, in sessions of 10 and of 100,000 entries.

mod support;

use std::time::{Duration, Instant};

use claw_store::Store;
use claw_store_sqlite::Sqlite;
use support::gateway::{Gateway, key};
use tempfile::TempDir;

/// Entries of both sessions that stand after the newest compaction.
const RECENT: usize = 5;
/// Turns that are measured, and warm up, in each session.
const TURNS: usize = 300;
const WARM_UP: usize = 20;
/// How much longer a turn may take in the long session.
const RATIO_MAX: f64 = 1.5;

async fn session_of(folder: &TempDir, entries: usize) -> Gateway {
    let store = Sqlite::open(folder.path().join(format!("{entries}.sqlite"))).await.unwrap();
    let mut gateway = Gateway::on(store).await;
    gateway.fill(0, entries, RECENT).await;
    gateway
}

#[tokio::test]
async fn a_turn_in_a_long_session_costs_what_one_in_a_short_session_does() {
    let folder = TempDir::new().unwrap();
    let is_soak = std::env::var("CLAW_SOAK").is_ok_and(|value| value == "1");
    let long = if is_soak { 100_000 } else { 2_000 };
    let (mut short, mut long) = (session_of(&folder, 10).await, session_of(&folder, long).await);
    for gateway in [&short, &long] {
        // The compaction, the one entry that it kept, and what came after.
        assert_eq!(gateway.read_prompt(&key(0)).await, RECENT + 2);
    }
    if is_soak {
        measure(&mut short, &mut long).await;
    }
    for gateway in [short, long] {
        gateway.store.close().await.unwrap();
    }
}

/// Turns in both sessions, one here and one there, so that both meet the same weather.
async fn measure(short: &mut Gateway, long: &mut Gateway) {
    let (mut turns, mut reads) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
    for number in 0..WARM_UP + TURNS {
        for (at, gateway) in [&mut *short, &mut *long].into_iter().enumerate() {
            let began = Instant::now();
            gateway.answer(0, false).await;
            let turn = began.elapsed();
            let began = Instant::now();
            gateway.read_prompt(&key(0)).await;
            let read = began.elapsed();
            if number >= WARM_UP {
                turns[at].push(turn);
                reads[at].push(read);
            }
        }
    }
    let ratio = tell("a turn's reads and commits", turns);
    tell("the reads alone", reads);
    assert!(ratio <= RATIO_MAX, "a turn takes {ratio:.2} times as long");
}

/// Prints the medians, and gives the ratio of the long to the short session.
fn tell(what: &str, [short, long]: [Vec<Duration>; 2]) -> f64 {
    let [short, long] = [short, long].map(|mut all| {
        all.sort();
        all[all.len() / 2].as_secs_f64() * 1e3
    });
    let ratio = long / short;
    println!("figure: {what}, session of 10 entries, median = {short:.2} ms");
    println!("figure: {what}, session of 100,000 entries, median = {long:.2} ms");
    println!("figure: {what}, ratio = {ratio:.2} (budget {RATIO_MAX})");
    ratio
}

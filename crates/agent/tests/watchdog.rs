//! A turn that makes no progress is told of once, goes on, and is never run twice. The time of these
//! tests is made up: it passes at once when nothing else can happen.

#[allow(unreachable_pub, dead_code, reason = "shared by several test binaries")]
mod common;

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use claw_delivery::PATIENCE;
use claw_domain::{SignalKind, StopCause};
use claw_store::Store;
use claw_store_memory::Memory;
use common::{Answer, Life, OWNER};
use serde_json::json;

const STILL: &str = "⏳ Still working: nothing has moved for 2 minutes. /stop ends it.";

fn store() -> Arc<dyn Store> {
    Arc::new(Memory::default())
}

async fn patient(store: &Arc<dyn Store>) -> Life {
    let mut life = Life::begin(store).await;
    life.patience = PATIENCE * 100;
    life
}

/// A life whose tool takes so long, and a model that calls it so often before it answers.
async fn life(takes: Duration, calls: usize) -> Life {
    let life = patient(&store()).await;
    *life.tool.takes.lock().unwrap() = takes;
    for number in 0..calls {
        let call = ["a", "b", "c"][number];
        life.model.will([Answer::Calls(vec![(call, "count", json!({}))])]);
    }
    life.model.will([Answer::Says("done")]);
    life
}

#[tokio::test(start_paused = true)]
async fn a_turn_that_shows_nothing_is_told_of_once_and_goes_on() {
    let mut life = life(PATIENCE * 4, 1).await;
    life.hears("1", OWNER, "count slowly").await;
    let stalled = life.signals(|kind| matches!(kind, SignalKind::Stalled(_))).await;
    assert_eq!(stalled.kind, SignalKind::Stalled(PATIENCE));
    assert_eq!(life.says().await, STILL);
    life.signals(|kind| *kind == SignalKind::Stalled(PATIENCE * 2)).await;
    assert_eq!(life.says().await, "done");
    life.is_quiet().await;
    assert_eq!(life.tool.runs.load(Ordering::SeqCst), 1);
    assert_eq!(life.model.asked.lock().unwrap().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_long_turn_that_moves_is_left_alone() {
    let mut life = life(PATIENCE * 3 / 4, 3).await;
    life.hears("1", OWNER, "count three times").await;
    assert_eq!(life.says().await, "done");
    life.is_quiet().await;
}

#[tokio::test(start_paused = true)]
async fn the_patience_is_configured_and_status_tells_of_the_silence() {
    let mut life = life(Duration::from_secs(100), 1).await;
    life.delivery.set_patience(Duration::from_secs(40));
    life.hears("1", OWNER, "count").await;
    let still = "⏳ Still working: nothing has moved for 40 seconds. /stop ends it.";
    assert_eq!(life.says().await, still);
    life.hears("2", OWNER, "/status").await;
    let status = life.says().await;
    assert!(status.ends_with("⏳ The running turn shows nothing for 40 s"), "{status}");
    assert_eq!(life.says().await, "done");
    life.hears("3", OWNER, "/status").await;
    let status = life.says().await;
    assert!(!status.contains('⏳'), "{status}");
}

#[tokio::test(start_paused = true)]
async fn the_notice_is_not_repeated_when_the_turn_is_taken_up_again() {
    let store = store();
    let mut first = patient(&store).await;
    first.tool.hold.store(true, Ordering::SeqCst);
    first.model.will([Answer::Calls(vec![("a", "count", json!({}))])]);
    first.hears("1", OWNER, "count").await;
    assert_eq!(first.says().await, STILL);
    first.dies().await;

    let mut second = patient(&store).await;
    *second.tool.takes.lock().unwrap() = PATIENCE * 2;
    second.model.will([
        Answer::Calls(vec![("b", "count", json!({}))]),
        Answer::Says("I do not know how the first one ended."),
    ]);
    second.delivery.recover().await.unwrap();
    second.signals(|kind| matches!(kind, SignalKind::Stalled(_))).await;
    assert_eq!(second.says().await, "I do not know how the first one ended.");
    second.is_quiet().await;
}

#[tokio::test(start_paused = true)]
async fn a_stop_still_ends_a_turn_that_was_told_of() {
    let mut life = patient(&store()).await;
    life.tool.hold.store(true, Ordering::SeqCst);
    life.model.will([Answer::Calls(vec![("a", "count", json!({}))])]);
    life.hears("1", OWNER, "count").await;
    assert_eq!(life.says().await, STILL);
    let stopped = life.delivery.stop(&"agent:main:main".into(), None, StopCause::Rpc).await;
    assert_eq!(stopped.unwrap().len(), 1);
    life.signals(|kind| matches!(kind, SignalKind::Finished(_))).await;
    life.is_quiet().await;
}

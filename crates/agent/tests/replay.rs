//! What a killed process leaves in the store is taken up exactly where it was.

#[allow(unreachable_pub, dead_code, reason = "shared by several test binaries")]
mod common;

use std::sync::{Arc, atomic::Ordering};

use claw_agent::{Turn, Want};
use claw_domain::{RunId, SignalKind};
use claw_store::Store;
use claw_store_memory::Memory;
use common::{Answer, Life, OWNER};
use serde_json::json;

fn store() -> Arc<dyn Store> {
    Arc::new(Memory::default())
}

async fn only_run(store: &Arc<dyn Store>) -> RunId {
    let open = store.open_inbox(None, 10).await.unwrap();
    assert_eq!(open.len(), 1);
    open[0].run.clone()
}

#[tokio::test]
async fn a_message_that_was_only_received_is_answered_by_the_next_process() {
    let store = store();
    let life = Life::begin(&store).await;
    life.model.will([Answer::Hangs("")]);
    life.hears("1", OWNER, "hi").await;
    life.dies().await;

    let mut life = Life::begin(&store).await;
    life.model.will([Answer::Says("late but here")]);
    assert_eq!(life.delivery.recover().await.unwrap(), (1, 0));
    assert_eq!(life.says().await, "late but here");
    life.is_quiet().await;
    assert_eq!(life.model.shown(), ["user: hi"]);
}

#[tokio::test]
async fn a_tool_that_was_running_is_not_run_again_and_the_model_is_told() {
    let store = store();
    let life = Life::begin(&store).await;
    life.tool.hold.store(true, Ordering::SeqCst);
    life.model.will([Answer::Calls(vec![("a", "count", json!({})), ("b", "count", json!({}))])]);
    life.hears("1", OWNER, "count").await;
    life.tool.started.notified().await;
    life.dies().await;

    // The recorded inputs give exactly the state that the killed process had.
    let run = only_run(&store).await;
    let mut turn = Turn::new(u64::MAX);
    for event in store.run_events(&run).await.unwrap() {
        if let Some(input) = Turn::input(&event) {
            turn.handle(input);
        }
    }
    assert!(matches!(turn.wants(), Want::Run(call) if call.id.as_str() == "a"));

    let mut life = Life::begin(&store).await;
    life.model.will([Answer::Says("I looked")]);
    life.delivery.recover().await.unwrap();
    assert_eq!(life.says().await, "I looked");
    life.is_quiet().await;
    assert_eq!(life.tool.runs.load(Ordering::SeqCst), 1, "only the call that had not begun is run");
    let shown = life.model.shown();
    assert_eq!(shown[..2], ["user: count", "assistant: <count a> <count b>"]);
    assert!(shown[2].starts_with("result a: The outcome of this call is unknown"), "{shown:?}");
    assert_eq!(shown[3], "result b: ran 1");
}

#[tokio::test]
async fn what_waited_behind_a_killed_turn_is_answered_in_order() {
    let store = store();
    let mut life = Life::begin(&store).await;
    life.model.will([Answer::Hangs("x")]);
    life.hears("1", OWNER, "first").await;
    life.signals(|kind| matches!(kind, SignalKind::Text(_))).await;
    life.hears("2", OWNER, "second").await;
    life.hears("3", OWNER, "third").await;
    life.dies().await;

    let mut life = Life::begin(&store).await;
    life.model.will([Answer::Says("1"), Answer::Says("2"), Answer::Says("3")]);
    assert_eq!(life.delivery.recover().await.unwrap(), (3, 0));
    assert_eq!([life.says().await, life.says().await, life.says().await], ["1", "2", "3"]);
    assert_eq!(
        life.model.shown(),
        ["user: first", "assistant: 1", "user: second", "assistant: 2", "user: third"]
    );
    life.is_quiet().await;
}

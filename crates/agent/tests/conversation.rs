//! Whole conversations: from a message received to the reply that goes out.

#[allow(unreachable_pub, dead_code, reason = "shared by several test binaries")]
mod common;

use std::sync::{Arc, atomic::Ordering};

use claw_agent::Limits;
use claw_channel::Inbox;
use claw_delivery::Submitted;
use claw_domain::{Ending, SignalKind, StopCause};
use claw_provider::{Error, ErrorKind};
use claw_store::Store;
use claw_store_memory::Memory;
use common::{Answer, Life, OWNER, info, message, operator};
use serde_json::json;

fn store() -> Arc<dyn Store> {
    Arc::new(Memory::default())
}

#[tokio::test]
async fn a_message_is_answered_once_however_often_it_comes() {
    let mut life = Life::begin(&store()).await;
    life.model.will([Answer::Says("hello")]);
    life.hears("1", OWNER, "hi").await;
    assert_eq!(life.says().await, "hello");
    let accepted = life.delivery.accept(vec![message("1", OWNER, "hi")]).await.unwrap();
    assert_eq!((accepted.new, accepted.known), (0, 1));
    life.is_quiet().await;
}

#[tokio::test]
async fn messages_of_a_session_are_answered_one_at_a_time_in_order() {
    let mut life = Life::begin(&store()).await;
    life.model.will([Answer::Says("one"), Answer::Says("two"), Answer::Says("three")]);
    for id in ["1", "2", "3"] {
        life.hears(id, OWNER, id).await;
    }
    assert_eq!([life.says().await, life.says().await, life.says().await], ["one", "two", "three"]);
    let shown = life.model.shown();
    assert_eq!(shown, ["user: 1", "assistant: one", "user: 2", "assistant: two", "user: 3"]);
}

#[tokio::test]
async fn tools_run_and_the_model_reads_their_results() {
    let mut life = Life::begin(&store()).await;
    life.model.will([
        Answer::Calls(vec![("a", "count", json!({})), ("b", "count", json!({}))]),
        Answer::Says("done"),
    ]);
    life.hears("1", OWNER, "count").await;
    assert_eq!(life.says().await, "done");
    let shown = life.model.shown();
    assert_eq!(
        shown[1..],
        ["assistant: <count a> <count b>", "result a: ran 1", "result b: ran 2"]
    );
}

#[tokio::test]
async fn what_a_tool_cannot_do_is_told_to_the_model_and_the_session_stays_sound() {
    let mut life = Life::begin(&store()).await;
    life.model.will([
        Answer::Calls(vec![
            ("a", "fly", json!({})),
            ("b", "count", json!({"no": 1})),
            ("c", "count", json!("{\"broken\": ")),
        ]),
        Answer::Says("sorry"),
        Answer::Says("still here"),
    ]);
    life.hears("1", OWNER, "try").await;
    assert_eq!(life.says().await, "sorry");
    assert_eq!(life.tool.runs.load(Ordering::SeqCst), 0);
    assert_eq!(
        life.model.shown()[2..],
        [
            "result a: There is no tool `fly`. The tools are: count.",
            "result b: never that",
            "result c: Not run: the arguments are not a JSON object. Send the call again with valid JSON.",
        ]
    );
    life.hears("2", OWNER, "and now?").await;
    assert_eq!(life.says().await, "still here");
}

#[tokio::test]
async fn a_failing_model_is_told_to_the_sender_with_what_to_do() {
    let mut life = Life::begin(&store()).await;
    life.model.will([
        Answer::Fails(Error::new(ErrorKind::Auth, "the key was refused")),
        Answer::Says("better"),
    ]);
    life.hears("1", OWNER, "hi").await;
    assert_eq!(
        life.says().await,
        "⚠️ the key was refused (check the provider's apiKey under models.providers in the configuration)"
    );
    life.hears("2", OWNER, "again").await;
    assert_eq!(life.says().await, "better");
}

#[tokio::test]
async fn stop_goes_round_the_queue_and_drops_what_waits() {
    let mut life = Life::begin(&store()).await;
    life.model.will([Answer::Hangs("thinking aloud"), Answer::Says("fresh")]);
    life.hears("1", OWNER, "long").await;
    life.signals(|kind| matches!(kind, SignalKind::Text(_))).await;
    life.hears("2", OWNER, "waits").await;
    life.hears("3", OWNER, "/stop").await;
    let mut said = [life.says().await, life.says().await];
    said.sort();
    assert_eq!(said, ["thinking aloud", "⚙️ Agent was aborted."]);
    life.is_quiet().await;
    life.hears("4", OWNER, "go on").await;
    assert_eq!(life.says().await, "fresh");
    assert_eq!(life.model.shown(), ["user: long", "assistant: thinking aloud", "user: go on"]);
}

#[tokio::test]
async fn stop_ends_a_running_tool_and_gives_the_others_a_result() {
    let mut life = Life::begin(&store()).await;
    life.tool.hold.store(true, Ordering::SeqCst);
    life.model.will([
        Answer::Calls(vec![("a", "count", json!({})), ("b", "count", json!({}))]),
        Answer::Says("ok"),
    ]);
    life.hears("1", OWNER, "long").await;
    life.tool.started.notified().await;
    let stopped =
        life.delivery.stop(&"agent:main:main".into(), None, StopCause::Rpc).await.unwrap();
    assert_eq!(stopped.len(), 1);
    let ended = life.signals(|kind| matches!(kind, SignalKind::Finished(_))).await;
    assert!(matches!(
        ended.kind,
        SignalKind::Finished(Ending::Stopped { cause: StopCause::Rpc, .. })
    ));
    life.tool.hold.store(false, Ordering::SeqCst);
    life.hears("2", OWNER, "next").await;
    assert_eq!(life.says().await, "ok");
    assert_eq!(
        life.model.shown(),
        [
            "user: long",
            "assistant: <count a> <count b>",
            "result a: stopped",
            "result b: Not run: the turn was stopped.",
            "user: next",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_turn_that_takes_too_long_is_stopped_and_its_sender_told() {
    let limits = Limits { wall: std::time::Duration::from_secs(5), ..Limits::default() };
    let mut life = Life::begin_with(&store(), info(), limits).await;
    life.model.will([Answer::Hangs("half")]);
    life.hears("1", OWNER, "long").await;
    assert_eq!(
        life.says().await,
        "half\n\n⚠️ This took too long and was stopped. Send it again, or in smaller steps."
    );
}

#[tokio::test]
async fn new_begins_anew_and_the_rest_of_the_line_is_sent() {
    let store = store();
    let mut life = Life::begin(&store).await;
    life.model.will([Answer::Says("one"), Answer::Says("two"), Answer::Says("hello again")]);
    life.hears("1", OWNER, "before").await;
    assert_eq!(life.says().await, "one");
    let before = store.session(&"agent:main:main".into()).await.unwrap().unwrap();
    life.hears("2", OWNER, "/new after").await;
    assert_eq!(life.says().await, "two");
    assert_eq!(life.model.shown(), ["user: after"]);
    let after = store.session(&"agent:main:main".into()).await.unwrap().unwrap();
    assert_ne!(before.id, after.id);
    life.hears("3", OWNER, "/reset").await;
    assert_eq!(life.says().await, "hello again");
    assert_eq!(life.model.shown(), ["user: (greeting)"]);
}

#[tokio::test]
async fn an_edit_replaces_what_waits_and_nothing_else() {
    let mut life = Life::begin(&store()).await;
    life.tool.hold.store(true, Ordering::SeqCst);
    life.model.will([Answer::Calls(vec![("a", "count", json!({}))]), Answer::Says("two")]);
    life.hears("1", OWNER, "long").await;
    life.tool.started.notified().await;
    life.hears("2", OWNER, "frist").await;
    for (edit, of, text) in [("2e", "2", "first"), ("1e", "1", "too late")] {
        let mut inbound = message(edit, OWNER, "");
        let message = claw_domain::MessageText { text: text.into(), ..Default::default() };
        inbound.kind = claw_domain::InboundKind::Edit { of: of.into(), message };
        life.delivery.accept(vec![inbound]).await.unwrap();
    }
    let run = life.delivery.running(&"agent:main:main".into()).unwrap();
    life.delivery.stop(&"agent:main:main".into(), Some(&run), StopCause::Rpc).await.unwrap();
    assert_eq!(life.says().await, "two");
    assert_eq!(life.model.shown().last().unwrap(), "user: first");
}

#[tokio::test]
async fn a_stranger_gets_one_code_and_is_heard_once_the_owner_approves() {
    let store = store();
    let mut life = Life::begin(&store).await;
    life.hears("1", "666", "hello?").await;
    let offer = life.says().await;
    let code = offer
        .lines()
        .find_map(|line| line.strip_prefix("Pairing code: "))
        .expect("a code")
        .to_owned();
    assert!(offer.contains(&format!("rusty-claw pairing approve wire {code}")), "{offer}");
    life.hears("2", "666", "hello??").await;
    life.is_quiet().await;
    // SEC-87: a stranger's command words pass the same gate.
    life.hears("3", "666", "/status").await;
    life.is_quiet().await;
    assert!(life.model.asked.lock().unwrap().is_empty());

    let wrong = life.delivery.approve(&"wire".into(), "WRONGONE").await.unwrap_err();
    assert_eq!(wrong.to_string(), "no pending pairing request on `wire` has the code WRONGONE");
    life.delivery.approve(&"wire".into(), &code.to_lowercase()).await.unwrap();
    life.model.will([Answer::Says("welcome")]);
    life.hears("4", "666", "now?").await;
    assert_eq!(life.says().await, "welcome");
}

#[tokio::test]
async fn a_clients_message_is_run_once_and_its_end_is_known() {
    let mut life = Life::begin(&store()).await;
    life.model.will([Answer::Says("hello")]);
    assert_eq!(life.delivery.submit(operator("k1", "hi")).await.unwrap(), Submitted::Started);
    life.signals(
        |kind| matches!(kind, SignalKind::Finished(Ending::Replied { text }) if text == "hello"),
    )
    .await;
    let again = life.delivery.submit(operator("k1", "hi")).await.unwrap();
    assert_eq!(again, Submitted::Closed { outcome: "replied".into(), detail: String::new() });
    life.is_quiet().await;
}

#[tokio::test]
async fn a_clients_command_is_answered_at_once_and_kept_from_the_model() {
    let mut life = Life::begin(&store()).await;
    life.model.will([Answer::Says("hello")]);
    life.delivery.submit(operator("k1", "/help")).await.unwrap();
    let answer = life.signals(|kind| matches!(kind, SignalKind::Injected(_))).await;
    assert!(
        matches!(answer.kind, SignalKind::Injected(message) if message.text() == claw_delivery::HELP)
    );
    life.delivery.submit(operator("k2", "hi")).await.unwrap();
    life.signals(|kind| matches!(kind, SignalKind::Finished(_))).await;
    assert_eq!(life.model.shown(), ["user: hi"]);
}

#[tokio::test]
async fn a_window_that_overflows_is_cut_to_half_once_and_says_so() {
    let small = claw_domain::ModelInfo { context_window: 2_000, output_max: 100, ..info() };
    let mut life = Life::begin_with(&store(), small, Limits::default()).await;
    let long = "x".repeat(600);
    let mut said = Vec::new();
    for round in 0..12 {
        life.model.will([Answer::Says("yes")]);
        life.hears(&round.to_string(), OWNER, &format!("{round} {long}")).await;
        said.push(life.says().await);
    }
    let cuts = said.iter().filter(|text| text.contains("no longer fits")).count();
    assert!((1..=4).contains(&cuts), "{cuts} cuts in 12 rounds");
    assert!(life.model.shown().len() < 18, "24 without a cut");
    assert_eq!(life.model.shown()[0], "summary");
}

#[tokio::test]
async fn the_prompts_prefix_stays_the_same_while_files_change_and_is_new_after_a_reset() {
    let store = store();
    let mut life = Life::begin(&store).await;
    let soul = life.agents.specs()[0].workspace.join("SOUL.md");
    life.model.will([Answer::Says("1"), Answer::Says("2"), Answer::Says("3"), Answer::Says("4")]);
    let systems = |life: &Life| -> Vec<String> {
        life.model
            .asked
            .lock()
            .unwrap()
            .iter()
            .map(|request| request.prefix.system().to_owned())
            .collect()
    };
    std::fs::write(&soul, "calm").unwrap();
    life.hears("1", OWNER, "a").await;
    life.says().await;
    std::fs::write(&soul, "wild").unwrap();
    life.hears("2", OWNER, "b").await;
    life.says().await;
    let workspace = life.dies().await;

    let mut life = Life::begin(&store).await;
    life.model.will([Answer::Says("3"), Answer::Says("4")]);
    life.hears("3", OWNER, "c").await;
    life.says().await;
    let after_restart = systems(&life).pop().unwrap();
    assert!(after_restart.contains("calm"), "{after_restart}");
    life.hears("4", OWNER, "/new d").await;
    life.says().await;
    assert!(!systems(&life).pop().unwrap().contains("calm"));
    drop(workspace);
}

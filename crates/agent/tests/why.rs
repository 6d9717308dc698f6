//! The chain of one message in plain words, over what a real turn leaves in the store.

#[allow(unreachable_pub, dead_code, reason = "shared by several test binaries")]
mod common;

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use claw_agent::Limits;
use claw_channel::Inbox;
use claw_delivery::Story;
use claw_domain::{Cost, ModelInfo, SignalKind};
use claw_provider::{Error, ErrorKind};
use claw_store::{RowFilter, Store};
use claw_store_memory::Memory;
use claw_testkit::MockClock;
use common::{Answer, Life, OWNER, info, message, operator};
use serde_json::json;

fn store() -> Arc<dyn Store> {
    Arc::new(Memory::default())
}

async fn begin(store: &Arc<dyn Store>, clock: &MockClock) -> Life {
    Life::begin_at(store, info(), Limits::default(), Arc::new(clock.clone())).await
}

async fn why(life: &Life, id: &str) -> Story {
    life.delivery.why(id).await.unwrap().unwrap_or_else(|| panic!("nothing is known of {id}"))
}

/// The story as people read it, with the runs' ids by number.
async fn told(life: &Life, store: &Arc<dyn Store>, id: &str) -> String {
    let mut rows = store.inbox(&RowFilter { states: Vec::new(), limit: 100 }).await.unwrap();
    rows.sort_by_key(|row| row.id);
    let story = why(life, id).await;
    let lines: Vec<_> = story
        .steps
        .iter()
        .map(|step| {
            let mark = if step.ok { "+" } else { "-" };
            let rule = step.rule.as_ref().map_or(String::new(), |rule| format!(" [{rule}]"));
            format!("{mark} {}: {}{rule}", step.step, step.detail)
        })
        .collect();
    let text = lines.join("\n");
    rows.iter().enumerate().fold(text, |text, (index, row)| {
        text.replace(row.run.as_str(), &format!("RUN-{}", index + 1))
    })
}

/// Asserts that no step says what must not be pasted into a report.
fn check_silent_about(story: &str, words: &[&str]) {
    for word in words {
        assert!(!story.contains(word), "{word} stands in:\n{story}");
    }
}

#[tokio::test]
async fn an_answer_is_told_from_end_to_end_by_whatever_id_it_is_known() {
    let (store, clock) = (store(), MockClock::new());
    let cost = Cost { input: 3.0, output: 15.0, cache_read: 0.0, cache_write: 0.0 };
    let priced = ModelInfo { cost: Some(cost), ..info() };
    let mut life = Life::begin_at(&store, priced, Limits::default(), Arc::new(clock)).await;
    let call = json!({"password": "hunter2"});
    life.model.will([
        Answer::Calls(vec![("a", "count", call), ("b", "fly", json!({}))]),
        Answer::Says("the answer's words"),
    ]);
    life.hears("1", OWNER, "the question's words").await;
    life.says().await;
    life.is_quiet().await;
    let text = told(&life, &store, "wire:1").await;
    insta::assert_snapshot!(text, @"
    + received: a message from 1001 in the direct chat 1001 on wire, with the id 1
    + admitted: the sender is in the account's allowFrom; it belongs to the session agent:main:main [allow-from]
    + turn: its turn began 0 ms after it came: run RUN-1
    + model: test/model answered in 0 ms: 10 tokens in, 5 out, 0.0001 US dollars
    + tool: count: done in 0 ms
    - tool: fly: it was not run: refused, or the turn was stopped first
    + model: test/model answered in 0 ms: 10 tokens in, 5 out, 0.0001 US dollars
    + ended: answered
    + part: the reply to the chat 1001 on wire was sent as 1001:out-1 with 1 try
    ");
    check_silent_about(&text, &["question", "answer's", "hunter2", "ran 1", "Ada"]);

    let row = store.inbox(&RowFilter { states: Vec::new(), limit: 1 }).await.unwrap().remove(0);
    let part = store.outbox_of(row.trace).await.unwrap().remove(0);
    let story = why(&life, "wire:1").await;
    assert_eq!(story.id, row.id.to_string());
    let (inbox, trace, run) = (row.id.to_string(), row.trace.to_string(), row.run.to_string());
    let (sent, outbox) = (format!("wire:{OWNER}:out-1"), part.id.to_string());
    for id in [&inbox, &trace, &run, &outbox, &sent, "wire/default:1"] {
        assert_eq!(why(&life, id).await, story, "{id}");
    }
    for unknown in ["", "wire:2", "nothing", "0199f3a0-0000-7000-8000-000000000000"] {
        assert_eq!(life.delivery.why(unknown).await.unwrap(), None, "{unknown}");
    }
}

#[tokio::test]
async fn a_message_that_waits_says_behind_what_and_afterwards_for_whom_it_waited() {
    let (store, clock) = (store(), MockClock::new());
    let mut life = begin(&store, &clock).await;
    life.model.will([Answer::Hangs("hm"), Answer::Says("two")]);
    life.hears("1", OWNER, "one").await;
    life.signals(|kind| matches!(kind, SignalKind::Text(_))).await;
    life.hears("2", OWNER, "two").await;
    insta::assert_snapshot!(told(&life, &store, "wire:1").await, @"
    + received: a message from 1001 in the direct chat 1001 on wire, with the id 1
    + admitted: the sender is in the account's allowFrom; it belongs to the session agent:main:main [allow-from]
    + turn: its turn began 0 ms after it came: run RUN-1
    + waiting: the model is asked
    ");
    insta::assert_snapshot!(told(&life, &store, "wire:2").await, @"
    + received: a message from 1001 in the direct chat 1001 on wire, with the id 2
    + waiting: it waits for its turn behind one other
    ");

    clock.advance(Duration::from_secs(90));
    let run = life.delivery.running(&"agent:main:main".into()).unwrap();
    let session = "agent:main:main".into();
    life.delivery.stop(&session, Some(&run), claw_domain::StopCause::Rpc).await.unwrap();
    assert_eq!([life.says().await, life.says().await], ["hm", "two"]);
    life.is_quiet().await;
    insta::assert_snapshot!(told(&life, &store, "wire:1").await, @"
    + received: a message from 1001 in the direct chat 1001 on wire, with the id 1
    + admitted: the sender is in the account's allowFrom; it belongs to the session agent:main:main [allow-from]
    + turn: its turn began 0 ms after it came: run RUN-1
    + stop: a client asked it to stop
    + ended: stopped before its end
    + part: the reply to the chat 1001 on wire was sent as 1001:out-1 with 1 try
    ");
    insta::assert_snapshot!(told(&life, &store, "wire:2").await, @"
    + received: a message from 1001 in the direct chat 1001 on wire, with the id 2
    + admitted: the sender is in the account's allowFrom; it belongs to the session agent:main:main [allow-from]
    + queued: it waited for the run RUN-1
    + turn: its turn began 90.0 s after it came: run RUN-2
    + model: test/model answered in 0 ms: 10 tokens in, 5 out
    + ended: answered
    + part: the reply to the chat 1001 on wire was sent as 1001:out-2 with 1 try
    ");
}

#[tokio::test]
async fn a_refused_stranger_is_told_with_the_rule_and_how_far_the_pairing_is() {
    let (store, clock) = (store(), MockClock::new());
    let mut life = begin(&store, &clock).await;
    life.hears("1", "666", "let me in").await;
    let offer = life.says().await;
    let code = offer.lines().find_map(|line| line.strip_prefix("Pairing code: ")).unwrap();
    life.is_quiet().await;
    let text = told(&life, &store, "wire:1").await;
    insta::assert_snapshot!(text, @"
    + received: a message from 666 in the direct chat 666 on wire, with the id 1
    - refused: the sender was not known and was given a pairing code (a pairing code waits until 2026-01-01T01:00:00Z: `rusty-claw pairing list wire`) [dm-pairing]
    + part: the reply to the chat 666 on wire was sent as 666:out-1 with 1 try
    ");
    check_silent_about(&text, &[code, "let me in"]);

    life.delivery.approve(&"wire".into(), code).await.unwrap();
    let text = told(&life, &store, "wire:1").await;
    let refused = text.lines().find(|line| line.starts_with("- refused")).unwrap();
    assert_eq!(
        refused,
        "- refused: the sender was not known and was given a pairing code (the owner has let the sender in since; send it again) [dm-pairing]"
    );
}

#[tokio::test]
async fn a_turn_that_was_left_says_so_and_that_a_tools_outcome_is_unknown() {
    let (store, clock) = (store(), MockClock::new());
    let life = begin(&store, &clock).await;
    life.tool.hold.store(true, Ordering::SeqCst);
    life.model.will([Answer::Calls(vec![("a", "count", json!({}))])]);
    life.hears("1", OWNER, "count").await;
    life.tool.started.notified().await;
    let last = |text: String| text.lines().last().unwrap_or_default().to_owned();
    assert_eq!(last(told(&life, &store, "wire:1").await), "+ waiting: a tool runs");
    life.dies().await;

    clock.advance(Duration::from_secs(30));
    let mut life = begin(&store, &clock).await;
    assert_eq!(
        last(told(&life, &store, "wire:1").await),
        "+ waiting: its turn was left here and goes on when a gateway takes it up"
    );
    life.model.will([Answer::Says("I do not know")]);
    life.delivery.recover().await.unwrap();
    life.says().await;
    life.is_quiet().await;
    insta::assert_snapshot!(told(&life, &store, "wire:1").await, @"
    + received: a message from 1001 in the direct chat 1001 on wire, with the id 1
    + admitted: the sender is in the account's allowFrom; it belongs to the session agent:main:main [allow-from]
    + turn: its turn began 0 ms after it came: run RUN-1
    + model: test/model answered in 0 ms: 10 tokens in, 5 out
    - tool: count: its outcome is unknown, since the gateway went down while it ran; the turn went on 30.0 s later
    + model: test/model answered in 0 ms: 10 tokens in, 5 out
    + ended: answered
    + part: the reply to the chat 1001 on wire was sent as 1001:out-1 with 1 try
    ");
}

#[tokio::test]
async fn a_failure_is_told_by_its_code_and_not_in_a_providers_words() {
    let (store, clock) = (store(), MockClock::new());
    let mut life = begin(&store, &clock).await;
    life.model.will([Answer::Fails(Error::new(ErrorKind::Auth, "the key sk-canary was refused"))]);
    life.hears("1", OWNER, "hi").await;
    life.says().await;
    life.is_quiet().await;
    let text = told(&life, &store, "wire:1").await;
    insta::assert_snapshot!(text, @"
    + received: a message from 1001 in the direct chat 1001 on wire, with the id 1
    + admitted: the sender is in the account's allowFrom; it belongs to the session agent:main:main [allow-from]
    + turn: its turn began 0 ms after it came: run RUN-1
    - model: the model failed for good: auth
    - ended: failed: auth; the sender was told
    + part: the reply to the chat 1001 on wire was sent as 1001:out-1 with 1 try
    ");
    // SEC-96
    check_silent_about(&text, &["canary"]);
}

#[tokio::test]
async fn commands_edits_and_clients_messages_have_their_own_words() {
    let (store, clock) = (store(), MockClock::new());
    let mut life = begin(&store, &clock).await;
    life.hears("1", OWNER, "/help").await;
    life.says().await;
    let mut edit = message("2", OWNER, "");
    let words = claw_domain::MessageText { text: "late".into(), ..Default::default() };
    edit.kind = claw_domain::InboundKind::Edit { of: "1".into(), message: words };
    life.delivery.accept(vec![edit]).await.unwrap();
    life.model.will([Answer::Says("hello")]);
    life.delivery.submit(operator("k1", "hi")).await.unwrap();
    life.signals(|kind| matches!(kind, SignalKind::Finished(_))).await;
    life.is_quiet().await;
    insta::assert_snapshot!(told(&life, &store, "wire:1").await, @"
    + received: a message from 1001 in the direct chat 1001 on wire, with the id 1
    + admitted: the sender is in the account's allowFrom [allow-from]
    + ended: answered as the command /help
    + part: the reply to the chat 1001 on wire was sent as 1001:out-1 with 1 try
    ");
    insta::assert_snapshot!(told(&life, &store, "wire:2").await, @"
    + received: an edit of 1 from 1001 in the direct chat 1001 on wire, with the id 2
    + admitted: the sender is in the account's allowFrom [allow-from]
    + ended: nothing is done about it: the message was already taken up
    ");
    insta::assert_snapshot!(told(&life, &store, "k1").await, @"
    + received: a message from the gateway client cli, run RUN-3
    + admitted: a gateway client with the right scope; it belongs to the session agent:main:main [operator-scope]
    + turn: its turn began 0 ms after it came: run RUN-3
    + model: test/model answered in 0 ms: 10 tokens in, 5 out
    + ended: answered
    ");
}

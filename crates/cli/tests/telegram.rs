//! The whole way, as a user has it: Telegram and Anthropic are servers elsewhere, the gateway is
//! the binary, and it may be killed at any time.

#[expect(dead_code, reason = "shared by several test binaries")]
mod process;

use std::path::Path;

use claw_testkit::{
    anthropic::{self, FakeAnthropic},
    script::{Gate, Reply},
    telegram::{self, FakeTelegram},
};
use process::{Gateway, configure};
use serde_json::json;

const OWNER: i64 = 1001;

struct World {
    home: tempfile::TempDir,
    telegram: FakeTelegram,
    model: FakeAnthropic,
}

impl World {
    async fn new() -> Self {
        claw_testkit::init();
        let world = Self {
            home: tempfile::tempdir().unwrap(),
            telegram: FakeTelegram::start().await,
            model: FakeAnthropic::start().await,
        };
        configure(world.home(), &world.config());
        world
    }

    fn home(&self) -> &Path {
        self.home.path()
    }

    fn config(&self) -> String {
        let config = json!({
            "agents": { "defaults": { "model": { "primary": "fake/model-a" } } },
            "models": { "providers": { "fake": {
                "baseUrl": self.model.url(), "apiKey": anthropic::KEY, "api": "anthropic-messages",
                "models": [{ "id": "model-a", "name": "A", "contextWindow": 100_000, "maxTokens": 1_000 }],
            } } },
            "channels": { "telegram": {
                "enabled": true, "botToken": telegram::TOKEN, "apiRoot": self.telegram.url(),
                "allowFrom": [OWNER],
            } },
        });
        config.to_string()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_answered_and_a_command_is_run() {
    let world = World::new().await;
    world.model.answer(Reply::text("Hello **there**."));
    let gateway = Gateway::start(world.home());
    world.telegram.user_says(OWNER, OWNER, "hi");
    let sent = world.telegram.wait_for_sent(1).await;
    assert_eq!((sent[0].chat_id, sent[0].shown.as_str()), (OWNER, "Hello there."));

    world.model.answer(Reply::tool("exec", json!({"command": "echo from-the-shell; pwd"})));
    world.telegram.user_says(OWNER, OWNER, "run something");
    let sent = world.telegram.wait_for_sent(2).await;
    assert!(sent[1].shown.contains("from-the-shell"), "{}", sent[1].shown);
    assert!(sent[1].shown.contains("state/workspace"), "{}", sent[1].shown);
    assert_eq!(gateway.terminate(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_between_receiving_and_answering_it_answers_once() {
    let world = World::new().await;
    let gate = Gate::new();
    world.model.answer(Reply::text("never seen").held_by(&gate));
    let gateway = Gateway::start(world.home());
    world.telegram.user_says(OWNER, OWNER, "are you there?");
    world.model.wait_for_requests(1).await;
    gateway.kill();

    world.model.answer(Reply::text("yes, once"));
    let gateway = Gateway::start(world.home());
    let sent = world.telegram.wait_for_sent(1).await;
    assert_eq!(sent[0].shown, "yes, once");
    // Whatever else is under way would come before the answer to a later message.
    world.model.answer(Reply::text("second"));
    world.telegram.user_says(OWNER, OWNER, "and now?");
    let sent = world.telegram.wait_for_sent(2).await;
    assert_eq!(
        sent.iter().map(|sent| sent.shown.as_str()).collect::<Vec<_>>(),
        ["yes, once", "second"]
    );
    let asked = world.model.requests();
    let last = asked.last().unwrap().body["messages"].as_array().unwrap().len();
    assert_eq!(last, 3, "the question stands in the conversation once");
    assert_eq!(gateway.terminate(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_a_command_runs_it_ends_the_command_and_does_not_run_it_again() {
    let world = World::new().await;
    let mark = world.home().join("ran");
    let command =
        format!("echo ran >> {}; echo $$ > {}.pid; sleep 600", mark.display(), mark.display());
    world.model.answer(Reply::tool("exec", json!({ "command": command })));
    let gateway = Gateway::start(world.home());
    world.telegram.user_says(OWNER, OWNER, "run it");
    let pid_file = world.home().join("ran.pid");
    let pid = until(|| {
        std::fs::read_to_string(&pid_file).ok().and_then(|pid| pid.trim().parse::<i32>().ok())
    })
    .await;
    gateway.kill();
    until(|| (!Path::new(&format!("/proc/{pid}")).exists()).then_some(())).await;

    world.model.answer(Reply::text("I do not know how it ended."));
    let gateway = Gateway::start(world.home());
    let sent = world.telegram.wait_for_sent(1).await;
    assert_eq!(sent[0].shown, "I do not know how it ended.");
    let asked = world.model.requests();
    let told = asked.last().unwrap().body["messages"].to_string();
    assert!(told.contains("The outcome of this call is unknown"), "{told}");
    assert_eq!(std::fs::read_to_string(&mark).unwrap(), "ran\n");
    assert_eq!(gateway.terminate(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bot_token_and_the_model_key_are_in_no_output() {
    let world = World::new().await;
    world.telegram.fail_next(2, 502);
    let gateway = Gateway::start(world.home());
    world.telegram.user_says(OWNER, OWNER, "hi");
    world.telegram.wait_for_sent(1).await;
    world.telegram.network().cut();
    world.telegram.user_says(OWNER, OWNER, "again");
    world.telegram.wait_for_sent(2).await;
    let printed = gateway.printed();
    assert!(!printed.is_empty());
    // SEC-96: secrets reach no log.
    assert!(!printed.contains(telegram::TOKEN) && !printed.contains(anthropic::KEY), "{printed}");
}

/// Looks again and again until there is something, for what no server tells.
async fn until<T>(look: impl Fn() -> Option<T>) -> T {
    let patience = tokio::time::Instant::now() + std::time::Duration::from_secs(60);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(tokio::time::Instant::now() < patience, "it never came");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

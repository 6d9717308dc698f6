//! What became of messages and replies, asked of a running gateway, of the store, and on the page.

#[path = "process/browser.rs"]
mod browser;
#[expect(dead_code, reason = "shared by several test binaries")]
mod process;
#[expect(dead_code, reason = "shared by several test binaries")]
mod support;

use browser::Browser;
use claw_testkit::{
    anthropic::{self, FakeAnthropic},
    script::{Gate, Reply},
    telegram::{self, FakeTelegram},
};
use process::Gateway;
use serde_json::{Value, json};
use support::{DEMO, Rig};

const OWNER: i64 = 1001;

fn steps(story: &Value) -> Vec<&str> {
    let steps = story["steps"].as_array().expect("steps");
    steps.iter().map(|step| step["step"].as_str().expect("a word")).collect()
}

#[test]
fn a_message_is_explained_with_a_gateway_and_without_one() {
    let rig = Rig::with_config(DEMO);
    rig.prints(&["agent", "--local", "-m", "a word in private"]);
    assert_eq!(rig.prints(&["inbox", "list"]), "no message is there\n");
    assert_eq!(rig.prints(&["outbox", "list"]), "no reply is there\n");
    let listed = rig.json(&["inbox", "list", "--state", "all", "--json"]);
    let row = &listed[0];
    assert_eq!(
        (&row["state"], &row["attempts"], &row["target"]),
        (&"closed".into(), &1.into(), &"cli:agent:main:main".into())
    );
    let id = row["id"].as_str().expect("an id");
    let check = || {
        let story = rig.json(&["why", id, "--json"]);
        assert_eq!(story["id"], id);
        assert_eq!(steps(&story), ["received", "admitted", "turn", "model", "ended"]);
        assert_eq!(story["steps"][1]["rule"], "operator-scope");
        assert_eq!(story["steps"][0]["at"], row["at"]);
        let told = rig.prints(&["why", id]);
        assert_eq!(told.lines().count(), 5, "{told}");
        // SEC-96: what is pasted into a report holds nothing that anybody wrote.
        assert!(!told.contains("private") && !story.to_string().contains("private"));
        let unknown = rig.run(&["why", "telegram:1:1"]);
        assert_eq!((unknown.code, unknown.stdout.as_str()), (1, ""));
        assert!(unknown.stderr.contains("nothing is known of telegram:1:1"), "{}", unknown.stderr);
        let wrong = rig.run(&["outbox", "drop", id]);
        assert_eq!((wrong.code, wrong.stdout.as_str()), (1, ""));
        assert!(wrong.stderr.contains(&format!("no outbox row has the id {id}")));
        assert!(wrong.stderr.contains("hint: "), "{}", wrong.stderr);
    };
    check();
    let gateway = rig.gateway(&[]);
    check();
    assert_eq!(gateway.terminate(), Some(0));
}

fn telegram_config(telegram: &FakeTelegram, model: &FakeAnthropic) -> String {
    let config = json!({
        "agents": { "defaults": { "model": { "primary": "fake/model-a" } } },
        "models": { "providers": { "fake": {
            "baseUrl": model.url(), "apiKey": anthropic::KEY, "api": "anthropic-messages",
            "models": [{ "id": "model-a", "name": "A", "contextWindow": 100_000, "maxTokens": 1_000 }],
        } } },
        "channels": { "telegram": {
            "enabled": true, "botToken": telegram::TOKEN, "apiRoot": telegram.url(),
            "allowFrom": [OWNER],
        } },
    });
    config.to_string()
}

/// Looks again until the outbox shows a row in this state.
async fn until_outbox(rig: &Rig, state: &str) -> Value {
    loop {
        let rows = rig.json(&["outbox", "list", "--state", state, "--json"]);
        if let Some(row) = rows.as_array().and_then(|rows| rows.first()) {
            return row.clone();
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_that_was_given_up_is_found_explained_and_sent_again() {
    claw_testkit::init();
    let (telegram, model) = (FakeTelegram::start().await, FakeAnthropic::start().await);
    let rig = Rig::with_config(&telegram_config(&telegram, &model));
    let gateway: Gateway = rig.gateway(&[]);
    let gate = Gate::new();
    model.answer(Reply::text("for your eyes").held_by(&gate));
    let said = telegram.user_says(OWNER, OWNER, "hello");
    model.wait_for_requests(1).await;
    telegram.user_blocks(OWNER);
    gate.open();
    let dead = until_outbox(&rig, "dead").await;
    assert_eq!(
        (&dead["target"], &dead["state"], &dead["attempts"]),
        (&format!("telegram:{OWNER}").into(), &"dead".into(), &1.into())
    );
    let status = rig.prints(&["status"]);
    assert!(status.contains("1 was given up: see `rusty-claw outbox list`"), "{status}");
    let story = rig.json(&["why", &format!("telegram:{OWNER}:{said}"), "--json"]);
    assert_eq!(
        steps(&story),
        ["received", "admitted", "turn", "model", "ended", "part"],
        "{story}"
    );
    let part = &story["steps"][5];
    assert_eq!(part["ok"], false);
    assert!(part["detail"].as_str().is_some_and(|text| text.contains("after 1 try")), "{part}");

    telegram.user_says(OWNER, OWNER, "/help");
    telegram.wait_for_sent(1).await;
    let id = dead["id"].as_str().expect("an id");
    assert_eq!(rig.prints(&["outbox", "retry", id]), "1 reply is sent again\n");
    let sent = telegram.wait_for_sent(2).await;
    assert_eq!(sent[1].shown, "for your eyes");
    let ours = format!("telegram:{OWNER}:{}", sent[1].message_id);
    let same = rig.json(&["why", &ours, "--json"]);
    assert_eq!((&same["id"], steps(&same).len()), (&story["id"], 7));
    assert_eq!(rig.json(&["outbox", "list", "--json"]), json!([]));
    assert_eq!(rig.prints(&["outbox", "retry", "--all-dead"]), "0 replies are sent again\n");
    assert!(!rig.prints(&["status"]).contains("outbox"));
    let again = rig.run(&["outbox", "retry", id]);
    assert!(again.stderr.contains("is sent again, not dead"), "{}", again.stderr);
    let neither = rig.run(&["outbox", "retry"]);
    assert_eq!((neither.code, neither.stdout.as_str()), (1, ""));
    assert_eq!(gateway.terminate(), Some(0));
}

fn found(id: &str) -> String {
    format!("document.querySelectorAll('[data-testid=\"{id}\"]')")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_tells_what_became_of_a_message() {
    let Some(chromium) = claw_testkit::needs("chromium") else { return };
    let rig = Rig::with_config(DEMO);
    let gateway = rig.gateway(&[]);
    let mut browser = Browser::start(&chromium, &rig.path().join("browser")).await;
    browser.open(&gateway.page).await;
    browser.until(&format!("{}[0]?.dataset.state === 'up'", found("status"))).await;
    browser.value(&format!("{}[0].focus()", found("composer"))).await;
    browser.types("hello there").await;
    let answered = format!("{}[0]?.dataset.live === 'false'", found("message-assistant"));
    browser.until(&answered).await;

    let ended = format!("{}[0]?.innerText.includes('answered')", found("why-steps"));
    browser.until(&format!("{}.length === 1", found("why"))).await;
    browser.value(&format!("{}[0].click()", found("why"))).await;
    browser.until(&ended).await;
    let shown =
        format!("[...{}[0].children].map(li => li.dataset.step).join(' ')", found("why-steps"));
    let shown = browser.value(&shown).await;
    assert_eq!(shown, "received admitted turn model ended");
    browser.value(&format!("{}[0].click()", found("why"))).await;
    browser.until(&format!("{}.length === 0", found("why-steps"))).await;

    // As the history shows it, too; and on a phone nothing is wider than the screen.
    browser.reload().await;
    browser.until(&format!("{}[0]?.dataset.state === 'up'", found("status"))).await;
    browser.resize(360, 700).await;
    browser.until(&format!("{}.length === 1", found("why"))).await;
    browser.value(&format!("{}[0].click()", found("why"))).await;
    browser.until(&ended).await;
    browser.until("document.documentElement.scrollWidth <= innerWidth").await;
    assert_eq!(gateway.terminate(), Some(0));
}

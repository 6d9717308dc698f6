//! What Telegram promises beyond the contract, over real sockets.

mod support;

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use claw_channel::{Accepted, Channel, Error, Inbox, InboxError, Retry};
use claw_domain::{Action, Inbound, InboundKind};
use claw_testkit::FakeTelegram;
use proptest::{
    prelude::Strategy,
    test_runner::{Config, TestRunner},
};
use serde_json::{Value, json};
use support::{ANNA, Scripted, deliver, telegram, text, with_token};
use tokio_util::sync::CancellationToken;

/// A fake that knows Anna.
async fn fake() -> FakeTelegram {
    let server = FakeTelegram::start().await;
    server.join(ANNA);
    server
}

/// Keeps what it takes, batch by batch, and stops the channel after so many updates.
struct Kept {
    batches: Mutex<Vec<Vec<Inbound>>>,
    enough: usize,
    stop: CancellationToken,
}

#[async_trait]
impl Inbox for Kept {
    async fn accept(&self, updates: Vec<Inbound>) -> Result<Accepted, InboxError> {
        let new = updates.len();
        let mut batches = self.batches.lock().unwrap();
        batches.push(updates);
        if batches.iter().flatten().count() >= self.enough {
            self.stop.cancel();
        }
        Ok(Accepted { new, known: 0 })
    }
}

async fn receive(server: &FakeTelegram, enough: usize) -> Vec<Vec<Inbound>> {
    let stop = CancellationToken::new();
    let kept = Kept { batches: Mutex::default(), enough, stop: stop.clone() };
    telegram(&server.url()).run(&kept, stop).await.expect("a stopped channel ends well");
    kept.batches.into_inner().unwrap()
}

fn said(update: &Inbound) -> &str {
    match &update.kind {
        InboundKind::Message(message) => &message.text,
        other => panic!("not a message: {other:?}"),
    }
}

#[tokio::test]
async fn all_updates_of_one_poll_are_offered_together() {
    let server = fake().await;
    for text in ["one", "two", "three"] {
        server.user_says(ANNA, ANNA, text);
    }
    let batches = receive(&server, 3).await;
    let texts: Vec<Vec<_>> = batches.iter().map(|batch| batch.iter().map(said).collect()).collect();
    assert_eq!(texts, [["one", "two", "three"]]);
}

#[tokio::test]
async fn an_update_that_cannot_be_read_does_not_hold_up_the_next() {
    let server = fake().await;
    server.inject(json!({ "brand_new_kind": { "of": "update" } }));
    server.inject(json!({ "message": "not an object" }));
    server.user_says(ANNA, ANNA, "still here");
    let batches = receive(&server, 1).await;
    assert_eq!(batches.iter().flatten().map(said).collect::<Vec<_>>(), ["still here"]);
}

#[tokio::test]
async fn the_menu_shows_the_commands_and_a_poll_asks_for_what_we_hear() {
    let server = Arc::new(fake().await);
    let stop = CancellationToken::new();
    let running = tokio::spawn({
        let (server, stop) = (server.clone(), stop.clone());
        async move {
            let kept = Kept { batches: Mutex::default(), enough: usize::MAX, stop: stop.clone() };
            telegram(&server.url()).run(&kept, stop).await
        }
    });
    let set = server.wait_for_calls("setMyCommands", 1).await;
    stop.cancel();
    running.await.unwrap().expect("a stopped channel ends well");
    let names: Vec<_> = set[0].params["commands"]
        .as_array()
        .unwrap()
        .iter()
        .map(|command| &command["command"])
        .collect();
    assert_eq!(names, ["new", "reset", "stop", "status", "help"]);
}

#[tokio::test]
async fn health_names_the_bot() {
    let server = fake().await;
    server.user_says(ANNA, ANNA, "x");
    let stop = CancellationToken::new();
    let kept = Kept { batches: Mutex::default(), enough: 1, stop: stop.clone() };
    let channel = telegram(&server.url());
    channel.run(&kept, stop).await.expect("a stopped channel ends well");
    assert_eq!(channel.health().identity, Some(format!("@{}", claw_testkit::telegram::USERNAME)));
}

#[tokio::test]
async fn markdown_is_sent_as_html_silently_and_as_a_reply() {
    let server = fake().await;
    let channel = telegram(&server.url());
    let question = server.user_says(ANNA, ANNA, "?");
    let reply_to = Some(format!("{ANNA}:{question}").into());
    let action = Action::Send { text: "**yes** & `no`".into(), reply_to, silent: true };
    let delivered = deliver(&channel, action).await.unwrap();
    let sent = server.sent().remove(0);
    assert_eq!(delivered.external_id, Some(format!("{ANNA}:{}", sent.message_id).into()));
    assert_eq!(
        (sent.text.as_str(), sent.shown.as_str()),
        ("<b>yes</b> &amp; <code>no</code>", "yes & no")
    );
    assert_eq!(
        (sent.parse_mode.as_deref(), sent.reply_to, sent.silent),
        (Some("HTML"), Some(question), true)
    );
}

#[tokio::test]
async fn an_answer_to_a_deleted_message_is_sent_all_the_same() {
    let server = fake().await;
    deliver(&telegram(&server.url()), text("late", Some(format!("{ANNA}:4711").into())))
        .await
        .unwrap();
    assert_eq!(server.sent()[0].reply_to, None);
}

#[tokio::test]
async fn a_text_of_which_nothing_would_be_seen_is_sent_as_written() {
    let server = fake().await;
    deliver(&telegram(&server.url()), text("```\n```", None)).await.unwrap();
    let sent = server.sent().remove(0);
    assert_eq!((sent.shown.as_str(), sent.parse_mode), ("```\n```", None));
}

#[tokio::test]
async fn the_limit_counts_utf16_units() {
    let server = fake().await;
    let channel = telegram(&server.url());
    deliver(&channel, text(&"😀".repeat(2048), None)).await.unwrap();
    let error = deliver(&channel, text(&"😀".repeat(2049), None)).await.expect_err("one too many");
    assert_eq!(
        error.to_string(),
        "telegram refused the action: the text has 4098 UTF-16 units, the limit is 4096"
    );
}

#[tokio::test]
async fn an_id_of_another_platform_is_refused_before_it_is_sent() {
    let server = fake().await;
    let channel = telegram(&server.url());
    for action in [text("x", Some("T024".into())), Action::Delete { message: "1.5".into() }] {
        let error = deliver(&channel, action).await.expect_err("no number");
        assert!(matches!(error, Error::Refused { .. }), "{error}");
    }
    assert_eq!(server.calls("sendMessage").len() + server.calls("deleteMessage").len(), 0);
}

#[tokio::test]
async fn a_reader_who_blocked_the_bot_is_not_tried_again() {
    let server = fake().await;
    server.user_blocks(ANNA);
    let error = deliver(&telegram(&server.url()), text("x", None)).await.expect_err("blocked");
    assert_eq!(error.retry(), Retry::Never, "{error}");
}

#[tokio::test]
async fn a_failing_server_is_tried_later() {
    let server = fake().await;
    server.fail_next(1, 502);
    let error = deliver(&telegram(&server.url()), text("x", None)).await.expect_err("502");
    assert_eq!(error.retry(), Retry::Later, "{error}");
}

fn ok(result: Value) -> (u16, String) {
    (200, json!({ "ok": true, "result": result }).to_string())
}

fn no(code: u16, description: &str) -> (u16, String) {
    (code, json!({ "ok": false, "error_code": code, "description": description }).to_string())
}

fn me() -> Value {
    json!({ "id": 99, "is_bot": true, "first_name": "Claw" })
}

async fn run(url: &str, enough: usize) -> (Result<(), Error>, usize) {
    let stop = CancellationToken::new();
    let kept = Kept { batches: Mutex::default(), enough, stop: stop.clone() };
    let ended = telegram(url).run(&kept, stop).await;
    let came = kept.batches.lock().unwrap().iter().flatten().count();
    (ended, came)
}

const WEBHOOK: &str = "Conflict: can't use getUpdates method while webhook is active; use deleteWebhook to delete the webhook first";

#[tokio::test]
async fn a_webhook_in_the_way_is_removed_once() {
    let message = json!({ "message_id": 5, "date": 1, "chat": { "id": 7, "type": "private" }, "from": { "id": 7, "is_bot": false, "first_name": "A" }, "text": "x" });
    let server = Scripted::start(move |method, before| match (method, before) {
        ("getme", _) => ok(me()),
        ("getupdates", 0) => no(409, WEBHOOK),
        ("getupdates", _) => ok(json!([{ "update_id": 1, "message": message }])),
        _ => ok(json!(true)),
    })
    .await;
    let (ended, came) = run(&server.url, 1).await;
    ended.expect("it was stopped");
    assert_eq!(came, 1);

    let stubborn = Scripted::start(|method, _| match method {
        "getme" => ok(me()),
        "getupdates" => no(409, WEBHOOK),
        _ => ok(json!(true)),
    })
    .await;
    let (ended, _) = run(&stubborn.url, 1).await;
    assert!(matches!(ended, Err(Error::Conflict { .. })), "{ended:?}");
    let removed =
        stubborn.calls.lock().unwrap().iter().filter(|call| *call == "deletewebhook").count();
    assert_eq!(removed, 1);
}

#[tokio::test]
async fn another_program_with_the_same_token_is_a_conflict() {
    let server = Scripted::start(|method, _| match method {
        "getme" => ok(me()),
        "getupdates" => no(409, "Conflict: terminated by other getUpdates request; make sure that only one bot instance is running"),
        _ => ok(json!(true)),
    })
    .await;
    let (ended, _) = run(&server.url, 1).await;
    assert!(matches!(ended, Err(Error::Conflict { .. })), "{ended:?}");
}

#[tokio::test]
async fn markup_that_telegram_refuses_is_sent_as_written() {
    let message = |text: &str| json!({ "message_id": 5, "date": 1, "chat": { "id": 7, "type": "private" }, "text": text });
    let server = Scripted::start(move |_, before| match before {
        0 => no(400, "Bad Request: can't parse entities: Unsupported start tag"),
        _ => ok(message("x")),
    })
    .await;
    let delivered = deliver(&telegram(&server.url), text("**x**", None)).await.unwrap();
    assert_eq!(delivered.external_id, Some("7:5".into()));
    assert_eq!(*server.calls.lock().unwrap(), ["sendmessage", "sendmessage"]);
}

#[tokio::test]
async fn what_is_no_answer_of_the_bot_api_is_tried_later() {
    let page = "<html>Sign in to the hotel network</html>";
    let huge = "x".repeat((16 << 20) + 1);
    for (status, body, said) in [
        (
            200,
            page.to_owned(),
            "telegram could not be reached: status 200 with an answer that cannot be read",
        ),
        (502, page.to_owned(), "telegram could not be reached: 502: an answer that cannot be read"),
        (200, huge, "telegram could not be reached: the answer is larger than 16777216 bytes"),
    ] {
        let server = Scripted::start(move |_, _| (status, body.clone())).await;
        let error = deliver(&telegram(&server.url), text("x", None)).await.expect_err("no answer");
        assert_eq!((error.to_string().as_str(), error.retry()), (said, Retry::Later));
    }
}

#[tokio::test]
async fn a_wait_of_a_day_is_understood() {
    let body = r#"{"ok":false,"error_code":429,"description":"Too Many Requests","parameters":{"retry_after":86400}}"#;
    let server = Scripted::start(|_, _| (429, body.to_owned())).await;
    let error = deliver(&telegram(&server.url), text("x", None)).await.expect_err("flood");
    assert_eq!(error.retry(), Retry::After(std::time::Duration::from_secs(86_400)));
}

/// SEC-96: the token is part of every address and must be in no error.
#[tokio::test]
async fn no_error_shows_the_token() {
    const CANARY: &str = "987654321:canary-7261";
    let server = fake().await;
    let closed = {
        let gone = FakeTelegram::start().await;
        gone.url()
    };
    let mut errors = Vec::new();
    let echo = Scripted::start(|_, _| no(400, "no such path: /bot987654321:canary-7261/x")).await;
    for url in [server.url(), closed, echo.url.clone(), "http://[".into(), "ftp://127.0.0.1".into()]
    {
        let channel = with_token(&url, CANARY);
        let stop = CancellationToken::new();
        let kept = Kept { batches: Mutex::default(), enough: 1, stop: stop.clone() };
        errors.push(channel.run(&kept, stop).await.expect_err("it cannot connect"));
        errors.push(deliver(&channel, text("x", None)).await.expect_err("it cannot send"));
        assert!(!format!("{:?}", channel.health()).contains("canary"));
    }
    assert!(matches!(errors[0], Error::Unauthorized { .. }), "{}", errors[0]);
    for error in errors {
        let shown = format!("{error} {error:?} {:?}", error.hint());
        assert!(!shown.contains("canary"), "{shown}");
    }
}

#[test]
fn whatever_the_markdown_telegram_takes_its_html() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (server, channel) = runtime.block_on(async {
        let server = fake().await;
        let channel = telegram(&server.url());
        (server, channel)
    });
    let markdown = r#"([*_~|`#>\\\[\]()!<&"a-c é😀\n-]|```|\*\*|https://x|\| ){0,60}"#;
    let markdown = proptest::string::string_regex(markdown)
        .unwrap()
        .prop_filter("blank", |text| !text.trim().is_empty());
    let mut sent = 0;
    TestRunner::new(Config::with_cases(200))
        .run(&markdown, |markdown| {
            let delivered = runtime.block_on(deliver(&channel, text(&markdown, None)));
            proptest::prop_assert!(delivered.is_ok(), "{:?}", delivered);
            Ok(())
        })
        .unwrap();
    for call in server.calls("sendMessage") {
        assert_eq!(call.status, 200, "refused as HTML: {}", call.params["text"]);
        sent += usize::from(call.params["parse_mode"] == "HTML");
    }
    assert!(sent > 100, "only {sent} texts were sent as HTML");
}

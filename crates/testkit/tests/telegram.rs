//! The fake Telegram over real HTTP.

use claw_testkit::{
    FakeTelegram, Kind,
    telegram::{TOKEN, USERNAME},
};
use reqwest::Client;
use serde_json::{Value, json};

/// A bot as simple as can be.
#[derive(Clone)]
struct Bot {
    client: Client,
    root: String,
}

impl Bot {
    fn of(fake: &FakeTelegram) -> Self {
        claw_testkit::init();
        Self { client: Client::new(), root: format!("{}/bot{TOKEN}", fake.url()) }
    }

    async fn try_call(&self, method: &str, params: Value) -> reqwest::Result<Value> {
        let url = format!("{}/{method}", self.root);
        self.client.post(url).json(&params).send().await?.json().await
    }

    async fn call(&self, method: &str, params: Value) -> Value {
        self.try_call(method, params).await.unwrap()
    }

    async fn send(&self, chat: i64, text: &str) -> Value {
        self.call("sendMessage", json!({ "chat_id": chat, "text": text })).await
    }

    async fn updates(&self, offset: i64, timeout: u64) -> Vec<Value> {
        let params = json!({ "offset": offset, "timeout": timeout });
        let mut body = self.call("getUpdates", params).await;
        assert_eq!(body["ok"], true, "{body}");
        serde_json::from_value(body["result"].take()).unwrap()
    }
}

async fn start() -> (FakeTelegram, Bot) {
    let fake = FakeTelegram::start().await;
    let bot = Bot::of(&fake);
    (fake, bot)
}

fn refused(status: u16, description: &str) -> Value {
    json!({ "ok": false, "error_code": status, "description": description })
}

fn bad(description: &str) -> Value {
    refused(400, &format!("Bad Request: {description}"))
}

fn id(update: &Value) -> i64 {
    update["update_id"].as_i64().unwrap()
}

#[tokio::test]
async fn a_message_is_delivered_until_it_is_confirmed() {
    let (fake, bot) = start().await;
    let message_id = fake.user_says(7, 7, "hi");
    let first = bot.updates(0, 0).await;
    let message = &first[0]["message"];
    assert_eq!(message["message_id"], message_id);
    assert_eq!(message["text"], "hi");
    assert_eq!(message["chat"]["type"], "private");
    assert_eq!(message["from"]["id"], 7);
    assert_eq!(bot.updates(0, 0).await, first);
    assert_eq!(bot.updates(id(&first[0]) + 1, 0).await, [Value::Null; 0]);
    assert_eq!(fake.updates_pending(), 0);
}

#[tokio::test]
async fn a_long_poll_answers_when_somebody_writes() {
    let (fake, bot) = start().await;
    let polling = tokio::spawn({
        let bot = bot.clone();
        async move { bot.updates(0, 50).await }
    });
    // A second call proves that the server is at work while the first may already wait.
    bot.call("getMe", json!({})).await;
    fake.user_says(7, 7, "hi");
    assert_eq!(polling.await.unwrap()[0]["message"]["text"], "hi");
}

#[tokio::test]
async fn an_idle_long_poll_ends_empty() {
    let (_fake, bot) = start().await;
    assert_eq!(bot.updates(0, 1).await, [Value::Null; 0]);
}

#[tokio::test]
async fn the_newer_of_two_long_polls_wins() {
    let (fake, bot) = start().await;
    let poll = || {
        let bot = bot.clone();
        tokio::spawn(async move { bot.call("getUpdates", json!({ "timeout": 50 })).await })
    };
    let (one, other) = (poll(), poll());
    // Only the loser is answered while nobody writes.
    let lost = fake.wait_for_calls("getUpdates", 1).await;
    assert_eq!(lost[0].status, 409);
    fake.user_says(7, 7, "hi");
    let mut answers = [one.await.unwrap(), other.await.unwrap()];
    answers.sort_by_key(|answer| answer["ok"] == true);
    let why = "Conflict: terminated by other getUpdates request; make sure that only one bot \
               instance is running";
    assert_eq!(answers[0], refused(409, why));
    assert_eq!(answers[1]["result"][0]["message"]["text"], "hi");
}

#[tokio::test]
async fn groups_carry_mentions_replies_and_edits() {
    let (fake, bot) = start().await;
    let asked = fake.user_says(-5, 7, &format!("@{USERNAME} hi"));
    let sent = bot.send(-5, "yes?").await;
    let answered = sent["result"]["message_id"].as_i64().unwrap();
    fake.user_replies(-5, 8, answered, "thanks");
    fake.user_edits(-5, asked, "never mind");
    let updates = bot.updates(0, 0).await;
    let [mention, reply, edit] = &updates[..] else { panic!("three updates: {updates:?}") };
    assert_eq!(mention["message"]["chat"]["type"], "supergroup");
    let entity = json!([{ "type": "mention", "offset": 0, "length": 9 }]);
    assert_eq!(mention["message"]["entities"], entity);
    assert_eq!(reply["message"]["reply_to_message"]["from"]["username"], USERNAME);
    assert_eq!(edit["edited_message"]["message_id"], asked);
    assert_eq!(edit["edited_message"]["text"], "never mind");
}

#[tokio::test]
async fn an_update_can_be_delivered_twice() {
    let (fake, bot) = start().await;
    fake.user_says(7, 7, "hi");
    let first = bot.updates(0, 0).await;
    let next = id(&first[0]) + 1;
    assert!(bot.updates(next, 0).await.is_empty());
    fake.repeat_last_update();
    assert_eq!(bot.updates(next, 0).await, first);
    assert!(bot.updates(next, 0).await.is_empty());
}

#[tokio::test]
async fn an_injected_update_comes_as_it_is() {
    let (fake, bot) = start().await;
    let query = json!({ "id": "1", "data": "x" });
    let update_id = fake.inject(json!({ "callback_query": query }));
    let expected = json!({ "callback_query": query, "update_id": update_id });
    assert_eq!(bot.updates(0, 0).await, [expected]);
}

#[tokio::test]
async fn what_the_bot_sends_is_in_the_book() {
    let (fake, bot) = start().await;
    let asked = fake.user_says(7, 7, "hi");
    let sent = bot
        .call(
            "sendMessage",
            json!({
                "chat_id": "7",
                "text": "<b>1 &lt; 2</b>",
                "parse_mode": "HTML",
                "reply_parameters": { "message_id": asked },
                "disable_notification": true,
            }),
        )
        .await;
    assert_eq!(sent["result"]["text"], "1 < 2");
    let bold = json!([{ "type": "bold", "offset": 0, "length": 5 }]);
    assert_eq!(sent["result"]["entities"], bold);
    assert_eq!(sent["result"]["reply_to_message"]["message_id"], asked);
    let book = fake.wait_for_sent(1).await;
    assert_eq!((book[0].chat_id, book[0].reply_to, book[0].silent), (7, Some(asked), true));
    assert_eq!((book[0].text.as_str(), book[0].shown.as_str()), ("<b>1 &lt; 2</b>", "1 < 2"));
    assert_eq!(book[0].parse_mode.as_deref(), Some("HTML"));
}

#[tokio::test]
async fn wrong_messages_are_refused_in_telegrams_words() {
    let (fake, bot) = start().await;
    fake.join(7);
    let check = async |params: Value, expected: &str| {
        let mut message = json!({ "chat_id": 7, "text": "hi" });
        message.as_object_mut().unwrap().extend(params.as_object().unwrap().clone());
        assert_eq!(bot.call("sendMessage", message).await, bad(expected));
    };
    check(json!({ "chat_id": 8 }), "chat not found").await;
    check(json!({ "text": " \n" }), "message text is empty").await;
    let html = json!({ "text": "<h1>a</h1>", "parse_mode": "HTML" });
    let why = "can't parse entities: Unsupported start tag \"h1\" at byte offset 0";
    check(html, why).await;
    let reply = json!({ "reply_parameters": { "message_id": 999 } });
    check(reply, "message to be replied not found").await;
    check(json!({ "parse_mode": "Markup" }), "unsupported parse_mode").await;
    assert_eq!(fake.sent(), []);

    let lenient = json!({ "message_id": 999, "allow_sending_without_reply": true });
    let params = json!({ "chat_id": 7, "text": "hi", "reply_parameters": lenient });
    assert_eq!(bot.call("sendMessage", params).await["ok"], true);
}

#[tokio::test]
async fn length_is_counted_in_utf16_units_after_parsing() {
    let (fake, bot) = start().await;
    fake.join(7);
    let too_long = bad("message is too long");
    assert_eq!(bot.send(7, &"a".repeat(4096)).await["ok"], true);
    assert_eq!(bot.send(7, &"a".repeat(4097)).await, too_long);
    assert_eq!(bot.send(7, &"😀".repeat(2048)).await["ok"], true);
    assert_eq!(bot.send(7, &"😀".repeat(2049)).await, too_long);
    let text = "&lt;".repeat(4096);
    let params = json!({ "chat_id": 7, "text": text, "parse_mode": "HTML" });
    assert_eq!(bot.call("sendMessage", params).await["ok"], true);
}

#[tokio::test]
async fn messages_can_be_edited_deleted_and_reacted_to() {
    let (fake, bot) = start().await;
    let theirs = fake.user_says(7, 7, "hi");
    let ours = bot.send(7, "yes").await["result"]["message_id"].as_i64().unwrap();
    let edit = |id: i64, text: &str| json!({ "chat_id": 7, "message_id": id, "text": text });
    assert_eq!(bot.call("editMessageText", edit(ours, "no")).await["result"]["text"], "no");
    assert_eq!(fake.shown(7, ours).as_deref(), Some("no"));
    let same = bot.call("editMessageText", edit(ours, "no")).await;
    let why = same["description"].as_str().unwrap();
    assert!(why.starts_with("Bad Request: message is not modified"), "{why}");
    assert_eq!(
        bot.call("editMessageText", edit(theirs, "no")).await,
        bad("message can't be edited")
    );
    assert_eq!(bot.call("editMessageText", edit(99, "no")).await, bad("message to edit not found"));

    let of = |id: i64| json!({ "chat_id": 7, "message_id": id });
    assert_eq!(bot.call("setMessageReaction", of(theirs)).await["result"], true);
    assert_eq!(bot.call("deleteMessage", of(ours)).await["result"], true);
    assert_eq!(bot.call("deleteMessage", of(ours)).await, bad("message to delete not found"));
    assert_eq!(fake.shown(7, ours), None);
}

#[tokio::test]
async fn the_small_methods_answer() {
    let (fake, bot) = start().await;
    fake.join(-5);
    let me = bot.call("getMe", json!({})).await;
    assert_eq!(
        (&me["result"]["username"], &me["result"]["is_bot"]),
        (&json!(USERNAME), &json!(true))
    );
    assert_eq!(bot.call("deleteWebhook", json!({})).await["result"], true);
    let commands = json!([{ "command": "stop", "description": "Stop" }]);
    let set = bot.call("setMyCommands", json!({ "commands": commands })).await;
    assert_eq!((&set["result"], fake.commands()), (&json!(true), commands));
    let wrong = json!({ "commands": [{ "command": "Stop!", "description": "Stop" }] });
    assert_eq!(bot.call("setMyCommands", wrong).await, bad("BOT_COMMAND_INVALID"));
    let typing = json!({ "chat_id": -5, "action": "typing" });
    assert_eq!(bot.call("sendChatAction", typing.clone()).await["result"], true);
    assert_eq!(fake.calls("sendChatAction")[0].params, typing);
    let chat = bot.call("getChat", json!({ "chat_id": -5 })).await;
    assert_eq!(chat["result"]["title"], "Group -5");
}

#[tokio::test]
async fn wrong_tokens_and_methods_are_refused() {
    let (fake, bot) = start().await;
    let missing = refused(404, "Not Found: method not found");
    assert_eq!(bot.call("sendNothing", json!({})).await, missing);
    let url = format!("{}/bot1:wrong/getMe", fake.url());
    let res = bot.client.get(url).send().await.unwrap();
    assert_eq!(res.status(), 401);
    assert_eq!(res.json::<Value>().await.unwrap(), refused(401, "Unauthorized"));
    let elsewhere = bot.client.get(format!("{}/", fake.url())).send().await.unwrap();
    assert_eq!(elsewhere.status(), 404);
}

#[tokio::test]
async fn throttled_sends_say_how_long_to_wait() {
    let (fake, bot) = start().await;
    fake.join(7);
    fake.throttle_next(1, 3);
    let mut expected = refused(429, "Too Many Requests: retry after 3");
    expected["parameters"] = json!({ "retry_after": 3 });
    assert_eq!(bot.send(7, "hi").await, expected);
    assert_eq!(bot.send(7, "hi").await["ok"], true);
}

#[tokio::test]
async fn a_failing_server_recovers() {
    let (fake, bot) = start().await;
    fake.user_says(7, 7, "hi");
    fake.fail_next(2, 502);
    let bad_gateway = refused(502, "Bad Gateway");
    assert_eq!(bot.call("getUpdates", json!({})).await, bad_gateway);
    assert_eq!(bot.send(7, "hi").await, bad_gateway);
    assert_eq!(bot.updates(0, 0).await.len(), 1);
}

#[tokio::test]
async fn a_lost_answer_hides_a_message_that_was_sent() {
    let (fake, bot) = start().await;
    fake.join(7);
    fake.lose_next_answers(1);
    let message = json!({ "chat_id": 7, "text": "hi" });
    bot.try_call("sendMessage", message.clone()).await.unwrap_err();
    assert_eq!(fake.sent().len(), 1);
    assert_eq!(bot.call("sendMessage", message).await["ok"], true);
}

#[tokio::test]
async fn a_lost_network_ends_polls_and_keeps_updates() {
    let (fake, bot) = start().await;
    let polling = tokio::spawn({
        let bot = bot.clone();
        async move { bot.try_call("getUpdates", json!({ "timeout": 50 })).await }
    });
    bot.call("getMe", json!({})).await;
    fake.network().go_down();
    polling.await.unwrap().unwrap_err();
    fake.user_says(7, 7, "hi");
    bot.try_call("getMe", json!({})).await.unwrap_err();
    fake.network().come_back();
    assert_eq!(bot.updates(0, 0).await.len(), 1);
}

#[tokio::test]
async fn a_person_who_blocked_the_bot_hears_nothing_until_they_write_again() {
    let (fake, bot) = start().await;
    fake.user_says(7, 7, "bye");
    fake.user_blocks(7);
    let forbidden = refused(403, "Forbidden: bot was blocked by the user");
    assert_eq!(bot.send(7, "hi").await, forbidden);
    fake.user_says(7, 7, "back");
    assert_eq!(bot.send(7, "hi").await["ok"], true);
}

#[tokio::test]
async fn reactions_reach_a_bot_that_asked_for_them() {
    let (fake, bot) = start().await;
    let message_id = fake.user_says(7, 7, "hi");
    fake.user_reacts(7, 7, message_id, "👍");
    let allowed = json!({ "allowed_updates": ["message", "message_reaction"] });
    let before = bot.call("getUpdates", allowed).await;
    assert_eq!(before["result"].as_array().unwrap().len(), 1);
    fake.user_reacts(7, 7, message_id, "👍");
    let updates = bot.updates(0, 0).await;
    let expected = json!([{ "type": "emoji", "emoji": "👍" }]);
    assert_eq!(updates[1]["message_reaction"]["new_reaction"], expected);
}

#[tokio::test]
async fn another_process_can_let_people_speak_and_read_the_book() {
    let served = claw_testkit::serve(Kind::Telegram, 0).await.unwrap();
    claw_testkit::init();
    let bot = Bot { client: Client::new(), root: format!("{}/bot{TOKEN}", served.url()) };
    let orders =
        json!([{ "chat": 7, "from": 7, "text": "a" }, { "chat": 8, "from": 8, "text": "b" }]);
    let url = format!("{}/_say", served.url());
    let res = bot.client.post(url).json(&orders).send().await.unwrap();
    let said: Vec<Value> = res.json().await.unwrap();
    let updates = bot.updates(0, 0).await;
    assert_eq!(updates.len(), 2);
    bot.send(8, "answer").await;

    let book = async |query: &str| -> Value {
        let url = format!("{}/_book?{query}", served.url());
        bot.client.get(url).send().await.unwrap().json().await.unwrap()
    };
    let sent = book("since=0").await;
    assert_eq!((&sent["total"], &sent["entries"][0]["text"]), (&json!(1), &json!("answer")));
    let handed = book("list=handed&since=1").await;
    assert_eq!(handed["entries"][0]["update_id"], said[1]["update_id"]);
    assert_eq!(handed["entries"][0]["message_id"], said[1]["message_id"]);
    assert_eq!(handed["entries"][0]["chat_id"], 8);
}

//! Three gateways, each a process of its own, on one PostgreSQL server: one is killed, one is
//! stopped in the middle of a send, one is cut off. Every message is answered once.

#[expect(dead_code, reason = "shared by several test binaries")]
mod process;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    time::Duration,
};

use claw_testkit::{
    Asked, PgServer, Proxy,
    anthropic::{self, FakeAnthropic},
    script::{Answer, Gate, Reply},
    telegram::{self, FakeTelegram, Sent},
};
use nix::sys::signal::Signal;
use process::{Gateway, configure};
use serde_json::{Value, json};

/// How long a gateway may be silent before the others take over. Unit: seconds. Short, so that the
/// tests are; a send may take a sixth of it.
const LEASE_SECS: u64 = 6;

/// The people that write, each in a chat of their own.
const PEOPLE: std::ops::Range<i64> = 1001..1009;

struct World {
    server: PgServer,
    telegram: FakeTelegram,
    model: FakeAnthropic,
    homes: Vec<tempfile::TempDir>,
    /// How many messages were written, so that each has words of its own.
    written: std::cell::Cell<usize>,
}

impl World {
    /// Everything but the gateways; `None` when this machine has no PostgreSQL.
    async fn new() -> Option<Self> {
        claw_testkit::init();
        let server = PgServer::start().await?;
        let model = FakeAnthropic::start().await;
        // Each answer repeats its question, so that the books show what was answered.
        model.answer_with(|asked: &Asked| {
            Answer::from(Reply::text(format!("to {}", question(asked))))
        });
        Some(Self {
            server,
            telegram: FakeTelegram::start().await,
            model,
            homes: Vec::new(),
            written: std::cell::Cell::new(0),
        })
    }

    /// Starts one more gateway; through `proxy`, when there is one.
    fn gateway(&mut self, proxy: Option<SocketAddr>) -> Gateway {
        let home = tempfile::tempdir().unwrap();
        let mut url = self.server.url("postgres");
        if let Some(proxy) = proxy {
            url = url.replace(&format!(":{}/", self.server.port()), &format!(":{}/", proxy.port()));
        }
        let config = json!({
            "agents": { "defaults": { "model": { "primary": "fake/model-a" } } },
            "models": { "providers": { "fake": {
                "baseUrl": self.model.url(), "apiKey": anthropic::KEY, "api": "anthropic-messages",
                "models": [{ "id": "model-a", "name": "A", "contextWindow": 100_000, "maxTokens": 1_000 }],
            } } },
            "channels": { "telegram": {
                "enabled": true, "botToken": telegram::TOKEN, "apiRoot": self.telegram.url(),
                "dmPolicy": "open", "allowFrom": ["*"],
            } },
            "session": { "dmScope": "per-peer" },
            "gateway": { "auth": { "token": "the-token-of-the-test" } },
            "store": { "url": url, "leaseSeconds": LEASE_SECS },
        });
        configure(home.path(), &config.to_string());
        let gateway = Gateway::start(home.path());
        self.homes.push(home);
        gateway
    }

    /// Everybody writes a message.
    fn everybody_writes(&self) {
        for person in PEOPLE {
            let number = self.written.get() + 1;
            self.written.set(number);
            self.telegram.user_says(person, person, &format!("question {number}"));
        }
    }

    /// Waits until every message was answered, then for one more from each person, so that whatever
    /// was still under way would have come first; the books then.
    async fn settled(&self) -> Vec<Sent> {
        self.everybody_writes();
        loop {
            let sent = self.telegram.sent();
            let answered = answers(&sent);
            if answered.len() == self.written.get() {
                return sent;
            }
            assert!(answered.len() <= self.written.get());
            self.telegram.wait_for_sent(sent.len() + 1).await;
        }
    }
}

/// The last thing that was said to the model, without the words around it.
fn question(asked: &Asked) -> String {
    let claw_testkit::Last::User(text) = &asked.last else { return String::new() };
    let at = text.rfind("question ").unwrap_or(0);
    text[at..].split_whitespace().take(2).collect::<Vec<_>>().join(" ")
}

/// How often each question was answered.
fn answers(sent: &[Sent]) -> BTreeMap<String, usize> {
    let mut answers = BTreeMap::new();
    for sent in sent {
        *answers.entry(sent.shown.clone()).or_default() += 1;
    }
    answers
}

/// Every question was answered once and in the order of its chat; `in_window` of them twice.
#[track_caller]
fn check(sent: &[Sent], in_window: usize) {
    let doubled: Vec<_> = answers(sent).into_iter().filter(|(_, times)| *times != 1).collect();
    assert!(doubled.len() <= in_window, "doubled: {doubled:?}");
    assert!(doubled.iter().all(|(_, times)| *times == 2), "{doubled:?}");
    for person in PEOPLE {
        let mut seen = BTreeSet::new();
        // The second one of a double may come late: from who was stopped before it wrote.
        let numbers: Vec<usize> = sent
            .iter()
            .filter(|sent| sent.chat_id == person)
            .map(|sent| sent.shown.rsplit(' ').next().unwrap().parse().unwrap())
            .filter(|number| seen.insert(*number))
            .collect();
        assert!(numbers.is_sorted(), "out of order in chat {person}: {numbers:?}");
    }
}

/// What `cargo xtask soak gateways` keeps.
fn figure(what: &str, sent: &[Sent]) {
    let doubled = answers(sent).values().filter(|times| **times > 1).count();
    println!(
        "figure: {what}: messages answered = {}, lost 0, doubles in the window {doubled}",
        answers(sent).len()
    );
}

/// Waits until a gateway says that it is ready, and what it says then.
async fn ready(gateway: &Gateway) -> Value {
    loop {
        match tokio::task::block_in_place(|| gateway.try_get("/ready")) {
            Some((200, words)) => return words,
            _ => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn when_one_of_three_gateways_is_killed_the_others_answer_every_message_once() {
    let Some(mut world) = World::new().await else { return };
    let mut gateways: Vec<_> = (0..3).map(|_| world.gateway(None)).collect();
    for gateway in &gateways {
        let words = ready(gateway).await;
        assert_eq!(words["channels"]["telegram:default"]["connected"], true, "{words}");
    }
    let rounds = if std::env::var_os("CLAW_SOAK").is_some() { 20 } else { 1 };
    let mut sent = Vec::new();
    for round in 1..=rounds {
        world.everybody_writes();
        world.model.wait_for_requests(world.written.get() - 5).await;
        // The oldest one holds the account.
        gateways.remove(0).kill();
        world.everybody_writes();
        sent = world.settled().await;
        // A part that was sent while it died, before its mark: the window.
        check(&sent, round * PEOPLE.count());
        gateways.push(world.gateway(None));
    }
    figure(&format!("killed {rounds} times"), &sent);
    for gateway in gateways {
        ready(&gateway).await;
        assert_eq!(gateway.terminate(), Some(0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_stopped_in_the_middle_of_a_send_is_shut_out_and_comes_back() {
    let Some(mut world) = World::new().await else { return };
    let (first, second, third) = (world.gateway(None), world.gateway(None), world.gateway(None));
    ready(&first).await;
    let gate = Gate::new();
    world.telegram.hold_next_answers(1, &gate);
    world.everybody_writes();
    // One part has reached the platform, whose answer does not come.
    world.telegram.wait_for_sent(1).await;
    first.signal(Signal::SIGSTOP);
    world.everybody_writes();
    // The others take over within the lease, and everything is answered while it sleeps. In each chat
    // one part may have been sent and not marked.
    let sent = world.settled().await;
    check(&sent, PEOPLE.count());
    gate.open();
    first.signal(Signal::SIGCONT);
    first.prints("starting over");
    ready(&first).await;
    let sent = world.settled().await;
    check(&sent, PEOPLE.count());
    figure("stopped in the middle of a send", &sent);
    for gateway in [first, second, third] {
        assert_eq!(gateway.terminate(), Some(0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_is_cut_off_from_the_store_stops_and_the_others_take_over() {
    let Some(mut world) = World::new().await else { return };
    let proxy =
        Proxy::start((std::net::Ipv4Addr::LOCALHOST, world.server.port()).into()).await.unwrap();
    let first = world.gateway(Some(proxy.address()));
    let (second, third) = (world.gateway(None), world.gateway(None));
    ready(&first).await;
    world.everybody_writes();
    world.model.wait_for_requests(3).await;
    proxy.go_down();
    world.everybody_writes();
    let sent = world.settled().await;
    check(&sent, PEOPLE.count());
    proxy.come_back();
    ready(&first).await;
    let sent = world.settled().await;
    check(&sent, PEOPLE.count());
    figure("cut off", &sent);
    for gateway in [first, second, third] {
        assert_eq!(gateway.terminate(), Some(0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_restarts_and_nothing_is_lost() {
    let Some(mut world) = World::new().await else { return };
    let (first, second) = (world.gateway(None), world.gateway(None));
    ready(&first).await;
    world.everybody_writes();
    world.model.wait_for_requests(3).await;
    world.server.restart().await;
    world.everybody_writes();
    let sent = world.settled().await;
    check(&sent, PEOPLE.count());
    figure("server restarted", &sent);
    assert_eq!((first.terminate(), second.terminate()), (Some(0), Some(0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_any_gateway_gets_the_answer_and_the_history_of_a_run_on_another() {
    let Some(mut world) = World::new().await else { return };
    let (first, second) = (world.gateway(None), world.gateway(None));
    let say = |home: usize, text: &str| {
        let words = ["agent", "--session-key", "agent:main:shared", "-m", text];
        let mut command = process::command(world.homes[home].path());
        let output = command.args(words).output().unwrap();
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        printed
    };
    // The first message makes the lane the first gateway's; the second one comes in elsewhere.
    assert_eq!(say(0, "question 1").trim(), "to question 1");
    assert_eq!(say(1, "question 2").trim(), "to question 2");
    let ended = |gateway: &Gateway| gateway.printed().matches("turn ended").count();
    assert_eq!((ended(&first), ended(&second)), (2, 0));
    let history = process::command(world.homes[1].path())
        .args(["gateway", "call", "chat.history", "--params"])
        .arg(json!({ "sessionKey": "agent:main:shared" }).to_string())
        .output()
        .unwrap();
    let history = String::from_utf8_lossy(&history.stdout).into_owned();
    for words in ["question 1", "to question 2"] {
        assert!(history.contains(words), "{history}");
    }
    assert_eq!((first.terminate(), second.terminate()), (Some(0), Some(0)));
}

//! What the owner can do about replies that did not get out, and what is too old to be sent.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use claw_channel::{Capability, Channel, ChunkMode, Delivered, Health, Inbox, TextUnit};
use claw_delivery::{
    Account, Delivery, Error, Incoming, Job, Line, MaxAge, OutboxConfig, Outgoing, Parts, Quote,
    ReplyStyle, Router, Scribe, SessionConfig, StatusCard, Stop, Turns, Unsent,
};
use claw_domain::{
    AccountId, Action, Address, AgentId, AssistantMessage, ChannelId, ChatKind, Clock, Ending,
    IdSource, Inbound, InboundKind, MessageText, NodeId, Origin, Outbound, OutboxId, Sender,
    Session, Timestamp, millis,
};
use claw_guard::{AllowList, DmPolicy, GroupPolicy, IdForm, SpeakPolicy};
use claw_store::{Lease, OutboxRow, RowFilter, Store};
use claw_store_memory::Memory;
use claw_testkit::MockClock;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

/// An agent that says what was said to it.
struct Echo;

#[async_trait]
impl Turns for Echo {
    async fn run(&self, job: &Job, _stop: &Stop) -> Result<Ending, Error> {
        let ending = Ending::Replied { text: job.words.clone().unwrap_or_default() };
        job.finish(&ending, vec![job.admitted()]).await?;
        Ok(ending)
    }

    async fn note(&self, _job: &Job, _answer: AssistantMessage) -> Result<(), Error> {
        unreachable!("no test sends a client's command")
    }

    fn status(&self, _agent: &AgentId, _session: Option<&Session>) -> StatusCard {
        unreachable!("no test asks for the status")
    }
}

/// What the platform does with the next parts. What is not scripted is taken.
enum Next {
    Down,
    Refuse,
    HoldUntil(Arc<Notify>),
}

struct Platform {
    id: ChannelId,
    account: AccountId,
    capability: Capability,
    script: Mutex<VecDeque<Next>>,
    tried: Notify,
    sent: mpsc::UnboundedSender<String>,
}

#[async_trait]
impl Channel for Platform {
    fn id(&self) -> &ChannelId {
        &self.id
    }

    fn account(&self) -> &AccountId {
        &self.account
    }

    fn capability(&self) -> &Capability {
        &self.capability
    }

    async fn run(
        &self,
        _inbox: &dyn Inbox,
        stop: CancellationToken,
    ) -> Result<(), claw_channel::Error> {
        stop.cancelled().await;
        Ok(())
    }

    async fn deliver(&self, outbound: &Outbound) -> Result<Delivered, claw_channel::Error> {
        let next = self.script.lock().unwrap().pop_front();
        self.tried.notify_one();
        let channel = "post".to_owned();
        match next {
            Some(Next::Down) => {
                return Err(claw_channel::Error::Network { channel, detail: "it is down".into() });
            }
            Some(Next::Refuse) => {
                return Err(claw_channel::Error::Refused { channel, detail: "not you".into() });
            }
            Some(Next::HoldUntil(notify)) => notify.notified().await,
            None => {}
        }
        let Action::Send { text, .. } = &outbound.action else { panic!("{outbound:?}") };
        self.sent.send(text.clone()).unwrap();
        Ok(Delivered { external_id: Some(format!("{}:1", outbound.target.chat).into()) })
    }

    fn health(&self) -> Health {
        Health::default()
    }
}

/// Delivery over a store that outlives it.
struct Office {
    delivery: Delivery,
    platform: Arc<Platform>,
    sent: mpsc::UnboundedReceiver<String>,
    store: Arc<dyn Store>,
}

impl Office {
    async fn open(store: &Arc<dyn Store>, clock: &MockClock) -> Self {
        let (sent_tx, sent) = mpsc::unbounded_channel();
        let platform = Arc::new(Platform {
            id: "post".into(),
            account: "default".into(),
            capability: Capability {
                text_max: 100,
                text_unit: TextUnit::Chars,
                edits: false,
                deletes: false,
                reactions: false,
                threads: false,
                typing: false,
                idempotent_sends: false,
            },
            script: Mutex::default(),
            tried: Notify::new(),
            sent: sent_tx,
        });
        let everybody = AllowList::parse(["*"], IdForm { prefixes: &[], digits_only: true });
        let policy = SpeakPolicy {
            dm: DmPolicy::Open,
            allow_from: everybody,
            group: GroupPolicy::Open,
            ..SpeakPolicy::default()
        };
        let style = ReplyStyle { chunk_max: 100, mode: ChunkMode::Length, quote: Quote::Off };
        let account = Account { channel: platform.clone(), policy, style };
        let delivery = delivery(store, clock, vec![account]).await;
        Self { delivery, platform, sent, store: Arc::clone(store) }
    }

    fn will(&self, next: impl IntoIterator<Item = Next>) {
        self.platform.script.lock().unwrap().extend(next);
    }

    async fn hears(&self, id: &str, chat: &str, text: &str) {
        self.delivery.accept(vec![message(id, chat, ChatKind::Direct, text)]).await.unwrap();
    }

    /// The next text that gets out.
    async fn sends(&mut self) -> String {
        self.sent.recv().await.expect("the platform lives")
    }

    /// Waits until nothing is on its way; nothing more was sent.
    async fn is_quiet(&mut self) {
        while !self.delivery.is_idle() {
            tokio::task::yield_now().await;
        }
        assert_eq!(self.sent.try_recv().ok(), None, "nothing more is sent");
    }

    async fn outgoing(&self, view: Outgoing) -> Vec<Line> {
        self.delivery.outgoing(view, 100).await.unwrap()
    }

    /// Waits until the outbox shows so many rows that it tried so often.
    async fn until(&self, view: Outgoing, attempts: &[u32]) -> Vec<OutboxId> {
        loop {
            let rows = self.outgoing(view).await;
            if rows.iter().map(|row| row.attempts).eq(attempts.iter().copied()) {
                return rows.iter().map(|row| row.id.parse().unwrap()).collect();
            }
            tokio::task::yield_now().await;
        }
    }

    async fn rows(&self) -> Vec<OutboxRow> {
        self.store.outbox(&RowFilter { states: Vec::new(), limit: 100 }).await.unwrap()
    }
}

async fn delivery(store: &Arc<dyn Store>, clock: &MockClock, accounts: Vec<Account>) -> Delivery {
    let node = NodeId(7);
    let fence = store.claim(&Lease::Gateway, node, clock.now(), Timestamp::MAX).await;
    let last = store.last_event_id(node).await.unwrap();
    Delivery::new(Parts {
        store: Arc::clone(store),
        fence: fence.unwrap().expect("the lease is free"),
        scribe: Scribe::new(Arc::new(IdSource::new(node, last)), Arc::new(clock.clone())),
        turns: Arc::new(Echo),
        listener: Arc::new(drop),
        router: Router::new(vec!["main".into()], Vec::new(), SessionConfig::default()),
        accounts,
        concurrent_max: 8,
        sharing: None,
    })
}

fn message(id: &str, chat: &str, kind: ChatKind, text: &str) -> Inbound {
    Inbound {
        channel: "post".into(),
        account: "default".into(),
        external_id: id.into(),
        at: millis(0),
        origin: Origin::Person {
            sender: Sender { id: chat.into(), name: None, username: None },
            address: Address { chat: chat.into(), kind, thread: None, title: None },
        },
        kind: InboundKind::Message(MessageText {
            text: text.into(),
            mentions_us: true,
            ..MessageText::default()
        }),
    }
}

fn store() -> Arc<dyn Store> {
    Arc::new(Memory::default())
}

#[tokio::test]
async fn a_restart_after_a_week_resends_nothing_old() {
    let (store, clock) = (store(), MockClock::new());
    let office = Office::open(&store, &clock).await;
    office.will([Next::Down]);
    office.hears("1", "7", "stale").await;
    office.until(Outgoing::Pending, &[1]).await;
    office.delivery.shutdown(Duration::ZERO).await;

    clock.advance(Duration::from_secs(7 * 24 * 3600));
    let mut office = Office::open(&store, &clock).await;
    assert_eq!(office.delivery.recover().await.unwrap(), (0, 1));
    office.hears("2", "7", "fresh").await;
    assert_eq!(office.sends().await, "fresh");
    office.is_quiet().await;
    let dead = office.outgoing(Outgoing::Dead).await;
    assert_eq!(dead.len(), 1);
    assert_eq!(
        (dead[0].target.as_str(), dead[0].attempts, dead[0].detail.as_deref()),
        ("post:7", 1, Some("it could not be sent in time"))
    );
    assert_eq!(dead[0].at, clock.now().as_millisecond());
}

#[tokio::test]
async fn what_was_given_up_is_sent_again_after_what_waits_and_only_once() {
    let (store, clock) = (store(), MockClock::new());
    let mut office = Office::open(&store, &clock).await;
    let gate = Arc::new(Notify::new());
    office.will([Next::Refuse, Next::HoldUntil(Arc::clone(&gate))]);
    office.hears("1", "7", "first").await;
    let [letter] = office.until(Outgoing::Dead, &[1]).await[..] else { panic!("one is dead") };
    assert_eq!(office.delivery.unsent().await.unwrap(), Unsent { pending: 0, dead: 1 });

    office.platform.tried.notified().await;
    office.hears("2", "7", "second").await;
    office.platform.tried.notified().await;
    clock.advance(Duration::from_secs(3600));
    let copy = office.delivery.retry(letter).await.unwrap();
    gate.notify_one();
    assert_eq!([office.sends().await, office.sends().await], ["second", "first"]);
    office.is_quiet().await;

    let again = office.delivery.retry(letter).await.unwrap_err();
    assert_eq!(again.to_string(), format!("the outbox row {letter} is sent again, not dead"));
    let sent = office.delivery.retry(copy).await.unwrap_err();
    assert_eq!(sent.to_string(), format!("the outbox row {copy} is sent, not dead"));
    assert_eq!(office.delivery.retry_all().await.unwrap(), []);
    assert_eq!(office.delivery.unsent().await.unwrap(), Unsent::default());
    assert_eq!(office.outgoing(Outgoing::Open).await, []);
    let settled = office.outgoing(Outgoing::All).await;
    let settled = settled.iter().find(|line| line.id == letter.to_string()).unwrap();
    assert_eq!(settled.detail, Some(format!("sent again as {copy}")));
}

#[tokio::test]
async fn all_that_was_given_up_goes_out_in_its_order() {
    let (store, clock) = (store(), MockClock::new());
    let mut office = Office::open(&store, &clock).await;
    office.will([Next::Refuse, Next::Refuse, Next::Refuse]);
    // Two parts and a message.
    office.hears("1", "7", &format!("{} {}", "a".repeat(99), "b".repeat(50))).await;
    office.hears("2", "7", "c").await;
    office.until(Outgoing::Dead, &[1, 1, 1]).await;
    let sent = office.delivery.retry_all().await.unwrap();
    assert_eq!(sent.len(), 3);
    let said = [office.sends().await, office.sends().await, office.sends().await];
    assert_eq!(said.map(|text| text[..1].to_owned()), ["a", "b", "c"]);
    office.is_quiet().await;
}

#[tokio::test]
async fn a_reply_that_waits_can_be_dropped_and_what_stands_behind_it_goes_at_once() {
    let (store, clock) = (store(), MockClock::new());
    let mut office = Office::open(&store, &clock).await;
    office.will([Next::Down]);
    office.hears("1", "7", "stuck").await;
    let [stuck] = office.until(Outgoing::Pending, &[1]).await[..] else { panic!("one waits") };
    for (id, text) in [("2", "unwanted"), ("3", "wanted")] {
        office.hears(id, "7", text).await;
    }
    let rows = office.until(Outgoing::Pending, &[0, 0, 1]).await;
    for id in [stuck, rows[1]] {
        office.delivery.drop_part(id).await.unwrap();
    }
    assert_eq!(office.sends().await, "wanted");
    office.is_quiet().await;
    let again = office.delivery.drop_part(stuck).await.unwrap_err();
    assert_eq!(again.to_string(), format!("the outbox row {stuck} is dead, not pending"));
    assert_eq!(office.delivery.unsent().await.unwrap(), Unsent::default());
    let shown = office.outgoing(Outgoing::All).await;
    let details: Vec<_> = shown.iter().map(|line| line.detail.as_deref()).collect();
    assert_eq!(details, [None, Some("dropped by its owner"), Some("dropped by its owner")]);
}

#[tokio::test]
async fn what_is_being_sent_cannot_be_dropped() {
    let (store, clock) = (store(), MockClock::new());
    let mut office = Office::open(&store, &clock).await;
    let gate = Arc::new(Notify::new());
    office.will([Next::HoldUntil(Arc::clone(&gate))]);
    office.hears("1", "7", "on its way").await;
    office.platform.tried.notified().await;
    let id = office.rows().await[0].id;
    let refusal = office.delivery.drop_part(id).await.unwrap_err();
    assert_eq!(refusal.to_string(), format!("the outbox row {id} is being sent right now"));
    gate.notify_one();
    assert_eq!(office.sends().await, "on its way");
    office.is_quiet().await;
    let late = office.delivery.drop_part(id).await.unwrap_err();
    assert_eq!(late.to_string(), format!("the outbox row {id} is sent, not pending"));
    let nobody = OutboxId::generate();
    for unknown in
        [office.delivery.drop_part(nobody).await, office.delivery.retry(nobody).await.map(drop)]
    {
        assert!(matches!(unknown, Err(Error::NoSuchPart { id }) if id == nobody));
    }
}

#[tokio::test]
async fn without_its_account_a_reply_waits_in_the_store_for_whoever_runs_it() {
    let (store, clock) = (store(), MockClock::new());
    let office = Office::open(&store, &clock).await;
    office.will([Next::Refuse]);
    office.hears("1", "7", "later").await;
    let [letter] = office.until(Outgoing::Dead, &[1]).await[..] else { panic!("one is dead") };
    office.delivery.shutdown(Duration::ZERO).await;

    let desk = delivery(&store, &clock, Vec::new()).await;
    let copy = desk.retry(letter).await.unwrap();
    assert!(desk.is_idle(), "nothing is tried here");
    let waiting = desk.outgoing(Outgoing::Pending, 10).await.unwrap();
    assert_eq!((waiting[0].id.clone(), waiting[0].attempts), (copy.to_string(), 0));
    desk.shutdown(Duration::ZERO).await;

    let mut office = Office::open(&store, &clock).await;
    office.delivery.recover().await.unwrap();
    assert_eq!(office.sends().await, "later");
}

#[tokio::test]
async fn each_kind_of_chat_has_its_own_age_limit() {
    let (store, clock) = (store(), MockClock::new());
    let mut office = Office::open(&store, &clock).await;
    let minutes = |count| std::num::NonZeroU32::new(count).unwrap();
    let max_age_minutes = MaxAge { direct: minutes(60), ..MaxAge::default() };
    office.delivery.set_outbox(OutboxConfig { max_age_minutes });
    office.hears("1", "7", "to one").await;
    let group = message("2", "-100", ChatKind::Group, "to many");
    office.delivery.accept(vec![group]).await.unwrap();
    let _both = [office.sends().await, office.sends().await];
    office.is_quiet().await;
    let mut ages: Vec<_> = office
        .rows()
        .await
        .iter()
        .map(|row| {
            (row.outbound.target.chat.to_string(), row.expires_at.duration_since(clock.now()))
        })
        .map(|(chat, age)| (chat, age.as_mins()))
        .collect();
    ages.sort();
    assert_eq!(ages, [("-100".to_owned(), 15), ("7".to_owned(), 60)]);
}

#[tokio::test]
async fn lists_name_places_and_states_and_nothing_that_was_written() {
    let (store, clock) = (store(), MockClock::new());
    let mut office = Office::open(&store, &clock).await;
    office.hears("1", "7", "private words").await;
    office.sends().await;
    office.is_quiet().await;
    let shown = serde_json::json!([
        office.outgoing(Outgoing::All).await,
        office.delivery.incoming(Incoming::All, 10).await.unwrap(),
    ]);
    assert!(!shown.to_string().contains("private"), "{shown}");
    let now = clock.now().as_millisecond();
    let facts = |row: &serde_json::Value| {
        (row["target"].clone(), row["state"].clone(), row["attempts"].clone(), row["at"].clone())
    };
    assert_eq!(facts(&shown[0][0]), ("post:7".into(), "sent".into(), 1.into(), now.into()));
    assert_eq!(facts(&shown[1][0]), ("post:7".into(), "closed".into(), 1.into(), now.into()));
    assert_eq!(office.delivery.incoming(Incoming::Open, 10).await.unwrap(), []);
}

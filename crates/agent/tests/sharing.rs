//! Several gateways on one store: each message is answered once, by whichever is there.

#[allow(unreachable_pub, dead_code, reason = "shared by several test binaries")]
mod common;

use std::{sync::Arc, time::Duration};

use claw_domain::{InboxId, SignalKind, StopCause, TraceId, millis};
use claw_store::{Change, Fence, InboxKey, InboxRow, InboxState, Lease, RowFilter, Store};
use claw_store_memory::Memory;
use common::{Answer, Life, OWNER, RuntimeClock, operator};

const MAIN: &str = "agent:main:main";

/// A store for several gateways, by the runtime's clock.
fn shared() -> Arc<dyn Store> {
    Arc::new(Memory::shared(Arc::new(RuntimeClock::default())))
}

/// A gateway on it that has taken up what there is.
async fn joined(store: &Arc<dyn Store>, node: u64) -> Life {
    let life = Life::join(store, node, &[]).await;
    life.delivery.recover().await.unwrap();
    life
}

/// Has a gateway receive and send on the channel's account.
async fn holds_the_account(life: &Life) -> bool {
    life.delivery.hold_account(&"wire".into(), &"default".into()).await.unwrap()
}

/// The gateway renews its lease as long as it lives.
fn keeps_its_place(life: &Life) -> tokio::task::JoinHandle<()> {
    let membership = Arc::clone(life.membership.as_ref().unwrap());
    tokio::spawn(async move { membership.keep(Default::default()).await })
}

#[tokio::test(start_paused = true)]
async fn a_message_is_answered_by_the_gateway_that_holds_its_lane_and_sent_by_that_of_its_account()
{
    let store = shared();
    let (mut first, mut second) = (joined(&store, 1).await, joined(&store, 2).await);
    let _places = (keeps_its_place(&first), keeps_its_place(&second));
    assert!(holds_the_account(&first).await);
    assert!(!holds_the_account(&second).await);
    // A client of the second gateway begins the conversation, so its lane is there.
    second.model.will([Answer::Says("from two")]);
    second.delivery.submit(operator("k1", "hello")).await.unwrap();
    second.signals(|kind| matches!(kind, SignalKind::Finished(_))).await;

    second.model.will([Answer::Says("two again")]);
    first.hears("m1", OWNER, "hello?").await;
    assert_eq!(first.says().await, "two again");
    assert!(first.model.asked.lock().unwrap().is_empty());
    // The first one's clients hear the beginning and the end of what the second one ran.
    let ended = first.signals(|kind| matches!(kind, SignalKind::Finished(_))).await;
    assert_eq!(ended.session.as_str(), MAIN);
}

#[tokio::test(start_paused = true)]
async fn when_a_gateway_dies_the_other_takes_its_work_over_and_shuts_it_out() {
    let store = shared();
    let first = joined(&store, 1).await;
    let mut second = joined(&store, 2).await;
    let (dying, _alive) = (keeps_its_place(&first), keeps_its_place(&second));
    assert!(holds_the_account(&first).await);
    first.model.will([Answer::Hangs("Let me th")]);
    first.hears("m1", OWNER, "hello").await;
    first.hears("m2", OWNER, "and again").await;
    while first.model.asked.lock().unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    // It stops renewing: as by SIGSTOP, nothing of it is dropped.
    dying.abort();
    second.model.will([Answer::Says("one"), Answer::Says("two")]);
    while !holds_the_account(&second).await {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(second.says().await, "one");
    assert_eq!(second.says().await, "two");
    let fence = first.membership.as_ref().unwrap().fence();
    assert!(matches!(
        store.commit(&fence, Vec::new()).await,
        Err(claw_store::Error::Fenced { .. })
    ));
    second.is_quiet().await;
}

#[tokio::test(start_paused = true)]
async fn a_gateway_that_cannot_renew_its_lease_says_that_it_is_lost() {
    let store = shared();
    let first = joined(&store, 1).await;
    let lost = first.membership.as_ref().unwrap().lost().clone();
    let _place = keeps_its_place(&first);
    // Another gateway takes the place of the first, as it may when its lease was over.
    let now = claw_domain::Timestamp::MAX;
    let rival = claw_domain::NodeId(99);
    let lease = Lease::Member(claw_domain::NodeId(1));
    store.claim(&lease, rival, now, now).await.unwrap().unwrap();
    lost.cancelled().await;
}

#[tokio::test(start_paused = true)]
async fn stopping_a_run_reaches_the_gateway_that_runs_it() {
    let store = shared();
    let mut first = joined(&store, 1).await;
    let second = joined(&store, 2).await;
    let _places = (keeps_its_place(&first), keeps_its_place(&second));
    first.model.will([Answer::Hangs("so far")]);
    first.delivery.submit(operator("k1", "hello")).await.unwrap();
    first.signals(|kind| matches!(kind, SignalKind::Text(_))).await;
    let run = "k1".into();
    let asked = second.delivery.stop(&MAIN.into(), Some(&run), StopCause::Rpc).await.unwrap();
    assert_eq!(asked, [run]);
    assert!(!second.delivery.is_still(&MAIN.into()).await.unwrap());
    let ended = first.signals(|kind| matches!(kind, SignalKind::Finished(_))).await;
    let stopped = claw_domain::Ending::Stopped { cause: StopCause::Rpc, text: "so far".into() };
    assert_eq!(ended.kind, SignalKind::Finished(stopped));
    while !second.delivery.is_still(&MAIN.into()).await.unwrap() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_pinned_agents_messages_wait_for_its_gateway() {
    let store = shared();
    let elsewhere = Life::join(&store, 1, &["main"]).await;
    elsewhere.delivery.recover().await.unwrap();
    let _place = keeps_its_place(&elsewhere);
    elsewhere.delivery.submit(operator("k1", "hello")).await.unwrap();
    let open = RowFilter { states: vec!["admitted".into()], limit: 9 };
    assert_eq!(store.inbox(&open).await.unwrap().len(), 1);

    let mut home = Life::join(&store, 2, &[]).await;
    home.model.will([Answer::Says("here I am")]);
    home.delivery.recover().await.unwrap();
    home.signals(|kind| matches!(kind, SignalKind::Finished(_))).await;
    assert!(elsewhere.model.asked.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_lane_that_is_idle_is_given_up_and_the_next_message_goes_anywhere() {
    let store = shared();
    let (mut first, mut second) = (joined(&store, 1).await, joined(&store, 2).await);
    let _places = (keeps_its_place(&first), keeps_its_place(&second));
    first.model.will([Answer::Says("one")]);
    first.delivery.submit(operator("k1", "hello")).await.unwrap();
    first.signals(|kind| matches!(kind, SignalKind::Finished(_))).await;
    tokio::time::sleep(Duration::from_secs(20)).await;
    second.model.will([Answer::Says("two")]);
    second.delivery.submit(operator("k2", "hello")).await.unwrap();
    second.signals(|kind| matches!(kind, SignalKind::Text(_))).await;
}

#[tokio::test(start_paused = true)]
async fn what_a_dead_gateway_had_begun_is_answered_before_what_comes_next() {
    let store = shared();
    let mut second = joined(&store, 2).await;
    let _place = keeps_its_place(&second);
    // Between two looks of the second gateway at what waits.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let first = joined(&store, 1).await;
    first.model.will([Answer::Hangs("Let me th")]);
    first.delivery.submit(operator("k1", "hello")).await.unwrap();
    while first.model.asked.lock().unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    // Its lease ends in 30 s, since it never renews it.
    tokio::time::sleep(Duration::from_millis(30_500)).await;
    second.model.will([Answer::Says("one"), Answer::Says("two")]);
    second.delivery.submit(operator("k2", "and again")).await.unwrap();
    for run in ["k1", "k2"] {
        let ended = second.signals(|kind| matches!(kind, SignalKind::Finished(_))).await;
        assert_eq!(ended.run.as_str(), run);
    }
}

#[tokio::test(start_paused = true)]
async fn a_turn_that_had_begun_goes_on_before_older_messages_that_had_not() {
    let store = shared();
    let gone = joined(&store, 1).await;
    gone.model.will([Answer::Hangs("Let me th")]);
    gone.delivery.submit(operator("begun", "hello")).await.unwrap();
    while gone.model.asked.lock().unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    // A message that came before and was admitted later.
    let begun = store.inbox_of(&InboxKey::Run("begun".into())).await.unwrap().unwrap();
    let late = InboxRow {
        id: InboxId(uuid::Uuid::from_u128(begun.id.0.as_u128() - (1 << 80))),
        run: "late".into(),
        inbound: operator("late", "am I late?"),
        ..begun
    };
    let fence = gone.membership.as_ref().unwrap().fence();
    store.commit(&fence, vec![Change::Receive(Box::new(late))]).await.unwrap();
    let mut next = joined(&store, 2).await;
    let _place = keeps_its_place(&next);
    next.patience = Duration::from_secs(60);
    next.model.will([Answer::Says("begun"), Answer::Says("late")]);
    for run in ["begun", "late"] {
        let ended = next.signals(|kind| matches!(kind, SignalKind::Finished(_))).await;
        assert_eq!(ended.run.as_str(), run);
    }
}

/// A row as it is when a channel's message was kept and is not admitted yet.
fn received(id: u128, fence: Fence) -> InboxRow {
    InboxRow {
        id: InboxId(uuid::Uuid::from_u128(id)),
        trace: TraceId::generate(),
        inbound: common::message("m1", OWNER, "hello"),
        run: "r1".into(),
        received_at: millis(0),
        state: InboxState::Received,
        fence,
    }
}

#[tokio::test(start_paused = true)]
async fn receiving_begins_when_what_was_received_before_is_on_its_way() {
    let store = shared();
    let (first, mut second) = (joined(&store, 1).await, joined(&store, 2).await);
    let _place = keeps_its_place(&second);
    let fence = first.membership.as_ref().unwrap().fence();
    let row = received(uuid::Uuid::now_v7().as_u128(), fence);
    store.commit(&fence, vec![Change::Receive(Box::new(row))]).await.unwrap();
    second.model.will([Answer::Says("one"), Answer::Says("two")]);
    // The first one still has it in hand.
    assert!(!holds_the_account(&second).await);
    // Until its lease is over.
    while !holds_the_account(&second).await {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    second.hears("m2", OWNER, "and again").await;
    assert_eq!(second.says().await, "one");
    assert_eq!(second.says().await, "two");
}

#[tokio::test(start_paused = true)]
async fn who_takes_an_account_numbers_messages_after_all_that_came_before() {
    let store = shared();
    let (first, second) = (joined(&store, 1).await, joined(&store, 2).await);
    let fence = first.membership.as_ref().unwrap().fence();
    let hour = 3_600_000_u128 << 80;
    let ahead = uuid::Uuid::now_v7().as_u128() + hour;
    let closed = InboxState::Closed {
        outcome: "refused".into(),
        detail: String::new(),
        rule: None,
        at: millis(0),
    };
    let row = InboxRow { state: closed, ..received(ahead, fence) };
    store.commit(&fence, vec![Change::Receive(Box::new(row))]).await.unwrap();
    assert!(holds_the_account(&second).await);
    second.hears("m2", "9999", "somebody else").await;
    let rows = store.inbox(&RowFilter { states: Vec::new(), limit: 1 }).await.unwrap();
    assert_eq!(rows[0].inbound.external_id.as_str(), "m2");
}

#[tokio::test(start_paused = true)]
async fn what_was_not_admitted_yet_is_not_overtaken_by_newer_messages_that_were() {
    let store = shared();
    let (first, mut second) = (joined(&store, 1).await, joined(&store, 2).await);
    let _place = keeps_its_place(&second);
    let fence = first.membership.as_ref().unwrap().fence();
    let id = uuid::Uuid::now_v7().as_u128();
    let admitted =
        InboxState::Admitted { rule: "allowlist".into(), session: MAIN.into(), at: millis(0) };
    let newer = InboxRow {
        inbound: common::message("m2", OWNER, "and again"),
        run: "r2".into(),
        state: admitted,
        ..received(id + 2, fence)
    };
    let changes = [received(id, fence), newer].map(|row| Change::Receive(Box::new(row)));
    store.commit(&fence, changes.into()).await.unwrap();
    second.model.will([Answer::Says("one"), Answer::Says("two")]);
    while !holds_the_account(&second).await {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    for run in ["r1", "r2"] {
        let ended = second.signals(|kind| matches!(kind, SignalKind::Finished(_))).await;
        assert_eq!(ended.run.as_str(), run);
    }
}

#[tokio::test(start_paused = true)]
async fn clients_of_other_gateways_hear_that_a_waiting_message_was_stopped() {
    let store = shared();
    let (mut first, mut second) = (joined(&store, 1).await, joined(&store, 2).await);
    let _places = (keeps_its_place(&first), keeps_its_place(&second));
    first.model.will([Answer::Hangs("so far")]);
    first.delivery.submit(operator("k1", "hello")).await.unwrap();
    first.signals(|kind| matches!(kind, SignalKind::Text(_))).await;
    first.delivery.submit(operator("k2", "and again")).await.unwrap();
    assert_eq!(first.delivery.depth(&MAIN.into()), 1);
    first.delivery.stop(&MAIN.into(), None, StopCause::Rpc).await.unwrap();
    let mut ended = Vec::new();
    for _ in 0..2 {
        let signal = second.signals(|kind| matches!(kind, SignalKind::Finished(_))).await;
        ended.push(signal.run.to_string());
    }
    ended.sort();
    assert_eq!(ended, ["k1", "k2"]);
}

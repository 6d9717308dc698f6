//! Calls of the store that were carried out, and whose answers never came: nothing is done twice for
//! that, and nothing stays where nobody knows of it.

#[allow(unreachable_pub, dead_code, reason = "shared with the tests of the agent")]
#[path = "../../agent/tests/common/mod.rs"]
mod common;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use claw_domain::{EventBody, Seq, SignalKind};
use claw_faults::{Action, FaultyStore, Phase, Point, Points};
use claw_store::{RowFilter, Store};
use claw_store_memory::Memory;
use common::{Answer, Life, OWNER, RuntimeClock, operator};

fn shared() -> Arc<dyn Store> {
    Arc::new(Memory::shared(Arc::new(RuntimeClock::default())))
}

/// One gateway's way to the store. While the switch is on, the answers to calls of this name, about
/// something of this kind, are lost.
fn losing(
    store: &Arc<dyn Store>,
    name: &'static str,
    kind: &'static str,
) -> (Arc<dyn Store>, Arc<AtomicBool>) {
    let switch = Arc::new(AtomicBool::new(false));
    let on = Arc::clone(&switch);
    let points = Points::new(move |point: &Point<'_>| {
        let hit = point.phase == Phase::After && point.name == name && point.kind().contains(kind);
        match hit && on.load(Ordering::SeqCst) {
            true => Action::Fail,
            false => Action::GoOn,
        }
    });
    (Arc::new(FaultyStore::new(Arc::clone(store), points)), switch)
}

/// Longer than the pauses between tries, and shorter than a lease.
const A_WHILE: Duration = Duration::from_secs(5);

async fn lost_for_a_while(switch: &AtomicBool) {
    switch.store(true, Ordering::SeqCst);
    tokio::time::sleep(A_WHILE).await;
    switch.store(false, Ordering::SeqCst);
}

fn keeps_its_place(life: &Life) -> tokio::task::JoinHandle<()> {
    let membership = Arc::clone(life.membership.as_ref().unwrap());
    tokio::spawn(async move { membership.keep(Default::default()).await })
}

#[tokio::test(start_paused = true)]
async fn a_turn_whose_end_was_kept_ends_once() {
    let store: Arc<dyn Store> = Arc::new(Memory::default());
    let (faulty, switch) = losing(&store, "store.commit", "runFinished");
    let mut life = Life::begin(&faulty).await;
    life.delivery.recover().await.unwrap();
    life.model.will([Answer::Says("hello")]);
    life.delivery.submit(operator("k1", "hello")).await.unwrap();
    lost_for_a_while(&switch).await;
    life.signals(|kind| matches!(kind, SignalKind::Finished(_))).await;
    life.is_quiet().await;
    let events = store.events(Seq(0), 1_000).await.unwrap();
    let ends = events.iter().filter(|event| matches!(event.body, EventBody::RunFinished { .. }));
    assert_eq!(ends.count(), 1);
}

/// A gateway that may not run the agent's turns, and one that does.
async fn two(
    away: &Arc<dyn Store>,
    home: &Arc<dyn Store>,
) -> (Life, Life, [tokio::task::JoinHandle<()>; 2]) {
    let (away, home) = (Life::join(away, 1, &["main"]).await, Life::join(home, 2, &[]).await);
    away.delivery.recover().await.unwrap();
    home.delivery.recover().await.unwrap();
    let places = [keeps_its_place(&away), keeps_its_place(&home)];
    (away, home, places)
}

#[tokio::test(start_paused = true)]
async fn messages_whose_claim_was_not_answered_are_answered_all_the_same() {
    let store = shared();
    let (faulty, switch) = losing(&store, "store.claim_inbox", "");
    let (away, mut home, _places) = two(&store, &faulty).await;
    home.model.will([Answer::Says("hello")]);
    let (_, submitted) =
        tokio::join!(lost_for_a_while(&switch), away.delivery.submit(operator("k1", "hello")));
    submitted.unwrap();
    home.signals(|kind| matches!(kind, SignalKind::Finished(_))).await;
}

#[tokio::test(start_paused = true)]
async fn replies_whose_claim_was_not_answered_are_sent_all_the_same() {
    let store = shared();
    let (faulty, switch) = losing(&store, "store.claim_outbox", "");
    let (_away, mut home, _places) = two(&store, &faulty).await;
    assert!(home.delivery.hold_account(&"wire".into(), &"default".into()).await.unwrap());
    home.model.will([Answer::Says("hello"), Answer::Says("hello again")]);
    home.hears("m1", OWNER, "hello").await;
    assert_eq!(home.says().await, "hello");
    // The lane is held now, so that the turn waits for no claim.
    tokio::join!(lost_for_a_while(&switch), home.hears("m2", OWNER, "and again"));
    assert_eq!(home.says().await, "hello again");
    home.is_quiet().await;
}

#[tokio::test(start_paused = true)]
async fn a_message_that_was_left_is_not_taken_from_who_claimed_it() {
    let store = shared();
    let (faulty, switch) = losing(&store, "store.commit", "advance+leave");
    let (away, home, _places) = two(&faulty, &store).await;
    home.model.will([Answer::Hangs("Let me th")]);
    let (_, submitted) =
        tokio::join!(lost_for_a_while(&switch), away.delivery.submit(operator("k1", "hello")));
    submitted.unwrap();
    let rows = store.inbox(&RowFilter { states: Vec::new(), limit: 1 }).await.unwrap();
    assert_eq!(rows[0].fence, home.membership.as_ref().unwrap().fence());
    assert_eq!(home.delivery.depth(&"agent:main:main".into()), 0, "it was claimed once");
}

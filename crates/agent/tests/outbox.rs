//! How replies get out when the gateway stops, and when the machine's clock is set. The time of these
//! tests is made up: it passes at once when nothing else can happen.

#[allow(unreachable_pub, dead_code, reason = "shared by several test binaries")]
mod common;

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use claw_agent::Limits;
use claw_domain::{Clock, Seq, Timestamp};
use claw_store::Store;
use claw_store_memory::Memory;
use common::{Answer, Life, OWNER, RuntimeClock, info};
use tokio::time::Instant;

const HOUR: Duration = Duration::from_secs(3600);
const GRACE: Duration = Duration::from_secs(10);

/// A clock that follows the runtime's time and can be set.
#[derive(Default)]
struct Wall {
    runtime: RuntimeClock,
    set_by_secs: AtomicI64,
}

impl Wall {
    fn set_by(&self, secs: i64) {
        self.set_by_secs.store(secs, Ordering::SeqCst);
    }
}

impl Clock for Wall {
    fn now(&self) -> Timestamp {
        self.runtime.now()
            + jiff::SignedDuration::from_secs(self.set_by_secs.load(Ordering::SeqCst))
    }
}

fn store() -> Arc<dyn Store> {
    Arc::new(Memory::default())
}

async fn life(store: &Arc<dyn Store>, wall: &Arc<Wall>) -> Life {
    let clock = Arc::clone(wall) as Arc<dyn Clock>;
    let mut life = Life::begin_at(store, info(), Limits::default(), clock).await;
    // Longer than the longest back-off, and much shorter than an hour.
    life.patience = Duration::from_secs(100);
    life
}

fn put_off(secs: u64) -> claw_channel::Error {
    claw_channel::Error::Throttled { channel: "wire".into(), wait: Duration::from_secs(secs) }
}

/// A life whose one reply the platform has just put off.
async fn putting_off(store: &Arc<dyn Store>, wall: &Arc<Wall>, secs: u64) -> Life {
    let life = life(store, wall).await;
    life.model.will([Answer::Says("late")]);
    life.wire.fails.lock().unwrap().push_back(put_off(secs));
    life.hears("1", OWNER, "hi").await;
    while !store.pending_outbox(1).await.unwrap().iter().any(|row| row.not_before > wall.now()) {
        tokio::task::yield_now().await;
    }
    life
}

async fn expect_ids_ascend(store: &Arc<dyn Store>) {
    let events = store.events(Seq(0), usize::MAX).await.unwrap();
    let ids: Vec<_> = events.iter().map(|event| event.header.id).collect();
    assert!(ids.len() > 3 && ids.is_sorted_by(|one, next| one < next), "{ids:?}");
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_set_while_a_reply_waits_neither_holds_it_nor_kills_it() {
    for set_by in [-3600, 3600] {
        let (store, wall) = (store(), Arc::new(Wall::default()));
        let mut life = putting_off(&store, &wall, 5).await;
        wall.set_by(set_by);
        let asked = Instant::now();
        assert_eq!(life.says().await, "late");
        assert_eq!(asked.elapsed().as_secs(), 5, "clock set by {set_by} s");
        life.model.will([Answer::Says("again")]);
        life.hears("2", OWNER, "and now?").await;
        assert_eq!(life.says().await, "again");
        life.is_quiet().await;
        expect_ids_ascend(&store).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_set_back_an_hour_across_a_restart_holds_nothing_up() {
    let (store, wall) = (store(), Arc::new(Wall::default()));
    putting_off(&store, &wall, 30).await.dies().await;
    wall.set_by(-3600);
    let mut next = life(&store, &wall).await;
    next.delivery.recover().await.unwrap();
    let asked = Instant::now();
    assert_eq!(next.says().await, "late");
    assert!(asked.elapsed() < HOUR / 10, "{:?}", asked.elapsed());
    next.model.will([Answer::Says("again")]);
    next.hears("2", OWNER, "and now?").await;
    assert_eq!(next.says().await, "again");
    next.is_quiet().await;
    expect_ids_ascend(&store).await;
}

#[tokio::test(start_paused = true)]
async fn a_reply_that_is_too_old_after_a_restart_is_not_sent() {
    let (store, wall) = (store(), Arc::new(Wall::default()));
    putting_off(&store, &wall, 30).await.dies().await;
    tokio::time::advance(HOUR * 24 * 7).await;
    let mut next = life(&store, &wall).await;
    next.delivery.recover().await.unwrap();
    next.is_quiet().await;
    assert!(store.pending_outbox(9).await.unwrap().is_empty());
}

/// Three parts of at most 4,000 letters.
fn long() -> &'static str {
    let parts = ["one ", "two ", "three "].map(|word| word.repeat(3_990 / word.len()));
    parts.concat().leak()
}

fn first_word(text: &str) -> &str {
    text.split_whitespace().next().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_stop_lets_out_what_can_be_sent_at_once() {
    let store = store();
    let mut life = Life::begin(&store).await;
    *life.wire.takes.lock().unwrap() = Duration::from_secs(2);
    life.model.will([Answer::Says(long())]);
    life.hears("1", OWNER, "tell me").await;
    assert_eq!(first_word(&life.says().await), "one");
    life.delivery.shutdown(GRACE).await;
    assert_eq!(first_word(&life.says().await), "two");
    assert_eq!(first_word(&life.says().await), "three");
    assert!(store.pending_outbox(9).await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_a_stop_has_no_time_for_goes_out_once_after_the_next_start() {
    let store = store();
    let mut life = Life::begin(&store).await;
    *life.wire.takes.lock().unwrap() = Duration::from_secs(4);
    life.model.will([Answer::Says(long())]);
    life.hears("1", OWNER, "tell me").await;
    assert_eq!(first_word(&life.says().await), "one");
    // The second part is on its way when the time is up, and is waited for.
    let asked = Instant::now();
    life.delivery.shutdown(Duration::from_secs(1)).await;
    assert_eq!(asked.elapsed().as_secs(), 4);
    assert_eq!(first_word(&life.says().await), "two");
    life.is_silent();

    let mut next = Life::begin(&store).await;
    next.delivery.recover().await.unwrap();
    assert_eq!(first_word(&next.says().await), "three");
    next.is_quiet().await;
}

#[tokio::test(start_paused = true)]
async fn a_stop_does_not_wait_for_what_the_platform_has_put_off() {
    let (store, wall) = (store(), Arc::new(Wall::default()));
    let mut first = putting_off(&store, &wall, 600).await;
    let asked = Instant::now();
    first.delivery.shutdown(GRACE).await;
    assert_eq!(asked.elapsed(), Duration::ZERO);
    first.is_silent();

    let mut next = life(&store, &wall).await;
    next.delivery.recover().await.unwrap();
    assert_eq!(next.says().await, "late");
    next.is_quiet().await;
}

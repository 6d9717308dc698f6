//! The plan by which a process's store falls ill, told to the fault layer.

use std::{
    sync::{Arc, Mutex, OnceLock, mpsc},
    time::Duration,
};

use claw_faults::{Action, Phase, Plan, Point};
use claw_store::{Error, Fence};
use futures_util::FutureExt as _;

use super::{gate::Gate, world::World, world::lock};

/// Longer than any history: a call of a dead process, which never returns.
const FOR_EVER: Duration = Duration::from_secs(10 * 365 * 86_400);

/// How long made-up time stands still for one call of the store at most. Reached only by a call
/// that was dropped before its end.
const STILL_MAX: Duration = Duration::from_secs(2);

/// One process's store, at each of its points.
pub(crate) struct Sick {
    world: Arc<World>,
    gate: Gate,
    life: u32,
    /// The lease under which the process commits, as soon as it has one.
    fence: Arc<OnceLock<Fence>>,
    /// Each of them holds made-up time until it is dropped.
    under_way: Mutex<Vec<mpsc::Sender<()>>>,
}

impl Sick {
    pub(crate) fn new(
        world: Arc<World>,
        gate: Gate,
        life: u32,
        fence: Arc<OnceLock<Fence>>,
    ) -> Self {
        Self { world, gate, life, fence, under_way: Mutex::default() }
    }

    /// Notes what the store has done, whether or not its caller will ever know.
    fn note(&self, point: &Point<'_>) {
        lock(&self.under_way).pop();
        if point.name == "store.commit" && point.detail.ends_with(" failed") && self.is_fenced() {
            self.world.crowd.was_fenced();
        }
        for key in sent(point) {
            self.world.platform.marked(key);
        }
    }

    /// Whether the process has lost its lease to another gateway.
    fn is_fenced(&self) -> bool {
        let asked = self.fence.get().map(|fence| self.world.store.commit(fence, Vec::new()));
        let answer = asked.and_then(|asked| asked.now_or_never());
        matches!(answer, Some(Err(Error::Fenced { .. })))
    }

    fn fails(&self, point: &Point<'_>, dice: super::dice::Dice) -> bool {
        let ills = &self.world.story.ills;
        let rate = match (point.name, point.phase) {
            ("store.commit", Phase::Before) => ills.commit,
            ("store.commit", Phase::After) => ills.commit_kept,
            (_, Phase::Before) => ills.read,
            (_, Phase::After) => 0,
        };
        let cut_off = self.world.is_cut_off(&self.gate, dice);
        let fails = cut_off || self.world.is_ill(dice.about("failure"), rate);
        if fails {
            self.world.store_failed();
        }
        fails
    }

    /// Holds made-up time: the runtime does not go on to its next timer while a thread of it works.
    fn hold_time(&self) {
        let (sender, receiver) = mpsc::channel::<()>();
        drop(tokio::task::spawn_blocking(move || receiver.recv_timeout(STILL_MAX)));
        lock(&self.under_way).push(sender);
    }
}

/// The parts that a commit marked as sent, if it succeeded, by their ids, which are their keys as well.
fn sent<'a>(point: &Point<'a>) -> impl Iterator<Item = &'a str> {
    let done = point.name == "store.commit" && !point.detail.ends_with(" failed");
    point.detail.split(' ').filter(move |_| done).filter_map(|word| word.strip_prefix("sent="))
}

/// Of which kinds the changes of a commit are.
fn kinds<'a>(point: &Point<'a>) -> &'a str {
    point.detail.split(' ').next().unwrap_or_default()
}

impl Plan for Sick {
    fn decide(&self, point: &Point<'_>) -> Action {
        if point.phase == Phase::After {
            self.note(point);
        }
        let world = &self.world;
        let who = format!("{} {} {}", self.life, point.phase, kinds(point));
        let dice = world.roll(point.name, &who);
        if self.gate.is_dead() || world.dies(&self.gate, dice) {
            return Action::Delay(FOR_EVER);
        }
        world.stops(&self.gate, dice);
        let stopped = self.gate.stopped_for();
        if stopped.is_zero() && self.fails(point, dice) {
            return Action::Fail;
        }
        if world.store_has_threads && point.phase == Phase::Before {
            self.hold_time();
            return Action::GoOn;
        }
        let ms = dice.about("time").within(1..world.story.ills.store_ms_max);
        Action::Delay(stopped + Duration::from_millis(ms))
    }
}

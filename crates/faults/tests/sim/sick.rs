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

/// What is asked by nobody's turn. Where it fails, whoever asked tries again at a time that is not
/// spread: a process that begins is started again, admission waits in its place.
const NOT_OF_TURNS: &[&str] = &[
    "store.claim",
    "store.now",
    "store.hold",
    "store.release",
    "store.claim_inbox",
    "store.claim_outbox",
    "store.events",
    "store.inbox",
    "store.inbox_row",
    "store.last_event_id",
    "store.adopt",
    "store.open_inbox",
    "store.pending_outbox",
    "store.granted",
    "store.inbox_of",
    "store.outbox_row",
];

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
            self.world.waits_by_id();
        }
        for (what, key) in outbox_rows(point) {
            match what {
                "sent" => self.world.platform.marked(key),
                "pending" => self.world.waits.kept(key),
                _ => {}
            }
        }
    }

    /// Whether the process has lost its lease to another gateway.
    fn is_fenced(&self) -> bool {
        let asked = self.fence.get().map(|fence| self.world.store.commit(fence, Vec::new()));
        let answer = asked.and_then(|asked| asked.now_or_never());
        matches!(answer, Some(Err(Error::Fenced { .. })))
    }

    /// Notes what the process will know of it after so many milliseconds.
    fn note_told(&self, point: &Point<'_>, ms: u64) {
        for (_, key) in outbox_rows(point).filter(|(what, _)| *what == "pending") {
            self.world.waits.told(key, self.life, (self.world.clock.elapsed() + ms) as i64);
        }
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
        // Whoever is cut off fails so often that what waits longest is tried at times of its own.
        if cut_off || (fails && waits_by_id(point)) {
            self.world.waits_by_id();
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

/// What a commit that succeeded did to rows of the outbox: `sent`, `pending`, and the row's id, which
/// is the part's key as well.
fn outbox_rows<'a>(point: &Point<'a>) -> impl Iterator<Item = (&'a str, &'a str)> {
    let done = point.name == "store.commit" && !point.detail.ends_with(" failed");
    point.detail.split(' ').filter(move |_| done).filter_map(|word| word.split_once('='))
}

/// Whether who is told of this failure waits for a while that is spread by a row's id, as lanes do
/// before they run a turn again: after a question of a turn, and after a commit of a turn that was
/// kept all the same and is refused when it is made again.
fn waits_by_id(point: &Point<'_>) -> bool {
    match (point.name, point.phase) {
        ("store.commit", Phase::Before) => false,
        ("store.commit", Phase::After) => {
            !["deliver", "receive"].iter().any(|kind| kinds(point).contains(kind))
        }
        (name, _) => !NOT_OF_TURNS.contains(&name),
    }
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
        if point.phase == Phase::After {
            self.note_told(point, ms);
        }
        Action::Delay(stopped + Duration::from_millis(ms))
    }
}

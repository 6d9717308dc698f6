//! What outlives the processes of a history: the store, the platform, the vendor, what tools did.

use std::{
    collections::HashMap,
    future::pending,
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use claw_store::Store;

use super::{
    book::Counts, clock::MadeUpClock, crowd::Crowd, deeds::Deeds, dice::Dice, gate::Gate,
    platform::Platform, story::Story, vendor::Vendor,
};

pub(crate) struct World {
    pub(crate) story: Story,
    pub(crate) clock: MadeUpClock,
    pub(crate) store: Arc<dyn Store>,
    /// Whether the store works in threads, so that made-up time has to stand still meanwhile.
    pub(crate) store_has_threads: bool,
    /// A folder without files: every history's workspace.
    pub(crate) workspace: Arc<PathBuf>,
    pub(crate) platform: Platform,
    pub(crate) vendor: Vendor,
    pub(crate) deeds: Deeds,
    pub(crate) crowd: Crowd,
    failures: AtomicU64,
    store_failures: AtomicU64,
    deaths: AtomicU64,
    stops: AtomicU64,
    cuts: AtomicU64,
    rolls: Mutex<HashMap<(&'static str, String), Rolled>>,
}

/// When a point was passed last, and how often at that very time.
#[derive(Default)]
struct Rolled {
    at: u64,
    nth: u64,
}

impl World {
    /// A world at its beginning, which is now in the runtime's time.
    pub(crate) fn new(
        story: Story,
        store: Arc<dyn Store>,
        store_has_threads: bool,
        workspace: Arc<PathBuf>,
    ) -> Self {
        Self {
            clock: MadeUpClock::begin(story.ills.clock_back_at),
            story,
            store,
            store_has_threads,
            workspace,
            platform: Platform::default(),
            vendor: Vendor::default(),
            deeds: Deeds::default(),
            crowd: Crowd::default(),
            failures: AtomicU64::new(0),
            store_failures: AtomicU64::new(0),
            deaths: AtomicU64::new(0),
            stops: AtomicU64::new(0),
            cuts: AtomicU64::new(0),
            rolls: Mutex::default(),
        }
    }

    /// Whether nothing fails any more.
    pub(crate) fn is_calm(&self) -> bool {
        self.clock.elapsed() >= self.story.calm_at
    }

    /// The dice for passing a point now on behalf of `who`.
    ///
    /// They fall by the time, not by how often the point was passed: the runtime may carry out
    /// two things of one instant in either order, and each has to find the same dice.
    pub(crate) fn roll(&self, point: &'static str, who: &str) -> Dice {
        let now = self.clock.elapsed();
        let nth = {
            let mut rolls = lock(&self.rolls);
            let last = rolls.entry((point, who.to_owned())).or_default();
            *last = Rolled { at: now, nth: if last.at == now { last.nth + 1 } else { 0 } };
            last.nth
        };
        self.story.dice.about(point).about(who).nth(now).nth(nth)
    }

    /// Whether something goes wrong now that does so in this many of a thousand cases.
    pub(crate) fn fails(&self, dice: Dice, permille: u64) -> bool {
        let fails = self.is_ill(dice, permille);
        self.failures.fetch_add(u64::from(fails), Ordering::Relaxed);
        fails
    }

    /// As [`Self::fails`], and not counted.
    pub(crate) fn is_ill(&self, dice: Dice, permille: u64) -> bool {
        !self.is_calm() && dice.falls(permille)
    }

    /// Whether a living process dies at the point that it passes now; then it is dead.
    pub(crate) fn dies(&self, gate: &Gate, dice: Dice) -> bool {
        let ills = &self.story.ills;
        let may = !self.is_calm() && self.deaths() < ills.deaths_max;
        let dies = may && dice.about("death").falls(ills.death);
        if dies {
            self.deaths.fetch_add(1, Ordering::Relaxed);
            gate.kill();
        }
        dies
    }

    /// Whether one of several gateways is stopped at the point that it passes now; then it is.
    pub(crate) fn stops(&self, gate: &Gate, dice: Dice) -> bool {
        let (ills, dice) = (&self.story.ills, dice.about("stop"));
        let stops = self.may_begin(&self.stops, ills.stops_max) && dice.falls(ills.stop);
        if stops {
            gate.stop(self.while_of_leases(dice));
            self.stops.fetch_add(1, Ordering::Relaxed);
        }
        stops
    }

    /// Whether one of several gateways has no way to the store at this point of it.
    pub(crate) fn is_cut_off(&self, gate: &Gate, dice: Dice) -> bool {
        let (ills, dice) = (&self.story.ills, dice.about("cut"));
        if self.may_begin(&self.cuts, ills.cuts_max) && dice.falls(ills.cut) {
            gate.cut_off(self.while_of_leases(dice));
            self.cuts.fetch_add(1, Ordering::Relaxed);
        }
        gate.is_cut_off()
    }

    fn may_begin(&self, count: &AtomicU64, most: u64) -> bool {
        self.story.gateways > 1 && !self.is_calm() && count.load(Ordering::Relaxed) < most
    }

    /// Shorter than a lease, as long as one or longer.
    fn while_of_leases(&self, dice: Dice) -> Duration {
        Duration::from_millis(self.story.lease_ms * dice.about("while").within(20..400) / 100)
    }

    /// Passes a point at which the process may be stopped, or die; then this never returns.
    pub(crate) async fn pass(&self, gate: &Gate, dice: Dice) {
        if gate.is_dead() || self.dies(gate, dice) {
            pending::<()>().await;
        }
        self.stops(gate, dice);
        gate.alive().await;
    }

    /// Takes some made-up time of a living process. Unit: milliseconds.
    pub(crate) async fn take(&self, gate: &Gate, ms: u64) {
        if ms > 0 {
            tokio::time::sleep(Duration::from_millis(ms)).await;
        }
        gate.alive().await;
    }

    /// Notes that a call of the store fails.
    pub(crate) fn store_failed(&self) {
        self.store_failures.fetch_add(1, Ordering::Relaxed);
    }

    fn deaths(&self) -> u64 {
        self.deaths.load(Ordering::Relaxed)
    }

    /// How often what went wrong.
    pub(crate) fn counts(&self) -> Counts {
        Counts {
            deaths: self.deaths(),
            store_failures: self.store_failures.load(Ordering::Relaxed),
            failures: self.failures.load(Ordering::Relaxed),
            stops: self.stops.load(Ordering::Relaxed),
            cuts: self.cuts.load(Ordering::Relaxed),
            taken_over: self.crowd.taken_over(),
            fenced: self.crowd.fenced(),
        }
    }
}

/// A lock whose holder may have panicked, since a failed history is reported and not repaired.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

//! When a part is tried again after it was lost on the way.
//!
//! The gateway spreads that time by the row's id, which is not seeded. The wire evens it out: a
//! part that comes back within its spread is held until the whole wait is over.

use std::{collections::HashMap, sync::Mutex};

use super::world::lock;

/// The longest spread: the last quarter of a minute. Unit: milliseconds.
const SPREAD_MAX: i64 = 15_000;

#[derive(Default)]
pub(crate) struct Waits(Mutex<HashMap<String, Wait>>);

/// Times are in milliseconds.
#[derive(Clone, Copy, Default)]
struct Wait {
    /// By the wall clock, from which a new process counts. `None` when the platform itself said
    /// when to come again.
    lost_at: Option<i64>,
    /// Which process knows since when that the failure is kept, by the runtime's clock.
    told: Option<(u32, i64)>,
    tries: u32,
}

impl Waits {
    /// A part was lost at this time of the wall clock.
    pub(crate) fn lost(&self, key: &str, wall: i64) {
        lock(&self.0).entry(key.into()).or_default().lost_at = Some(wall);
    }

    /// The part was not lost: if it comes again, then exactly when the platform said.
    pub(crate) fn not_lost(&self, key: &str) {
        lock(&self.0).entry(key.into()).or_default().lost_at = None;
    }

    /// The store has kept that a try has failed.
    pub(crate) fn kept(&self, key: &str) {
        let mut waits = lock(&self.0);
        let wait = waits.entry(key.into()).or_default();
        wait.tries += 1;
        wait.told = None;
    }

    /// A process is told at this time that the failure is kept, and waits from then on.
    pub(crate) fn told(&self, key: &str, life: u32, elapsed: i64) {
        lock(&self.0).entry(key.into()).or_default().told = Some((life, elapsed));
    }

    /// How much of its wait is left to a part that comes now within its spread. Unit: milliseconds.
    pub(crate) fn rest(&self, key: &str, life: u32, elapsed: i64, wall: i64) -> Option<u64> {
        let wait = lock(&self.0).get(key).copied().unwrap_or_default();
        let lost_at = wait.lost_at?;
        let rest = match wait.told {
            Some((by, at)) if by == life => at + wait.whole() - elapsed,
            _ => lost_at + wait.whole() - wall,
        };
        (0..=SPREAD_MAX).contains(&rest).then_some(rest as u64)
    }
    /// Whether a process that waits may or may not have begun its next try at this time.
    pub(crate) fn is_open(&self, life: u32, elapsed: i64) -> bool {
        lock(&self.0).values().any(|wait| match (wait.lost_at, wait.told) {
            (Some(_), Some((by, at))) if by == life => {
                (at + wait.whole() * 3 / 4..=at + wait.whole()).contains(&elapsed)
            }
            _ => false,
        })
    }
}

impl Wait {
    /// The wait before it is spread over its last quarter: doubling from 1 s to 60 s.
    fn whole(&self) -> i64 {
        1_000 * (1 << self.tries.saturating_sub(1).min(20)).min(60)
    }
}

//! The gateways that live now, as their clients see them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use claw_delivery::Delivery;
use claw_domain::{EventBody, RunId, Seq, Signal, SignalKind};
use claw_store::Store;
use tokio::sync::watch;

use super::{dice::Dice, gate::Gate, world::lock};

/// Which runs a gateway's listeners heard the end of.
pub(crate) struct Ears(watch::Sender<BTreeSet<RunId>>);

impl Default for Ears {
    fn default() -> Self {
        Self(watch::Sender::new(BTreeSet::new()))
    }
}

impl Ears {
    pub(crate) fn hear(&self, signal: Signal) {
        if let SignalKind::Finished(_) = signal.kind {
            self.0.send_if_modified(|ended| ended.insert(signal.run));
        }
    }

    /// Waits for the end of a run.
    pub(crate) async fn end_of(&self, run: &RunId) {
        let mut ended = self.0.subscribe();
        let _gone = ended.wait_for(|ended| ended.contains(run)).await;
    }

    fn heard(&self, run: &RunId) -> bool {
        self.0.borrow().contains(run)
    }
}

/// Where clients come into a gateway.
#[derive(Clone)]
pub(crate) struct Door {
    pub(crate) delivery: Delivery,
    pub(crate) gate: Gate,
    pub(crate) ears: std::sync::Arc<Ears>,
    /// What was committed before is not told to those who listen here.
    pub(crate) since: Seq,
}

#[derive(Default)]
pub(crate) struct Crowd {
    doors: watch::Sender<BTreeMap<u32, Door>>,
    /// Which gateway received last.
    receiver: Mutex<Option<u32>>,
    taken_over: AtomicU64,
    fenced: AtomicU64,
    /// The clients' runs whose end was told to them.
    answered: Mutex<BTreeSet<RunId>>,
}

impl Crowd {
    pub(crate) fn opens(&self, gateway: u32, door: Door) {
        self.doors.send_modify(|doors| drop(doors.insert(gateway, door)));
    }

    pub(crate) fn closes(&self, gateway: u32) {
        self.doors.send_modify(|doors| drop(doors.remove(&gateway)));
    }

    /// One of the gateways that live, as soon as there is one.
    pub(crate) async fn door(&self, dice: Dice) -> Door {
        let mut doors = self.doors.subscribe();
        let doors = doors.wait_for(|doors| !doors.is_empty()).await.expect("the crowd outlives us");
        let nth = dice.below(doors.len() as u64) as usize;
        doors.values().nth(nth).expect("there are as many").clone()
    }

    /// A gateway holds the account now.
    pub(crate) fn receives(&self, gateway: u32) {
        let before = lock(&self.receiver).replace(gateway);
        let taken_over = before.is_some_and(|before| before != gateway);
        self.taken_over.fetch_add(u64::from(taken_over), Ordering::Relaxed);
    }

    pub(crate) fn was_fenced(&self) {
        self.fenced.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn answered(&self, run: RunId) {
        lock(&self.answered).insert(run);
    }

    pub(crate) fn was_answered(&self, run: &RunId) -> bool {
        lock(&self.answered).contains(run)
    }

    pub(crate) fn taken_over(&self) -> u64 {
        self.taken_over.load(Ordering::Relaxed)
    }

    pub(crate) fn fenced(&self) -> u64 {
        self.fenced.load(Ordering::Relaxed)
    }

    /// Which ends of runs nobody heard at a gateway that lived then and lives still.
    pub(crate) async fn unheard(&self, store: &dyn Store) -> Vec<String> {
        let doors = self.doors.borrow().clone();
        let mut unheard = Vec::new();
        for (gateway, door) in doors {
            let events = store.events(door.since, usize::MAX >> 1).await;
            for event in events.expect("the store below the faults is well") {
                if let EventBody::RunFinished { run, .. } = event.body
                    && !door.ears.heard(&run)
                {
                    unheard
                        .push(format!("the end of run {run} was not heard at gateway {gateway}"));
                }
            }
        }
        unheard
    }
}

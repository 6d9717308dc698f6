//! Whether somebody else may have committed.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI32, Ordering},
    },
    time::Duration,
};

use futures_util::{StreamExt, stream};
use tokio::{
    pin, select,
    sync::watch,
    time::{MissedTickBehavior, interval, sleep},
};
use tokio_postgres::AsyncMessage;
use tokio_util::task::AbortOnDropHandle;

use crate::{error::Fault, place::Place};

/// Where commits are told, with the newest place in the log.
pub(crate) const CHANNEL: &str = "claw";
const LISTEN: &str = "LISTEN claw";
/// A wake-up can be lost, so there is one at least as often.
const TICK: Duration = Duration::from_secs(1);
/// The pause before a lost connection is tried anew.
const PAUSE: Duration = Duration::from_millis(500);

/// Listens on a connection of its own, until it is dropped.
pub(crate) struct Wakeups {
    heard: watch::Receiver<u64>,
    task: AbortOnDropHandle<()>,
}

impl Wakeups {
    /// `own` is the server's process for the writer here, whose commits wake nobody.
    pub(crate) fn start(place: Arc<Place>, own: Arc<AtomicI32>) -> Self {
        let (bell, heard) = watch::channel(0);
        let task = tokio::spawn(async move {
            futures_util::join!(tick(&bell), listen(&place, &own, &bell));
        });
        Self { heard, task: AbortOnDropHandle::new(task) }
    }

    pub(crate) fn receiver(&self) -> watch::Receiver<u64> {
        self.heard.clone()
    }

    pub(crate) fn stop(&self) {
        self.task.abort();
    }
}

fn ring(bell: &watch::Sender<u64>) {
    bell.send_modify(|count| *count = count.wrapping_add(1));
}

async fn tick(bell: &watch::Sender<u64>) {
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        ring(bell);
    }
}

async fn listen(place: &Place, own: &AtomicI32, bell: &watch::Sender<u64>) {
    loop {
        // The ticks go on meanwhile, so that nobody has to be told.
        let _lost = hear(place, own, bell).await;
        sleep(PAUSE).await;
    }
}

/// Rings for every commit of somebody else, as long as the connection holds.
async fn hear(place: &Place, own: &AtomicI32, bell: &watch::Sender<u64>) -> Result<(), Fault> {
    let (client, mut connection) = place.connect().await?;
    let mut messages = stream::poll_fn(move |cx| connection.poll_message(cx));
    let listen = client.batch_execute(LISTEN);
    pin!(listen);
    let mut listening = false;
    loop {
        select! {
            done = &mut listen, if !listening => {
                done?;
                listening = true;
                // What was told before nobody heard.
                ring(bell);
            }
            message = messages.next() => match message {
                Some(Ok(AsyncMessage::Notification(told)))
                    if told.process_id() != own.load(Ordering::Relaxed) => ring(bell),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error.into()),
                None => return Err(Fault::Lost("the server closed the connection".into())),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use claw_domain::Secret;
    use claw_testkit::PgServer;

    use super::*;
    use crate::{Options, conn::Conn};

    /// Counts what is heard, without the ticks.
    #[tokio::test]
    async fn commits_of_others_are_heard_and_ones_own_are_not() {
        let Some(server) = PgServer::start().await else { return };
        let url = Secret::new(server.url("postgres"));
        let place = Place::of(&url, &Options::default()).unwrap();
        let own = Conn::open(&place, []).await.unwrap();
        let other = Conn::open(&place, []).await.unwrap();
        let pid = AtomicI32::new(own.pid);
        let (bell, mut heard) = watch::channel(0);
        let told = async {
            heard.wait_for(|count| *count == 1).await.unwrap();
            // It listens now, and hears in the order of commits.
            own.word("NOTIFY claw, '7'").await.unwrap();
            other.word("NOTIFY claw, '8'").await.unwrap();
            heard.wait_for(|count| *count >= 2).await.unwrap();
            let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                WHERE query = 'LISTEN claw'";
            other.word(end).await.unwrap();
        };
        let (lost, ()) = futures_util::join!(hear(&place, &pid, &bell), told);
        assert!(matches!(lost, Err(Fault::Lost(_))), "{lost:?}");
        assert_eq!(*bell.borrow(), 2);
    }
}

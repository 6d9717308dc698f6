//! One history from its beginning to its quiet end: people write, processes die and come again.

use std::{path::PathBuf, sync::Arc, time::Duration};

use claw_domain::{
    Address, ChatKind, EventBody, Inbound, InboundKind, MessageText, Origin, Sender, TraceId,
    millis,
};
use claw_store::Store;
use claw_store_memory::Memory;
use claw_store_sqlite::Sqlite;
use tokio::runtime::Builder;

use super::{
    book::Book,
    gate::Gate,
    life::{Life, take},
    story::{Act, Story, What},
    world::World,
};

/// Whether the history of a seed has its store on disk, with threads of its own: one in a hundred.
pub(crate) fn on_disk(seed: u64) -> bool {
    seed % 100 == 99
}

/// How long a process is away before the next one begins. Unit: milliseconds. Longer than a commit
/// takes that was under way when its process died; the longest makes replies expire.
const DOWN_MS: &[u64] = &[1_000, 1_000, 3_000, 10_000, 60_000, 1_200_000];

/// How long everything may take to come to rest once nothing fails: long enough for a clock that
/// was set back by an hour, and for replies to expire. Unit: milliseconds.
const PATIENCE_MS: u64 = 4 * 3_600_000;

/// Plays the history of a seed in a runtime of its own, and gives its book.
pub(crate) fn play(story: Story) -> Book {
    let on_disk = on_disk(story.seed);
    let folder = tempfile::tempdir().expect("a folder can be made");
    let runtime = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        // With one thread, blocking work ends in the order in which it began.
        .max_blocking_threads(if on_disk { 32 } else { 1 })
        .build()
        .expect("a runtime without drivers can be built");
    let book = runtime.block_on(async {
        let store: Arc<dyn Store> = if on_disk {
            let file = folder.path().join("store.sqlite");
            Arc::new(Sqlite::open(file).await.expect("a fresh store opens"))
        } else {
            Arc::new(Memory::default())
        };
        let workspace: PathBuf = folder.path().join("workspace");
        let world = Arc::new(World::new(story, store, on_disk, Arc::new(workspace)));
        happen(&world).await;
        Book::of(&world).await
    });
    // Calls of dead processes never return, so nothing is waited for.
    runtime.shutdown_background();
    book
}

async fn happen(world: &Arc<World>) {
    grant(world).await;
    let people = tokio::spawn(people(Arc::clone(world)));
    let mut stop_at = world.story.stop_at;
    for number in 1.. {
        let gate = Gate::default();
        let outcome = live(world, &gate, number, &mut stop_at).await;
        gate.kill();
        let down = match outcome {
            Outcome::AtRest => break,
            Outcome::NotStarted => 1_000,
            Outcome::Over => world.story.dice.about("down").nth(number.into()).pick(DOWN_MS),
        };
        tokio::time::sleep(Duration::from_millis(down)).await;
    }
    people.abort();
}

/// How a process ended.
enum Outcome {
    /// It could not begin.
    NotStarted,
    /// It died or was stopped.
    Over,
    /// It lives, and there is nothing left to do, or it does not get done.
    AtRest,
}

async fn live(world: &Arc<World>, gate: &Gate, number: u32, stop_at: &mut Option<u64>) -> Outcome {
    let begun = tokio::select! {
        biased;
        () = gate.dies() => return Outcome::Over,
        begun = Life::begin(world, gate, number) => begun,
    };
    let Ok(life) = begun else { return Outcome::NotStarted };
    tokio::select! {
        biased;
        () = gate.dies() => Outcome::Over,
        () = until(world, *stop_at) => {
            *stop_at = None;
            if world.waits.is_open(number, world.clock.elapsed() as i64) {
                world.waits_by_id();
            }
            life.end().await;
            Outcome::Over
        }
        () = rest(world) => Outcome::AtRest,
    }
}

/// Waits for a time of the history; for none, for ever.
async fn until(world: &World, at: Option<u64>) {
    match at {
        Some(at) => {
            let wait = at.saturating_sub(world.clock.elapsed());
            tokio::time::sleep(Duration::from_millis(wait)).await;
        }
        None => std::future::pending().await,
    }
}

/// Waits until everything is done, or patience is over.
async fn rest(world: &World) {
    until(world, Some(world.story.calm_at)).await;
    let began = world.clock.elapsed();
    let mut pause = 500;
    while world.clock.elapsed() - began < PATIENCE_MS {
        tokio::time::sleep(Duration::from_millis(pause)).await;
        let totals = world.store.totals().await.expect("the store below the faults is well");
        if world.platform.is_read() && totals.inbox_open == 0 && totals.outbox_pending == 0 {
            return;
        }
        pause = (pause * 2).min(60_000);
    }
}

/// Lets those in who are not on the list.
async fn grant(world: &World) {
    let well = "the store below the faults is well";
    let (fence, scribe) = take(world, &*world.store).await.expect(well);
    for chat in world.story.chats.iter().filter(|chat| chat.granted) {
        let body = EventBody::GrantGiven {
            channel: "wire".into(),
            account: "default".into(),
            peer: chat.peer.as_str().into(),
            by: "pairing".into(),
        };
        let (_, event) = scribe.write(TraceId::generate(), None, None, body);
        world.store.commit(&fence, vec![event]).await.expect(well);
    }
}

async fn people(world: Arc<World>) {
    for act in &world.story.acts {
        until(&world, Some(act.at)).await;
        world.platform.write(update(&world.story, act));
    }
}

/// What makes an act's update unique.
pub(crate) fn external_id(act: &Act) -> String {
    let chat = act.chat;
    match act.what {
        What::Says { n } => Story::tag(chat, n),
        What::Edits { n, version } => format!("{}v{version}", Story::tag(chat, n)),
        What::Stops | What::AsksStatus => format!("c{chat}-{}", act.at),
    }
}

fn update(story: &Story, act: &Act) -> Inbound {
    let peer = story.chats[act.chat].peer.as_str();
    let message = |text: String| MessageText { text, ..MessageText::default() };
    let kind = match act.what {
        What::Says { n } => {
            InboundKind::Message(message(format!("{} v0", Story::tag(act.chat, n))))
        }
        What::Edits { n, version } => InboundKind::Edit {
            of: Story::tag(act.chat, n).into(),
            message: message(format!("{} v{version}", Story::tag(act.chat, n))),
        },
        What::Stops => InboundKind::Message(message("/stop".into())),
        What::AsksStatus => InboundKind::Message(message("/status".into())),
    };
    Inbound {
        channel: "wire".into(),
        account: "default".into(),
        external_id: external_id(act).into(),
        at: millis(0),
        origin: Origin::Person {
            sender: Sender { id: peer.into(), name: None, username: None },
            address: Address {
                chat: peer.into(),
                kind: ChatKind::Direct,
                thread: None,
                title: None,
            },
        },
        kind,
    }
}

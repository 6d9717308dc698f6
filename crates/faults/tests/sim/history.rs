//! One history from its beginning to its quiet end: people write, processes die and come again.

use std::{path::PathBuf, sync::Arc, time::Duration};

use claw_domain::{
    Address, ChatKind, EventBody, Inbound, InboundKind, MessageText, Origin, Sender, TraceId,
    millis,
};
use claw_store::Store;
use claw_store_memory::Memory;
use claw_store_sqlite::Sqlite;
use tokio::{runtime::Builder, task::JoinSet};

use super::{
    book::Book,
    client,
    clock::MadeUpClock,
    gate::Gate,
    life::{Life, Place, take},
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

/// More processes than a gateway ever has in a history.
const LIVES_MAX: u32 = 1_000_000;

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
        } else if story.gateways > 1 {
            Arc::new(Memory::shared(Arc::new(MadeUpClock::begin(None))))
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
    let mut tasks = JoinSet::new();
    tasks.spawn(people(Arc::clone(world)));
    for act in world.story.acts.iter().filter(|act| act.is_a_clients()) {
        tasks.spawn(client(Arc::clone(world), *act));
    }
    for gateway in 0..world.story.gateways {
        tasks.spawn(run(Arc::clone(world), gateway));
    }
    rest(world).await;
    tasks.abort_all();
}

/// One gateway: a process, and the next one after it, until everything is at rest.
async fn run(world: Arc<World>, gateway: u32) {
    let mut stop_at = world.story.stop_at.filter(|_| gateway == 0);
    for nth in 1.. {
        let place = Place { gateway, life: gateway * LIVES_MAX + nth };
        let gate = Gate::default();
        let outcome = live(&world, &gate, place, &mut stop_at).await;
        world.crowd.closes(gateway);
        gate.kill();
        let down = match outcome {
            Outcome::NotStarted => 1_000,
            Outcome::Over => world.story.dice.about("down").nth(place.life.into()).pick(DOWN_MS),
            Outcome::Lost => 0,
        };
        tokio::time::sleep(Duration::from_millis(down)).await;
    }
}

/// How a process ended.
enum Outcome {
    /// It could not begin.
    NotStarted,
    /// It died or was stopped.
    Over,
    /// Another gateway has its place; it begins anew.
    Lost,
}

async fn live(world: &Arc<World>, gate: &Gate, place: Place, stop_at: &mut Option<u64>) -> Outcome {
    let begun = tokio::select! {
        biased;
        () = gate.dies() => return Outcome::Over,
        begun = Life::begin(world, gate, place) => begun,
    };
    let Ok(life) = begun else { return Outcome::NotStarted };
    let wish = tokio::select! {
        biased;
        () = gate.dies() => return Outcome::Over,
        () = until(world, *stop_at) => Outcome::Over,
        () = life.lost() => Outcome::Lost,
    };
    if let Outcome::Lost = wish {
        life.drop_all().await;
        return wish;
    }
    *stop_at = None;
    life.end().await;
    wish
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

/// Waits until everything is done and told, or patience is over.
async fn rest(world: &World) {
    until(world, Some(world.story.calm_at)).await;
    let began = world.clock.elapsed();
    let mut pause = 500;
    while world.clock.elapsed() - began < PATIENCE_MS {
        tokio::time::sleep(Duration::from_millis(pause)).await;
        let totals = world.store.totals().await.expect("the store below the faults is well");
        let done = totals.inbox_open == 0 && totals.outbox_pending == 0;
        if done && world.platform.is_read() && is_told(world).await {
            return;
        }
        pause = (pause * 2).min(60_000);
    }
}

/// Whether every client and every listener has heard how the runs ended.
async fn is_told(world: &World) -> bool {
    let mut clients = world.story.acts.iter().filter(|act| act.is_a_clients());
    clients.all(|act| world.crowd.was_answered(&external_id(act).into()))
        && world.crowd.unheard(&*world.store).await.is_empty()
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

async fn client(world: Arc<World>, act: Act) {
    until(&world, Some(act.at)).await;
    client::ask(world, act).await;
}

async fn people(world: Arc<World>) {
    for act in world.story.acts.iter().filter(|act| !act.is_a_clients()) {
        until(&world, Some(act.at)).await;
        world.platform.write(update(&world.story, act));
    }
}

/// What makes an act's update unique.
pub(crate) fn external_id(act: &Act) -> String {
    let chat = act.chat;
    match act.what {
        What::Says { n } => Story::tag(chat, n),
        What::Asks { n } => format!("asked-{}", Story::tag(chat, n)),
        What::Edits { n, version } => format!("{}v{version}", Story::tag(chat, n)),
        What::Stops | What::AsksStatus => format!("c{chat}-{}", act.at),
    }
}

fn update(story: &Story, act: &Act) -> Inbound {
    let peer = story.chats[act.chat].peer.as_str();
    let message = |text: String| MessageText { text, ..MessageText::default() };
    let kind = match act.what {
        What::Says { n } | What::Asks { n } => {
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

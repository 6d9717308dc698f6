//! Checks of what is left of events that are older than the retention.

use claw_domain::{
    Entry, EventBody, EventHeader, EventId, InboxId, NodeId, Seq, SessionId, SessionKey, Settings,
};

use super::{
    log::used,
    world::{NODE, World, answered, at, closed, compaction, key, said, target},
};
use crate::{Change, DeliveryState, Error, Fence, Folded, NewEvent, Snapshot};

/// Later than everything that a check commits.
const LATER_MS: i64 = 1_000_000;

/// Folds what is older than `ms`, in steps of `limit`.
async fn fold(world: &World, ms: i64, limit: usize) -> Folded {
    let mut all = Folded::default();
    loop {
        let step = world.store.fold(&world.fence, at(ms), limit).await.expect("it folds");
        all = Folded { events: all.events + step.events, rows: all.rows + step.rows, more: false };
        if !step.more {
            return all;
        }
    }
}

/// The newest event of a store cannot be folded; this one is of no matter.
async fn end(world: &World) {
    world.commit(vec![world.event(None, EventBody::SessionDeleted)]).await;
}

async fn log(world: &World, key: &SessionKey, body: EventBody) -> EventHeader {
    let header = world.header(Some(key));
    world.commit(vec![Change::Log(NewEvent { header: header.clone(), body })]).await;
    header
}

async fn kinds(world: &World) -> Vec<&'static str> {
    let events = world.store.events(Seq(0), usize::MAX).await.unwrap();
    events.iter().map(|event| event.body.kind()).collect()
}

/// A session with a setting, three entries and a bill.
async fn talk(world: &World, key: &SessionKey) -> (SessionId, Vec<Entry>) {
    let life = world.open(key).await;
    let settings = Settings { label: Some("ours".into()), ..Settings::default() };
    log(world, key, EventBody::SessionSet { settings }).await;
    let chain = world.chain(key, life, None, &[1, 2, 3]).await;
    log(world, key, EventBody::RunStarted { run: "r".into(), inbox: world.id() }).await;
    log(world, key, EventBody::Used(used(&"r".into(), 1))).await;
    (life, chain)
}

pub(super) async fn what_can_be_asked_of_a_session_is_the_same_after_folding(world: World) {
    let main = key("agent:main:main");
    let (life, chain) = talk(&world, &main).await;
    let head = chain[2].id;
    end(&world).await;
    let ask = async || {
        let store = &world.store;
        let session = store.session(&main).await.unwrap();
        let history = store.history(life, head, 10).await.unwrap();
        let context = store.context(life, head, None, 5).await.unwrap();
        (session, history, context, store.totals().await.unwrap().usage)
    };
    let before = ask().await;
    let folded = fold(&world, LATER_MS, 100).await;
    assert_eq!(folded.events, 2, "the run and the bill");
    assert_eq!(ask().await, before);
    let kept =
        ["sessionOpened", "sessionSet", "entryAdded", "entryAdded", "entryAdded", "sessionDeleted"];
    assert_eq!(kinds(&world).await, kept);
    assert_eq!(world.store.totals().await.unwrap().events, 6);
    let snapshot = world.store.snapshot().await.unwrap();
    assert_eq!((snapshot.events, snapshot.nodes), (2, 3));
    assert_eq!(snapshot.usage, used(&"r".into(), 1).usage);

    // The conversation goes on where it was.
    let next = world.entry(life, Some(&chain[2]), 4, answered("and on"));
    world.add(&main, &next).await;
    let session = world.store.session(&main).await.unwrap().unwrap();
    assert_eq!((session.head, session.tokens_sum), (Some(next.id), 10));
    assert_eq!(session.settings.label.as_deref(), Some("ours"));
}

pub(super) async fn folding_takes_bounded_steps_and_stops_at_its_time(world: World) {
    let main = key("agent:main:main");
    world.open(&main).await;
    for _ in 0..9 {
        log(&world, &main, EventBody::RunStarted { run: "r".into(), inbox: world.id() }).await;
    }
    let cut = log(&world, &main, EventBody::Used(used(&"r".into(), 1))).await.at;
    end(&world).await;
    let steps = async |before| world.store.fold(&world.fence, before, 4).await.unwrap();
    // The session's opening stays.
    assert_eq!(steps(cut).await, Folded { events: 3, rows: 0, more: true });
    assert_eq!(steps(cut).await, Folded { events: 4, rows: 0, more: true });
    assert_eq!(steps(cut).await, Folded { events: 2, rows: 0, more: false });
    assert_eq!(steps(cut).await, Folded::default());
    assert_eq!(kinds(&world).await, ["sessionOpened", "used", "sessionDeleted"]);
}

pub(super) async fn an_ended_life_goes_as_a_whole_once_all_of_it_is_old(world: World) {
    let main = key("agent:main:main");
    let (old, chain) = talk(&world, &main).await;
    let new = world.open(&main).await;
    let kept = world.chain(&main, new, None, &[1]).await;
    // Another gateway had still answered in the old life.
    let late = world.entry(old, Some(&chain[2]), 1, answered("late"));
    let late_at = {
        let header = world.header(Some(&main));
        let body = EventBody::EntryAdded(late.clone());
        world.commit(vec![Change::Log(NewEvent { header: header.clone(), body })]).await;
        header.at
    };
    end(&world).await;
    let before = world.store.session(&main).await.unwrap();
    while world.store.fold(&world.fence, late_at, 2).await.unwrap().more {}
    assert_eq!(world.store.history(old, late.id, 10).await.unwrap().len(), 4);
    fold(&world, LATER_MS, 2).await;
    assert_eq!(world.store.history(old, late.id, 10).await.unwrap(), []);
    let ids: Vec<_> = chain.iter().chain([&late]).map(|entry| entry.id).collect();
    assert_eq!(world.store.nodes(&ids).await.unwrap(), []);
    assert_eq!(world.store.history(new, kept[0].id, 10).await.unwrap().len(), 1);
    assert_eq!(world.store.session(&main).await.unwrap(), before);
    let kept = ["sessionOpened", "sessionSet", "sessionOpened", "entryAdded", "sessionDeleted"];
    assert_eq!(kinds(&world).await, kept);
}

pub(super) async fn the_prompt_prefix_in_force_stays(world: World) {
    let main = key("agent:main:main");
    let life = world.open(&main).await;
    let prefix = || EventBody::PrefixEpoch {
        model: "anthropic/claude".parse().expect("a model"),
        system: "You are".into(),
        tools: "digest".into(),
        why: "first".into(),
    };
    let [old, new] = [log(&world, &main, prefix()).await, log(&world, &main, prefix()).await];
    end(&world).await;
    fold(&world, LATER_MS, 100).await;
    assert_eq!(world.store.event(old.id).await.unwrap(), None);
    assert!(world.store.event(new.id).await.unwrap().is_some());
    // After a compaction nothing points to it.
    let root = world.entry(life, None, 1, said("hi"));
    world.add(&main, &root).await;
    world.add(&main, &world.entry(life, Some(&root), 1, compaction(root.id))).await;
    end(&world).await;
    fold(&world, LATER_MS, 100).await;
    assert_eq!(world.store.event(new.id).await.unwrap(), None);
}

pub(super) async fn what_was_folded_is_not_imported_again(world: World) {
    let main = key("agent:main:main");
    let (_, chain) = talk(&world, &main).await;
    world.open(&main).await;
    end(&world).await;
    let log = world.store.events(Seq(0), usize::MAX).await.unwrap();
    fold(&world, LATER_MS, 100).await;
    let (session, totals) =
        (world.store.session(&main).await.unwrap(), world.store.totals().await.unwrap());
    let again = log.into_iter().map(|event| {
        let (header, body) = (event.header, event.body);
        Change::Import(NewEvent { header, body })
    });
    world.commit(again.collect()).await;
    assert_eq!(world.store.session(&main).await.unwrap(), session);
    // Only the old transcript came back, since somebody else's may go on from it.
    let back = totals.events + chain.len() as u64;
    assert_eq!(world.store.totals().await.unwrap(), crate::Totals { events: back, ..totals });
    end(&world).await;
    fold(&world, LATER_MS, 100).await;
    assert_eq!(world.store.totals().await.unwrap().events, totals.events + 1);
}

pub(super) async fn an_event_that_comes_late_is_folded_onto_what_was_folded(world: World) {
    let main = key("agent:main:main");
    let (life, chain) = talk(&world, &main).await;
    let cut = log(
        &world,
        &main,
        EventBody::StopAsked {
            run: "r".into(),
            cause: claw_domain::StopCause::Rpc,
            said: String::new(),
        },
    )
    .await;
    let newest = world.entry(life, Some(&chain[2]), 5, answered("here"));
    world.add(&main, &newest).await;
    end(&world).await;
    fold(&world, cut.at.as_millisecond() - super::world::NOW, 100).await;
    // It belongs between what was folded and what was said here.
    let theirs = world.entry(life, Some(&chain[2]), 7, answered("there"));
    let id = EventId::new(cut.id.millis(), 9, NodeId(77));
    let header = EventHeader { id, ..world.header(Some(&main)) };
    let added = EventBody::EntryAdded(theirs.clone());
    world.commit(vec![Change::Import(NewEvent { header, body: added })]).await;
    let session = world.store.session(&main).await.unwrap().unwrap();
    assert_eq!((session.head, session.usage), (Some(newest.id), used(&"r".into(), 1).usage));
    assert_eq!(world.store.history(life, theirs.id, 10).await.unwrap().len(), 4);
    // What was folded since is folded once, and the late one with it.
    fold(&world, LATER_MS, 100).await;
    assert_eq!(world.store.session(&main).await.unwrap(), Some(session));
    assert_eq!(world.store.snapshot().await.unwrap().usage, used(&"r".into(), 1).usage);
}

pub(super) async fn an_id_that_was_folded_is_not_given_out_again(world: World) {
    let main = key("agent:main:main");
    world.open(&main).await;
    let last = log(&world, &main, EventBody::Used(used(&"r".into(), 1))).await;
    let foreign = EventId::new(last.id.millis() - 1, 7, NodeId(8));
    let header = EventHeader { id: foreign, ..world.header(None) };
    world.commit(vec![Change::Import(NewEvent { header, body: EventBody::SessionDeleted })]).await;
    fold(&world, LATER_MS, 100).await;
    assert_eq!(world.store.event(last.id).await.unwrap(), None);
    let newest = world.store.last_event_id(NODE).await.unwrap().unwrap();
    assert!(newest >= last.id, "{newest} is before {}", last.id);
    let again = NewEvent { header: last, body: EventBody::Used(used(&"r".into(), 1)) };
    assert!(matches!(world.refusal(vec![Change::Log(again)]).await, Error::Exists { .. }));
    // The place of the newest event is not given out again either.
    let seq = world.commit(vec![world.event(None, EventBody::SessionDeleted)]).await.seq;
    assert_eq!(seq, Seq(4));
}

pub(super) async fn who_was_let_in_stays(world: World) {
    let grant = EventBody::GrantGiven {
        channel: "telegram".into(),
        account: "default".into(),
        peer: "42".into(),
        by: "pairing".into(),
    };
    world.commit(vec![world.event(None, grant)]).await;
    end(&world).await;
    assert_eq!(fold(&world, LATER_MS, 100).await.events, 0);
    assert_eq!(world.store.all_grants().await.unwrap().len(), 1);
    assert_eq!(kinds(&world).await, ["grantGiven", "sessionDeleted"]);
}

pub(super) async fn an_open_row_keeps_the_events_since_it_came(world: World) {
    let main = key("agent:main:main");
    world.open(&main).await;
    let mut row = world.inbox_row("open");
    let started = || EventBody::RunStarted { run: "run-open".into(), inbox: world.id() };
    log(&world, &main, started()).await;
    let second = log(&world, &main, started()).await;
    row.received_at = second.at;
    world.commit(vec![Change::Receive(Box::new(row.clone()))]).await;
    end(&world).await;
    assert_eq!(fold(&world, LATER_MS, 100).await.events, 1);
    assert!(world.store.event(second.id).await.unwrap().is_some());
    world.commit(vec![Change::Advance(row.id, closed("replied"))]).await;
    assert_eq!(fold(&world, LATER_MS, 100).await, Folded { events: 1, rows: 1, more: false });
}

pub(super) async fn old_rows_that_are_done_go(world: World) {
    let mut kept: Vec<InboxId> = Vec::new();
    for (external, ms, done) in
        [("old", 1, true), ("open", 1, false), ("new", LATER_MS, true), ("newest", LATER_MS, false)]
    {
        let mut row = world.inbox_row(external);
        row.received_at = at(ms);
        world.commit(vec![Change::Receive(Box::new(row.clone()))]).await;
        if done {
            world.commit(vec![Change::Advance(row.id, closed("replied"))]).await;
        }
        if external != "old" {
            kept.push(row.id);
        }
    }
    let rows = world.enqueue(&target("1", None), &[0, 0, 0]).await;
    let sent = DeliveryState::Sent { external_id: None, attempts: 1, at: at(1) };
    let dead = DeliveryState::Dead { reason: "blocked".into(), attempts: 1, at: at(1) };
    let done =
        vec![Change::Deliver(rows[0].id, sent, None), Change::Deliver(rows[1].id, dead, None)];
    world.commit(done).await;
    // The outbox rows expire an hour after the checks' time.
    assert_eq!(fold(&world, 3_600_000, 100).await.rows, 2, "the inbox rows from before");
    assert_eq!(fold(&world, 3_600_001, 100).await.rows, 2, "the outbox rows that are done");
    let shown = world.store.inbox(&crate::RowFilter { states: vec![], limit: 9 }).await.unwrap();
    let open: Vec<_> = shown.iter().map(|row| row.id).rev().collect();
    assert_eq!(open, [kept[0], kept[2]]);
    assert_eq!(world.store.pending_outbox(9).await.unwrap(), [rows[2].clone()]);
    // Received once more, the old message is a new one.
    let done = world.commit(vec![Change::Receive(Box::new(world.inbox_row("old")))]).await;
    assert_eq!(done.received, [true]);
}

pub(super) async fn only_the_holder_of_the_lease_folds(world: World) {
    let stranger = Fence { owner: NodeId(5), epoch: world.fence.epoch };
    let refused = world.store.fold(&stranger, at(LATER_MS), 10).await;
    assert!(matches!(refused, Err(Error::Fenced { .. })), "{refused:?}");
    assert_eq!(world.store.snapshot().await.unwrap(), Snapshot::default());
}

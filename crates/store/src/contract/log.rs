//! Checks of the event log and of the store as a whole.

use claw_domain::{
    Ending, Event, EventBody, EventId, ModelRef, NodeId, RunId, Seq, StopCause, Usage, UsageRecord,
};

use super::world::{NODE, World, answered, at, closed, key, said, target};
use crate::{Change, DeliveryState, Error, Lease, NewEvent, Totals};

pub(super) async fn events_come_back_whole_in_commit_order(world: World) {
    let main = key("agent:main:main");
    let stop =
        EventBody::StopAsked { run: "r".into(), cause: StopCause::Rpc, said: "so fa".into() };
    let ending = Ending::Stopped { cause: StopCause::Rpc, text: "so fa".into() };
    let mut caused = world.header(Some(&main));
    caused.cause = Some(EventId::new(5, 6, NodeId(7)));
    let news = [
        NewEvent { header: world.header(None), body: stop },
        NewEvent { header: caused, body: EventBody::RunFinished { run: "r".into(), ending } },
        NewEvent { header: world.header(Some(&main)), body: EventBody::SessionDeleted },
    ];
    let first =
        world.commit(vec![Change::Log(news[0].clone()), Change::Log(news[1].clone())]).await;
    let second = world.commit(vec![Change::Log(news[2].clone())]).await;
    assert_eq!((first.seq, second.seq), (Seq(2), Seq(3)));

    let stored: Vec<Event> = (1..)
        .zip(news)
        .map(|(seq, NewEvent { header, body })| Event {
            seq: Seq(seq),
            header,
            body,
            imported: false,
        })
        .collect();
    assert_eq!(world.store.events(Seq(0), 10).await.unwrap(), stored);
    assert_eq!(world.store.events(Seq(1), 1).await.unwrap(), stored[1..2]);
    assert_eq!(world.store.events(Seq(3), 10).await.unwrap(), []);
}

pub(super) async fn an_event_id_is_taken_once(world: World) {
    let event = world.event(None, EventBody::SessionDeleted);
    world.commit(vec![event.clone()]).await;
    assert!(matches!(world.refusal(vec![event]).await, Error::Exists { .. }));
    let twice = world.event(None, EventBody::SessionDeleted);
    assert!(matches!(world.refusal(vec![twice.clone(), twice]).await, Error::Exists { .. }));
    assert_eq!(world.store.totals().await.unwrap().events, 1);
}

pub(super) async fn an_event_is_found_by_its_id(world: World) {
    let headers = [world.header(None), world.header(None)];
    let body = || EventBody::SessionDeleted;
    let logged = headers.clone().map(|header| Change::Log(NewEvent { header, body: body() }));
    world.commit(logged.into()).await;
    let [_, second] = headers;
    let found = world.store.event(second.id).await.unwrap();
    assert_eq!(found, Some(Event { seq: Seq(2), header: second, body: body(), imported: false }));
    assert_eq!(world.store.event(EventId::new(1, 2, NODE)).await.unwrap(), None);
}

pub(super) async fn a_run_tells_its_own_story(world: World) {
    let main = key("agent:main:main");
    let session = world.open(&main).await;
    let (ours, other) = (RunId::from("ours"), RunId::from("other"));
    let mut said = world.entry(session, None, 1, said("do it"));
    said.run = Some(ours.clone());
    let call = || "call-1".into();
    let ending = || Ending::Failed { error: "no".into(), code: "auth".into() };
    let story = [
        EventBody::RunStarted { run: ours.clone(), inbox: world.id() },
        EventBody::RunStarted { run: other.clone(), inbox: world.id() },
        EventBody::EntryAdded(said),
        EventBody::ToolStarted { run: other.clone(), call: call() },
        EventBody::ToolStarted { run: ours.clone(), call: call() },
        EventBody::Used(used(&ours, 1)),
        EventBody::AnswerFailed { run: ours.clone(), error: "no".into(), code: "auth".into() },
        EventBody::RunFinished { run: other.clone(), ending: ending() },
        EventBody::RunFinished { run: ours.clone(), ending: ending() },
    ];
    for body in story.clone() {
        world.commit(vec![world.event(Some(&main), body)]).await;
    }
    let told = world.store.run_events(&ours).await.unwrap();
    let bodies: Vec<_> = told.iter().map(|event| event.body.clone()).collect();
    assert_eq!(bodies, [0, 2, 4, 5, 6, 8].map(|index: usize| story[index].clone()));
    assert!(told.is_sorted_by_key(|event| event.seq));
    assert_eq!(world.store.run_events(&other).await.unwrap().len(), 3);
    assert_eq!(world.store.run_events(&"nobody's".into()).await.unwrap(), []);
}

pub(super) async fn the_newest_id_of_a_node_is_found(world: World) {
    let id = |ms, node| EventId::new(ms, 3, node);
    for id in [id(10, NODE), id(30, NODE), id(20, NODE), id(40, NodeId(8))] {
        let mut header = world.header(None);
        header.id = id;
        world.commit(vec![Change::Log(NewEvent { header, body: EventBody::SessionDeleted })]).await;
    }
    assert_eq!(world.store.last_event_id(NODE).await.unwrap(), Some(id(30, NODE)));
    assert_eq!(world.store.last_event_id(NodeId(8)).await.unwrap(), Some(id(40, NodeId(8))));
    assert_eq!(world.store.last_event_id(NodeId(9)).await.unwrap(), None);
}

pub(super) async fn a_failing_change_leaves_nothing_of_its_list(world: World) {
    let main = key("agent:main:main");
    let session = world.open(&main).await;
    let row = world.receive("known").await;
    let before = world.store.session(&main).await.unwrap();
    let refused = world
        .refusal(vec![
            world.event(
                Some(&main),
                EventBody::EntryAdded(world.entry(session, None, 5, answered("lost"))),
            ),
            world.event(Some(&main), EventBody::Used(used(&"lost".into(), 9))),
            Change::Receive(Box::new(world.inbox_row("lost"))),
            Change::Advance(row.id, closed("lost")),
            Change::Enqueue(Box::new(world.outbox_row(&target("lost", None), 0))),
            Change::Deliver(
                world.id(),
                DeliveryState::Sent { external_id: None, attempts: 1, at: at(1) },
                None,
            ),
        ])
        .await;
    assert!(matches!(refused, Error::Missing { .. }), "{refused:?}");
    assert_eq!(world.store.session(&main).await.unwrap(), before);
    assert_eq!(world.store.open_inbox(None, 10).await.unwrap(), [row]);
    assert_eq!(world.store.pending_outbox(10).await.unwrap(), []);
    assert_eq!(world.store.run_events(&"lost".into()).await.unwrap(), []);
    let totals = Totals { events: 1, inbox_open: 1, ..Totals::default() };
    assert_eq!(world.store.totals().await.unwrap(), totals);

    // What was refused did not use up a place.
    let after = world.commit(vec![world.event(None, EventBody::SessionDeleted)]).await;
    assert_eq!(after.seq, Seq(2));
    assert_eq!(world.enqueue(&target("lost", None), &[0]).await[0].order, 1);
}

pub(super) async fn totals_count_the_whole_store(world: World) {
    assert_eq!(world.store.totals().await.unwrap(), Totals::default());
    world.receive("open").await;
    let row = world.receive("closed").await;
    let rows = world.enqueue(&target("1", None), &[0, 0, 0]).await;
    world
        .commit(vec![
            Change::Advance(row.id, closed("refused")),
            Change::Deliver(
                rows[0].id,
                DeliveryState::Sent { external_id: None, attempts: 1, at: at(1) },
                None,
            ),
            Change::Deliver(
                rows[1].id,
                DeliveryState::Dead { reason: "blocked".into(), attempts: 1, at: at(1) },
                None,
            ),
            world.event(None, EventBody::Used(used(&"a".into(), 1))),
            world.event(None, EventBody::Used(used(&"b".into(), 10))),
        ])
        .await;
    let usage = Usage { input: 11, output: 22, cache_read: 33, cache_write: 44 };
    let totals = Totals { events: 2, inbox_open: 1, outbox_pending: 1, outbox_dead: 1, usage };
    assert_eq!(world.store.totals().await.unwrap(), totals);
}

pub(super) async fn a_probe_changes_nothing_that_can_be_read(world: World) {
    world.store.writable().await.unwrap();
    assert_eq!(world.store.totals().await.unwrap(), Totals::default());
    assert_eq!(world.store.events(Seq(0), 10).await.unwrap(), []);
}

pub(super) async fn a_closed_store_refuses_every_call(world: World) {
    let store = &world.store;
    store.close().await.unwrap();
    macro_rules! refused {
        ($($call:expr;)*) => {$(
            let answer = $call.await;
            assert!(matches!(answer, Err(Error::Closed)), "{}: {answer:?}", stringify!($call));
        )*};
    }
    let session = key("agent:main:main");
    refused! {
        store.commit(&world.fence, Vec::new());
        store.claim(&Lease::Gateway, NODE, at(0), at(1));
        store.adopt(&world.fence);
        store.session(&session);
        store.sessions(&crate::SessionFilter::default());
        store.context(world.id(), world.id(), None, 1);
        store.history(world.id(), world.id(), 1);
        store.run_events(&"r".into());
        store.events(Seq(0), 1);
        store.event(EventId::new(1, 2, NODE));
        store.last_event_id(NODE);
        store.open_inbox(None, 1);
        store.inbox_row(&"telegram".into(), &"default".into(), &"1".into());
        store.pending_outbox(1);
        store.outbox_of(world.id());
        store.pairings(None);
        store.grants(&"telegram".into(), &"default".into());
        store.granted(&"telegram".into(), &"default".into(), &"42".into());
        store.device(&"d".into());
        store.devices();
        store.totals();
        store.writable();
        store.close();
    }
}

/// A bill on which each kind of token has its own number.
pub(super) fn used(run: &RunId, times: u64) -> UsageRecord {
    UsageRecord {
        run: run.clone(),
        model: ModelRef { provider: "anthropic".into(), model: "claude".into() },
        usage: Usage {
            input: times,
            output: 2 * times,
            cache_read: 3 * times,
            cache_write: 4 * times,
        },
        cost: Some(0.25),
        took_ms: 20,
        api: "anthropic-messages".into(),
    }
}

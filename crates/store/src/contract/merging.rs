//! Checks of what another installation's log does here, and of rows as people see them.

use claw_domain::{EventBody, EventHeader, EventId, NodeId, SessionKey, TraceId};
use uuid::Uuid;

use super::world::{NOW, World, at, closed, key, said, target};
use crate::{Change, DeliveryState, InboxKey, NewEvent, RowFilter};

const FOREIGN: NodeId = NodeId(77);

/// An event of another installation, so many milliseconds after the checks' time.
fn foreign(world: &World, ms: u64, session: Option<&SessionKey>, body: EventBody) -> NewEvent {
    let id = EventId::new(NOW.unsigned_abs() + ms, 7, FOREIGN);
    let header =
        EventHeader { id, trace: world.id(), cause: None, session: session.cloned(), at: at(7) };
    NewEvent { header, body }
}

pub(super) async fn an_imported_event_is_taken_once_and_marked(world: World) {
    let event = foreign(&world, 1, None, EventBody::SessionDeleted);
    world.commit(vec![Change::Import(event.clone()), Change::Import(event.clone())]).await;
    world.commit(vec![Change::Import(event)]).await;
    world.commit(vec![world.event(None, EventBody::SessionDeleted)]).await;
    let events = world.store.events(claw_domain::Seq(0), 10).await.unwrap();
    assert_eq!(events.iter().map(|event| event.imported).collect::<Vec<_>>(), [true, false]);
}

pub(super) async fn whom_another_installation_let_in_is_not_let_in_here(world: World) {
    let grant = EventBody::GrantGiven {
        channel: "telegram".into(),
        account: "default".into(),
        peer: "42".into(),
        by: "pairing".into(),
    };
    let device = EventBody::DevicePaired { device: "ab".into(), record: serde_json::json!({}) };
    world
        .commit(vec![
            Change::Import(foreign(&world, 1, None, grant.clone())),
            Change::Import(foreign(&world, 2, None, device)),
        ])
        .await;
    assert_eq!(world.store.all_grants().await.unwrap(), []);
    assert_eq!(world.store.devices().await.unwrap(), []);
    world.commit(vec![world.event(None, grant)]).await;
    assert_eq!(world.store.all_grants().await.unwrap().len(), 1);
}

pub(super) async fn an_older_event_is_folded_at_its_place(world: World) {
    let main = key("agent:main:main");
    let life = world.open(&main).await;
    let [root] = &world.chain(&main, life, None, &[1]).await[..] else { unreachable!("one") };
    let branch = world.entry(life, Some(root), 5, said("elsewhere"));
    world.chain(&main, life, Some(root), &[2, 3]).await;
    let before = world.store.session(&main).await.unwrap().unwrap();
    // It was said after the root and before what was said here, so that stays at the head.
    let older = NewEvent {
        header: EventHeader {
            id: EventId::new(before.newest.millis() - 1, 7, FOREIGN),
            ..world.header(Some(&main))
        },
        body: EventBody::EntryAdded(branch.clone()),
    };
    world.commit(vec![Change::Import(older)]).await;
    let after = world.store.session(&main).await.unwrap().unwrap();
    assert_eq!((after.head, after.newest), (before.head, before.newest));
    // What is newer than all becomes the head, with its own path behind it.
    let newer = world.entry(life, Some(&branch), 4, said("newest"));
    let event = foreign(&world, 1_000_000, Some(&main), EventBody::EntryAdded(newer.clone()));
    world.commit(vec![Change::Import(event)]).await;
    let head = world.store.session(&main).await.unwrap().unwrap().head.unwrap();
    let path = world.store.history(life, head, 10).await.unwrap();
    assert_eq!(
        path.iter().map(|entry| entry.id).collect::<Vec<_>>(),
        [root.id, branch.id, newer.id]
    );
}

pub(super) async fn an_older_event_does_not_bring_a_deleted_session_back(world: World) {
    let main = key("agent:main:main");
    let life = world.open(&main).await;
    world.commit(vec![world.event(Some(&main), EventBody::SessionDeleted)]).await;
    let opened = EventBody::SessionOpened {
        id: life,
        agent: "main".into(),
        chat: claw_domain::ChatKind::Direct,
        why: "first".into(),
    };
    world.commit(vec![Change::Import(foreign(&world, 0, Some(&main), opened.clone()))]).await;
    assert_eq!(world.store.session(&main).await.unwrap(), None);
    let newer = foreign(&world, 1_000_000, Some(&main), opened);
    world.commit(vec![Change::Import(newer)]).await;
    assert!(world.store.session(&main).await.unwrap().is_some());
}

pub(super) async fn fields_without_a_word_of_ours_are_kept(world: World) {
    let main = key("agent:main:main");
    let life = world.open(&main).await;
    let mut entry = world.entry(life, None, 1, said("hi"));
    entry.other.insert("mood".into(), serde_json::json!({ "deep": [1, null] }));
    world.add(&main, &entry).await;
    let found = world.store.history(life, entry.id, 1).await.unwrap();
    assert_eq!(*found[0], entry);
}

pub(super) async fn a_trace_tells_its_events(world: World) {
    let trace = TraceId(Uuid::from_u128(u128::from(NOW.unsigned_abs()) << 80 | 5));
    let mut header = world.header(None);
    header.trace = trace;
    let id = header.id;
    let other = world.event(None, EventBody::SessionDeleted);
    let ours = Change::Log(NewEvent { header, body: EventBody::SessionDeleted });
    world.commit(vec![other, ours]).await;
    let events = world.store.trace_events(trace).await.unwrap();
    assert_eq!(events.iter().map(|event| event.header.id).collect::<Vec<_>>(), [id]);
}

pub(super) async fn rows_are_shown_newest_first_and_by_state(world: World) {
    let (old, new) = (world.receive("old").await, world.receive("new").await);
    world.commit(vec![Change::Advance(old.id, closed("replied"))]).await;
    let shown = async |states: &[&str], limit| {
        let states = states.iter().map(|&state| state.to_owned()).collect();
        let rows = world.store.inbox(&RowFilter { states, limit }).await.unwrap();
        rows.into_iter().map(|row| row.id).collect::<Vec<_>>()
    };
    assert_eq!(shown(&[], 9).await, [new.id, old.id]);
    assert_eq!(shown(&[], 1).await, [new.id]);
    assert_eq!(shown(&["closed"], 9).await, [old.id]);
    for key in [InboxKey::Id(new.id), InboxKey::Run(new.run.clone()), InboxKey::Trace(new.trace)] {
        let found = world.store.inbox_of(&key).await.unwrap();
        assert_eq!(found.map(|row| row.id), Some(new.id), "{key:?}");
    }
    let unknown = InboxKey::Run("no such run".into());
    assert_eq!(world.store.inbox_of(&unknown).await.unwrap(), None);
}

pub(super) async fn a_row_that_was_given_up_is_shown_and_may_wait_again(world: World) {
    let rows = world.enqueue(&target("1", None), &[0, 1]).await;
    let dead = DeliveryState::Dead { attempts: 1, reason: "refused".into(), at: at(5) };
    world.commit(vec![Change::Deliver(rows[0].id, dead, None)]).await;
    let shown = async |state: &str| {
        let filter = RowFilter { states: vec![state.into()], limit: 9 };
        let rows = world.store.outbox(&filter).await.unwrap();
        rows.into_iter().map(|row| row.id).collect::<Vec<_>>()
    };
    assert_eq!(shown("dead").await, [rows[0].id]);
    assert_eq!(shown("pending").await, [rows[1].id]);
    let again = DeliveryState::Pending { attempts: 0, error: None };
    world.commit(vec![Change::Deliver(rows[0].id, again.clone(), Some(at(9)))]).await;
    let found = world.store.outbox_row(rows[0].id).await.unwrap().unwrap();
    assert_eq!((found.state, found.not_before), (again, at(9)));
    assert_eq!(shown("pending").await, [rows[1].id, rows[0].id]);
}

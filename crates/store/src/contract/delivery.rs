//! Checks of the rows that act: what came in, and what goes out.

use claw_domain::{EventBody, InboundKind, MessageText, OutboxId, StopCause};

use super::world::{World, at, closed, key, target};
use crate::{Change, DeliveryState, Error, InboxRow, InboxState, OutboxRow};

pub(super) async fn the_same_external_id_is_received_once(world: World) {
    let first = world.inbox_row("7");
    let again = || Change::Receive(Box::new(world.inbox_row("7")));
    let done = world.commit(vec![Change::Receive(Box::new(first.clone())), again()]).await;
    assert_eq!(done.received, [true, false]);
    assert_eq!(world.commit(vec![again()]).await.received, [false]);
    let itself = Change::Receive(Box::new(first.clone()));
    assert_eq!(
        world.commit(vec![itself]).await.received,
        [false],
        "a commit whose answer was lost, made again"
    );
    world.commit(vec![Change::Advance(first.id, closed("replied"))]).await;
    assert_eq!(world.commit(vec![again()]).await.received, [false], "also when it was answered");
    assert_eq!(stored(&world, "7").await, Some(InboxRow { state: closed("replied"), ..first }));
}

pub(super) async fn the_same_external_id_on_another_account_is_another_event(world: World) {
    let first = world.receive("7").await;
    let mut account = world.inbox_row("7");
    account.inbound.account = "second".into();
    let mut channel = world.inbox_row("7");
    channel.inbound.channel = "webchat".into();
    let rows = [first, account, channel];
    let done = world
        .commit(rows[1..].iter().map(|row| Change::Receive(Box::new(row.clone()))).collect())
        .await;
    assert_eq!(done.received, [true, true]);
    assert_eq!(world.store.open_inbox(None, 9).await.unwrap(), rows);
}

pub(super) async fn an_inbox_id_is_taken_once(world: World) {
    let first = world.receive("1").await;
    let second = InboxRow { id: first.id, ..world.inbox_row("2") };
    assert!(matches!(
        world.refusal(vec![Change::Receive(Box::new(second))]).await,
        Error::Exists { .. }
    ));
}

pub(super) async fn open_rows_come_back_in_the_order_of_acceptance(world: World) {
    let mut rows = Vec::new();
    for external in ["3", "1", "4", "2"] {
        rows.push(world.receive(external).await);
    }
    let admitted = InboxState::Admitted {
        rule: "allowFrom".into(),
        session: key("agent:main:main"),
        at: at(5),
    };
    world
        .commit(vec![
            Change::Advance(rows[0].id, admitted.clone()),
            Change::Advance(rows[2].id, closed("command")),
        ])
        .await;
    rows.remove(2);
    rows[0].state = admitted;
    assert_eq!(world.store.open_inbox(None, 9).await.unwrap(), rows);
    assert_eq!(world.store.open_inbox(None, 1).await.unwrap(), rows[..1]);
    assert_eq!(world.store.open_inbox(Some(rows[0].id), 9).await.unwrap(), rows[1..]);
    assert_eq!(world.store.open_inbox(Some(rows[2].id), 9).await.unwrap(), []);
}

pub(super) async fn a_closed_row_stays_as_it_was_closed(world: World) {
    let row = world.receive("1").await;
    for state in [closed("stopped"), closed("replied"), InboxState::Received] {
        world.commit(vec![Change::Advance(row.id, state)]).await;
    }
    assert_eq!(stored(&world, "1").await.expect("it was received").state, closed("stopped"));
    assert_eq!(world.store.open_inbox(None, 9).await.unwrap(), []);
}

pub(super) async fn a_message_is_replaced_until_its_run_starts(world: World) {
    let row = world.receive("1").await;
    let other = world.receive("2").await;
    let replace = |text: &str| {
        Change::Replace(row.id, MessageText { text: text.into(), mentions_us: true, quoted: None })
    };
    let started = |row: &InboxRow| {
        world.event(None, EventBody::RunStarted { run: row.run.clone(), inbox: row.id })
    };

    let asked =
        EventBody::StopAsked { run: row.run.clone(), cause: StopCause::Rpc, said: String::new() };
    let before = vec![started(&other), world.event(None, asked), replace("edited")];
    assert_eq!(world.commit(before).await.replaced, [true]);
    let in_one = vec![replace("in time"), started(&row), replace("too late")];
    assert_eq!(world.commit(in_one).await.replaced, [true, false]);
    assert_eq!(world.commit(vec![replace("much too late")]).await.replaced, [false]);
    assert_eq!(text_of(&stored(&world, "1").await), Some("in time"));

    let queued = world.receive("3").await;
    let replace = Change::Replace(queued.id, MessageText::default());
    let closing = vec![Change::Advance(queued.id, closed("stopped")), replace];
    assert_eq!(world.commit(closing).await.replaced, [false]);
    assert_eq!(text_of(&stored(&world, "3").await), Some("hello"));
}

pub(super) async fn a_row_that_is_no_message_is_not_replaced(world: World) {
    let mut row = world.inbox_row("1");
    row.inbound.kind = InboundKind::Button { payload: "yes".into() };
    let changes = vec![
        Change::Receive(Box::new(row.clone())),
        Change::Replace(row.id, MessageText::default()),
    ];
    assert_eq!(world.commit(changes).await.replaced, [false]);
    assert_eq!(stored(&world, "1").await, Some(row));
}

pub(super) async fn each_target_has_its_own_ascending_order(world: World) {
    let (chat, thread, other) = (target("1", None), target("1", Some("9")), target("2", None));
    let row = |target| Change::Enqueue(Box::new(world.outbox_row(target, 0)));
    let done = world.commit([&chat, &chat, &thread, &other, &chat].map(row).into()).await;
    assert_eq!(done.orders, [1, 2, 1, 1, 3]);
    assert_eq!(world.commit([&thread, &other].map(row).into()).await.orders, [2, 2]);

    // A place is not given again when its row is done.
    let newest = world.enqueue(&chat, &[0]).await.remove(0);
    world.commit(vec![Change::Deliver(newest.id, sent("9"), None)]).await;
    assert_eq!(world.enqueue(&chat, &[0]).await[0].order, newest.order + 1);
}

pub(super) async fn parts_share_the_order_of_their_message(world: World) {
    let chat = target("1", None);
    let orders: Vec<u64> =
        world.enqueue(&chat, &[0, 1, 2, 0, 1]).await.iter().map(|row| row.order).collect();
    assert_eq!(orders, [1, 1, 1, 2, 2]);
    let second = Change::Enqueue(Box::new(world.outbox_row(&target("2", None), 1)));
    assert!(
        matches!(world.refusal(vec![second]).await, Error::Missing { .. }),
        "there is no first part"
    );
}

pub(super) async fn waiting_rows_come_back_by_target_order_and_part(world: World) {
    let (a, b, thread) = (target("a", None), target("b", None), target("a", Some("1")));
    let of_b = world.enqueue(&b, &[0]).await;
    let of_thread = world.enqueue(&thread, &[0]).await;
    let of_a = world.enqueue(&a, &[0, 1, 0]).await;
    assert_eq!(pending(&world).await, [&of_a[..], &of_thread, &of_b].concat());
    world
        .commit(vec![
            Change::Deliver(of_a[0].id, sent("77"), None),
            Change::Deliver(
                of_b[0].id,
                DeliveryState::Dead { reason: "blocked".into(), attempts: 1, at: at(9) },
                None,
            ),
        ])
        .await;
    assert_eq!(pending(&world).await, [&of_a[1..], &of_thread].concat());
    assert_eq!(world.store.pending_outbox(1).await.unwrap(), of_a[1..2]);
}

pub(super) async fn a_retry_moves_the_time_of_the_next_try(world: World) {
    let row = world.enqueue(&target("1", None), &[0]).await.remove(0);
    let tried = |attempts| DeliveryState::Pending { attempts, error: Some("429".into()) };
    world.commit(vec![Change::Deliver(row.id, tried(1), Some(at(5000)))]).await;
    assert_eq!(
        pending(&world).await,
        [OutboxRow { state: tried(1), not_before: at(5000), ..row.clone() }]
    );
    world.commit(vec![Change::Deliver(row.id, tried(2), None)]).await;
    assert_eq!(pending(&world).await, [OutboxRow { state: tried(2), not_before: at(5000), ..row }]);
}

pub(super) async fn what_was_sent_stays_sent(world: World) {
    let row = world.enqueue(&target("1", None), &[0]).await.remove(0);
    for state in [
        sent("77"),
        DeliveryState::Dead { reason: "late".into(), attempts: 1, at: at(9) },
        sent("78"),
    ] {
        world.commit(vec![Change::Deliver(row.id, state, Some(at(9)))]).await;
    }
    let expected = OutboxRow { state: sent("77"), not_before: at(9), ..row.clone() };
    assert_eq!(world.store.outbox_of(row.trace).await.unwrap(), [expected]);
}

pub(super) async fn the_rows_of_a_trace_come_back_whatever_their_state(world: World) {
    let trace = world.id();
    let mut rows = Vec::new();
    for (chat, part) in [("z", 0), ("a", 0), ("z", 0), ("z", 1)] {
        rows.push(OutboxRow { trace, ..world.outbox_row(&target(chat, None), part) });
    }
    let done =
        world.commit(rows.iter().map(|row| Change::Enqueue(Box::new(row.clone()))).collect()).await;
    for (row, order) in rows.iter_mut().zip(done.orders) {
        row.order = order;
    }
    rows[0].state = sent("77");
    rows[1].state = DeliveryState::Dead { reason: "blocked".into(), attempts: 1, at: at(9) };
    let moved = |row: &OutboxRow| Change::Deliver(row.id, row.state.clone(), None);
    world.commit(rows[..2].iter().map(moved).collect()).await;
    world.enqueue(&target("z", None), &[0]).await;
    assert_eq!(world.store.outbox_of(trace).await.unwrap(), rows);
}

pub(super) async fn changes_to_unknown_rows_are_refused(world: World) {
    let unknown = world.id::<OutboxId>();
    let row = world.enqueue(&target("1", None), &[0]).await.remove(0);
    for (change, missing) in [
        (Change::Advance(world.id(), InboxState::Received), true),
        (Change::Replace(world.id(), MessageText::default()), true),
        (Change::Deliver(unknown, sent("1"), None), true),
        (Change::Enqueue(Box::new(row)), false),
    ] {
        let refused = world.refusal(vec![change.clone()]).await;
        let fits = if missing {
            matches!(refused, Error::Missing { .. })
        } else {
            matches!(refused, Error::Exists { .. })
        };
        assert!(fits, "{change:?}: {refused:?}");
    }
}

fn sent(external: &str) -> DeliveryState {
    DeliveryState::Sent { external_id: Some(external.into()), attempts: 1, at: at(8) }
}

async fn stored(world: &World, external: &str) -> Option<InboxRow> {
    world.store.inbox_row(&"telegram".into(), &"default".into(), &external.into()).await.unwrap()
}

async fn pending(world: &World) -> Vec<OutboxRow> {
    world.store.pending_outbox(100).await.unwrap()
}

fn text_of(row: &Option<InboxRow>) -> Option<&str> {
    match &row.as_ref()?.inbound.kind {
        InboundKind::Message(message) => Some(&message.text),
        _ => None,
    }
}

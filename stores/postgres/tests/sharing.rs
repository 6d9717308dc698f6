//! Many gateways on one database, each with a handle of its own.

mod support;

use claw_domain::{
    Action, Address, ChatKind, Inbound, InboundKind, InboxId, MessageText, Origin, Outbound,
    OutboxId, RunId, Secret, Sender, Target, TraceId, millis,
};
use claw_store::{
    Change, Claim, DeliveryState, Error, Fence, Holding, InboxRow, InboxState, Lease, OutboxRow,
    Store,
};
use claw_store_postgres::{Options, Postgres};
use claw_testkit::PgServer;
use futures_util::{StreamExt, future::join_all, stream};
use support::{LEASE_MS, NOW, Plain, event, fresh, join, logged, open};
use tokio::{sync::mpsc, task::JoinSet};
use tokio_postgres::{AsyncMessage, NoTls};
use uuid::Uuid;

/// All on one server, which takes longer to start than any of them.
#[tokio::test]
async fn many_gateways_share_a_store() {
    let Some(server) = PgServer::start().await else { return };
    macro_rules! check {
        ($($name:ident)*) => {$(
            eprintln!("{}", stringify!($name));
            $name(&fresh(&server).await).await;
        )*};
    }
    check! {
        commits_of_two_handles_have_places_without_gaps
        a_lost_lease_fences_commits_of_another_handle
        four_claimers_get_each_row_once
        commits_are_told_once_per_group_and_refusals_are_not
        a_refused_commit_spoils_none_of_its_neighbours
        a_commit_that_the_server_refuses_spoils_none_of_its_neighbours
        two_that_open_an_empty_database_make_one_store
        a_newer_schema_is_refused_also_by_a_store_that_is_open
        what_is_no_text_for_the_server_comes_back_as_it_was
    }
}

async fn commits_of_two_handles_have_places_without_gaps(url: &str) {
    let stores = [open(url).await, open(url).await];
    let fences = [join(&stores[0], 1).await, join(&stores[1], 2).await];
    let commits = (0..100).map(|number| {
        let which = number % 2;
        let changes =
            vec![event(which as u64, number as u64), event(which as u64, number as u64 + 1000)];
        let (store, fence) = (&stores[which], &fences[which]);
        async move { store.commit(fence, changes).await.unwrap().seq.0 }
    });
    let mut seqs = join_all(commits).await;
    seqs.sort_unstable();
    assert_eq!(seqs, (1..=100).map(|number| number * 2).collect::<Vec<_>>());
    let log = logged(&stores[0]).await;
    assert_eq!(log.len(), 200);
    assert!(log.chunks(2).all(|pair| pair[0].1 + 1000 == pair[1].1), "a commit stands together");
    assert_eq!(logged(&stores[1]).await, log);
}

async fn a_lost_lease_fences_commits_of_another_handle(url: &str) {
    let (slow, quick) = (open(url).await, open(url).await);
    let old = join(&slow, 1).await;
    let account = Holding::Account("telegram".into(), "default".into());
    assert!(slow.hold(&old, &account, millis(NOW)).await.unwrap());
    let until = millis(NOW + 3 * LEASE_MS);
    let node = claw_domain::NodeId(2);
    let new = quick.claim(&Lease::Member(node), node, millis(NOW), until).await.unwrap().unwrap();
    assert!(!quick.hold(&new, &account, millis(NOW)).await.unwrap(), "its holder lives");
    assert!(quick.hold(&new, &account, millis(NOW + LEASE_MS)).await.unwrap());
    let late = slow.commit(&old, vec![event(1, 1)]).await;
    assert!(matches!(late, Err(Error::Fenced { .. })), "{late:?}");
    assert_eq!(logged(&quick).await, []);
}

async fn four_claimers_get_each_row_once(url: &str) {
    let first = open(url).await;
    let fence = join(&first, 1).await;
    let rows: Vec<InboxRow> = (1..=40).map(inbox_row).collect();
    let ids: Vec<InboxId> = rows.iter().map(|row| row.id).collect();
    first
        .commit(&fence, rows.into_iter().map(|row| Change::Receive(Box::new(row))).collect())
        .await
        .unwrap();
    let queued = (1..=40).map(|number| Change::Enqueue(Box::new(outbox_row(number)))).collect();
    first.commit(&fence, queued).await.unwrap();

    let claimed = join_all((2..=5).map(async |node| {
        let store = open(url).await;
        let fence = join(&store, node).await;
        let account = Holding::Account(format!("channel{node}").into(), "default".into());
        assert!(store.hold(&fence, &account, millis(NOW)).await.unwrap());
        let (mut inbox, mut outbox) = (Vec::new(), Vec::new());
        loop {
            let claim = Claim { now: millis(NOW), limit: 3, agents_elsewhere: Vec::new() };
            let rows = store.claim_inbox(&fence, &claim).await.unwrap();
            let parts = store.claim_outbox(&fence, 2).await.unwrap();
            assert!(parts.is_sorted_by_key(|row| row.order));
            if rows.is_empty() && parts.is_empty() {
                return (inbox, outbox);
            }
            inbox.extend(rows.into_iter().map(|row| row.id));
            outbox.extend(parts.into_iter().map(|row| row.order));
        }
    }))
    .await;
    let mut inbox: Vec<InboxId> = claimed.iter().flat_map(|(inbox, _)| inbox.clone()).collect();
    inbox.sort_unstable();
    assert_eq!(inbox, ids);
    for (_, outbox) in claimed {
        assert_eq!(outbox, (1..=10).collect::<Vec<_>>(), "each account's parts in order");
    }
}

async fn commits_are_told_once_per_group_and_refusals_are_not(url: &str) {
    let store = open(url).await;
    let fence = join(&store, 1).await;
    let (client, mut connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    let mut messages = stream::poll_fn(move |cx| connection.poll_message(cx));
    let (tell, mut told) = mpsc::unbounded_channel();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        while let Some(Ok(message)) = messages.next().await {
            if let AsyncMessage::Notification(told) = message {
                tell.send(told.payload().to_owned()).unwrap();
            }
        }
    });
    client.batch_execute("LISTEN claw").await.unwrap();

    store.commit(&fence, vec![event(1, 1), event(1, 2)]).await.unwrap();
    assert_eq!(told.recv().await.as_deref(), Some("2"));
    store.commit(&fence, vec![event(1, 2)]).await.unwrap_err();
    store.commit(&fence, Vec::new()).await.unwrap();
    store.commit(&fence, vec![event(1, 3)]).await.unwrap();
    assert_eq!(told.recv().await.as_deref(), Some("3"));
}

async fn a_refused_commit_spoils_none_of_its_neighbours(url: &str) {
    let store = open(url).await;
    let fence = join(&store, 1).await;
    let forged = Fence { epoch: fence.epoch + 1, ..fence };
    // They wait together, so that most of them are one group.
    let done = join_all((0..30).map(|number| {
        let fence = if number == 7 { forged } else { fence };
        let twice = vec![event(1, number / 2), event(2, number)];
        let store = &store;
        async move { store.commit(&fence, twice).await.is_ok() }
    }))
    .await;
    let kept: Vec<u64> = (0..30).filter(|number| done[*number as usize]).collect();
    assert_eq!(kept.len(), 15, "of each pair one: {kept:?}");
    let log = logged(&store).await;
    let expected: Vec<_> = kept.iter().flat_map(|number| [(1, number / 2), (2, *number)]).collect();
    assert_eq!(log, expected);
}

async fn a_commit_that_the_server_refuses_spoils_none_of_its_neighbours(url: &str) {
    let store = open(url).await;
    let fence = join(&store, 1).await;
    let plain = Plain::new(url).await;
    plain
        .run(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
                'BEGIN RAISE EXCEPTION ''not this one''; END';
            CREATE TRIGGER refuse BEFORE INSERT ON events FOR EACH ROW
                WHEN (NEW.trace = '00000000-0000-0000-0000-00000000000d') EXECUTE FUNCTION refuse()",
        )
        .await;
    let done = join_all((0..30).map(|number| store.commit(&fence, vec![event(1, number)]))).await;
    for (number, done) in done.into_iter().enumerate() {
        match done {
            Err(Error::Engine(source)) if number == 13 => {
                assert!(source.to_string().contains("not this one (SQLSTATE P0001)"), "{source}");
            }
            done => assert!(done.is_ok() && number != 13, "{number}: {done:?}"),
        }
    }
    assert_eq!(logged(&store).await.len(), 29);
}

async fn two_that_open_an_empty_database_make_one_store(url: &str) {
    let stores = join_all((0..4).map(|_| open(url))).await;
    let fence = join(&stores[0], 1).await;
    stores[1].commit(&fence, vec![event(1, 1)]).await.unwrap();
    assert_eq!(logged(&stores[3]).await, [(1, 1)]);
}

async fn a_newer_schema_is_refused_also_by_a_store_that_is_open(url: &str) {
    let store = open(url).await;
    let fence = join(&store, 1).await;
    let plain = Plain::new(url).await;
    plain.run("UPDATE schema_version SET version = 99, program = '9.1.0'").await;
    let late = store.commit(&fence, vec![event(1, 1)]).await.unwrap_err();
    let Err(refused) = Postgres::open(&Secret::new(url), Options::default()).await else {
        panic!("a newer store was opened")
    };
    for error in [late, refused] {
        assert!(matches!(error, Error::Newer { found: 99, .. }), "{error:?}");
        assert!(error.hint().unwrap().contains("9.1.0"));
    }
    assert_eq!(plain.number("SELECT count(*) FROM events").await, 0);
}

async fn what_is_no_text_for_the_server_comes_back_as_it_was(url: &str) {
    let odd = "a\0b\u{1}c\u{1}0\\u0000 'quoted' \u{fffd}\u{10ffff}";
    let store = open(url).await;
    let fence = join(&store, 1).await;
    let mut row = inbox_row(1);
    row.inbound.external_id = odd.into();
    row.inbound.account = odd.into();
    row.run = odd.into();
    let text = MessageText { text: odd.into(), mentions_us: false, quoted: None };
    row.inbound.kind = InboundKind::Message(text);
    let mut part = outbox_row(1);
    part.outbound.idempotency_key = odd.into();
    part.outbound.target.chat = odd.into();
    part.outbound.target.thread = Some(odd.into());
    part.order = 1;
    let changes =
        vec![Change::Receive(Box::new(row.clone())), Change::Enqueue(Box::new(part.clone()))];
    store.commit(&fence, changes).await.unwrap();
    let channel = row.inbound.channel.clone();
    let found = store.inbox_row(&channel, &odd.into(), &odd.into()).await.unwrap();
    assert_eq!(found, Some(row.clone()));
    assert_eq!(store.inbox_of(&claw_store::InboxKey::Run(odd.into())).await.unwrap(), Some(row));
    assert_eq!(store.pending_outbox(9).await.unwrap(), [part]);
}

fn inbox_row(number: u128) -> InboxRow {
    let sender = Sender { id: "42".into(), name: None, username: None };
    let address = Address { chat: "42".into(), kind: ChatKind::Direct, thread: None, title: None };
    let text = MessageText { text: "hello".into(), ..MessageText::default() };
    let inbound = Inbound {
        channel: "telegram".into(),
        account: "default".into(),
        external_id: number.to_string().into(),
        at: millis(NOW),
        origin: Origin::Person { sender, address },
        kind: InboundKind::Message(text),
    };
    InboxRow {
        id: InboxId(Uuid::from_u128(number)),
        trace: TraceId(Uuid::from_u128(number)),
        inbound,
        run: RunId::from(format!("run-{number}")),
        received_at: millis(NOW),
        state: InboxState::Admitted {
            rule: "dm-open".into(),
            session: format!("agent:main:{number}").as_str().into(),
            at: millis(NOW),
        },
        fence: Fence::NOBODY,
    }
}

/// A part for one of four accounts, in turn.
fn outbox_row(number: u32) -> OutboxRow {
    let target = Target {
        channel: format!("channel{}", 2 + number % 4).into(),
        account: "default".into(),
        chat: "1".into(),
        thread: None,
    };
    let action = Action::Send { text: "hi".into(), reply_to: None, silent: false };
    OutboxRow {
        id: OutboxId(Uuid::from_u128(number.into())),
        trace: TraceId(Uuid::from_u128(number.into())),
        outbound: Outbound { target, action, idempotency_key: number.to_string() },
        order: 0,
        part: 0,
        not_before: millis(NOW),
        expires_at: millis(NOW + LEASE_MS),
        state: DeliveryState::Pending { attempts: 0, error: None },
        fence: Fence::NOBODY,
    }
}

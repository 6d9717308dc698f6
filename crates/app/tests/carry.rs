//! A store with everything in it, carried from SQLite to PostgreSQL and back.
#![cfg(feature = "postgres")]

#[path = "../../../stores/sqlite/tests/support/mod.rs"]
mod support;

use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use claw_domain::{EventBody, EventHeader, EventId, NodeId, Secret, Seq, TraceId, millis};
use claw_store::{
    Change, Error, Fence, NewEvent, PairingRequest, Store,
    portable::{CopyError, Portable, Report, Row, Rows, Table, copy, prove},
};
use claw_store_postgres::Postgres;
use claw_store_sqlite::Sqlite;
use claw_testkit::PgServer;
use support::{NODE, assert_same, filling, hold, inbox_row};
use tempfile::TempDir;
use uuid::Uuid;

/// A store, its tables, and the right to write to it.
struct Place {
    store: Box<dyn Store>,
    tables: Box<dyn Portable>,
    fence: Fence,
}

impl Place {
    async fn file(folder: &TempDir, name: &str) -> Self {
        let path = folder.path().join(name);
        let store = Box::new(Sqlite::open(&path).await.unwrap());
        let tables = Box::new(claw_store_sqlite::Tables::open(&path).await.unwrap());
        let fence = hold(&*store).await;
        Self { store, tables, fence }
    }

    async fn database(server: &PgServer, name: &str) -> Self {
        server.create(name).await;
        let url = Secret::new(server.url(name));
        let store = Box::new(Postgres::open(&url, Default::default()).await.unwrap());
        let tables = claw_store_postgres::Tables::open(&url, Default::default()).await.unwrap();
        let fence = hold(&*store).await;
        Self { store, tables: Box::new(tables), fence }
    }

    async fn commit(&self, changes: Vec<Change>) -> claw_store::Committed {
        self.store.commit(&self.fence, changes).await.unwrap()
    }

    async fn copy_to(&self, to: &Self) -> Result<Report, CopyError> {
        copy(&*self.tables, &*to.tables, &to.fence, |_, _| {}).await
    }

    async fn assert_clean(&self) {
        let report = claw_log::verify(&*self.store).await.unwrap();
        assert!(report.is_clean(), "{}: {report:#?}", self.tables.place());
    }
}

/// Every kind of change, events of another installation, folded ones, and texts of any characters.
async fn rich(place: &Place) {
    let mut taken = 0;
    for changes in filling() {
        let changes = changes.into_iter().map(settled).collect();
        // Those that do not fit what came before are refused.
        taken += usize::from(place.store.commit(&place.fence, changes).await.is_ok());
    }
    assert!(taken > 100, "{taken}");
    for number in 0..4 {
        let id = EventId::new(20_000 + number, 0, NodeId(9));
        place.commit(vec![Change::Import(event(id, EventBody::SessionDeleted))]).await;
    }
    place
        .commit(vec![Change::PutPairing(pairing("a\0b\u{1}c")), Change::PutPairing(pairing("a"))])
        .await;
    let open: Vec<_> = place.store.open_inbox(None, usize::MAX).await.unwrap();
    assert!(!open.is_empty() && !place.store.pending_outbox(9).await.unwrap().is_empty());
    while place.store.fold(&place.fence, millis(4_000), 50).await.unwrap().more {}
    let folded = place.store.snapshot().await.unwrap().events;
    assert!(folded > 0 && !place.store.bases(None, 1).await.unwrap().is_empty());
}

/// Who is let in is no session's affair.
fn settled(change: Change) -> Change {
    use EventBody::{DevicePaired, DeviceRemoved, GrantGiven};
    match change {
        Change::Log(NewEvent { header, body })
            if matches!(body, GrantGiven { .. } | DevicePaired { .. } | DeviceRemoved { .. }) =>
        {
            Change::Log(NewEvent { header: EventHeader { session: None, ..header }, body })
        }
        change => change,
    }
}

fn event(id: EventId, body: EventBody) -> NewEvent {
    let session = Some("agent:other:main".into());
    let header =
        EventHeader { id, trace: TraceId(Uuid::from_u128(7)), cause: None, session, at: millis(9) };
    NewEvent { header, body }
}

fn pairing(peer: &str) -> PairingRequest {
    PairingRequest {
        channel: "telegram".into(),
        account: "\0".into(),
        peer: peer.into(),
        name: Some("\u{1}0".into()),
        code: "ABCD2345".into(),
        created_at: millis(1),
        expires_at: millis(2),
    }
}

/// More events than are copied at a time.
async fn many(place: &Place) {
    for commit in 0..4_u64 {
        let log = |number: u64| {
            let id = EventId::new(1_000_000 + commit * 400 + number, 0, NODE);
            Change::Log(event(id, EventBody::SessionDeleted))
        };
        place.commit((0..400).map(log).collect()).await;
    }
}

fn hashes(report: &Report) -> Vec<(Table, u64, &str)> {
    let tables = report.tables.iter();
    tables.map(|copied| (copied.table, copied.rows, &*copied.sha256)).collect()
}

#[tokio::test]
async fn all_that_is_in_a_store_comes_to_a_server_and_back() {
    let Some(server) = PgServer::start().await else { return };
    let folder = TempDir::new().unwrap();
    let here = Place::file(&folder, "here").await;
    rich(&here).await;
    // In a copy nobody has the rows, so copies are compared with one of the same kind.
    let [twin, back] = [Place::file(&folder, "twin").await, Place::file(&folder, "back").await];
    let there = Place::database(&server, "there").await;
    let first = here.copy_to(&twin).await.unwrap();
    let second = here.copy_to(&there).await.unwrap();
    let third = there.copy_to(&back).await.unwrap();
    assert_eq!(hashes(&first), hashes(&second));
    assert_eq!(hashes(&first), hashes(&third));
    let empty = first.tables.iter().filter(|copied| copied.rows == 0).map(|copied| copied.table);
    assert_eq!(empty.collect::<Vec<_>>(), [], "the history fills every table");
    for place in [&twin, &there, &back] {
        assert_same(&*twin.store, &*place.store).await;
        place.assert_clean().await;
    }

    // And each goes on where the first one was.
    let newest = twin.store.events(Seq(0), usize::MAX).await.unwrap().last().unwrap().seq;
    for place in [&twin, &there, &back] {
        place.store.adopt(&place.fence).await.unwrap();
        let id = EventId::new(2_000_000, 0, NODE);
        let queued = place.store.pending_outbox(1).await.unwrap().remove(0);
        let queued = claw_store::OutboxRow {
            id: claw_domain::OutboxId(Uuid::from_u128(1)),
            part: 0,
            ..queued
        };
        let log = Change::Log(event(id, EventBody::SessionDeleted));
        let done = place.commit(vec![log, Change::Enqueue(Box::new(queued.clone()))]).await;
        assert_eq!((done.seq.0, done.orders.len()), (newest.0 + 1, 1));
        let of_trace = place.store.outbox_of(queued.trace).await.unwrap();
        assert_eq!(of_trace.last().unwrap().id, queued.id);
        let known = place.commit(vec![Change::Receive(Box::new(inbox_row(0, 0)))]).await;
        assert_eq!(known.received, [false]);
    }
    assert_same(&*twin.store, &*there.store).await;
    assert_same(&*twin.store, &*back.store).await;
    // What was written since is seen.
    prove(&*here.tables, &first).await.unwrap();
    for place in [&twin, &there, &back] {
        let changed = prove(&*place.tables, &first).await;
        assert!(matches!(changed, Err(CopyError::Differs { table: Table::Events, .. })));
    }
}

/// A store that fails after so many writes.
struct Failing<'a> {
    tables: &'a dyn Portable,
    writes_left: AtomicUsize,
}

#[async_trait]
impl Portable for Failing<'_> {
    fn place(&self) -> String {
        self.tables.place()
    }

    async fn holders(&self) -> Result<Vec<String>, Error> {
        self.tables.holders().await
    }

    async fn read(&self) -> Result<Box<dyn Rows>, Error> {
        self.tables.read().await
    }

    async fn put(&self, fence: &Fence, table: Table, rows: Vec<Row>) -> Result<(), Error> {
        let left = self
            .writes_left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        left.map_err(|_none| Error::Engine("the power failed".into()))?;
        self.tables.put(fence, table, rows).await
    }
}

/// Copies, is cut off after each write, and goes on.
async fn check_resumed(from: &Place, to: &Place) {
    let mut cuts = 0;
    let mut known_before = 0;
    let report = loop {
        let target = Failing { tables: &*to.tables, writes_left: AtomicUsize::new(1) };
        match copy(&*from.tables, &target, &to.fence, |_, _| {}).await {
            Ok(report) => break report,
            Err(CopyError::Store { done: "written", .. }) => cuts += 1,
            Err(error) => panic!("{error:?}"),
        }
        let events = to.store.totals().await.unwrap().events;
        assert!(events >= known_before);
        known_before = events;
    };
    assert!(cuts > 5, "{cuts}");
    assert_eq!(report.tables[0].known, report.tables[0].rows, "the log was there by then");
    // Once more finds everything.
    let again = from.copy_to(to).await.unwrap();
    assert_eq!(hashes(&again), hashes(&report));
    to.assert_clean().await;
}

#[tokio::test]
async fn a_copy_that_was_cut_off_is_gone_on_with() {
    let Some(server) = PgServer::start().await else { return };
    let folder = TempDir::new().unwrap();
    let here = Place::file(&folder, "here").await;
    rich(&here).await;
    many(&here).await;
    let there = Place::database(&server, "there").await;
    check_resumed(&here, &there).await;
    check_resumed(&there, &Place::file(&folder, "back").await).await;
}

/// A target that holds something else is refused, and stays as it is.
async fn check_foreign(from: &Place, to: &Place, alike: Vec<Change>, other: Change, table: Table) {
    from.commit(alike.clone()).await;
    to.commit(alike.into_iter().chain([other]).collect()).await;
    let before = to.store.totals().await.unwrap();
    let refused = from.copy_to(to).await.unwrap_err();
    assert!(
        matches!(refused, CopyError::Foreign { table: found, .. } if found == table),
        "{refused:?}"
    );
    assert_eq!(to.store.totals().await.unwrap(), before);
    assert!(
        to.store.pairings(None).await.unwrap().iter().all(|row| row.peer.as_str() != "only here")
    );
}

#[tokio::test]
async fn a_target_that_holds_something_else_is_refused_and_left_alone() {
    let Some(server) = PgServer::start().await else { return };
    let folder = TempDir::new().unwrap();
    let log =
        |number: u64| Change::Log(event(EventId::new(number, 0, NODE), EventBody::SessionDeleted));
    for (name, alike, other, table) in [
        ("a", vec![], log(1), Table::Events),
        ("b", vec![log(1), log(2)], log(3), Table::Events),
        ("c", vec![log(1)], Change::PutPairing(pairing("x")), Table::Pairings),
    ] {
        let here = Place::file(&folder, name).await;
        here.commit(vec![Change::PutPairing(pairing("only here"))]).await;
        let there = Place::database(&server, name).await;
        check_foreign(&here, &there, alike, other, table).await;
    }
}

#[tokio::test]
async fn a_view_stays_as_it_was_and_an_old_fence_writes_nothing() {
    let Some(server) = PgServer::start().await else { return };
    let folder = TempDir::new().unwrap();
    let here = Place::file(&folder, "here").await;
    for place in [&here, &Place::database(&server, "there").await] {
        let mut view = place.tables.read().await.unwrap();
        place.commit(vec![Change::PutPairing(pairing("late"))]).await;
        assert_eq!(view.page(Table::Pairings, None, 9).await.unwrap(), Vec::<Row>::new());
        let mut view = place.tables.read().await.unwrap();
        let rows = view.page(Table::Pairings, None, 9).await.unwrap();
        assert_eq!(rows.len(), 1);
        for fence in [Fence::NOBODY, Fence { epoch: place.fence.epoch + 1, ..place.fence }] {
            let put = place.tables.put(&fence, Table::Pairings, rows.clone()).await;
            assert!(matches!(put, Err(Error::Fenced { .. })), "{put:?}");
        }
        // What is there is not written over.
        let put = place.tables.put(&place.fence, Table::Pairings, rows).await;
        assert!(put.is_err());
        let read_only = claw_store_sqlite::Tables::open_to_read(folder.path().join("here")).await;
        let put = read_only.unwrap().put(&place.fence, Table::Pairings, Vec::new()).await;
        assert!(matches!(put, Err(Error::ReadOnly { .. })), "{put:?}");
    }
}

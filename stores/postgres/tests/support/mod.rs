//! Places for stores on a real server, changes to commit to them, and a way between that can be cut.
#![allow(dead_code, reason = "each test file uses its own part of this")]

pub(crate) mod proxy;

use claw_domain::{EventBody, EventHeader, EventId, NodeId, Secret, TraceId, millis};
use claw_store::{Change, Fence, Lease, NewEvent, Store};
use claw_store_postgres::{Options, Postgres};
use claw_testkit::PgServer;
use tokio::task::JoinHandle;
use tokio_postgres::{Client, NoTls};
use uuid::Uuid;

/// When the tests happen, and how long leases are good. Unit: milliseconds.
pub(crate) const NOW: i64 = 1_795_000_000_000;
pub(crate) const LEASE_MS: i64 = 60_000;

/// A plain connection, to look at what a store wrote. It is closed when it is dropped.
pub(crate) struct Plain {
    pub(crate) client: Client,
    driver: JoinHandle<()>,
}

impl Plain {
    pub(crate) async fn new(url: &str) -> Self {
        let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
        let driver = tokio::spawn(async move {
            // A server that is stopped ends it.
            let _ended = connection.await;
        });
        Self { client, driver }
    }

    pub(crate) async fn run(&self, sql: &str) {
        self.client.batch_execute(sql).await.unwrap();
    }

    /// The one number that a question is answered with.
    pub(crate) async fn number(&self, sql: &str) -> i64 {
        self.client.query_one(sql, &[]).await.unwrap().get(0)
    }
}

impl Drop for Plain {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// The URL of a fresh database.
pub(crate) async fn fresh(server: &PgServer) -> String {
    let name = format!("d{}", Uuid::new_v4().simple());
    server.create(&name).await;
    server.url(&name)
}

pub(crate) async fn open(url: &str) -> Postgres {
    Postgres::open(&Secret::new(url), Options::default()).await.unwrap()
}

/// The lease of a gateway among many.
pub(crate) async fn join(store: &Postgres, node: u64) -> Fence {
    let node = NodeId(node);
    let until = millis(NOW + LEASE_MS);
    store.claim(&Lease::Member(node), node, millis(NOW), until).await.unwrap().unwrap()
}

/// The `number`th event of a node.
pub(crate) fn event(node: u64, number: u64) -> Change {
    let header = EventHeader {
        id: EventId::new(NOW.unsigned_abs() + number, 0, NodeId(node)),
        trace: TraceId(Uuid::from_u128(number.into())),
        cause: None,
        session: None,
        at: millis(NOW),
    };
    Change::Log(NewEvent { header, body: EventBody::SessionDeleted })
}

/// The ids of all events, in commit order; their places are checked to be without gaps.
pub(crate) async fn logged(store: &Postgres) -> Vec<(u64, u64)> {
    let events = store.events(claw_domain::Seq(0), usize::MAX).await.unwrap();
    let places: Vec<u64> = events.iter().map(|event| event.seq.0).collect();
    assert_eq!(places, (1..=events.len() as u64).collect::<Vec<_>>(), "places have gaps");
    let id = |event: &claw_domain::Event| {
        let id = event.header.id;
        (id.node().0, id.millis() - NOW.unsigned_abs())
    };
    events.iter().map(id).collect()
}

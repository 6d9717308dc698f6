//! Fresh places for stores on one server, and changes to commit to them.
#![allow(dead_code, reason = "each test file uses its own part of this")]

use std::sync::atomic::{AtomicU32, Ordering};

use claw_domain::Secret;
use claw_store_postgres::{Options, Postgres};
use claw_testkit::PgServer;
use tokio::task::JoinHandle;
use tokio_postgres::{Client, NoTls};

/// Makes schemas in one database: each is as good as a database, and quicker made.
pub(crate) struct Places {
    base: String,
    admin: Client,
    driver: JoinHandle<()>,
    made: AtomicU32,
}

impl Places {
    pub(crate) async fn new(server: &PgServer) -> Self {
        let base = server.url("postgres");
        let (admin, driver) = connect(&base).await;
        Self { base, admin, driver, made: AtomicU32::new(0) }
    }

    /// The URL of a new, empty place.
    pub(crate) async fn url(&self) -> String {
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        self.admin.batch_execute(&format!("CREATE SCHEMA s{number}")).await.unwrap();
        format!("{}?options=-csearch_path%3Ds{number}", self.base)
    }

    /// A new, empty store.
    pub(crate) async fn fresh(&self) -> Postgres {
        open(&self.url().await).await
    }
}

impl Drop for Places {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// A plain connection, to look at what a store wrote.
pub(crate) async fn connect(url: &str) -> (Client, JoinHandle<()>) {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    let driver = tokio::spawn(async move {
        // A server that is stopped ends it.
        let _ended = connection.await;
    });
    (client, driver)
}

pub(crate) async fn open(url: &str) -> Postgres {
    Postgres::open(&Secret::new(url), Options::default()).await.unwrap()
}

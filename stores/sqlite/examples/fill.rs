//! Writes the filled store that the upgrade test reads: `fill PATH`. The path must be free.

#[path = "../tests/support/mod.rs"]
mod support;

use claw_store::Store;
use claw_store_sqlite::Sqlite;

#[tokio::main]
async fn main() {
    let path = std::env::args().nth(1).expect("usage: fill PATH");
    assert!(!std::path::Path::new(&path).exists(), "{path} exists");
    let store = Sqlite::open(&path).await.expect("the store opens");
    let taken = support::fill(&store).await;
    store.close().await.expect("the store closes");
    println!("{path}: {taken} commits");
}

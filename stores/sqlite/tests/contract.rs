//! The store on SQLite against the suite that every store passes.

use std::sync::{Arc, Mutex};

use claw_store::Store;
use claw_store_sqlite::Sqlite;
use tempfile::TempDir;

#[tokio::test]
async fn sqlite_passes_the_contract() {
    let folders = Mutex::new(Vec::new());
    claw_store::contract::run(async || {
        let folder = TempDir::new().expect("a temporary folder can be made");
        let store =
            Sqlite::open(folder.path().join("claw.sqlite")).await.expect("a new store opens");
        folders.lock().expect("nothing panicked before").push(folder);
        Arc::new(store) as Arc<dyn Store>
    })
    .await;
}

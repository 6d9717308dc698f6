//! The store on PostgreSQL against the suite that every store passes.

mod support;

use std::sync::Arc;

use claw_store::Store;
use claw_testkit::PgServer;
use support::{Plain, fresh, open};

/// Makes a used store as good as new, which is quicker than making one.
const WIPE: &str =
    "DELETE FROM events; DELETE FROM entries; DELETE FROM sessions; DELETE FROM gone;
    DELETE FROM inbox; DELETE FROM outbox; DELETE FROM leases; DELETE FROM holdings;
    DELETE FROM pairings; DELETE FROM grants; DELETE FROM devices; DELETE FROM commits;
    DELETE FROM bases; DELETE FROM ended;
    UPDATE log SET newest = 0, input = 0, output = 0, cache_read = 0, cache_write = 0;
    UPDATE snapshot SET looked = '00000000-0000-0000-0000-000000000000',
        until = '00000000-0000-0000-0000-000000000000', events = 0, input = 0, output = 0,
        cache_read = 0, cache_write = 0;";

#[tokio::test]
async fn postgres_passes_the_contract() {
    let Some(server) = PgServer::start().await else { return };
    let url = fresh(&server).await;
    open(&url).await.close().await.unwrap();
    let plain = Plain::new(&url).await;
    claw_store::contract::run(async || {
        plain.run(WIPE).await;
        Arc::new(open(&url).await) as Arc<dyn Store>
    })
    .await;
}

//! The store on PostgreSQL against the suite that every store passes.

mod support;

use std::sync::Arc;

use claw_store::Store;
use claw_testkit::PgServer;

#[tokio::test]
async fn postgres_passes_the_contract() {
    let Some(server) = PgServer::start().await else { return };
    let places = support::Places::new(&server).await;
    claw_store::contract::run(async || Arc::new(places.fresh().await) as Arc<dyn Store>).await;
}

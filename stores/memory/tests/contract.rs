//! The store in memory against the suite that every store passes.

use std::sync::Arc;

use claw_store::Store;
use claw_store_memory::Memory;

#[tokio::test]
async fn memory_passes_the_contract() {
    claw_store::contract::run(async || Arc::new(Memory::default()) as Arc<dyn Store>).await;
}

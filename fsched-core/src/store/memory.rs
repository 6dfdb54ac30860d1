//! Kept as long as the process lives.

use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;

use super::{Fold, Record, Snapshot, Store, StoreError};

/// Keeps facts in memory: for tests, simulations, and platforms that may forget.
///
/// Clones are handles to the same facts. [`Store::load`] shows everything appended so far through any of them, so
/// a restart is played by giving another clone to a new master. There is no disk, hence nothing to wait for in
/// [`Store::flush`], and nothing is left when the last handle is gone.
#[derive(Debug, Clone, Default)]
pub struct MemoryStore {
    facts: Arc<Mutex<Fold>>,
}

#[async_trait]
impl Store for MemoryStore {
    async fn load(&self) -> Result<Snapshot, StoreError> {
        Ok(self.facts.lock().snapshot())
    }

    fn append(&self, record: Record) -> Result<(), StoreError> {
        self.facts.lock().apply(record);
        Ok(())
    }

    async fn flush(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::conformance;
    use super::*;

    #[tokio::test]
    async fn the_memory_store_keeps_the_contract() {
        conformance::check(|| {
            let store = MemoryStore::default();
            move || store.clone()
        })
        .await;
    }
}

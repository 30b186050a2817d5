//! Waits until all that was read from the log is on the standby that commits wait for.

use grpcchatter_entity::meta;
use sea_orm::{EntityTrait as _, QuerySelect as _, TransactionOptions};
use tokio::time::timeout;

use super::{
    database::{CALL_TIMEOUT, Store},
    failure::DbResult,
};
use crate::model::{Error, Result};

impl Store {
    /// Returns the number of the server that answers now. It rises when another server is met, whose log and rights may
    /// differ from what was seen before. Read it before a query: the query's answer then comes from that server or a later
    /// one.
    pub fn server_number(&self) -> u64 {
        self.0.server.number()
    }

    /// Returns once all that was read until now is on the standby too, if commits wait for one.
    ///
    /// # Errors
    /// [`Error::DatabaseUnavailable`] if it is not there in time because the standby is away.
    pub async fn wait_for_standby(&self) -> Result<()> {
        let standby = self.0.server.standby();
        if standby.is_passed() {
            return Ok(());
        }
        let waiting = async {
            let lock = standby.lock().await;
            if standby.is_passed() {
                return Ok(());
            }
            let store = self.clone();
            let commit = async move {
                let _lock = lock;
                store.commit_after_all().await
            };
            // The task holds the lock until its commit returns, however long that waits for the standby. It gives up on a
            // server that is silent, or that another server has replaced.
            self.on_core_without_timeout("wait for the standby", commit).await
        };
        timeout(CALL_TIMEOUT, waiting).await.unwrap_or(Err(Error::DatabaseUnavailable))
    }

    /// Commits a transaction that changes nothing, and so needs no instance lock. It waits for the standby only because it
    /// has locked a row.
    async fn commit_after_all(&self) -> DbResult<()> {
        let standby = self.0.server.standby();
        let required = standby.required();
        let transaction = self.0.writer.begin(TransactionOptions::default()).await?;
        meta::Entity::find_by_id("deployment").lock_exclusive().one(&transaction).await?;
        transaction.commit().await?;
        standby.pass(required);
        Ok(())
    }
}

//! Identifies the PostgreSQL server that the connections lead to.
//!
//! After a failover another server answers at the same address. If its standby was asynchronous, it may lack what the
//! previous one acknowledged. So each new connection asks when its server was started. A different time means another
//! server, or a restart: then everything that depends on the previous log and rights is compared with the database again.

use std::sync::{
    OnceLock,
    atomic::{AtomicU64, Ordering},
};

use parking_lot::Mutex;
use sea_orm::sqlx::{self, PgConnection};

use super::{
    pool_generation::PoolGeneration, standby_barrier::StandbyBarrier, unusable_connection::UnusableConnection,
};

/// The server behind the pools. SQLite has none, and its commits are durable once they are visible.
#[derive(Debug, Default)]
pub(super) struct Server {
    /// The pools, whose connections to the previous server are retired.
    generation: PoolGeneration,
    /// Start time of the server of the newest connection.
    started: Mutex<Option<String>>,
    /// Number of servers met so far.
    number: AtomicU64,
    standby: StandbyBarrier,
    /// Id of the deployment, once it is known.
    deployment: OnceLock<String>,
}

impl Server {
    /// Makes one that no connection has met yet.
    pub(super) fn new(generation: PoolGeneration) -> Self {
        Self { generation, ..Self::default() }
    }

    /// Sets the deployment. From now on, a connection to the database of another deployment is refused.
    pub(super) fn set_deployment(&self, deployment: &str) {
        // It is created once, and never changes.
        let _ = self.deployment.set(deployment.to_owned());
    }

    /// Identifies the server of a new connection.
    ///
    /// # Errors
    /// [`UnusableConnection::OtherDeployment`] if its database belongs to another deployment; failures of the connection.
    pub(super) async fn identify(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        if let Some(deployment) = self.deployment.get() {
            let sql = "SELECT value FROM meta WHERE name = 'deployment'";
            let found: Option<String> = match sqlx::query_scalar(sql).fetch_optional(&mut *connection).await {
                // undefined_table
                Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("42P01") => None,
                found => found?,
            };
            if found.as_ref() != Some(deployment) {
                return Err(sqlx::Error::Configuration(Box::new(UnusableConnection::OtherDeployment)));
            }
        }
        // A number, since the text of a timestamp depends on the role's time zone.
        let sql = "SELECT extract(epoch FROM pg_postmaster_start_time())::text";
        self.record_start(sqlx::query_scalar(sql).fetch_one(connection).await?);
        Ok(())
    }

    /// Records the start time of the server of a new connection.
    pub(super) fn record_start(&self, started: String) {
        let mut last = self.started.lock();
        if last.as_ref() != Some(&started) {
            if last.replace(started).is_some() {
                tracing::info!("another PostgreSQL answers than before, or it was started again");
                // Before the number rises: a reader of the new number must not query the previous server, which may still
                // answer.
                self.generation.retire();
            }
            self.number.fetch_add(1, Ordering::Release);
            self.standby.require();
        }
    }

    /// Retires all connections, since the server does not answer.
    pub(super) fn is_silent(&self) {
        tracing::warn!("the database is silent: new connections are opened");
        self.generation.retire();
    }

    /// Logs why a new connection cannot be used, at most once in 5 s.
    pub(super) fn report_unusable(&self, error: &sqlx::Error) {
        self.generation.report_unusable(error);
    }

    /// Returns the number of servers met so far.
    pub(super) fn number(&self) -> u64 {
        self.number.load(Ordering::Acquire)
    }

    pub(super) fn standby(&self) -> &StandbyBarrier {
        &self.standby
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        clock::Clock,
        store::temporary::{TemporaryDatabase, TemporaryStore},
    };
    use grpcchatter_entity::meta;
    use sea_orm::{EntityTrait as _, QuerySelect as _};

    #[test]
    fn a_different_start_time_is_another_server() {
        let server = Server::default();
        let numbers = ["one", "one", "two", "two", "one"].map(|started| {
            server.record_start(started.to_owned());
            server.number()
        });
        assert_eq!(numbers, [1, 1, 2, 2, 3]);
    }

    #[test]
    fn meeting_another_server_retires_the_connections_to_the_previous_one() {
        let generation = PoolGeneration::default();
        let (server, first) = (Server::new(generation.clone()), generation.current());
        let is_still_used = |started: &str| {
            server.record_start(started.to_owned());
            generation.current() == first
        };
        assert_eq!(["one", "one", "two"].map(is_still_used), [true, true, false]);
    }

    #[tokio::test]
    async fn the_start_time_does_not_depend_on_the_time_zone() {
        let Some(database) = TemporaryDatabase::postgres().await else { return };
        let store = TemporaryStore::open(database, Clock::system()).await;
        let connections = store.reader().bare();
        let pool = connections.get_postgres_connection_pool();
        let mut connection = pool.acquire().await.unwrap();
        sqlx::query("SET TIME ZONE 'Asia/Tokyo'").execute(&mut *connection).await.unwrap();
        store.0.server.identify(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        assert_eq!(store.server_number(), 1);
    }

    #[tokio::test]
    async fn sqlite_has_no_server_and_no_standby_to_wait_for() {
        let store = TemporaryStore::open(TemporaryDatabase::sqlite(), Clock::system()).await;
        assert_eq!(store.server_number(), 0);
        assert!(store.0.server.standby().is_passed());
        store.wait_for_standby().await.unwrap();
    }

    #[tokio::test]
    async fn waiting_for_the_standby_ends_with_a_later_commit() {
        let Some(database) = TemporaryDatabase::postgres().await else { return };
        let store = TemporaryStore::open(database, Clock::system()).await;
        assert_eq!(store.server_number(), 1, "the pool has met one server, however many connections it has");
        store.wait_for_standby().await.unwrap();
        assert!(store.0.server.standby().is_passed());
        store.0.server.standby().require();
        assert!(!store.0.server.standby().is_passed());
        let locked = store.begin().await.unwrap();
        meta::Entity::find_by_id("deployment").lock_exclusive().one(&locked).await.unwrap();
        let (waited, ()) = tokio::join!(store.wait_for_standby(), async {
            store.waiting_for_locks(1).await;
            assert!(!store.0.server.standby().is_passed(), "the commit has not returned");
            locked.commit().await.unwrap();
        });
        waited.unwrap();
        assert!(store.0.server.standby().is_passed());
    }
}

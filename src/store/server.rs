//! Which PostgreSQL answers, and whether all that it shows is on the standby that its commits wait for.
//!
//! *Which.* After a failover another server answers at the same address. What the last one acknowledged may be missing there,
//! where its standby was asynchronous. So every new connection of the pool asks when its server was started, and where
//! that is another moment than before, another server was met: what rests on the last one's log and rights is held
//! against the database again.
//!
//! *Whether.* A commit waits for a synchronous standby before anybody sees it, but for two cases: its backend was ended
//! while it waited, or the server crashed and was started again. Then it is visible, and may be lost with the server. Whoever
//! hears a message of their own on a stream, or finds it in a list, takes it for stored, so nothing of the log is told after
//! either until one later commit has come back: commits reach the standby in order, and all that was visible is there then.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicU64, Ordering},
};

use grpcchatter_entity::meta;
use parking_lot::Mutex;
use sea_orm::{
    EntityTrait as _, QuerySelect as _, TransactionOptions,
    sqlx::{self, PgConnection},
};
use tokio::time::timeout;

use super::{DbResult, PATIENCE, Store, Unfit, pool::Trust};
use crate::model::{Error, Result};

/// What is known of the server behind the pool. SQLite has none, and its commits are where they are seen.
#[derive(Debug, Default)]
pub(super) struct Server {
    /// Which connections are believed in: once another server is met, none to the last one.
    trust: Trust,
    /// When the server of the newest connection was started.
    started: Mutex<Option<String>>,
    /// How often another server was met.
    met: AtomicU64,
    /// How often something may have become visible that is not on the standby.
    doubts: AtomicU64,
    /// How many of these doubts are over.
    settled: AtomicU64,
    /// The id of the deployment that is served, once it is known.
    deployment: OnceLock<String>,
    /// Held by the one who asks, for all who wait.
    asking: Arc<tokio::sync::Mutex<()>>,
}

impl Server {
    /// Makes one that nobody has met yet.
    pub(super) fn new(trust: Trust) -> Self {
        Self { trust, ..Self::default() }
    }

    /// Notes which deployment is served: from now on no connection may lead to another one's database.
    pub(super) fn serves(&self, deployment: &str) {
        // It is made once, and never changes.
        let _ = self.deployment.set(deployment.to_owned());
    }

    /// Notes which server a new connection of the pool leads to.
    ///
    /// # Errors
    /// [`Unfit::Foreign`] where it has not the database that is served; failures of the connection.
    pub(super) async fn meet(&self, connection: &mut PgConnection) -> std::result::Result<(), sqlx::Error> {
        if let Some(deployment) = self.deployment.get() {
            let asked = "SELECT value FROM meta WHERE name = 'deployment'";
            let found: Option<String> = match sqlx::query_scalar(asked).fetch_optional(&mut *connection).await
            {
                // There is no such table.
                Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("42P01") => None,
                done => done?,
            };
            if found.as_ref() != Some(deployment) {
                return Err(sqlx::Error::Configuration(Box::new(Unfit::Foreign)));
            }
        }
        // As a number: a time's text depends on the zone that the role has.
        let asked = "SELECT extract(epoch FROM pg_postmaster_start_time())::text";
        self.is_known(sqlx::query_scalar(asked).fetch_one(connection).await?);
        Ok(())
    }

    pub(super) fn is_known(&self, started: String) {
        let mut last = self.started.lock();
        if last.as_ref() != Some(&started) {
            if last.replace(started).is_some() {
                tracing::info!("another PostgreSQL answers than before, or it was started again");
                // Before the number rises: whoever reads it asks this server from then on. The last one may still answer.
                self.trust.withdraw();
            }
            self.met.fetch_add(1, Ordering::Release);
            self.doubt();
        }
    }

    /// Notes that the server does not answer: no connection to it is believed in.
    pub(super) fn is_silent(&self) {
        tracing::warn!("the database is silent: new connections are opened");
        self.trust.withdraw();
    }

    /// Says why a new connection cannot be used, once in a while.
    pub(super) fn is_unusable(&self, error: &sqlx::Error) {
        self.trust.say(error);
    }

    /// Notes that a commit may have become visible before it was on the standby.
    pub(super) fn doubt(&self) {
        self.doubts.fetch_add(1, Ordering::Release);
    }

    fn is_settled(&self) -> bool {
        self.settled.load(Ordering::Acquire) == self.doubts.load(Ordering::Acquire)
    }
}

impl Store {
    /// Returns the number of the server that answers now. It rises where another one is met, whose log and rights may be
    /// others than were seen before; read it before you ask, and what you get is of that server or of a later one.
    pub fn server(&self) -> u64 {
        self.0.server.met.load(Ordering::Acquire)
    }

    /// Returns once all that was read until now is on the standby too, if commits wait for one.
    ///
    /// # Errors
    /// [`Error::DatabaseUnavailable`] where it does not get there in time, since the standby is away.
    pub async fn settled(&self) -> Result<()> {
        if self.0.server.is_settled() {
            return Ok(());
        }
        let asking = async {
            let alone = Arc::clone(&self.0.server.asking).lock_owned().await;
            if self.0.server.is_settled() {
                return Ok(());
            }
            let store = self.clone();
            let settle = async move {
                let _alone = alone;
                store.settle().await
            };
            // Nobody else asks until it has ended, however long it waits for the standby: of a server that is silent, or that
            // another has followed, it waits for no more.
            self.at_length("wait for the standby", settle).await
        };
        timeout(PATIENCE, asking).await.unwrap_or(Err(Error::DatabaseUnavailable))
    }

    /// Commits something that changes nothing, and so needs no hold on the database. It waits for the standby only because
    /// it has locked a row.
    async fn settle(&self) -> DbResult<()> {
        let server = &self.0.server;
        let doubts = server.doubts.load(Ordering::Acquire);
        let transaction = self.0.writer.begin(TransactionOptions::default()).await?;
        meta::Entity::find_by_id("deployment").lock_exclusive().one(&transaction).await?;
        transaction.commit().await?;
        server.settled.fetch_max(doubts, Ordering::Release);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        clock::Clock,
        store::temporary::{TemporaryDatabase, TemporaryStore},
    };

    #[test]
    fn a_server_that_was_started_at_another_moment_is_another_one() {
        let server = Server::default();
        let numbers = ["one", "one", "two", "two", "one"].map(|started| {
            server.is_known(started.to_owned());
            server.met.load(Ordering::Relaxed)
        });
        assert_eq!(numbers, [1, 1, 2, 2, 3]);
    }

    #[test]
    fn no_connection_to_the_last_server_is_used_once_another_is_met() {
        let trust = Trust::default();
        let (server, first) = (Server::new(trust.clone()), trust.era());
        let is_believed_in = |started: &str| {
            server.is_known(started.to_owned());
            trust.era() == first
        };
        assert_eq!(["one", "one", "two"].map(is_believed_in), [true, true, false]);
    }

    #[tokio::test]
    async fn a_server_is_the_same_in_every_time_zone() {
        let Some(database) = TemporaryDatabase::postgres().await else { return };
        let store = TemporaryStore::open(database, Clock::system()).await;
        let connections = store.reader().bare();
        let pool = connections.get_postgres_connection_pool();
        let mut connection = pool.acquire().await.unwrap();
        sqlx::query("SET TIME ZONE 'Asia/Tokyo'").execute(&mut *connection).await.unwrap();
        store.0.server.meet(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        assert_eq!(store.server(), 1);
    }

    #[tokio::test]
    async fn sqlite_is_one_server_and_always_settled() {
        let store = TemporaryStore::open(TemporaryDatabase::sqlite(), Clock::system()).await;
        assert_eq!(store.server(), 0);
        assert!(store.0.server.is_settled());
        store.settled().await.unwrap();
    }

    #[tokio::test]
    async fn what_is_in_doubt_is_settled_by_a_later_commit() {
        let Some(database) = TemporaryDatabase::postgres().await else { return };
        let store = TemporaryStore::open(database, Clock::system()).await;
        assert_eq!(store.server(), 1, "the pool has met one server, however many connections it has");
        store.settled().await.unwrap();
        assert!(store.0.server.is_settled());
        store.0.server.doubt();
        assert!(!store.0.server.is_settled());
        let locked = store.begin().await.unwrap();
        meta::Entity::find_by_id("deployment").lock_exclusive().one(&locked).await.unwrap();
        let (settled, ()) = tokio::join!(store.settled(), async {
            store.waiting(1).await;
            assert!(!store.0.server.is_settled(), "its commit has not come back");
            locked.commit().await.unwrap();
        });
        settled.unwrap();
        assert!(store.0.server.is_settled());
    }
}

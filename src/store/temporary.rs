//! A migrated database that only one test uses: a SQLite file in a folder of its own, or a database in the tests' own
//! PostgreSQL, which is the one that the acceptance tests start.

use std::ops::Deref;

use tempfile::TempDir;

use self::postgres::Cluster;
use super::{DatabaseUrl, Store};
use crate::clock::Clock;

#[path = "../../tests/api/harness/postgres.rs"]
mod postgres;
#[path = "../../tests/api/harness/programs.rs"]
mod programs;

/// Runs each of the named functions, `async fn(TemporaryDatabase)`, once on each database, as `name::sqlite` and
/// `name::postgres`. Without PostgreSQL the latter pass over everything, which `tests/coverage.rs` reports.
macro_rules! on_each_database {
    ($($name:ident),+ $(,)?) => {$(
        mod $name {
            use crate::store::temporary::TemporaryDatabase;

            #[tokio::test]
            async fn sqlite() {
                Box::pin(super::$name(TemporaryDatabase::sqlite())).await;
            }

            #[tokio::test]
            async fn postgres() {
                if let Some(database) = TemporaryDatabase::postgres().await {
                    Box::pin(super::$name(database)).await;
                }
            }
        }
    )+};
}

pub(crate) use on_each_database;

/// A database that is empty still.
pub(crate) struct TemporaryDatabase {
    url: DatabaseUrl,
    /// Of SQLite; removed when it is dropped.
    folder: Option<TempDir>,
}

impl TemporaryDatabase {
    pub(crate) fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { url: DatabaseUrl::Sqlite(folder.path().join("grpcchatter.db")), folder: Some(folder) }
    }

    pub(crate) async fn postgres() -> Option<Self> {
        let url = Cluster::shared()?.create_database().await;
        Some(Self { url: DatabaseUrl::Postgres(url), folder: None })
    }
}

pub(crate) struct TemporaryStore {
    store: Store,
    _folder: Option<TempDir>,
}

impl TemporaryStore {
    pub(crate) async fn open(database: TemporaryDatabase, clock: Clock) -> Self {
        let store = Store::connect(&database.url, clock).await.unwrap();
        store.migrate().await.unwrap();
        Self { store, _folder: database.folder }
    }
}

impl Deref for TemporaryStore {
    type Target = Store;

    fn deref(&self) -> &Store {
        &self.store
    }
}

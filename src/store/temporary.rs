//! A migrated database that only one test uses.
//!
//! It is a SQLite file in a folder of its own, removed when it is dropped. Where TEST_POSTGRES_URL names a
//! PostgreSQL server, such as `postgres://postgres@127.0.0.1:5432`, it is a new database there instead: it stays
//! behind, so the server should be one to throw away.

use std::{ops::Deref, path::PathBuf};

use sea_orm::{ConnectionTrait as _, Database};

use super::{DatabaseUrl, Store};
use crate::clock::Clock;

pub(crate) struct TemporaryStore {
    store: Store,
    folder: Option<PathBuf>,
}

impl TemporaryStore {
    pub(crate) async fn open(clock: Clock) -> Self {
        let name = format!("grpcchatter-{}", clock.uuid());
        let (url, folder) = match std::env::var("TEST_POSTGRES_URL") {
            Ok(server) => (postgres(&server, &name).await, None),
            Err(_) => {
                let folder = std::env::temp_dir().join(name);
                std::fs::create_dir(&folder).unwrap();
                (DatabaseUrl::Sqlite(folder.join("grpcchatter.db")), Some(folder))
            }
        };
        let store = Store::connect(&url, clock).await.unwrap();
        store.migrate().await.unwrap();
        Self { store, folder }
    }
}

async fn postgres(server: &str, name: &str) -> DatabaseUrl {
    let admin = Database::connect(format!("{server}/postgres")).await.unwrap();
    admin.execute_unprepared(&format!("CREATE DATABASE \"{name}\"")).await.unwrap();
    admin.close().await.unwrap();
    DatabaseUrl::Postgres(format!("{server}/{name}"))
}

impl Deref for TemporaryStore {
    type Target = Store;

    fn deref(&self) -> &Store {
        &self.store
    }
}

impl Drop for TemporaryStore {
    fn drop(&mut self) {
        if let Some(folder) = &self.folder {
            // A folder that stays behind fails no test.
            let _ = std::fs::remove_dir_all(folder);
        }
    }
}

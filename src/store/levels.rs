//! How busy the database is, and how much there is in it: for figures alone.

use grpcchatter_entity::{account, room};
use sea_orm::{ColumnTrait as _, DbBackend, EntityTrait as _, PaginatorTrait as _, QueryFilter as _};

use super::{Store, pool::Pool};
use crate::model::Result;

/// Connections that are used for the same.
#[derive(Clone, Copy, Debug)]
pub struct PoolLevel {
    /// What for.
    pub name: &'static str,
    /// How many are open.
    pub open: usize,
    /// How many of them are free.
    pub idle: usize,
}

/// How busy the database is.
#[derive(Clone, Debug)]
pub struct DatabaseLevels {
    /// The connections.
    pub pools: Vec<PoolLevel>,
    /// How many calls wait for their turn to read.
    pub reads_waiting: usize,
    /// How many wait for their turn to write.
    pub writes_waiting: usize,
}

impl Store {
    /// Says how busy the database is, without asking it.
    pub fn levels(&self) -> DatabaseLevels {
        let (reader, writer) = (&self.0.reader, &self.0.writer);
        let named = match self.backend() {
            DbBackend::Sqlite => vec![("read", vec![reader]), ("write", vec![writer])],
            _ => vec![("shared", vec![writer]), ("log", self.0.lanes.get().into_iter().flatten().collect())],
        };
        let pools = named.into_iter().map(|(name, pools)| self.level(name, &pools)).collect();
        let [reads_waiting, writes_waiting] = self.turns().waiting();
        DatabaseLevels { pools, reads_waiting, writes_waiting }
    }

    /// Counts accounts and rooms. A table's length is read for it, so it is not for every scrape.
    ///
    /// # Errors
    /// Failures of the database, and where it takes too long.
    pub async fn count(&self) -> Result<(u64, u64)> {
        let store = self.clone();
        self.on_core("count accounts and rooms", async move {
            let accounts = account::Entity::find().filter(account::Column::DeletedAt.is_null());
            let accounts = accounts.count(store.reader()).await?;
            Ok((accounts, room::Entity::find().count(store.reader()).await?))
        })
        .await
    }

    fn level(&self, name: &'static str, pools: &[&Pool]) -> PoolLevel {
        let sizes = pools.iter().map(|pool| match self.backend() {
            DbBackend::Sqlite => {
                let pool = pool.bare();
                let pool = pool.get_sqlite_connection_pool();
                (pool.size(), pool.num_idle())
            }
            _ => {
                let pool = pool.bare();
                let pool = pool.get_postgres_connection_pool();
                (pool.size(), pool.num_idle())
            }
        });
        sizes.fold(PoolLevel { name, open: 0, idle: 0 }, |sum, (open, idle)| PoolLevel {
            open: sum.open + open as usize,
            idle: sum.idle + idle,
            ..sum
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        clock::Clock,
        store::temporary::{TemporaryDatabase, TemporaryStore, on_each_database},
    };

    on_each_database! { what_is_closed_has_no_connection_left }

    async fn what_is_closed_has_no_connection_left(database: TemporaryDatabase) {
        let store = TemporaryStore::open(database, Clock::system()).await;
        let _lanes = store.lanes().await;
        let open = || store.levels().pools.iter().map(|pool| pool.open).collect::<Vec<_>>();
        assert!(open().iter().all(|open| *open > 0), "{:?}", open());
        store.close().await;
        assert_eq!(open(), [0, 0]);
    }
}

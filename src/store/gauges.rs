//! Gauges of the database for the metrics.

use std::sync::atomic::Ordering;

use grpcchatter_entity::{account, room};
use sea_orm::{ColumnTrait as _, DbBackend, EntityTrait as _, PaginatorTrait as _, QueryFilter as _};

use super::{Store, pool::Pool};
use crate::model::Result;

/// The connections of one purpose.
#[derive(Clone, Copy, Debug)]
pub struct PoolGauges {
    /// The purpose.
    pub name: &'static str,
    /// Number of open connections.
    pub open: usize,
    /// Number of idle ones among them.
    pub idle: usize,
}

/// The load of the database.
#[derive(Clone, Debug)]
pub struct DatabaseGauges {
    /// The connections, by purpose.
    pub pools: Vec<PoolGauges>,
    /// Number of reads that wait for admission.
    pub reads_waiting: usize,
    /// Number of writes that wait for admission.
    pub writes_waiting: usize,
}

impl Store {
    /// Returns the load of the database, without a query.
    pub fn gauges(&self) -> DatabaseGauges {
        let (reader, writer) = (&self.0.reader, &self.0.writer);
        let named = match self.backend() {
            DbBackend::Sqlite => vec![("read", vec![reader]), ("write", vec![writer])],
            _ => vec![("shared", vec![writer]), ("log", self.0.lanes.get().into_iter().collect())],
        };
        let mut pools: Vec<PoolGauges> =
            named.into_iter().map(|(name, pools)| self.pool_gauges(name, &pools)).collect();
        for log in pools.iter_mut().filter(|pool| pool.name == "log") {
            let kept = self.0.lane_connections.load(Ordering::Relaxed);
            log.open += kept;
            log.idle += kept;
        }
        let [reads_waiting, writes_waiting] = self.admission().waiting();
        DatabaseGauges { pools, reads_waiting, writes_waiting }
    }

    /// Counts accounts and rooms. The query reads whole tables, so it must not run with every scrape.
    ///
    /// # Errors
    /// Failures of the database, and a timeout.
    pub async fn count(&self) -> Result<(u64, u64)> {
        let store = self.clone();
        self.on_core("count accounts and rooms", async move {
            let accounts = account::Entity::find().filter(account::Column::DeletedAt.is_null());
            let accounts = accounts.count(store.reader()).await?;
            Ok((accounts, room::Entity::find().count(store.reader()).await?))
        })
        .await
    }

    fn pool_gauges(&self, name: &'static str, pools: &[&Pool]) -> PoolGauges {
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
        sizes.fold(PoolGauges { name, open: 0, idle: 0 }, |sum, (open, idle)| PoolGauges {
            open: sum.open + open as usize,
            idle: sum.idle + idle,
            ..sum
        })
    }
}

#[cfg(test)]
mod tests {
    use sea_orm::DbBackend;

    use crate::{
        clock::Clock,
        store::temporary::{TemporaryDatabase, TemporaryStore, on_each_database},
    };

    on_each_database! { a_closed_store_has_no_open_connection }

    async fn a_closed_store_has_no_open_connection(database: TemporaryDatabase) {
        let store = TemporaryStore::open(database, Clock::system()).await;
        let lanes = store.lanes().await;
        let open = || store.gauges().pools.iter().map(|pool| pool.open).collect::<Vec<_>>();
        assert!(open().iter().all(|open| *open > 0), "{:?}", open());
        let (before, kept) =
            (open(), if store.backend() == DbBackend::Postgres { lanes.lanes.len() } else { 0 });
        for lane in lanes.lanes {
            lane.close().await;
        }
        assert_eq!(open().iter().sum::<usize>() + kept, before.iter().sum::<usize>());
        store.close().await;
        assert_eq!(open(), [0, 0]);
    }
}

//! The gauges of /metrics. Accounts and rooms are counted every five minutes, since a scrape must not read whole tables.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::time::sleep;

use crate::{
    domain::Log,
    gateway::{ConnectionLimit, Tls},
    hub::Hub,
    metrics::{Gauges, Pool},
    store::{PoolGauges, Store},
};

/// How often accounts and rooms are counted.
const INTERVAL: Duration = Duration::from_secs(300);

/// The parts that gauges are read from.
pub(super) struct GaugeSources {
    pub(super) hub: Hub,
    pub(super) log: Log,
    pub(super) connection_limit: ConnectionLimit,
    pub(super) store: Store,
    pub(super) table_counts: TableCounts,
    pub(super) tls: Option<Tls>,
    pub(super) draining: Arc<AtomicBool>,
}

impl GaugeSources {
    /// Reads all gauges.
    pub(super) fn read(&self) -> Gauges {
        let database = self.store.gauges();
        let mut gauges = Gauges {
            connections: self.connection_limit.open(),
            queued: self.log.waiting(),
            pools: database.pools.iter().map(pool).collect(),
            reads_waiting: database.reads_waiting,
            writes_waiting: database.writes_waiting,
            stored: self.table_counts.latest(),
            certificate_until: self.tls.as_ref().map(Tls::until),
            draining: self.draining.load(Ordering::Relaxed),
            ..Gauges::default()
        };
        self.hub.fill_gauges(&mut gauges);
        gauges
    }
}

/// The latest counts of accounts and rooms. Clones share them.
#[derive(Clone, Default)]
pub(super) struct TableCounts(Arc<Mutex<Option<(u64, u64)>>>);

impl TableCounts {
    fn latest(&self) -> Option<(u64, u64)> {
        *self.0.lock()
    }

    /// Counts until it is dropped. If a count fails, the previous one stays.
    pub(super) async fn run(self, store: Store) {
        loop {
            match store.count().await {
                Ok(counts) => *self.0.lock() = Some(counts),
                Err(error) => tracing::debug!(%error, "accounts and rooms could not be counted"),
            }
            sleep(INTERVAL).await;
        }
    }
}

fn pool(gauges: &PoolGauges) -> Pool {
    Pool { name: gauges.name, busy: gauges.open.saturating_sub(gauges.idle), idle: gauges.idle }
}

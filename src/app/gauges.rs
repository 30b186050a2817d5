//! What stands at this moment, for /metrics. Accounts and rooms are counted now and then: a scrape must not read whole
//! tables.

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
    gateway::{Seats, Tls},
    hub::Hub,
    metrics::{Levels, Pool},
    store::{PoolLevel, Store},
};

/// How often accounts and rooms are counted.
const INTERVAL: Duration = Duration::from_secs(300);

/// The parts that are asked.
pub(super) struct Asked {
    pub(super) hub: Hub,
    pub(super) log: Log,
    pub(super) seats: Seats,
    pub(super) store: Store,
    pub(super) census: Census,
    pub(super) tls: Option<Tls>,
    pub(super) draining: Arc<AtomicBool>,
}

impl Asked {
    /// Asks them all.
    pub(super) fn levels(&self) -> Levels {
        let database = self.store.levels();
        let mut levels = Levels {
            connections: self.seats.taken(),
            queued: self.log.waiting(),
            pools: database.pools.iter().map(pool).collect(),
            reads_waiting: database.reads_waiting,
            writes_waiting: database.writes_waiting,
            stored: self.census.counted(),
            certificate_until: self.tls.as_ref().map(Tls::until),
            draining: self.draining.load(Ordering::Relaxed),
            ..Levels::default()
        };
        self.hub.tell(&mut levels);
        levels
    }
}

/// How many accounts and rooms were counted last. Clones share it.
#[derive(Clone, Default)]
pub(super) struct Census(Arc<Mutex<Option<(u64, u64)>>>);

impl Census {
    fn counted(&self) -> Option<(u64, u64)> {
        *self.0.lock()
    }

    /// Counts until it is dropped. Where a count fails the last one stands.
    pub(super) async fn run(self, store: Store) {
        loop {
            match store.count().await {
                Ok(counted) => *self.0.lock() = Some(counted),
                Err(error) => tracing::debug!(%error, "accounts and rooms could not be counted"),
            }
            sleep(INTERVAL).await;
        }
    }
}

fn pool(level: &PoolLevel) -> Pool {
    Pool { name: level.name, busy: level.open.saturating_sub(level.idle), idle: level.idle }
}

//! The tasks that run beside the calls.

use super::{certificate_reload, deleted_names, gauges::TableCounts, heap_trim, sweep::Sweeper};
use crate::{
    domain::{NameCache, Publisher, Tasks},
    gateway::Tls,
    hub::Hub,
};

/// What the background tasks act on.
pub(super) struct Background {
    pub(super) hub: Hub,
    pub(super) publisher: Publisher,
    pub(super) table_counts: TableCounts,
    pub(super) names: NameCache,
    pub(super) sweeper: Sweeper,
    pub(super) tls: Option<Tls>,
}

impl Background {
    /// Starts every task.
    pub(super) fn start(self, tasks: &Tasks) {
        let Self { hub, publisher, table_counts, names, sweeper, tls } = self;
        let store = sweeper.store.clone();
        if let Some(tls) = tls {
            tasks.spawn(certificate_reload::watch(tls));
        }
        tasks.spawn(deleted_names::watch(store.clone(), hub.clone(), names));
        tasks.spawn(async move { hub.run_presence().await });
        tasks.spawn(async move { publisher.run_poll().await });
        tasks.spawn(sweeper.run());
        tasks.spawn(table_counts.run(store));
        tasks.spawn(heap_trim::run());
    }
}

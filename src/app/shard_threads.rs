//! The shards' threads. Each has its own runtime, which serves connections and the streams on them.

use std::{
    num::NonZero,
    sync::Arc,
    thread::{self, JoinHandle},
};

use tokio::{runtime::Builder, task::JoinSet};

use super::StartError;
use crate::{
    clock::Clock,
    gateway::{Lifetime, Shard, Shards, Stack, Tls, shards},
    hub::Hub,
};

/// What every shard serves with.
pub(super) struct ShardThreads {
    pub(super) hub: Hub,
    pub(super) stack: Arc<Stack>,
    pub(super) tls: Option<Tls>,
    pub(super) lifetime: Lifetime,
    pub(super) clock: Clock,
}

/// Returns the number of shards: one for each core.
pub(super) fn shard_count() -> usize {
    thread::available_parallelism().map_or(1, NonZero::get)
}

impl ShardThreads {
    /// Starts a thread for each shard. Returns where to send connections, and the threads.
    pub(super) fn start(self) -> Result<(Shards, Vec<JoinHandle<()>>), StartError> {
        let (senders, receivers) = shards(shard_count());
        let threads = receivers.into_iter().enumerate().map(|(index, shard)| self.start_one(index, shard));
        Ok((senders, threads.collect::<Result<_, _>>()?))
    }

    /// Starts a shard's thread. It runs until `Lifetime::end`, which cuts the connections that are still open.
    fn start_one(&self, index: usize, shard: Shard) -> Result<JoinHandle<()>, StartError> {
        let runtime = Builder::new_current_thread().enable_all().build().map_err(StartError::Runtime)?;
        let (hub, stack, clock) = (self.hub.clone(), Arc::clone(&self.stack), self.clock.clone());
        let (tls, lifetime) = (self.tls.clone(), self.lifetime.clone());
        let run = move || {
            runtime.block_on(async {
                let end = lifetime.end.clone();
                let mut tasks = JoinSet::new();
                tasks.spawn(async move { hub.run_shard(index).await });
                tasks.spawn(shard.serve(index, stack, tls, lifetime, clock));
                end.cancelled().await;
                tasks.shutdown().await;
            });
        };
        thread::Builder::new().name(format!("shard-{index}")).spawn(run).map_err(StartError::Runtime)
    }
}

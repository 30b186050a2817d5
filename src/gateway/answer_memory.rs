//! The memory of answers: counted from before they are made until the last of their bytes is on its way.
//!
//! What an answer may need is reserved before the database is read, and given back down to what it needs when it is made.
//! Its bytes hold the reservation ([`Paced`](super::patience::Paced) ties them together), in hyper's and h2's buffers too.
//! Whoever asks for more than there is waits, within the deadline of their call. One user can hold no more than the calls
//! that they may have under way, which last as long.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::model::{Error, Result};

/// What the answers on one connection may take: sixteen of the largest.
const CONNECTION_BYTES: usize = 4 * 1024 * 1024;

/// Memory is counted in so many bytes.
const UNIT: usize = 1024;

/// The memory that all answers of the process may take. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct AnswerMemory {
    process: Arc<Semaphore>,
    units: usize,
}

/// The memory that the answers on one connection may take, out of the process'.
#[derive(Clone, Debug)]
pub(super) struct ConnectionMemory {
    memory: AnswerMemory,
    /// None on the connection of a trusted proxy, which carries many users.
    connection: Option<Arc<Semaphore>>,
}

/// Memory that an answer holds until this is dropped.
#[derive(Debug)]
#[must_use = "the memory counts as free once this is dropped"]
pub(super) struct Reservation {
    process: OwnedSemaphorePermit,
    connection: Option<OwnedSemaphorePermit>,
}

impl AnswerMemory {
    /// Counts up to so many bytes.
    pub(super) fn new(bytes: usize) -> Self {
        let units = (bytes / UNIT).clamp(CONNECTION_BYTES / UNIT, Semaphore::MAX_PERMITS);
        Self { process: Arc::new(Semaphore::new(units)), units }
    }

    /// Says whether more than half of the memory is taken: answers have to be read sooner then.
    pub(super) fn is_tight(&self) -> bool {
        self.process.available_permits() < self.units / 2
    }

    /// Begins to count the answers of a connection.
    pub(super) fn connection(&self, is_shared: bool) -> ConnectionMemory {
        let connection = (!is_shared).then(|| Arc::new(Semaphore::new(CONNECTION_BYTES / UNIT)));
        ConnectionMemory { memory: self.clone(), connection }
    }

    /// Returns how many bytes are taken.
    pub(super) fn taken(&self) -> usize {
        (self.units - self.process.available_permits().min(self.units)) * UNIT
    }
}

impl ConnectionMemory {
    /// Waits for so much memory. An answer that is larger than all that a connection may take is counted as that much.
    ///
    /// # Errors
    /// Never but for a bug: the semaphores are not closed.
    pub(super) async fn reserve(&self, bytes: usize) -> Result<Reservation> {
        let units = units(bytes);
        // The connection first: whoever waits for their own answers to be read takes nothing of what others need.
        let connection = match &self.connection {
            Some(connection) => Some(acquire(connection, units).await?),
            None => None,
        };
        Ok(Reservation { process: acquire(&self.memory.process, units).await?, connection })
    }
}

impl Reservation {
    /// Gives back what is not needed.
    pub(super) fn shrink(&mut self, bytes: usize) {
        let needed = units(bytes) as usize;
        for permit in [Some(&mut self.process), self.connection.as_mut()].into_iter().flatten() {
            drop(permit.split(permit.num_permits().saturating_sub(needed)));
        }
    }
}

fn units(bytes: usize) -> u32 {
    u32::try_from(bytes.clamp(1, CONNECTION_BYTES).div_ceil(UNIT)).unwrap_or(u32::MAX)
}

async fn acquire(semaphore: &Arc<Semaphore>, units: u32) -> Result<OwnedSemaphorePermit> {
    Arc::clone(semaphore).acquire_many_owned(units).await.map_err(|_| Error::Internal)
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    const MIB: usize = 1024 * 1024;

    #[test]
    fn whoever_asks_for_more_than_there_is_waits_until_something_is_read() {
        let memory = AnswerMemory::new(8 * MIB);
        let connections: Vec<_> = (0..3).map(|_| memory.connection(false)).collect();
        let mut held = Vec::new();
        for connection in &connections[..2] {
            for _ in 0..4 {
                held.push(connection.reserve(MIB).now_or_never().unwrap().unwrap());
            }
            assert!(connection.reserve(1).now_or_never().is_none(), "the connection has its share");
        }
        assert_eq!(memory.taken(), 8 * MIB);
        let mut waiting = Box::pin(connections[2].reserve(MIB));
        assert!((&mut waiting).now_or_never().is_none(), "the process has no more");
        held[0].shrink(10);
        assert!((&mut waiting).now_or_never().is_none());
        held.truncate(7);
        assert!((&mut waiting).now_or_never().is_some());
    }

    #[test]
    fn an_answer_of_any_size_can_be_made() {
        let memory = AnswerMemory::new(1);
        let held = memory.connection(false).reserve(usize::MAX).now_or_never().unwrap().unwrap();
        assert_eq!(memory.taken(), CONNECTION_BYTES);
        assert!(memory.is_tight());
        drop(held);
        assert_eq!(memory.taken(), 0);
    }

    #[test]
    fn a_trusted_proxy_carries_more_than_one_client_may_have() {
        let memory = AnswerMemory::new(64 * MIB);
        let proxy = memory.connection(true);
        let held: Vec<_> = (0..10).map(|_| proxy.reserve(MIB).now_or_never().unwrap().unwrap()).collect();
        assert_eq!(memory.taken(), held.len() * MIB);
    }
}

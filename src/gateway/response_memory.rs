//! The memory of responses that are not sent yet.
//!
//! A handler reserves the most that its response may need before it reads the database, and releases the excess once the
//! response is made. The bytes of the response hold the reservation, in the buffers of hyper and h2 too
//! ([`ResponseGuards`](super::response_guards::ResponseGuards)).
//!
//! A reservation waits until there is enough memory, or until the call's deadline. The limit of calls that one user has in
//! progress also limits the memory that one user can hold. A quarter of the memory is reserved for the first response of each
//! payer, so that many unread responses of others never keep a payer from one.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::model::{Error, Payer, Result};

/// Maximum memory of the responses on one connection: sixteen of the largest.
const MAX_CONNECTION_BYTES: usize = 4 * 1024 * 1024;

/// Semaphores count memory in units of this many bytes.
const UNIT_BYTES: usize = 1024;

/// The memory of all responses of the process. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct ResponseMemory {
    /// For any response.
    shared: Arc<Semaphore>,
    /// For the first response of each payer.
    firsts: Arc<Semaphore>,
    /// The payers that have a first response, or wait for it. Each semaphore has one permit.
    payers: Arc<Mutex<HashMap<Payer, Weak<Semaphore>>>>,
    units: usize,
}

/// The part of the process's memory that the responses on one connection may take.
#[derive(Clone, Debug)]
pub(super) struct ConnectionMemory {
    memory: ResponseMemory,
    /// None on a connection of a trusted proxy, which carries many users.
    connection: Option<Arc<Semaphore>>,
}

/// Memory of one response, reserved until this is dropped.
#[derive(Debug)]
#[must_use = "dropping it releases the memory"]
pub(super) struct Reservation {
    process: OwnedSemaphorePermit,
    connection: Option<OwnedSemaphorePermit>,
    /// Set where this is the first response of its payer.
    _first: Option<FirstResponse>,
}

/// The first response of a payer, until this is dropped.
#[derive(Debug)]
struct FirstResponse {
    permit: Option<OwnedSemaphorePermit>,
    memory: ResponseMemory,
    payer: Payer,
}

impl ResponseMemory {
    /// Allows `bytes` in all, but at least one connection's.
    pub(super) fn new(bytes: usize) -> Self {
        let units = (bytes / UNIT_BYTES).clamp(MAX_CONNECTION_BYTES / UNIT_BYTES, Semaphore::MAX_PERMITS);
        let firsts = units / 4;
        let (shared, firsts) = (Arc::new(Semaphore::new(units - firsts)), Arc::new(Semaphore::new(firsts)));
        Self { shared, firsts, payers: Arc::default(), units }
    }

    /// Returns whether more than half of the memory is reserved. Peers have to read sooner then.
    pub(super) fn is_scarce(&self) -> bool {
        self.available() < self.units / 2
    }

    /// Returns the memory of a client's new connection.
    pub(super) fn connection(&self) -> ConnectionMemory {
        let connection = Arc::new(Semaphore::new(MAX_CONNECTION_BYTES / UNIT_BYTES));
        ConnectionMemory { memory: self.clone(), connection: Some(connection) }
    }

    /// Returns the memory of a trusted proxy's new connection, which has no limit of its own.
    pub(super) fn shared_connection(&self) -> ConnectionMemory {
        ConnectionMemory { memory: self.clone(), connection: None }
    }

    /// Returns how many bytes are reserved.
    pub(super) fn reserved(&self) -> usize {
        (self.units - self.available().min(self.units)) * UNIT_BYTES
    }

    fn available(&self) -> usize {
        self.shared.available_permits() + self.firsts.available_permits()
    }

    /// Waits for memory in `shared` or, if the payer has no first response yet, in `firsts`: whichever is free sooner.
    async fn reserve(
        &self,
        payer: Option<Payer>,
        units: u32,
    ) -> Result<(OwnedSemaphorePermit, Option<FirstResponse>)> {
        let at_most = |part: usize| units.min(u32::try_from(part).unwrap_or(u32::MAX));
        let shared = acquire(&self.shared, at_most(self.units - self.units / 4));
        let Some(payer) = payer else { return Ok((shared.await?, None)) };
        let first = async {
            let first = self.first(payer).await?;
            Ok((acquire(&self.firsts, at_most(self.units / 4)).await?, Some(first)))
        };
        tokio::select! {
            biased;
            shared = shared => Ok((shared?, None)),
            first = first => first,
        }
    }

    /// Waits until the payer has no first response.
    async fn first(&self, payer: Payer) -> Result<FirstResponse> {
        let semaphore = {
            let mut payers = self.payers.lock();
            payers.get(&payer).and_then(Weak::upgrade).unwrap_or_else(|| {
                let semaphore = Arc::new(Semaphore::new(1));
                payers.insert(payer, Arc::downgrade(&semaphore));
                semaphore
            })
        };
        let mut waiting = WaitingPayer { memory: self, payer, semaphore: Some(semaphore) };
        let permit = acquire(waiting.semaphore.as_ref().ok_or(Error::Internal)?, 1).await?;
        // From here on the permit keeps the semaphore.
        waiting.semaphore = None;
        Ok(FirstResponse { permit: Some(permit), memory: self.clone(), payer })
    }

    /// Drops a reference to the payer's semaphore, and forgets the payer if it was the last.
    fn forget<T>(&self, payer: Payer, reference: Option<T>) {
        let mut payers = self.payers.lock();
        drop(reference);
        if payers.get(&payer).is_some_and(|semaphore| semaphore.strong_count() == 0) {
            payers.remove(&payer);
        }
    }
}

/// A payer that waits for its first response. Dropping it gives the wait up.
struct WaitingPayer<'a> {
    memory: &'a ResponseMemory,
    payer: Payer,
    semaphore: Option<Arc<Semaphore>>,
}

impl Drop for WaitingPayer<'_> {
    fn drop(&mut self) {
        if self.semaphore.is_some() {
            self.memory.forget(self.payer, self.semaphore.take());
        }
    }
}

impl Drop for FirstResponse {
    fn drop(&mut self) {
        self.memory.forget(self.payer, self.permit.take());
    }
}

impl ConnectionMemory {
    /// Returns whether the connection is a trusted proxy's, which carries many users.
    pub(super) const fn is_shared(&self) -> bool {
        self.connection.is_none()
    }

    /// Waits for memory. More than one connection may take counts as that much.
    ///
    /// # Errors
    /// Only on a bug: the semaphores are never closed.
    pub(super) async fn reserve(&self, payer: Option<Payer>, bytes: usize) -> Result<Reservation> {
        let units = units(bytes);
        // The connection first: a call that waits for its own connection holds nothing that others need.
        let connection = match &self.connection {
            Some(connection) => Some(acquire(connection, units).await?),
            None => None,
        };
        let (process, first) = self.memory.reserve(payer, units).await?;
        Ok(Reservation { process, connection, _first: first })
    }
}

impl Reservation {
    /// Releases all but `bytes`.
    pub(super) fn shrink(&mut self, bytes: usize) {
        let needed = units(bytes) as usize;
        for permit in [Some(&mut self.process), self.connection.as_mut()].into_iter().flatten() {
            drop(permit.split(permit.num_permits().saturating_sub(needed)));
        }
    }
}

fn units(bytes: usize) -> u32 {
    u32::try_from(bytes.clamp(1, MAX_CONNECTION_BYTES).div_ceil(UNIT_BYTES)).unwrap_or(u32::MAX)
}

async fn acquire(semaphore: &Arc<Semaphore>, units: u32) -> Result<OwnedSemaphorePermit> {
    Arc::clone(semaphore).acquire_many_owned(units).await.map_err(|_| Error::Internal)
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;
    use crate::model::UserId;

    const MIB: usize = 1024 * 1024;

    fn user(user: i64) -> Option<Payer> {
        Some(Payer::User(UserId(user)))
    }

    /// Reserves memory that is free.
    fn reserved(connection: &ConnectionMemory, payer: Option<Payer>, bytes: usize) -> Reservation {
        connection.reserve(payer, bytes).now_or_never().expect("memory is free").unwrap()
    }

    #[test]
    fn a_reservation_waits_until_memory_is_released() {
        let memory = ResponseMemory::new(8 * MIB);
        let connections: Vec<_> = (0..3).map(|_| memory.connection()).collect();
        let mut held: Vec<_> = (0..4).map(|_| reserved(&connections[0], None, MIB)).collect();
        assert!(
            connections[0].reserve(None, 1).now_or_never().is_none(),
            "the connection has reached its limit"
        );
        held.extend((0..2).map(|_| reserved(&connections[1], None, MIB)));
        let mut waiting = Box::pin(connections[2].reserve(None, MIB));
        assert!((&mut waiting).now_or_never().is_none(), "the rest is for first responses");
        held[0].shrink(10);
        assert!((&mut waiting).now_or_never().is_none());
        held.truncate(5);
        assert!((&mut waiting).now_or_never().is_some());
    }

    #[test]
    fn a_payers_first_response_has_memory_however_much_others_leave_unread() {
        let memory = ResponseMemory::new(8 * MIB);
        let proxy = memory.shared_connection();
        let mut held: Vec<_> = (0..6).map(|_| reserved(&proxy, user(1), MIB)).collect();
        // The seventh is the payer's first response in the other quarter. The eighth waits.
        held.push(reserved(&proxy, user(1), MIB));
        let mut waiting = Box::pin(proxy.reserve(user(1), MIB));
        assert!((&mut waiting).now_or_never().is_none());
        let other = reserved(&proxy, user(2), MIB);
        assert_eq!(memory.reserved(), 8 * MIB);
        drop((other, waiting));
        held.clear();
        assert_eq!((memory.reserved(), memory.payers.lock().len()), (0, 0), "no payer is remembered");
    }

    #[test]
    fn a_response_of_any_size_can_be_reserved() {
        let memory = ResponseMemory::new(1);
        let held = reserved(&memory.connection(), None, usize::MAX);
        assert!(memory.is_scarce());
        drop(held);
        assert_eq!(memory.reserved(), 0);
    }

    #[test]
    fn a_trusted_proxys_connection_has_no_limit_of_its_own() {
        let memory = ResponseMemory::new(64 * MIB);
        let proxy = memory.shared_connection();
        let held: Vec<_> = (0..10).map(|_| reserved(&proxy, None, MIB)).collect();
        assert_eq!(memory.reserved(), held.len() * MIB);
    }
}

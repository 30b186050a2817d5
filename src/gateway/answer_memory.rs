//! The memory of answers: counted from before they are made until the last of their bytes is on its way.
//!
//! What an answer may need is reserved before the database is read, and given back down to what it needs when it is made.
//! Its bytes hold the reservation ([`Paced`](super::patience::Paced) ties them together), in hyper's and h2's buffers too.
//! Whoever asks for more than there is waits, within the deadline of their call. One user can hold no more than the calls
//! that they may have under way, which last as long. A quarter of the memory is for the first answer of each payer, so that
//! many who leave theirs unread do not keep others from one.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::model::{Error, Payer, Result};

/// What the answers on one connection may take: sixteen of the largest.
const CONNECTION_BYTES: usize = 4 * 1024 * 1024;

/// Memory is counted in so many bytes.
const UNIT: usize = 1024;

/// The memory that all answers of the process may take. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct AnswerMemory {
    /// What any answer may take.
    shared: Arc<Semaphore>,
    /// What the first answer of each payer may take.
    firsts: Arc<Semaphore>,
    /// Who has such an answer, or waits for it.
    payers: Arc<Mutex<HashMap<Payer, Weak<Semaphore>>>>,
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
    /// Says that the payer has their first answer.
    _first: Option<First>,
}

/// The first answer of a payer, until this is dropped.
#[derive(Debug)]
struct First {
    permit: Option<OwnedSemaphorePermit>,
    memory: AnswerMemory,
    payer: Payer,
}

impl AnswerMemory {
    /// Counts up to so many bytes.
    pub(super) fn new(bytes: usize) -> Self {
        let units = (bytes / UNIT).clamp(CONNECTION_BYTES / UNIT, Semaphore::MAX_PERMITS);
        let firsts = units / 4;
        let (shared, firsts) = (Arc::new(Semaphore::new(units - firsts)), Arc::new(Semaphore::new(firsts)));
        Self { shared, firsts, payers: Arc::default(), units }
    }

    /// Says whether more than half of the memory is taken: answers have to be read sooner then.
    pub(super) fn is_tight(&self) -> bool {
        self.available() < self.units / 2
    }

    /// Begins to count the answers of a connection.
    pub(super) fn connection(&self, is_shared: bool) -> ConnectionMemory {
        let connection = (!is_shared).then(|| Arc::new(Semaphore::new(CONNECTION_BYTES / UNIT)));
        ConnectionMemory { memory: self.clone(), connection }
    }

    /// Returns how many bytes are taken.
    pub(super) fn taken(&self) -> usize {
        (self.units - self.available().min(self.units)) * UNIT
    }

    fn available(&self) -> usize {
        self.shared.available_permits() + self.firsts.available_permits()
    }

    /// Waits for memory that any answer may take, or for what the payer's first one may, whichever comes first.
    async fn reserve(
        &self,
        payer: Option<Payer>,
        units: u32,
    ) -> Result<(OwnedSemaphorePermit, Option<First>)> {
        let most = |part: usize| units.min(u32::try_from(part).unwrap_or(u32::MAX));
        let shared = acquire(&self.shared, most(self.units - self.units / 4));
        let Some(payer) = payer else { return Ok((shared.await?, None)) };
        let first = async {
            let first = self.first(payer).await?;
            Ok((acquire(&self.firsts, most(self.units / 4)).await?, Some(first)))
        };
        tokio::select! {
            biased;
            shared = shared => Ok((shared?, None)),
            first = first => first,
        }
    }

    /// Waits until the payer has no first answer.
    async fn first(&self, payer: Payer) -> Result<First> {
        let slot = {
            let mut payers = self.payers.lock();
            payers.get(&payer).and_then(Weak::upgrade).unwrap_or_else(|| {
                let slot = Arc::new(Semaphore::new(1));
                payers.insert(payer, Arc::downgrade(&slot));
                slot
            })
        };
        let mut first = Forgotten { memory: self, payer, slot: Some(slot) };
        let permit = acquire(first.slot.as_ref().ok_or(Error::Internal)?, 1).await?;
        // The permit keeps the slot from now on.
        first.slot = None;
        Ok(First { permit: Some(permit), memory: self.clone(), payer })
    }

    /// Forgets a payer who has no first answer and waits for none.
    fn forget<T>(&self, payer: Payer, held: Option<T>) {
        let mut payers = self.payers.lock();
        drop(held);
        if payers.get(&payer).is_some_and(|slot| slot.strong_count() == 0) {
            payers.remove(&payer);
        }
    }
}

/// Whoever waits for their first answer, and may go away meanwhile.
struct Forgotten<'a> {
    memory: &'a AnswerMemory,
    payer: Payer,
    slot: Option<Arc<Semaphore>>,
}

impl Drop for Forgotten<'_> {
    fn drop(&mut self) {
        if self.slot.is_some() {
            self.memory.forget(self.payer, self.slot.take());
        }
    }
}

impl Drop for First {
    fn drop(&mut self) {
        self.memory.forget(self.payer, self.permit.take());
    }
}

impl ConnectionMemory {
    /// Says whether it is a trusted proxy's, which carries many users.
    pub(super) const fn is_shared(&self) -> bool {
        self.connection.is_none()
    }

    /// Waits for so much memory, for whoever is charged. An answer that is larger than all that a connection may take is counted as that much.
    ///
    /// # Errors
    /// Never but for a bug: the semaphores are not closed.
    pub(super) async fn reserve(&self, payer: Option<Payer>, bytes: usize) -> Result<Reservation> {
        let units = units(bytes);
        // The connection first: whoever waits for their own answers to be read takes nothing of what others need.
        let connection = match &self.connection {
            Some(connection) => Some(acquire(connection, units).await?),
            None => None,
        };
        let (process, first) = self.memory.reserve(payer, units).await?;
        Ok(Reservation { process, connection, _first: first })
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
    use crate::model::UserId;

    const MIB: usize = 1024 * 1024;

    fn somebody(user: i64) -> Option<Payer> {
        Some(Payer::User(UserId(user)))
    }

    /// Reserves memory that is there.
    fn reserved(connection: &ConnectionMemory, payer: Option<Payer>, bytes: usize) -> Reservation {
        connection.reserve(payer, bytes).now_or_never().expect("there is memory").unwrap()
    }

    #[test]
    fn whoever_asks_for_more_than_there_is_waits_until_something_is_read() {
        let memory = AnswerMemory::new(8 * MIB);
        let connections: Vec<_> = (0..3).map(|_| memory.connection(false)).collect();
        let mut held: Vec<_> = (0..4).map(|_| reserved(&connections[0], None, MIB)).collect();
        assert!(connections[0].reserve(None, 1).now_or_never().is_none(), "the connection has its share");
        held.extend((0..2).map(|_| reserved(&connections[1], None, MIB)));
        let mut waiting = Box::pin(connections[2].reserve(None, MIB));
        assert!((&mut waiting).now_or_never().is_none(), "the rest is for who has no answer yet");
        held[0].shrink(10);
        assert!((&mut waiting).now_or_never().is_none());
        held.truncate(5);
        assert!((&mut waiting).now_or_never().is_some());
    }

    #[test]
    fn the_first_answer_of_a_payer_is_made_however_much_others_leave_unread() {
        let memory = AnswerMemory::new(8 * MIB);
        let proxy = memory.connection(true);
        let mut held: Vec<_> = (0..6).map(|_| reserved(&proxy, somebody(1), MIB)).collect();
        // One more is theirs, as it would be anybody's; the next waits.
        held.push(reserved(&proxy, somebody(1), MIB));
        let mut waiting = Box::pin(proxy.reserve(somebody(1), MIB));
        assert!((&mut waiting).now_or_never().is_none());
        let other = reserved(&proxy, somebody(2), MIB);
        assert_eq!(memory.taken(), 8 * MIB);
        drop((other, waiting));
        held.clear();
        assert_eq!((memory.taken(), memory.payers.lock().len()), (0, 0), "nothing is kept of anybody");
    }

    #[test]
    fn an_answer_of_any_size_can_be_made() {
        let memory = AnswerMemory::new(1);
        let held = reserved(&memory.connection(false), None, usize::MAX);
        assert!(memory.is_tight());
        drop(held);
        assert_eq!(memory.taken(), 0);
    }

    #[test]
    fn a_trusted_proxy_carries_more_than_one_client_may_have() {
        let memory = AnswerMemory::new(64 * MIB);
        let proxy = memory.connection(true);
        let held: Vec<_> = (0..10).map(|_| reserved(&proxy, None, MIB)).collect();
        assert_eq!(memory.taken(), held.len() * MIB);
    }
}

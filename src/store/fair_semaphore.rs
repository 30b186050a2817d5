//! A semaphore whose waiters are served fairly among the payers who are charged for their work.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::DbResult;
use crate::{
    fair_queue::{FairQueue, Ticket},
    model::{Error, Payer},
};

tokio::task_local! {
    /// The payer who is charged for the work of this task.
    static PAYER: Payer;
}

/// Runs `work` on a payer's account: if it has to wait for the database, it waits in that payer's line.
pub async fn charged_to<F: Future>(payer: Payer, work: F) -> F::Output {
    PAYER.scope(payer, work).await
}

/// Returns the payer who is charged for the work of this task; `None` for the server's own work.
pub fn payer() -> Option<Payer> {
    PAYER.try_with(|payer| *payer).ok()
}

/// The semaphore. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct FairSemaphore(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    state: Mutex<State>,
    max_per_payer: usize,
}

#[derive(Debug)]
struct State {
    /// Number of free permits; 0 while anybody waits.
    free: usize,
    waiting: FairQueue<Option<Payer>, oneshot::Sender<SemaphorePermit>>,
}

/// A permit. It passes to the next waiter when it is dropped.
#[derive(Debug)]
#[must_use = "the next waiter gets the permit once this is dropped"]
pub(super) struct SemaphorePermit(FairSemaphore);

impl FairSemaphore {
    /// Makes a semaphore of `permits` permits with a queue of `queue_length` waiters, at most `max_per_payer` of them of
    /// one payer.
    pub(super) fn new(permits: usize, queue_length: usize, max_per_payer: usize) -> Self {
        let state = Mutex::new(State { free: permits, waiting: FairQueue::new(queue_length) });
        Self(Arc::new(Inner { state, max_per_payer }))
    }

    /// Returns the number of waiters.
    pub(super) fn waiting(&self) -> usize {
        self.0.state.lock().waiting.len()
    }

    /// Waits for a permit.
    ///
    /// # Errors
    /// [`Error::Overloaded`] if the queue is full, or if a payer with a shorter line needed this place in the queue.
    pub(super) async fn acquire(&self, payer: Option<Payer>) -> DbResult<SemaphorePermit> {
        let (permit, _guard) = {
            let mut state = self.0.state.lock();
            if state.free > 0 {
                state.free -= 1;
                return Ok(SemaphorePermit(self.clone()));
            }
            // A displaced waiter gets its error when its sender is dropped.
            let (ticket, _displaced) =
                state.waiting.admit(payer, self.0.max_per_payer).ok_or(Error::Overloaded)?;
            let (sender, permit) = oneshot::channel();
            // Cannot fail: the ticket was issued just now, under the same lock.
            drop(state.waiting.submit(payer, ticket, sender));
            (permit, QueueGuard { semaphore: self, payer, ticket })
        };
        permit.await.map_err(|_| Error::Overloaded.into())
    }
}

impl Drop for SemaphorePermit {
    fn drop(&mut self) {
        loop {
            let next = {
                let mut state = self.0.0.state.lock();
                let next = state.waiting.take();
                state.free += usize::from(next.is_none());
                next
            };
            let Some(next) = next else { return };
            match next.send(Self(self.0.clone())) {
                Ok(()) => return,
                // That waiter is gone: this loop goes on to the next, so the unused permit must not do it as well.
                Err(unused) => std::mem::forget(unused),
            }
        }
    }
}

/// Leaves the queue when the waiter is dropped.
struct QueueGuard<'a> {
    semaphore: &'a FairSemaphore,
    payer: Option<Payer>,
    ticket: Ticket,
}

impl Drop for QueueGuard<'_> {
    fn drop(&mut self) {
        let left = self.semaphore.0.state.lock().waiting.leave(self.payer, self.ticket);
        drop(left);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;
    use crate::{model::UserId, store::Failure};

    fn user(id: i64) -> Option<Payer> {
        Some(Payer::User(UserId(id)))
    }

    #[test]
    fn a_payer_with_many_waiters_delays_another_by_one() {
        let semaphore = FairSemaphore::new(1, 64, 16);
        let held = semaphore.acquire(None).now_or_never().unwrap().unwrap();
        let mut many: Vec<_> = (0..16).map(|_| Box::pin(semaphore.acquire(user(1)))).collect();
        assert!(many.iter_mut().all(|waiting| waiting.now_or_never().is_none()));
        let mut other = Box::pin(semaphore.acquire(user(2)));
        assert!((&mut other).now_or_never().is_none());
        drop(held);
        let first = (&mut many[0]).now_or_never().unwrap().unwrap();
        assert!((&mut other).now_or_never().is_none());
        drop(first);
        let _permit = other.now_or_never().unwrap().unwrap();
    }

    #[test]
    fn a_full_queue_admits_a_payer_with_a_shorter_line() {
        let semaphore = FairSemaphore::new(1, 4, 4);
        let held = semaphore.acquire(None).now_or_never().unwrap().unwrap();
        let mut many: Vec<_> = (0..4).map(|_| Box::pin(semaphore.acquire(user(1)))).collect();
        assert!(many.iter_mut().all(|waiting| waiting.now_or_never().is_none()));
        let mut other = Box::pin(semaphore.acquire(user(2)));
        assert!((&mut other).now_or_never().is_none());
        // The newest waiter of the longest line is displaced.
        let displaced = (&mut many[3]).now_or_never().unwrap().unwrap_err();
        assert!(matches!(displaced, Failure::Refused(Error::Overloaded)), "{displaced:?}");
        drop(held);
        drop((&mut many[0]).now_or_never().unwrap().unwrap());
        drop(other.now_or_never().unwrap().unwrap());
    }

    #[test]
    fn a_waiter_that_is_dropped_takes_no_permit() {
        let semaphore = FairSemaphore::new(1, 64, 16);
        let held = semaphore.acquire(None).now_or_never().unwrap().unwrap();
        let mut waiting: Vec<_> = (0..3).map(|id| Box::pin(semaphore.acquire(user(id)))).collect();
        assert!(waiting.iter_mut().all(|waiting| waiting.now_or_never().is_none()));
        // One is dropped while it waits, one after it got its permit and before it is polled.
        drop(waiting.remove(0));
        drop(held);
        drop(waiting.remove(0));
        drop((&mut waiting[0]).now_or_never().unwrap().unwrap());
        assert_eq!(semaphore.0.state.lock().free, 1);
    }

    #[tokio::test]
    async fn work_knows_the_payer_who_is_charged_for_it() {
        assert_eq!(payer(), None);
        let seen = charged_to(Payer::User(UserId(7)), async { payer() }).await;
        assert_eq!(seen, user(7));
    }
}

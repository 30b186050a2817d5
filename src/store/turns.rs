//! Whose turn it is to write: the log's, or somebody else's.
//!
//! SQLite has one connection that writes, and a queue of its pool would serve a thousand new rooms before the next message.
//! So the log has every second turn: of all other writes only one at a time asks for the connection, and the rest wait in a
//! queue beside it. That queue is bounded; the excess is refused at once. PostgreSQL's log has connections of its own: there
//! the queue keeps writes from taking every connection of the pool, which reads need as well.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::sync::{Mutex, MutexGuard, Semaphore, SemaphorePermit};

use super::DbResult;
use crate::model::Error;

/// So many writes that are not the log's wait for their turn; beyond, callers are told to try again.
const MOST_WAITING: usize = 64;

/// The turns at a database. Clones share them.
#[derive(Clone, Debug)]
pub(super) struct Turns(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// SQLite's one connection, as a fair lock: the log and one other write are all that ever ask for it.
    connection: Option<Mutex<()>>,
    /// One permit for each write of others that is under way or asks for the connection.
    others: Semaphore,
    waiting: AtomicUsize,
}

/// A turn, which lasts until it is dropped.
#[derive(Debug)]
#[must_use = "the turn ends when it is dropped"]
pub(super) struct Turn<'a> {
    // In this order: the connection is free before the next of the others asks for it.
    _connection: Option<MutexGuard<'a, ()>>,
    _other: Option<SemaphorePermit<'a>>,
}

impl Turns {
    /// One connection that writes, which the log shares.
    pub(super) fn at_one_connection() -> Self {
        Self::new(Some(Mutex::new(())), 1)
    }

    /// So many writes at once beside a log that has connections of its own.
    pub(super) fn beside_the_log(at_once: usize) -> Self {
        Self::new(None, at_once)
    }

    fn new(connection: Option<Mutex<()>>, others: usize) -> Self {
        let others = Semaphore::new(others);
        Self(Arc::new(Inner { connection, others, waiting: AtomicUsize::new(0) }))
    }

    /// Waits for the log's turn: behind the write that is under way, and one other that asked before, at most.
    pub(super) async fn log(&self) -> Turn<'_> {
        Turn { _connection: self.connection().await, _other: None }
    }

    /// Waits for a caller's turn.
    ///
    /// # Errors
    /// [`Error::Overloaded`] where too many wait.
    pub(super) async fn caller(&self) -> DbResult<Turn<'_>> {
        if let Ok(other) = self.0.others.try_acquire() {
            return Ok(Turn { _connection: self.connection().await, _other: Some(other) });
        }
        let Some(_waiting) = Waiting::among(&self.0.waiting) else {
            return Err(Error::Overloaded.into());
        };
        Ok(self.background().await)
    }

    /// Waits for the turn of the server's own housekeeping, which nobody refuses: it asks one write at a time.
    pub(super) async fn background(&self) -> Turn<'_> {
        let other = self.0.others.acquire().await.expect("the semaphore is never closed");
        Turn { _connection: self.connection().await, _other: Some(other) }
    }

    async fn connection(&self) -> Option<MutexGuard<'_, ()>> {
        match &self.0.connection {
            Some(connection) => Some(connection.lock().await),
            None => None,
        }
    }
}

/// A place in the queue.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn among(count: &'a AtomicUsize) -> Option<Self> {
        let more = |waiting| (waiting < MOST_WAITING).then_some(waiting + 1);
        count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok().map(|_| Self(count))
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::{
        pin::pin,
        task::{Context, Poll, Waker},
    };

    use super::*;
    use crate::store::Failure;

    fn poll<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    fn ready<T>(polled: Poll<T>) -> T {
        match polled {
            Poll::Ready(value) => value,
            Poll::Pending => panic!("it waits"),
        }
    }

    #[test]
    fn the_log_is_next_however_many_others_wait() {
        let turns = Turns::at_one_connection();
        let under_way = ready(poll(pin!(turns.caller()))).unwrap();
        let mut others: Vec<_> = (0..MOST_WAITING).map(|_| Box::pin(turns.caller())).collect();
        assert!(others.iter_mut().all(|other| poll(other.as_mut()).is_pending()));
        let mut log = pin!(turns.log());
        assert!(poll(log.as_mut()).is_pending());
        drop(under_way);
        let log = ready(poll(log.as_mut()));
        assert!(others.iter_mut().all(|other| poll(other.as_mut()).is_pending()));
        // The first of the others has asked meanwhile: the log's next turn is after that one, and not after them all.
        let mut again = pin!(turns.log());
        assert!(poll(again.as_mut()).is_pending());
        drop(log);
        let first = ready(poll(others[0].as_mut())).unwrap();
        assert!(poll(again.as_mut()).is_pending());
        drop(first);
        let _log = ready(poll(again.as_mut()));
        assert!(others[1..].iter_mut().all(|other| poll(other.as_mut()).is_pending()));
    }

    #[test]
    fn the_queue_of_others_is_bounded_and_nobody_is_lost_from_it() {
        for turns in [Turns::at_one_connection(), Turns::beside_the_log(1)] {
            let under_way = ready(poll(pin!(turns.caller()))).unwrap();
            let mut waiting: Vec<_> = (0..MOST_WAITING).map(|_| Box::pin(turns.caller())).collect();
            assert!(waiting.iter_mut().all(|other| poll(other.as_mut()).is_pending()));
            let refused = ready(poll(pin!(turns.caller()))).unwrap_err();
            assert!(matches!(refused, Failure::Refused(Error::Overloaded)), "{refused:?}");
            // Whoever goes away frees a place in the queue.
            waiting.truncate(1);
            let mut later = Box::pin(turns.caller());
            assert!(poll(later.as_mut()).is_pending());
            drop(under_way);
            let first = ready(poll(waiting[0].as_mut())).unwrap();
            drop(first);
            let _turn = ready(poll(later.as_mut())).unwrap();
        }
    }

    #[test]
    fn housekeeping_is_never_refused() {
        let turns = Turns::at_one_connection();
        let under_way = ready(poll(pin!(turns.caller()))).unwrap();
        let mut waiting: Vec<_> = (0..MOST_WAITING).map(|_| Box::pin(turns.caller())).collect();
        assert!(waiting.iter_mut().all(|other| poll(other.as_mut()).is_pending()));
        let mut background = pin!(turns.background());
        assert!(poll(background.as_mut()).is_pending());
        drop(waiting);
        drop(under_way);
        let _turn = ready(poll(background.as_mut()));
    }
}

//! Decides which work may use the database next: the log's, or a caller's.
//!
//! SQLite lets one connection write at a time, and the queue of a pool would serve a thousand new rooms before the next
//! message. So the log waits for at most one other write: only one other write at a time waits for its turn, and the
//! rest wait in a queue that is fair among payers. Reads have such a queue too, so that a caller who lists much gets no
//! more of the machine than others. On PostgreSQL the log has connections of its own, and the two queues divide the pool
//! between writes and reads.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{Mutex, OwnedMutexGuard},
    time::timeout,
};

use super::{
    DbResult,
    fair_semaphore::{FairSemaphore, SemaphorePermit},
};
use crate::model::{Error, Payer};

/// Length of the queue of writes that are not the log's, and the maximum of one payer. Many people may share one address,
/// and all refresh their sessions when the server comes back.
const WRITES_WAITING: usize = 1_024;
const WRITES_OF_ONE: usize = 256;

/// Length of the queue of reads, and the maximum of one payer.
const READS_WAITING: usize = 16 * 1_024;
const READS_OF_ONE: usize = 512;

/// How long a caller waits for admission. Reads wait longer: thousands of streams read when they come back at once.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);
const READ_TIMEOUT: Duration = Duration::from_secs(20);

/// The kind of work that is admitted.
#[derive(Clone, Copy, Debug)]
pub(super) enum Access {
    Read,
    Write,
}

/// Admits work to a database.
#[derive(Debug)]
pub(super) struct Admission {
    /// The right to write to SQLite, as a fair lock. Only the log and one other write at a time ever wait for it.
    writer: Option<Arc<Mutex<()>>>,
    writes: FairSemaphore,
    reads: FairSemaphore,
}

/// Permission to use the database, until it is dropped.
#[derive(Debug)]
#[must_use = "the permission ends when it is dropped"]
pub(super) struct AdmissionPermit {
    // Dropped in this order: the connection is free before the next write asks for it.
    _writer: Option<OwnedMutexGuard<()>>,
    _permit: Option<SemaphorePermit>,
}

impl Admission {
    /// For a database that one writes to at a time, the log included, and `reads` reads at a time.
    pub(super) fn shared_writer(reads: usize) -> Self {
        Self::new(Some(Arc::default()), 1, reads)
    }

    /// For a log with connections of its own, beside `writes` writes and `reads` reads at a time.
    pub(super) fn separate_log(writes: usize, reads: usize) -> Self {
        Self::new(None, writes, reads)
    }

    fn new(writer: Option<Arc<Mutex<()>>>, writes: usize, reads: usize) -> Self {
        let writes = FairSemaphore::new(writes, WRITES_WAITING, WRITES_OF_ONE);
        let reads = FairSemaphore::new(reads, READS_WAITING, READS_OF_ONE);
        Self { writer, writes, reads }
    }

    /// Waits for admission on a payer's account, up to the timeout.
    ///
    /// # Errors
    /// [`Error::Overloaded`] if the queue is full, or the timeout passes.
    pub(super) async fn acquire(&self, access: Access, payer: Option<Payer>) -> DbResult<AdmissionPermit> {
        let permit = match access {
            Access::Read => timeout(READ_TIMEOUT, self.acquire_read(payer)).await,
            Access::Write => timeout(WRITE_TIMEOUT, self.acquire_write(payer)).await,
        };
        permit.unwrap_or_else(|_| Err(Error::Overloaded.into()))
    }

    /// Returns how many reads wait, and how many writes.
    pub(super) fn waiting(&self) -> [usize; 2] {
        [&self.reads, &self.writes].map(FairSemaphore::waiting)
    }

    /// Waits for the log's admission: at most behind the current write and one other that asked before.
    pub(super) async fn acquire_for_log(&self) -> AdmissionPermit {
        AdmissionPermit { _writer: self.lock_writer().await, _permit: None }
    }

    /// Waits for admission to write; `None` is the server itself. Has no timeout.
    ///
    /// # Errors
    /// [`Error::Overloaded`] if the queue is full.
    pub(super) async fn acquire_write(&self, payer: Option<Payer>) -> DbResult<AdmissionPermit> {
        let permit = self.writes.acquire(payer).await?;
        Ok(AdmissionPermit { _writer: self.lock_writer().await, _permit: Some(permit) })
    }

    async fn acquire_read(&self, payer: Option<Payer>) -> DbResult<AdmissionPermit> {
        Ok(AdmissionPermit { _writer: None, _permit: Some(self.reads.acquire(payer).await?) })
    }

    async fn lock_writer(&self) -> Option<OwnedMutexGuard<()>> {
        match &self.writer {
            Some(writer) => Some(Arc::clone(writer).lock_owned().await),
            None => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        pin::{Pin, pin},
        task::{Context, Poll, Waker},
    };

    use super::*;
    use crate::store::Failure;

    fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    fn ready<T>(polled: Poll<T>) -> T {
        match polled {
            Poll::Ready(value) => value,
            Poll::Pending => panic!("it waits"),
        }
    }

    #[test]
    fn the_log_is_next_however_many_writes_wait() {
        let admission = Admission::shared_writer(1);
        let held = ready(poll(pin!(admission.acquire_write(None)))).unwrap();
        let mut others: Vec<_> =
            (0..WRITES_OF_ONE).map(|_| Box::pin(admission.acquire_write(None))).collect();
        assert!(others.iter_mut().all(|other| poll(other.as_mut()).is_pending()));
        let mut log = pin!(admission.acquire_for_log());
        assert!(poll(log.as_mut()).is_pending());
        drop(held);
        let log = ready(poll(log.as_mut()));
        assert!(others.iter_mut().all(|other| poll(other.as_mut()).is_pending()));
        // The first of the others has asked meanwhile: the log is next after that one, and not after all of them.
        let mut again = pin!(admission.acquire_for_log());
        assert!(poll(again.as_mut()).is_pending());
        drop(log);
        let first = ready(poll(others[0].as_mut())).unwrap();
        assert!(poll(again.as_mut()).is_pending());
        drop(first);
        let _log = ready(poll(again.as_mut()));
        assert!(others[1..].iter_mut().all(|other| poll(other.as_mut()).is_pending()));
    }

    #[test]
    fn writes_and_reads_of_one_payer_are_bounded_and_do_not_block_a_separate_log() {
        let admission = Admission::separate_log(1, 1);
        let _write = ready(poll(pin!(admission.acquire_write(None)))).unwrap();
        let _read = ready(poll(pin!(admission.acquire_read(None)))).unwrap();
        let mut writes: Vec<_> =
            (0..WRITES_OF_ONE).map(|_| Box::pin(admission.acquire_write(None))).collect();
        assert!(writes.iter_mut().all(|write| poll(write.as_mut()).is_pending()));
        let mut reads: Vec<_> = (0..READS_OF_ONE).map(|_| Box::pin(admission.acquire_read(None))).collect();
        assert!(reads.iter_mut().all(|read| poll(read.as_mut()).is_pending()));
        let refused = ready(poll(pin!(admission.acquire_write(None)))).unwrap_err();
        assert!(matches!(refused, Failure::Refused(Error::Overloaded)), "{refused:?}");
        let refused = ready(poll(pin!(admission.acquire_read(None)))).unwrap_err();
        assert!(matches!(refused, Failure::Refused(Error::Overloaded)), "{refused:?}");
        drop(ready(poll(pin!(admission.acquire_for_log()))));
    }
}

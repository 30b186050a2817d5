//! Whose turn it is at the database: the log's, or somebody else's.
//!
//! SQLite has one connection that writes, and the queue of its pool would serve a thousand new rooms before the next
//! message. So the log has every second turn: of all other writes only one at a time asks for the connection, and the rest
//! wait behind a gate, each payer in turn. Reads have a gate too, so that one who lists much takes no more of the machine than
//! anybody else. PostgreSQL's log has connections of its own: there the gates share the pool out between writes and reads.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{Mutex, OwnedMutexGuard},
    time::timeout,
};

use super::{
    DbResult,
    gate::{Gate, Pass},
};
use crate::model::{Error, Payer};

/// So many writes that are not the log's wait for their turn, and so many of one payer: behind one address there may be many
/// people, who all renew their sessions when the server comes back.
const WRITES_WAITING: usize = 1_024;
const WRITES_OF_ONE: usize = 256;

/// So many reads wait for their turn, and so many of one payer.
const READS_WAITING: usize = 16 * 1_024;
const READS_OF_ONE: usize = 512;

/// How long a caller waits for a turn. Thousands of streams that come back at once all read.
const WRITE_PATIENCE: Duration = Duration::from_secs(5);
const READ_PATIENCE: Duration = Duration::from_secs(20);

/// What a caller wants a turn for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Access {
    Read,
    Write,
}

/// The turns at a database.
#[derive(Debug)]
pub(super) struct Turns {
    /// SQLite's one connection, as a fair lock: the log and one other write are all that ever ask for it.
    connection: Option<Arc<Mutex<()>>>,
    writes: Gate,
    reads: Gate,
}

/// A turn, which lasts until it is dropped.
#[derive(Debug)]
#[must_use = "the turn ends when it is dropped"]
pub(super) struct Turn {
    // In this order: the connection is free before the next of the others asks for it.
    _connection: Option<OwnedMutexGuard<()>>,
    _pass: Option<Pass>,
}

impl Turns {
    /// One connection that writes, which the log shares, and so many reads at once.
    pub(super) fn at_one_connection(reads: usize) -> Self {
        Self::new(Some(Arc::default()), 1, reads)
    }

    /// So many writes and reads at once beside a log that has connections of its own.
    pub(super) fn beside_the_log(writes: usize, reads: usize) -> Self {
        Self::new(None, writes, reads)
    }

    fn new(connection: Option<Arc<Mutex<()>>>, writes: usize, reads: usize) -> Self {
        let writes = Gate::new(writes, WRITES_WAITING, WRITES_OF_ONE);
        let reads = Gate::new(reads, READS_WAITING, READS_OF_ONE);
        Self { connection, writes, reads }
    }

    /// Waits for the turn of a payer, for as long as a caller may.
    ///
    /// # Errors
    /// [`Error::Overloaded`] where too many wait, or for too long.
    pub(super) async fn take(&self, access: Access, payer: Option<Payer>) -> DbResult<Turn> {
        let turn = match access {
            Access::Read => timeout(READ_PATIENCE, self.read(payer)).await,
            Access::Write => timeout(WRITE_PATIENCE, self.write(payer)).await,
        };
        turn.unwrap_or_else(|_| Err(Error::Overloaded.into()))
    }

    /// Returns how many wait to read, and to write.
    pub(super) fn waiting(&self) -> [usize; 2] {
        [&self.reads, &self.writes].map(Gate::waiting)
    }

    /// Waits for the log's turn: behind the write that is under way, and one other that asked before, at most.
    pub(super) async fn log(&self) -> Turn {
        Turn { _connection: self.connection().await, _pass: None }
    }

    /// Waits for the turn of a payer to write; none is the server itself.
    ///
    /// # Errors
    /// [`Error::Overloaded`] where too many wait.
    pub(super) async fn write(&self, payer: Option<Payer>) -> DbResult<Turn> {
        let pass = self.writes.pass(payer).await?;
        Ok(Turn { _connection: self.connection().await, _pass: Some(pass) })
    }

    /// Waits for the turn of a payer to read.
    async fn read(&self, payer: Option<Payer>) -> DbResult<Turn> {
        Ok(Turn { _connection: None, _pass: Some(self.reads.pass(payer).await?) })
    }

    async fn connection(&self) -> Option<OwnedMutexGuard<()>> {
        match &self.connection {
            Some(connection) => Some(Arc::clone(connection).lock_owned().await),
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
    fn the_log_is_next_however_many_others_wait() {
        let turns = Turns::at_one_connection(1);
        let under_way = ready(poll(pin!(turns.write(None)))).unwrap();
        let mut others: Vec<_> = (0..WRITES_OF_ONE).map(|_| Box::pin(turns.write(None))).collect();
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
    fn writes_and_reads_of_one_payer_are_bounded_and_the_log_is_in_nobodys_way() {
        let turns = Turns::beside_the_log(1, 1);
        let _write = ready(poll(pin!(turns.write(None)))).unwrap();
        let _read = ready(poll(pin!(turns.read(None)))).unwrap();
        let mut writes: Vec<_> = (0..WRITES_OF_ONE).map(|_| Box::pin(turns.write(None))).collect();
        assert!(writes.iter_mut().all(|write| poll(write.as_mut()).is_pending()));
        let mut reads: Vec<_> = (0..READS_OF_ONE).map(|_| Box::pin(turns.read(None))).collect();
        assert!(reads.iter_mut().all(|read| poll(read.as_mut()).is_pending()));
        let refused = ready(poll(pin!(turns.write(None)))).unwrap_err();
        assert!(matches!(refused, Failure::Refused(Error::Overloaded)), "{refused:?}");
        let refused = ready(poll(pin!(turns.read(None)))).unwrap_err();
        assert!(matches!(refused, Failure::Refused(Error::Overloaded)), "{refused:?}");
        drop(ready(poll(pin!(turns.log()))));
    }
}

//! A connection to PostgreSQL that a lane keeps for its fast path.
//!
//! It belongs to no pool: sqlx pings each connection that is returned to its pool, which costs a round trip.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use sea_orm::sqlx::{Connection as _, PgConnection};
use tokio::{
    task::JoinHandle,
    time::{Instant, timeout},
};

use crate::store::{
    postgres::{Connector, OpenConnections},
    setup_error::SetupError,
};

/// How long closing the connection may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// A connection that was not used for this time is replaced: something on the way may have forgotten it.
const IDLE_TIMEOUT: Duration = Duration::from_secs(5 * 60);

/// Time between two attempts to open it.
const OPEN_INTERVAL: Duration = Duration::from_secs(1);

/// The connection, and how it is opened again.
pub(in crate::store::log) struct KeptConnection {
    connector: Connector,
    open: OpenConnections,
    state: State,
    /// When the next attempt to open it may begin.
    next_attempt: Instant,
}

enum State {
    /// It was taken, or has failed.
    Absent,
    Opening(JoinHandle<Option<Link>>),
    Open(Link),
}

/// An open connection.
pub(super) struct Link {
    pub(super) connection: PgConnection,
    /// The generation of connections that it belongs to.
    generation: u64,
    used: Instant,
    _counted: Counted,
}

/// Counts an open connection until it is dropped.
struct Counted(OpenConnections);

impl KeptConnection {
    /// Opens the connection.
    ///
    /// # Errors
    /// If there is none.
    pub(in crate::store::log) async fn open(
        connector: Connector,
        open: OpenConnections,
    ) -> Result<Self, SetupError> {
        let generation = connector.generation().current();
        let connection = connector.connect_first().await?;
        let link = Link::new(connection, generation, &open);
        Ok(Self { connector, open, state: State::Open(link), next_attempt: Instant::now() })
    }

    /// Says whether the connection can be used, and begins to open another if not.
    pub(super) async fn is_ready(&mut self) -> bool {
        if let State::Opening(opening) = &mut self.state
            && opening.is_finished()
        {
            let opened = opening.await.ok().flatten();
            self.state = opened.map_or(State::Absent, State::Open);
        }
        let is_fresh = |link: &Link| {
            link.generation == self.connector.generation().current() && link.used.elapsed() < IDLE_TIMEOUT
        };
        match &self.state {
            State::Open(link) if is_fresh(link) => return true,
            State::Open(_) | State::Absent => self.state = State::Absent,
            State::Opening(_) => return false,
        }
        if self.next_attempt <= Instant::now() {
            self.reopen();
        }
        false
    }

    /// Takes the connection, for a statement whose answer may not come. If it is not put back, another is opened.
    pub(super) fn take(&mut self) -> Option<Link> {
        match std::mem::replace(&mut self.state, State::Absent) {
            State::Open(link) => Some(link),
            other => {
                self.state = other;
                None
            }
        }
    }

    pub(super) fn put_back(&mut self, link: Link) {
        self.state = State::Open(Link { used: Instant::now(), ..link });
    }

    /// Requires a later commit: a message may be visible that is not on the standby.
    pub(super) fn require_standby(&self) {
        self.connector.server().standby().require();
    }

    /// Closes the connection.
    pub(in crate::store::log) async fn close(self) {
        match self.state {
            // The peer may have closed it already.
            State::Open(link) => drop(timeout(CLOSE_TIMEOUT, link.connection.close()).await),
            State::Opening(opening) => opening.abort(),
            State::Absent => {}
        }
    }

    fn reopen(&mut self) {
        let (connector, open) = (self.connector.clone(), Arc::clone(&self.open));
        let opening = async move {
            let generation = connector.generation().current();
            let connection = connector.connect().await.ok()?;
            Some(Link::new(connection, generation, &open))
        };
        self.next_attempt = Instant::now() + OPEN_INTERVAL;
        self.state = State::Opening(tokio::spawn(opening));
    }
}

impl Link {
    fn new(connection: PgConnection, generation: u64, open: &OpenConnections) -> Self {
        Self { connection, generation, used: Instant::now(), _counted: Counted::new(open) }
    }
}

impl Counted {
    fn new(open: &OpenConnections) -> Self {
        open.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(open))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

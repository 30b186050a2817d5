//! PostgreSQL: an advisory lock, which ends with its connection.
//!
//! The connection does nothing else, and is checked once a second. If it is gone, another server may have the lock by now:
//! this server writes nothing until it has the lock again, and ends if another server has it. Between the loss and its
//! discovery both servers may write. That does not harm the log, since a message gets its seq under the lock on its room's
//! row; but streams would get messages late, so this is no way to run several servers.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use sea_orm::sqlx::{
    self, Connection as _,
    postgres::{PgConnectOptions, PgConnection},
};
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout},
};

use super::state::{InstanceLock, LockState};
use crate::{
    clock::Clock,
    store::{
        SetupError,
        postgres::{
            OPENING_TIMEOUT, PostgresUrl, none_free, preflight,
            session::{self, LOCKING},
        },
        server::Server,
    },
};

/// The key of the lock. Advisory locks belong to a database and are visible to all of its clients.
const KEY: i64 = i64::from_be_bytes(*b"GRPCChat");

/// `pg_locks` shows a 64-bit key as two halves. A standby, or a server that takes no writes, has no lock that counts.
const HOLDS_LOCK: &str = "SELECT NOT pg_is_in_recovery() AND NOT current_setting('transaction_read_only')::bool \
     AND EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND granted AND pid = pg_backend_pid() \
     AND objsubid = 1 AND (classid::int8 << 32 | objid::int8) = $1)";

/// Time between two checks, and the time that a check may take.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
const CHECK_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a lock that another connection holds is tried again before another server is assumed to have it. The lock of a
/// killed server ends as soon as PostgreSQL notices that its connection is closed.
const CONTENDED_TIMEOUT: Duration = Duration::from_secs(3);

/// A lost lock that is back within this time is not reported as lost.
const QUICK_REACQUIRE_TIMEOUT: Duration = Duration::from_millis(500);

/// Time between two tries.
const RETRY_INTERVAL: Duration = Duration::from_millis(100);

impl InstanceLock {
    /// Acquires the lock of a database, and monitors it in a task of this runtime.
    pub(in crate::store) async fn acquire(
        url: &PostgresUrl,
        clock: &Clock,
        server: &Arc<Server>,
    ) -> Result<Self, SetupError> {
        // A unique name identifies a connection of this process that is left on the server.
        let name = format!("grpcchatter {}", clock.uuid());
        let options = url.options().clone().application_name(&name);
        let acquirer = Acquirer { options, name, server: Arc::clone(server) };
        let acquired = timeout(OPENING_TIMEOUT, acquirer.acquire()).await.map_err(|_| none_free(url))?;
        let acquired = acquired.map_err(|error| preflight::unreachable(url, &error))?;
        let connection = acquired.ok_or(SetupError::InUse)?;
        let (sender, state) = watch::channel(LockState::Held);
        let monitor = tokio::spawn(monitor(connection, acquirer, sender)).abort_handle();
        Ok(Self { state, monitor, file: Mutex::new(None) })
    }
}

/// Checks the connection once a second, and acquires the lock again if it is lost.
async fn monitor(mut connection: PgConnection, acquirer: Acquirer, state: watch::Sender<LockState>) {
    loop {
        sleep(CHECK_INTERVAL).await;
        match timeout(CHECK_TIMEOUT, holds_lock(&mut connection)).await {
            Ok(Ok(true)) => continue,
            Ok(_) => {}
            // The pools' connections lead to the same silent server.
            Err(_) => acquirer.server.is_silent(),
        }
        // If only this connection was cut, the lock is back before anybody notices.
        if let Ok(Ok(Some(again))) = timeout(QUICK_REACQUIRE_TIMEOUT, acquirer.acquire()).await {
            tracing::info!("the lock on the database was lost with its connection, and taken again at once");
            connection = again;
            continue;
        }
        tracing::warn!(
            "the lock on the database was lost with its connection: writing nothing until it is back"
        );
        state.send_replace(LockState::Lost);
        connection = loop {
            match timeout(CHECK_TIMEOUT + CONTENDED_TIMEOUT, acquirer.acquire()).await {
                Ok(Ok(Some(connection))) => break connection,
                Ok(Ok(None)) => {
                    tracing::error!("another server has taken the database");
                    state.send_replace(LockState::TakenOver);
                    return;
                }
                // The database is unreachable, so no other server can have the lock.
                Ok(Err(error)) => {
                    acquirer.server.report_unusable(&error);
                    sleep(RETRY_INTERVAL).await;
                }
                Err(_) => sleep(RETRY_INTERVAL).await,
            }
        };
        tracing::info!("the lock on the database is back");
        state.send_replace(LockState::Held);
    }
}

/// Says whether a connection still has the lock, on a server that takes writes.
async fn holds_lock(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar(HOLDS_LOCK).bind(KEY).fetch_one(connection).await
}

/// Connects and acquires the lock.
struct Acquirer {
    options: PgConnectOptions,
    name: String,
    server: Arc<Server>,
}

impl Acquirer {
    /// Returns a connection that has the lock; `None` if another connection holds it.
    async fn acquire(&self) -> Result<Option<PgConnection>, sqlx::Error> {
        let mut connection = PgConnection::connect_with(&self.options).await?;
        session::prepare(&mut connection, LOCKING).await?;
        // The lock of another deployment's database belongs to that deployment's server.
        self.server.identify(&mut connection).await?;
        // After a cut, PostgreSQL may not have noticed that the previous connection of this process is gone.
        let ended = sqlx::query(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
         WHERE application_name = $1 AND pid <> pg_backend_pid()",
        )
        .bind(&self.name)
        .execute(&mut connection)
        .await;
        match ended {
            Ok(_) => {}
            // The role may lack the right. PostgreSQL then notices by itself, which takes longer.
            Err(sqlx::Error::Database(error)) => {
                tracing::debug!(%error, "an old connection could not be ended");
            }
            Err(error) => return Err(error),
        }
        let deadline = Instant::now() + CONTENDED_TIMEOUT;
        loop {
            let locked: bool = sqlx::query_scalar("SELECT pg_try_advisory_lock($1)")
                .bind(KEY)
                .fetch_one(&mut connection)
                .await?;
            if locked {
                return Ok(Some(connection));
            }
            if Instant::now() >= deadline {
                return Ok(None);
            }
            sleep(RETRY_INTERVAL).await;
        }
    }
}

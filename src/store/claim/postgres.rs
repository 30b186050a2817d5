//! PostgreSQL: an advisory lock, which goes with its connection.
//!
//! That connection does nothing else, and is asked once a second whether it lives. Where it does not, another server
//! may have the database by now: this one writes no more until it has the lock again, and ends where another has it.
//! Between the loss and its discovery both may write. That harms no log, since a message gets its place under the
//! lock of its room's row, but streams would hear it late: which is why it is not how several servers are run.

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

use super::{Claim, Hold};
use crate::{
    clock::Clock,
    store::{
        SetupError,
        postgres::{
            OPENING_TIMEOUT, PostgresUrl, none_free, server,
            session::{self, HOLDING},
        },
        server::Server,
    },
};

/// The lock's number. Advisory locks belong to a database, and are shared by all who use it.
const KEY: i64 = i64::from_be_bytes(*b"GRPCChat");

/// `pg_locks` shows a number of 64 bits in two halves.
const HOLDS: &str = "SELECT NOT pg_is_in_recovery() AND NOT current_setting('transaction_read_only')::bool \
     AND EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND granted AND pid = pg_backend_pid() \
     AND objsubid = 1 AND (classid::int8 << 32 | objid::int8) = $1)";

/// How often the connection is asked, and how long it may take to answer.
const INTERVAL: Duration = Duration::from_secs(1);
const ANSWER: Duration = Duration::from_secs(5);

/// How long to try before another is believed to have the lock: that of a killed server goes as soon as the
/// database notices that its connection is closed.
const PATIENCE: Duration = Duration::from_secs(3);

/// How soon a lost lock must be back for nobody to be told.
const AT_ONCE: Duration = Duration::from_millis(500);

/// How long to wait between two tries.
const PAUSE: Duration = Duration::from_millis(100);

impl Claim {
    /// Takes the database, and keeps it in a task of this runtime.
    pub(in crate::store) async fn take(
        url: &PostgresUrl,
        clock: &Clock,
        server: &Arc<Server>,
    ) -> Result<Self, SetupError> {
        // A name of its own, by which a connection that was left behind is known.
        let name = format!("grpcchatter {}", clock.uuid());
        let options = url.options().clone().application_name(&name);
        let lock = Lock { options, name, server: Arc::clone(server) };
        let taken = timeout(OPENING_TIMEOUT, lock.acquire()).await.map_err(|_| none_free(url))?;
        let taken = taken.map_err(|error| server::unreachable(url, &error))?;
        let connection = taken.ok_or(SetupError::Taken)?;
        let (sender, hold) = watch::channel(Hold::Held);
        let keeper = tokio::spawn(keep(connection, lock, sender)).abort_handle();
        Ok(Self { hold, keeper, file: Mutex::new(None) })
    }
}

/// Watches over the connection, and replaces it where it is lost.
async fn keep(mut connection: PgConnection, lock: Lock, hold: watch::Sender<Hold>) {
    loop {
        sleep(INTERVAL).await;
        match timeout(ANSWER, holds(&mut connection)).await {
            Ok(Ok(true)) => continue,
            Ok(_) => {}
            // The others lead there too.
            Err(_) => lock.server.is_silent(),
        }
        // Where the connection alone was cut, it is back before anybody notices.
        if let Ok(Ok(Some(again))) = timeout(AT_ONCE, lock.acquire()).await {
            tracing::info!("the lock on the database was lost with its connection, and taken again at once");
            connection = again;
            continue;
        }
        tracing::warn!(
            "the lock on the database was lost with its connection: writing nothing until it is back"
        );
        hold.send_replace(Hold::Lost);
        connection = loop {
            match timeout(ANSWER + PATIENCE, lock.acquire()).await {
                Ok(Ok(Some(connection))) => break connection,
                Ok(Ok(None)) => {
                    tracing::error!("another server has taken the database");
                    hold.send_replace(Hold::Taken);
                    return;
                }
                // The database is away, and there is nobody who could have it.
                Ok(Err(error)) => {
                    lock.server.is_unusable(&error);
                    sleep(PAUSE).await;
                }
                Err(_) => sleep(PAUSE).await,
            }
        };
        tracing::info!("the lock on the database is back");
        hold.send_replace(Hold::Held);
    }
}

/// Says whether a connection still has the lock, on a server that takes writes. One that has become a standby, or was
/// always one behind a name that leads elsewhere now, holds nothing that counts.
async fn holds(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar(HOLDS).bind(KEY).fetch_one(connection).await
}

/// How the lock is taken.
struct Lock {
    options: PgConnectOptions,
    name: String,
    server: Arc<Server>,
}

impl Lock {
    /// Connects and takes the lock; none where another has it.
    async fn acquire(&self) -> Result<Option<PgConnection>, sqlx::Error> {
        let mut connection = PgConnection::connect_with(&self.options).await?;
        session::prepare(&mut connection, HOLDING).await?;
        // The lock on another deployment's database is that one's server's.
        self.server.meet(&mut connection).await?;
        // After a cut the database may still hold this process's last connection to be alive.
        let ended = sqlx::query(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
         WHERE application_name = $1 AND pid <> pg_backend_pid()",
        )
        .bind(&self.name)
        .execute(&mut connection)
        .await;
        match ended {
            Ok(_) => {}
            // Not everybody may. Then the database finds out by itself, which takes longer.
            Err(sqlx::Error::Database(error)) => {
                tracing::debug!(%error, "an old connection could not be ended");
            }
            Err(error) => return Err(error),
        }
        let until = Instant::now() + PATIENCE;
        loop {
            let locked: bool = sqlx::query_scalar("SELECT pg_try_advisory_lock($1)")
                .bind(KEY)
                .fetch_one(&mut connection)
                .await?;
            if locked {
                return Ok(Some(connection));
            }
            if Instant::now() >= until {
                return Ok(None);
            }
            sleep(PAUSE).await;
        }
    }
}

//! One server a PostgreSQL database, until several are supported: an advisory lock, which goes with its connection.
//!
//! That connection does nothing else, and is asked once a second whether it lives. Where it does not, another server
//! may have the database by now: this one writes no more until it has the lock again, and ends where another has it.
//! Between the loss and its discovery both may write. That harms no log, since a message gets its place under the
//! lock of its room's row, but streams would hear it late: which is why it is not how several servers are run.

use std::{str::FromStr as _, time::Duration};

use sea_orm::sqlx::{
    self, ConnectOptions as _, Connection as _,
    postgres::{PgConnectOptions, PgConnection},
};
use tokio::{
    sync::watch,
    task::AbortHandle,
    time::{Instant, sleep, timeout},
};

use super::{DbResult, SetupError};
use crate::{clock::Clock, model::Error};

/// The lock's number. Advisory locks belong to a database, and are shared by all who use it.
const KEY: i64 = i64::from_be_bytes(*b"GRPCChat");

/// How often the connection is asked, and how long it may take to answer.
const INTERVAL: Duration = Duration::from_secs(1);
const ANSWER: Duration = Duration::from_secs(5);

/// How long to try before another is believed to have the lock: that of a killed server goes as soon as the
/// database notices that its connection is closed.
const PATIENCE: Duration = Duration::from_secs(3);

/// How long to wait between two tries.
const PAUSE: Duration = Duration::from_millis(100);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hold {
    /// The database is this process's.
    Held,
    /// It may be another's.
    Lost,
    /// It is another's.
    Taken,
}

/// This process's hold on a database. Dropping it lets the next one in.
#[derive(Debug)]
pub(super) struct Claim {
    hold: watch::Receiver<Hold>,
    keeper: AbortHandle,
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.release();
    }
}

impl Claim {
    /// Takes the database, and keeps it in a task of this runtime.
    pub(super) async fn take(url: &str, clock: &Clock) -> Result<Self, SetupError> {
        // A name of its own, by which a connection that was left behind is known.
        let name = format!("grpcchatter {}", clock.uuid());
        let options = PgConnectOptions::from_str(url)
            .map_err(failed)?
            .disable_statement_logging()
            .application_name(&name)
            // The database lets go of a machine that is gone after some twenty seconds, not after two hours.
            .options([
                ("tcp_keepalives_idle", "5"),
                ("tcp_keepalives_interval", "5"),
                ("tcp_keepalives_count", "3"),
            ]);
        let connection = acquire(&options, &name).await.map_err(failed)?.ok_or(SetupError::Taken)?;
        let (sender, hold) = watch::channel(Hold::Held);
        let keeper = tokio::spawn(keep(connection, options, name, sender)).abort_handle();
        Ok(Self { hold, keeper })
    }

    /// Lets writers pass while the database is this process's.
    pub(super) fn check(&self) -> DbResult<()> {
        match *self.hold.borrow() {
            Hold::Held => Ok(()),
            Hold::Lost | Hold::Taken => Err(Error::DatabaseUnavailable.into()),
        }
    }

    /// Lets the next one in.
    pub(super) fn release(&self) {
        self.keeper.abort();
    }

    /// Ends once another process has the database.
    pub(super) async fn taken(&self) {
        let mut hold = self.hold.clone();
        if hold.wait_for(|hold| *hold == Hold::Taken).await.is_err() {
            // The keeper ends with the runtime: nobody waits for more.
            std::future::pending::<()>().await;
        }
    }
}

fn failed(error: sqlx::Error) -> SetupError {
    SetupError::Database(sea_orm::DbErr::Conn(sea_orm::RuntimeErr::SqlxError(error.into())))
}

/// Watches over the connection, and replaces it where it is lost.
async fn keep(
    mut connection: PgConnection,
    options: PgConnectOptions,
    name: String,
    hold: watch::Sender<Hold>,
) {
    loop {
        sleep(INTERVAL).await;
        if matches!(timeout(ANSWER, connection.ping()).await, Ok(Ok(()))) {
            continue;
        }
        tracing::warn!(
            "the lock on the database was lost with its connection: writing nothing until it is back"
        );
        hold.send_replace(Hold::Lost);
        connection = loop {
            match timeout(ANSWER + PATIENCE, acquire(&options, &name)).await {
                Ok(Ok(Some(connection))) => break connection,
                Ok(Ok(None)) => {
                    tracing::error!("another server has taken the database");
                    hold.send_replace(Hold::Taken);
                    return;
                }
                // The database is away: the pools say so, and there is nobody who could have it.
                Ok(Err(_)) | Err(_) => sleep(PAUSE).await,
            }
        };
        tracing::info!("the lock on the database is back");
        hold.send_replace(Hold::Held);
    }
}

/// Connects and takes the lock; none where another has it.
async fn acquire(options: &PgConnectOptions, name: &str) -> Result<Option<PgConnection>, sqlx::Error> {
    let mut connection = PgConnection::connect_with(options).await?;
    // After a cut the database may still hold this process's last connection to be alive.
    sqlx::query(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
         WHERE application_name = $1 AND pid <> pg_backend_pid()",
    )
    .bind(name)
    .execute(&mut connection)
    .await?;
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

//! Checks a PostgreSQL server before it is used, and explains why one cannot be used or reached.

use std::{io, time::Duration};

use sea_orm::sqlx::{
    self, Connection as _, Row as _,
    postgres::{PgConnection, PgRow},
};
use tokio::time::{Instant, sleep, timeout};

use super::{
    PostgresUrl,
    session::{self, LOCKING},
};
use crate::store::{setup_error::SetupError, unusable_connection::UnusableConnection};

/// The oldest supported PostgreSQL, as `server_version_num`.
const OLDEST: i32 = 150_000;

/// How long the check may take, and how long of it a server that is starting is tried again.
const CHECK_TIMEOUT: Duration = Duration::from_secs(5);
const STARTING_TIMEOUT: Duration = Duration::from_secs(2);

/// Time between two tries.
const RETRY_INTERVAL: Duration = Duration::from_millis(100);

const SERVER_SETTINGS: &str = "SELECT current_setting('server_version_num')::int4 AS number, \
     current_setting('server_version') AS version, current_setting('server_encoding') AS encoding, \
     current_setting('fsync') AS fsync, current_setting('full_page_writes') AS full_page_writes, \
     pg_is_in_recovery() OR current_setting('transaction_read_only')::bool AS read_only";

/// Connects once, and checks the settings that durability depends on and that no connection can set for itself. Returns the
/// connection, which is marked: while it is open, a pooler that shares it with another client is detected by the next
/// connection.
///
/// # Errors
/// The reason why the server cannot be used.
pub(in crate::store) async fn check(url: &PostgresUrl) -> Result<PgConnection, SetupError> {
    let checking = async {
        let mut connection = connect(url).await?;
        let row = sqlx::raw_sql(SERVER_SETTINGS).fetch_one(&mut connection).await?;
        Ok((connection, row))
    };
    let silent = || Err(sqlx::Error::Io(io::Error::from(io::ErrorKind::TimedOut)));
    let checked = timeout(CHECK_TIMEOUT, checking).await.unwrap_or_else(|_| silent());
    let (mut connection, row) = checked.map_err(|error| unreachable(url, &error))?;
    let found = Found::read(&row).map_err(|error| unreachable(url, &error))?;
    found.check(url)?;
    session::prepare(&mut connection, LOCKING).await.map_err(|error| unreachable(url, &error))?;
    Ok(connection)
}

/// Connects. Tries again for 2 s while the server is starting, as after a boot of the machine.
async fn connect(url: &PostgresUrl) -> Result<PgConnection, sqlx::Error> {
    let deadline = Instant::now() + STARTING_TIMEOUT;
    loop {
        match PgConnection::connect_with(url.options()).await {
            Err(error) if is_starting(&error) && Instant::now() < deadline => sleep(RETRY_INTERVAL).await,
            done => return done,
        }
    }
}

fn is_starting(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(error) => error.kind() == io::ErrorKind::ConnectionRefused,
        sqlx::Error::Database(error) => error.code().as_deref() == Some("57P03"),
        _ => false,
    }
}

/// Returns the cause of a failed connection, and a remedy.
pub(in crate::store) fn unreachable(url: &PostgresUrl, error: &sqlx::Error) -> SetupError {
    let (cause, remedy) = match error {
        sqlx::Error::Io(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            ("nothing listens there".to_owned(), "start PostgreSQL, or correct DATABASE_URL")
        }
        sqlx::Error::Io(error) if error.kind() == io::ErrorKind::TimedOut => (
            "it does not answer".to_owned(),
            "check that PostgreSQL runs and no firewall blocks it, or correct DATABASE_URL",
        ),
        sqlx::Error::Io(error) => (
            error.to_string(),
            "check that the host name resolves and the host is reachable, or correct DATABASE_URL",
        ),
        sqlx::Error::Tls(error) => {
            (format!("TLS cannot be used: {error}"), "check sslmode and sslrootcert in DATABASE_URL")
        }
        sqlx::Error::Configuration(error)
            if let Some(reason) = error.downcast_ref::<UnusableConnection>() =>
        {
            return SetupError::Unusable { address: url.to_string(), reason: *reason };
        }
        sqlx::Error::Database(error) => {
            let code = error.code().unwrap_or_default();
            (format!("{} (SQLSTATE {code})", error.message()), remedy(&code))
        }
        // The peer closed the connection at the request for TLS, or speaks another protocol.
        sqlx::Error::Protocol(text) if text.contains("SSLRequest") => (
            "the connection was closed at once, or the peer is not PostgreSQL".to_owned(),
            "check that a proxy in between has a server behind it, or correct DATABASE_URL",
        ),
        other => (other.to_string(), "see PostgreSQL's log"),
    };
    SetupError::Unreachable { address: url.to_string(), cause, remedy }
}

/// Returns the remedy for a SQLSTATE (PostgreSQL's manual, appendix A).
fn remedy(code: &str) -> &'static str {
    match code {
        "28P01" => "correct the user and the password in DATABASE_URL",
        "28000" => {
            "admit the user in pg_hba.conf; if that requires encryption, add sslmode=require to DATABASE_URL"
        }
        "3D000" => "make it with `createdb --owner=USER NAME`, or correct the name in DATABASE_URL",
        "42501" => "grant the missing privileges to the user of DATABASE_URL: see docs/operate.md",
        "53300" => "raise max_connections, or stop what uses the connections: see docs/operate.md",
        "57P03" => "it is starting or stopping: try again",
        "08P01" => "a pooler may be in between: see docs/operate.md",
        _ => "see PostgreSQL's log",
    }
}

struct Found {
    number: i32,
    version: String,
    encoding: String,
    fsync: String,
    full_page_writes: String,
    read_only: bool,
}

impl Found {
    fn read(row: &PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            number: row.try_get("number")?,
            version: row.try_get("version")?,
            encoding: row.try_get("encoding")?,
            fsync: row.try_get("fsync")?,
            full_page_writes: row.try_get("full_page_writes")?,
            read_only: row.try_get("read_only")?,
        })
    }

    fn check(self, url: &PostgresUrl) -> Result<(), SetupError> {
        let address = url.to_string();
        if self.number < OLDEST {
            return Err(SetupError::PostgresTooOld(self.version));
        }
        if self.encoding != "UTF8" {
            return Err(SetupError::Encoding { address, found: self.encoding });
        }
        for (setting, found) in [("fsync", self.fsync), ("full_page_writes", self.full_page_writes)] {
            if found != "on" {
                return Err(SetupError::Setting { address, setting, found });
            }
        }
        if self.read_only {
            return Err(SetupError::Unusable { address, reason: UnusableConnection::ReadOnly });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found() -> Found {
        Found {
            number: 150_000,
            version: "15.0".to_owned(),
            encoding: "UTF8".to_owned(),
            fsync: "on".to_owned(),
            full_page_writes: "on".to_owned(),
            read_only: false,
        }
    }

    fn refusal(found: Found) -> String {
        let url = PostgresUrl::parse("postgres://walker:cAnary@database/chat").unwrap();
        let refused = found.check(&url).unwrap_err();
        assert_eq!(refused.exit_code(), 69);
        refused.to_string()
    }

    #[test]
    fn a_server_with_durable_settings_is_accepted() {
        let url = PostgresUrl::parse("postgres://walker:cAnary@database/chat").unwrap();
        found().check(&url).unwrap();
    }

    #[test]
    fn postgresql_before_15_is_refused_with_a_sentence() {
        let version = "14.12 (Debian 14.12-1)".to_owned();
        assert_eq!(
            refusal(Found { number: 140_012, version, ..found() }),
            "PostgreSQL 14.12 (Debian 14.12-1) is too old; this program needs 15 or later"
        );
    }

    #[test]
    fn a_setting_that_is_not_durable_is_refused_by_name() {
        let off = || "off".to_owned();
        for (found, named) in [
            (Found { fsync: off(), ..found() }, "fsync = off"),
            (Found { full_page_writes: off(), ..found() }, "full_page_writes = off"),
            (Found { encoding: "LATIN1".to_owned(), ..found() }, "LATIN1"),
            (Found { read_only: true, ..found() }, "takes no writes"),
        ] {
            let sentence = refusal(found);
            assert!(sentence.contains(named) && sentence.contains("database:5432"), "{sentence}");
            assert!(!sentence.contains("cAnary"), "{sentence}");
        }
    }
}

//! What a PostgreSQL must be before it is served from, and what to do where it is not or cannot be reached.

use std::{io, time::Duration};

use sea_orm::sqlx::{
    self, Connection as _, Row as _,
    postgres::{PgConnection, PgRow},
};
use tokio::time::{Instant, sleep, timeout};

use super::{
    PostgresUrl, Unfit,
    session::{self, HOLDING},
};
use crate::store::SetupError;

/// The oldest PostgreSQL that the statements are written for, as `server_version_num` tells it.
const OLDEST: i32 = 150_000;

/// How long the first look may take, and how long of it a server may be starting.
const PATIENCE: Duration = Duration::from_secs(5);
const STARTING: Duration = Duration::from_secs(2);

/// How long to wait between two tries.
const PAUSE: Duration = Duration::from_millis(100);

const LOOK: &str = "SELECT current_setting('server_version_num')::int4 AS number, \
     current_setting('server_version') AS version, current_setting('server_encoding') AS encoding, \
     current_setting('fsync') AS fsync, current_setting('full_page_writes') AS full_page_writes, \
     pg_is_in_recovery() OR current_setting('transaction_read_only')::bool AS read_only";

/// Connects once, and checks what durability rests on and no connection can set for itself. Returns the connection, which
/// is marked: as long as it is open, a pooler that gives the same one to another is found out by the next.
///
/// # Errors
/// What is wrong, and what to do.
pub(in crate::store) async fn check(url: &PostgresUrl) -> Result<PgConnection, SetupError> {
    let looking = async {
        let mut connection = connect(url).await?;
        let row = sqlx::raw_sql(LOOK).fetch_one(&mut connection).await?;
        Ok((connection, row))
    };
    let silent = || Err(sqlx::Error::Io(io::Error::from(io::ErrorKind::TimedOut)));
    let looked = timeout(PATIENCE, looking).await.unwrap_or_else(|_| silent());
    let (mut connection, row) = looked.map_err(|error| unreachable(url, &error))?;
    let found = Found::read(&row).map_err(|error| unreachable(url, &error))?;
    found.check(url)?;
    session::prepare(&mut connection, HOLDING).await.map_err(|error| unreachable(url, &error))?;
    Ok(connection)
}

/// Connects. A server that is being started with the machine is waited for a moment.
async fn connect(url: &PostgresUrl) -> Result<PgConnection, sqlx::Error> {
    let until = Instant::now() + STARTING;
    loop {
        match PgConnection::connect_with(url.options()).await {
            Err(error) if is_starting(&error) && Instant::now() < until => sleep(PAUSE).await,
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

/// Says why there is no connection, and what to do.
pub(in crate::store) fn unreachable(url: &PostgresUrl, error: &sqlx::Error) -> SetupError {
    let (cause, remedy) = match error {
        sqlx::Error::Io(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            ("nothing listens there".to_owned(), "start PostgreSQL, or correct DATABASE_URL")
        }
        sqlx::Error::Io(error) if error.kind() == io::ErrorKind::TimedOut => (
            "it does not answer".to_owned(),
            "see that PostgreSQL runs and no firewall is between, or correct DATABASE_URL",
        ),
        sqlx::Error::Io(error) => (
            error.to_string(),
            "see that the name is known and the network leads there, or correct DATABASE_URL",
        ),
        sqlx::Error::Tls(error) => {
            (format!("TLS cannot be used: {error}"), "see sslmode and sslrootcert in DATABASE_URL")
        }
        sqlx::Error::Configuration(error) if let Some(unfit) = error.downcast_ref::<Unfit>() => {
            return SetupError::Unfit { address: url.to_string(), unfit: *unfit };
        }
        sqlx::Error::Database(error) => {
            let code = error.code().unwrap_or_default();
            (format!("{} (SQLSTATE {code})", error.message()), remedy(&code))
        }
        // What answers no request for TLS closed the connection, or speaks something else.
        sqlx::Error::Protocol(text) if text.contains("SSLRequest") => (
            "the connection was closed at once, or what answers is no PostgreSQL".to_owned(),
            "see whether a proxy is between that has no server behind it, or correct DATABASE_URL",
        ),
        other => (other.to_string(), "see PostgreSQL's log"),
    };
    SetupError::Unreachable { address: url.to_string(), cause, remedy }
}

/// What helps against a refusal. The codes stand in PostgreSQL's manual, appendix A.
fn remedy(code: &str) -> &'static str {
    match code {
        "28P01" => "correct the user and the password in DATABASE_URL",
        "28000" => {
            "let the user in by pg_hba.conf; where it asks for encryption, add sslmode=require to DATABASE_URL"
        }
        "3D000" => "make it with `createdb --owner=USER NAME`, or correct the name in DATABASE_URL",
        "42501" => "grant the user of DATABASE_URL what it lacks: see docs/operate.md",
        "53300" => "raise max_connections, or stop what uses the connections: see docs/operate.md",
        "57P03" => "it is starting or being stopped: try again",
        "08P01" => "a pooler may be between: see docs/operate.md",
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
            return Err(SetupError::TooOld(self.version));
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
            return Err(SetupError::Unfit { address, unfit: Unfit::ReadOnly });
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
    fn what_a_durable_log_needs_is_served_from() {
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
    fn what_no_durable_log_can_rest_on_is_refused_by_name() {
        let off = || "off".to_owned();
        for (found, named) in [
            (Found { fsync: off(), ..found() }, "fsync = off"),
            (Found { full_page_writes: off(), ..found() }, "full_page_writes = off"),
            (Found { encoding: "LATIN1".to_owned(), ..found() }, "LATIN1"),
            (Found { read_only: true, ..found() }, "takes no writes"),
        ] {
            let said = refusal(found);
            assert!(said.contains(named) && said.contains("database:5432"), "{said}");
            assert!(!said.contains("cAnary"), "{said}");
        }
    }
}

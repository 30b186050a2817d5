//! Why the server cannot start or go on.

use std::{io, net::SocketAddr};

use crate::{
    config::DataDirError,
    gateway::TlsError,
    store::{DatabaseUrl, SetupError},
};

/// Why the server cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data folder cannot be used.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// The database cannot be served from.
    #[error("the database{} cannot be served from", place(.at, .cause))]
    Database {
        /// Its file, or the address of its server: nothing secret.
        at: String,
        /// Why.
        #[source]
        cause: SetupError,
    },
    /// An address cannot be bound.
    #[error("{setting}: {address} cannot be listened on: {cause}; {}", remedy(.cause))]
    Bind {
        /// The settings that name it.
        setting: &'static str,
        /// Which.
        address: SocketAddr,
        /// What the system said.
        cause: io::Error,
    },
    /// A socket that was handed over is none.
    #[error("a socket that was handed over cannot be used")]
    Passed(#[source] io::Error),
    /// The certificate cannot be served.
    #[error("TLS_CERT and TLS_KEY cannot be used")]
    Tls(#[from] TlsError),
    /// A runtime or a thread cannot be started.
    #[error("a runtime cannot be started")]
    Runtime(#[source] io::Error),
}

impl StartError {
    /// Returns what makes an error of one of this database's.
    pub fn of(database: &DatabaseUrl) -> impl FnOnce(SetupError) -> Self {
        move |cause| Self::Database { at: shown(database), cause }
    }

    /// Returns the program's exit code (sysexits.h: 64 `EX_USAGE`, 75 `EX_TEMPFAIL`).
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Tls(error) if error.passes() => 75,
            Self::Tls(_) => 64,
            Self::DataDir(error) => error.exit_code(),
            Self::Database { cause, .. } => cause.exit_code(),
            Self::Bind { .. } | Self::Passed(_) | Self::Runtime(_) => 75,
        }
    }
}

/// Returns where a database is, without what is secret in its URL.
pub(super) fn shown(database: &DatabaseUrl) -> String {
    match database {
        DatabaseUrl::Sqlite(path) => path.display().to_string(),
        DatabaseUrl::Postgres(url) => url.to_string(),
    }
}

/// Says where the database is, unless the cause does.
fn place(at: &str, cause: &SetupError) -> String {
    if cause.says_where() { String::new() } else { format!(" at {at}") }
}

/// Says what helps where an address cannot be bound.
fn remedy(cause: &io::Error) -> &'static str {
    match cause.kind() {
        io::ErrorKind::AddrInUse => "stop what uses it, or set another port",
        io::ErrorKind::AddrNotAvailable => {
            "no interface of this machine has the address: set one that it has, or 0.0.0.0 or :: for every interface"
        }
        io::ErrorKind::PermissionDenied => "set a port from 1024 on, or let the program bind lower ones",
        _ => "set another address",
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;

    #[test]
    fn a_database_is_named_once() {
        let database = DatabaseUrl::Sqlite("/srv/chat.db".into());
        let told = |cause: SetupError| {
            let error = StartError::of(&database)(cause);
            let cause = error.source().unwrap();
            format!("{error}: {cause}")
        };
        for cause in [
            SetupError::Taken,
            SetupError::Newer("step".to_owned()),
            SetupError::Foreign("a table".to_owned()),
            SetupError::Older("step".to_owned()),
            SetupError::MayNotMigrate { step: "step".to_owned(), cause: "no".to_owned() },
            SetupError::NoSchema("nowhere".to_owned()),
            SetupError::Pragma { pragma: "synchronous", found: "1".to_owned(), wanted: "2" },
            SetupError::TooOld("9".to_owned()),
            SetupError::Absent("/srv/chat.db".into()),
            SetupError::FileTaken("/srv/chat.db".into()),
            SetupError::FileGone("/srv/chat.db".into()),
            SetupError::NotSqlite("/srv/chat.db".into()),
            SetupError::File { path: "/srv/chat.db".into(), cause: io::ErrorKind::NotFound.into() },
        ] {
            let sentence = told(cause);
            assert_eq!(sentence.matches("/srv/chat.db").count(), 1, "{sentence}");
        }
    }

    #[test]
    fn why_an_address_cannot_be_bound_says_what_to_do() {
        let told = |kind: io::ErrorKind| {
            let (setting, address) =
                ("SERVER_ADDRESS and SERVER_PORT", SocketAddr::from(([192, 0, 2, 1], 80)));
            StartError::Bind { setting, address, cause: kind.into() }.to_string()
        };
        assert!(told(io::ErrorKind::AddrInUse).contains("stop what uses it"));
        let absent = told(io::ErrorKind::AddrNotAvailable);
        assert!(absent.starts_with("SERVER_ADDRESS") && absent.contains("no interface"), "{absent}");
        assert!(!absent.contains("stop what uses it"), "{absent}");
        assert!(told(io::ErrorKind::PermissionDenied).contains("1024"));
    }
}

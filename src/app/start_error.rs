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
    /// The database cannot be used.
    #[error("the database{} cannot be used", location(.at, .cause))]
    Database {
        /// Its file, or the address of its server, without secrets.
        at: String,
        /// The reason.
        #[source]
        cause: SetupError,
    },
    /// An address cannot be bound.
    #[error("{setting}: {address} cannot be listened on: {cause}; {}", remedy(.cause))]
    Bind {
        /// The settings that name the address.
        setting: &'static str,
        /// The address.
        address: SocketAddr,
        /// The system's error.
        cause: io::Error,
    },
    /// A socket that was passed to the process is not a usable TCP socket.
    #[error("a socket that was passed to the process cannot be used")]
    Passed(#[source] io::Error),
    /// The certificate cannot be served.
    #[error("TLS_CERT and TLS_KEY cannot be used")]
    Tls(#[from] TlsError),
    /// A runtime or a thread cannot be started.
    #[error("a runtime cannot be started")]
    Runtime(#[source] io::Error),
}

impl StartError {
    /// Returns a function that adds the database's location to an error.
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

/// Returns where a database is, without the secrets in its URL.
pub(super) fn shown(database: &DatabaseUrl) -> String {
    match database {
        DatabaseUrl::Sqlite(path) => path.display().to_string(),
        DatabaseUrl::Postgres(url) => url.to_string(),
    }
}

/// Returns where the database is, unless the cause names it.
fn location(at: &str, cause: &SetupError) -> String {
    if cause.says_where() { String::new() } else { format!(" at {at}") }
}

/// Returns what to do about an address that cannot be bound.
fn remedy(cause: &io::Error) -> &'static str {
    match cause.kind() {
        io::ErrorKind::AddrInUse => "stop the process that uses it, or set another port",
        io::ErrorKind::AddrNotAvailable => {
            "no interface of this machine has the address: set one that it has, or 0.0.0.0 or :: for every interface"
        }
        io::ErrorKind::PermissionDenied => {
            "set a port of 1024 or above, or allow the program to bind lower ones"
        }
        _ => "set another address",
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;

    #[test]
    fn an_error_names_the_database_once() {
        let database = DatabaseUrl::Sqlite("/srv/chat.db".into());
        let error = |cause: SetupError| {
            let error = StartError::of(&database)(cause);
            let cause = error.source().unwrap();
            format!("{error}: {cause}")
        };
        for cause in [
            SetupError::InUse,
            SetupError::SchemaTooNew("step".to_owned()),
            SetupError::Foreign("a table".to_owned()),
            SetupError::SchemaTooOld("step".to_owned()),
            SetupError::MayNotMigrate { step: "step".to_owned(), cause: "no".to_owned() },
            SetupError::NoSchema("nowhere".to_owned()),
            SetupError::Pragma { pragma: "synchronous", found: "1".to_owned(), wanted: "2" },
            SetupError::PostgresTooOld("9".to_owned()),
            SetupError::Absent("/srv/chat.db".into()),
            SetupError::FileInUse("/srv/chat.db".into()),
            SetupError::FileReplaced("/srv/chat.db".into()),
            SetupError::NotSqlite("/srv/chat.db".into()),
            SetupError::File { path: "/srv/chat.db".into(), cause: io::ErrorKind::NotFound.into() },
        ] {
            let sentence = error(cause);
            assert_eq!(sentence.matches("/srv/chat.db").count(), 1, "{sentence}");
        }
    }

    #[test]
    fn an_error_of_binding_says_what_to_do() {
        let error = |kind: io::ErrorKind| {
            let (setting, address) =
                ("SERVER_ADDRESS and SERVER_PORT", SocketAddr::from(([192, 0, 2, 1], 80)));
            StartError::Bind { setting, address, cause: kind.into() }.to_string()
        };
        assert!(error(io::ErrorKind::AddrInUse).contains("stop the process that uses it"));
        let absent = error(io::ErrorKind::AddrNotAvailable);
        assert!(absent.starts_with("SERVER_ADDRESS") && absent.contains("no interface"), "{absent}");
        assert!(!absent.contains("stop the process that uses it"), "{absent}");
        assert!(error(io::ErrorKind::PermissionDenied).contains("1024"));
    }
}

use std::{io, net::SocketAddr};

use crate::{config::DataDirError, gateway::TlsError, store::SetupError};

/// Why the server cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data folder cannot be used.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// The database cannot be served from.
    #[error("the database cannot be served from")]
    Database(#[from] SetupError),
    /// An address cannot be bound.
    #[error("{address} cannot be listened on: {cause}; stop what uses it, or set SERVER_PORT to another")]
    Bind {
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
    /// Returns the program's exit code (sysexits.h: 64 `EX_USAGE`, 75 `EX_TEMPFAIL`).
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Tls(error) if error.passes() => 75,
            Self::Tls(_) => 64,
            Self::DataDir(error) => error.exit_code(),
            Self::Database(error) => error.exit_code(),
            Self::Bind { .. } | Self::Passed(_) | Self::Runtime(_) => 75,
        }
    }
}

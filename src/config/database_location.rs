//! The settings that operator commands need. They ignore errors in all others: a running server keeps the settings that it
//! has read, and its operator must still be able to work on it.

use std::{net::SocketAddr, path::PathBuf};

use super::{
    error::ConfigError,
    listen,
    reader::Reader,
    sources::{Layers, Sources},
    value,
};
use crate::store::DatabaseUrl;

/// Where the database is.
#[derive(Clone, Debug)]
pub struct DatabaseLocation {
    /// The folder of the database, the secret and the lock file.
    pub data_dir: PathBuf,
    /// The database.
    pub database: DatabaseUrl,
}

/// Where `healthcheck` finds the server.
#[derive(Clone, Debug)]
pub struct HealthcheckTarget {
    /// The server's addresses, at least one.
    pub listen: Vec<SocketAddr>,
    /// Whether the server uses TLS.
    pub tls: bool,
}

impl DatabaseLocation {
    /// Reads `DATA_DIR` and `DATABASE_URL`.
    ///
    /// # Errors
    /// What is wrong with them, or with the settings file as a whole.
    pub fn load(sources: &Sources) -> Result<Self, ConfigError> {
        load(sources, Self::read)
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let data_dir = reader.required("DATA_DIR", value::path);
        let database = reader
            .optional("DATABASE_URL", value::database)
            .unwrap_or_else(|| DatabaseUrl::Sqlite(data_dir.join("grpcchatter.db")));
        Self { data_dir, database }
    }
}

impl HealthcheckTarget {
    /// Reads the addresses, and whether there is a certificate. Does not read the certificate.
    ///
    /// # Errors
    /// What is wrong with them, or with the settings file as a whole.
    pub fn load(sources: &Sources) -> Result<Self, ConfigError> {
        load(sources, |reader| {
            // The server has logged the notes.
            let listen = listen::listen(reader, &mut Vec::new());
            let certificate = ["TLS_CERT", "TLS_KEY"].iter().any(|name| reader.layers.get(name).is_some());
            Self { listen, tls: certificate || sources.tls_self_signed }
        })
    }
}

fn load<T>(sources: &Sources, read: impl FnOnce(&mut Reader<'_>) -> T) -> Result<T, ConfigError> {
    let mut errors = ConfigError::default();
    let layers = Layers::read(sources, &mut errors);
    let mut reader = Reader::new(&layers, errors);
    let read = read(&mut reader);
    reader.finish().or(read)
}

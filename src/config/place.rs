//! The few settings that commands beside the server need. The others may be wrong, or their files be spoiled: a server
//! that runs keeps what it has read, and must still be looked after.

use std::{net::SocketAddr, path::PathBuf};

use super::{
    layers::{Layers, Sources},
    listen,
    mistake::ConfigError,
    reader::Reader,
    value,
};
use crate::store::DatabaseUrl;

/// Where the database is.
#[derive(Clone, Debug)]
pub struct Place {
    /// The folder of the database, the secret and the lock.
    pub data_dir: PathBuf,
    /// The database.
    pub database: DatabaseUrl,
}

/// Where the server is called.
#[derive(Clone, Debug)]
pub struct Reach {
    /// The addresses. Never empty.
    pub listen: Vec<SocketAddr>,
    /// Whether it speaks TLS.
    pub tls: bool,
}

impl Place {
    /// Reads DATA_DIR and DATABASE_URL.
    ///
    /// # Errors
    /// What is wrong with them, or with the file as a whole.
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

impl Reach {
    /// Reads the addresses, and whether there is a certificate; not the certificate.
    ///
    /// # Errors
    /// What is wrong with them, or with the file as a whole.
    pub fn load(sources: &Sources) -> Result<Self, ConfigError> {
        load(sources, |reader| {
            // What does not count is told by the server.
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

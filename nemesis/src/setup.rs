//! What all rounds share: the server's program, the form in which they run, and a PostgreSQL cluster to copy.

use std::{net::Ipv4Addr, path::PathBuf};

use anyhow::Result;
use grpcchatter_testbed::DataDirectory;
use tokio::sync::OnceCell;

use crate::server::Plan;

/// The database on which a round runs the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Database {
    Sqlite,
    Postgres,
}

/// What all rounds share.
#[derive(Debug)]
pub(crate) struct Setup {
    program: PathBuf,
    /// Whether faults run with the long form's number of trials and limits.
    pub(crate) long: bool,
    template: OnceCell<DataDirectory>,
}

impl Setup {
    /// Makes a setup; nothing is started yet.
    pub(crate) fn new(program: PathBuf, long: bool) -> Self {
        Self { program, long, template: OnceCell::new() }
    }

    /// Returns a PostgreSQL cluster to copy; the first call makes it.
    ///
    /// # Errors
    /// If it cannot be made.
    pub(crate) async fn template(&self) -> Result<&DataDirectory> {
        self.template.get_or_try_init(DataDirectory::initialise).await
    }

    /// Returns a plan that runs the server with its defaults.
    pub(crate) fn plan(&self) -> Plan {
        Plan {
            program: self.program.clone(),
            database_url: None,
            under: Vec::new(),
            settings: Vec::new(),
            disk: None,
            host: Ipv4Addr::LOCALHOST,
        }
    }
}

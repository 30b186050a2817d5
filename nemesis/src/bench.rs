//! What all rounds share: the server's program, the form in which they are run, and a PostgreSQL to copy.

use std::{net::Ipv4Addr, path::PathBuf};

use anyhow::Result;
use tokio::sync::OnceCell;

use crate::{postgres::Template, server::Plan};

/// Where a round keeps its log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Database {
    Sqlite,
    Postgres,
}

/// What all rounds share.
#[derive(Debug)]
pub(crate) struct Bench {
    program: PathBuf,
    /// Whether things are broken as often, and as hard, as the promise's figures ask for.
    pub(crate) long: bool,
    template: OnceCell<Template>,
}

impl Bench {
    /// Sets up what there is without doing anything.
    pub(crate) fn new(program: PathBuf, long: bool) -> Self {
        Self { program, long, template: OnceCell::new() }
    }

    /// Returns a cluster of PostgreSQL to copy, which is made when it is first asked for.
    ///
    /// # Errors
    /// If it cannot be made.
    pub(crate) async fn template(&self) -> Result<&Template> {
        self.template.get_or_try_init(Template::make).await
    }

    /// Returns a plan that runs the server as it is.
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

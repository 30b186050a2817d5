//! A standby of the round's PostgreSQL, which takes over from it.

use std::{net::SocketAddr, process::Stdio, time::Duration};

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

use super::{Postgres, own};
use crate::server::free_address;

/// The standby's name, by which the server that it follows knows it.
const NAME: &str = "standby";

/// How long anything is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long between two looks.
const PAUSE: Duration = Duration::from_millis(20);

impl Postgres {
    /// Starts a standby, which follows this server by way of an address. Commits do not wait for it.
    ///
    /// # Errors
    /// If it cannot be made, or does not follow.
    pub(crate) async fn standby(&self, link: SocketAddr) -> Result<Self> {
        let data = TempDir::new()?;
        own(data.path()).await?;
        let source = format!("host=127.0.0.1 port={} user=postgres application_name={NAME}", link.port());
        let made = self
            .program("pg_basebackup")
            .args([
                "--checkpoint=fast",
                "--no-sync",
                "--write-recovery-conf",
                "--dbname",
                &source,
                "--pgdata",
            ])
            .arg(data.path().join("data"))
            .stdout(Stdio::null())
            .status()
            .await?;
        ensure!(made.success(), "pg_basebackup failed");
        let mut standby =
            Self { programs: self.programs.clone(), data, address: free_address()?, running: None };
        standby.again().await?;
        let following = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'";
        self.until("the standby does not follow", following, "1").await?;
        Ok(standby)
    }

    /// Has every commit from now on wait for the standby.
    ///
    /// # Errors
    /// If it does not come to that.
    pub(crate) async fn wait_for_the_standby(&self) -> Result<()> {
        self.ask(&format!("ALTER SYSTEM SET synchronous_standby_names = '{NAME}'")).await?;
        self.ask("SELECT pg_reload_conf()").await?;
        let synchronous = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'";
        self.until("the standby does not become synchronous", synchronous, "1").await
    }

    /// Ends the backends that wait for the standby, once there are some.
    ///
    /// # Errors
    /// If there are none.
    pub(crate) async fn end_those_who_wait(&self) -> Result<()> {
        let end =
            "SELECT count(pg_terminate_backend(pid)) > 0 FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
        self.until("nobody waits for the standby", end, "t").await
    }

    /// Has a standby become a server of its own.
    ///
    /// # Errors
    /// If it does not.
    pub(crate) async fn promote(&self) -> Result<()> {
        ensure!(self.ask("SELECT pg_promote()").await? == "t", "the standby cannot be promoted");
        Ok(())
    }

    async fn until(&self, otherwise: &'static str, sql: &str, answer: &str) -> Result<()> {
        let asking = async {
            while self.ask(sql).await? != answer {
                sleep(PAUSE).await;
            }
            Ok(())
        };
        timeout(PATIENCE, asking).await.context(otherwise)?
    }
}

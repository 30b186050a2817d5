//! The real server, in this process, on a port that the system chooses.

use std::{net::SocketAddr, path::Path, thread};

use anyhow::Context as _;
use grpcchatter::{app::App, config::Config};
use sea_orm::DatabaseConnection;
use tempfile::TempDir;
use tokio::sync::oneshot;

use super::{Answer, Caller, Connection, Database, User, Version, log, request, within};

/// The secret of the tests' servers, with which tests forge tokens.
pub(crate) const SECRET: &str = "cAnary-secret-of-the-tests-0123456789abcdef";

/// A server that stops when it is dropped.
pub(crate) struct TestApp {
    address: SocketAddr,
    folder: TempDir,
    _searched: log::Searched,
    anonymous: Caller,
    stop: Option<oneshot::Sender<()>>,
    stopped: oneshot::Receiver<anyhow::Result<()>>,
}

impl TestApp {
    /// Starts a server without rate limits, which would slow tests down.
    pub(crate) async fn start(database: &Database) -> Self {
        Self::with(database, &[]).await
    }

    /// Starts a server with these settings, which override the harness's defaults.
    pub(crate) async fn with(database: &Database, settings: &[(&str, &str)]) -> Self {
        Self::on(database, tempfile::tempdir().unwrap(), settings).await
    }

    /// Starts a server on a folder that may have the data of an earlier server.
    pub(crate) async fn on(database: &Database, folder: TempDir, settings: &[(&str, &str)]) -> Self {
        log::watch();
        let settings = with_defaults(database, folder.path(), settings);
        let (built, address) = oneshot::channel();
        let (stop, stopping) = oneshot::channel::<()>();
        let (ended, stopped) = oneshot::channel();
        thread::spawn(move || {
            let outcome = serve(&settings, built, stopping);
            // Nobody receives it if the server was dropped.
            let _ = ended.send(outcome);
        });
        let address = match within("a server", address).await {
            Ok(address) => address,
            Err(_) => panic!("no server: {:?}", stopped.await),
        };
        let anonymous = Caller::anonymous(address);
        Self { address, folder, _searched: log::Searched, anonymous, stop: Some(stop), stopped }
    }

    /// Returns the address it listens on.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns a caller without a token.
    pub(crate) fn anonymous(&self) -> Caller {
        self.anonymous.on_new_connection()
    }

    /// Returns a new user, logged in, with their own connection.
    pub(crate) async fn user(&self) -> User {
        User::register(&self.anonymous()).await
    }

    /// Sends a request over a new connection.
    pub(crate) async fn send(
        &self,
        version: Version,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        let mut connection = Connection::open(self.address, version).await;
        connection.send(request(method, path, headers, body.to_vec())).await
    }

    /// Connects to the server's database, as an operator does while it runs.
    pub(crate) async fn operator(&self, database: &Database) -> DatabaseConnection {
        database.operator(self.folder.path()).await
    }

    /// Stops the server, awaits its end, and returns its folder for the next one.
    pub(crate) async fn stop(mut self) -> TempDir {
        drop(self.stop.take());
        within("the server's end", self.stopped).await.unwrap().unwrap();
        self.folder
    }
}

/// Runs a server until `stopping` resolves.
fn serve(
    settings: &[(String, String)],
    built: oneshot::Sender<SocketAddr>,
    stopping: oneshot::Receiver<()>,
) -> anyhow::Result<()> {
    let settings = settings.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let app = App::build(Config::from_settings(settings)?)?;
    let address = *app.local_addrs().first().context("no address")?;
    let _ = built.send(address);
    app.run(async move {
        let _ = stopping.await;
    })?;
    Ok(())
}

/// Adds the settings of every test's server to those of one test.
pub(crate) fn with_defaults(
    database: &Database,
    folder: &Path,
    settings: &[(&str, &str)],
) -> Vec<(String, String)> {
    let folder = folder.to_str().unwrap();
    let mut all: Vec<(String, String)> = [
        ("SERVER_ADDRESS", "127.0.0.1"),
        ("SERVER_PORT", "0"),
        ("DATA_DIR", folder),
        ("SECRET", SECRET),
        ("REGISTRATIONS_PER_HOUR", "0"),
        ("GUESSES_PER_HOUR", "0"),
        ("MESSAGES_PER_SECOND", "0"),
        ("READS_PER_SECOND", "0"),
        ("WRITES_PER_SECOND", "0"),
        ("CALLS_PER_USER", "0"),
        ("ANONYMOUS_PER_SECOND", "0"),
        ("ANONYMOUS_CALLS", "0"),
        ("ROOMS_PER_USER", "0"),
        ("SESSIONS_PER_USER", "0"),
    ]
    .into_iter()
    .chain(database.url().map(|url| ("DATABASE_URL", url)))
    .filter(|(name, _)| !settings.iter().any(|(asked, _)| asked == name))
    .chain(settings.iter().copied())
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .collect();
    // An empty value counts as unset, so a test can remove a default with it.
    all.retain(|(_, value)| !value.is_empty());
    all
}

//! A server that a test starts, ends in both ways and starts again.

use std::{env, net::Ipv4Addr, path::PathBuf};

use grpcchatter_client::Client;
use grpcchatter_testbed::{ReservedPort, built_program};
use tempfile::TempDir;
use tokio::process::Command;

/// Meets the rules for a password.
pub(crate) const PASSWORD: &str = "Secret-1!";

/// A server on a folder and a port of its own. It is killed with its test.
pub(crate) struct Server {
    server: grpcchatter_testbed::Server,
    pub(crate) url: String,
    _data: TempDir,
    _port: ReservedPort,
}

/// The server's program: named, or built beside the tests.
fn program() -> Option<PathBuf> {
    env::var_os("GRPCCHATTER_SERVER").map_or_else(|| built("grpcchatter"), |named| there(named.into()))
}

/// A program that a build of the workspace puts beside the tests.
pub(crate) fn built(name: &str) -> Option<PathBuf> {
    there(built_program(name).unwrap())
}

#[expect(clippy::print_stderr, reason = "the developer must see what was not tested")]
fn there(program: PathBuf) -> Option<PathBuf> {
    if program.exists() {
        return Some(program);
    }
    assert!(env::var_os("REQUIRE_SERVER").is_none(), "there is no {}", program.display());
    eprintln!("NOT TESTED: there is no {}", program.display());
    None
}

impl Drop for Server {
    /// Prints the end of the server's log if the test has failed.
    #[expect(clippy::print_stderr, reason = "the developer must see why the test failed")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the end of the server's log: {}", self.server.log_tail());
        }
    }
}

impl Server {
    /// Starts the server with settings of the test's own; `None` where there is no program.
    pub(crate) async fn start(settings: &[&str]) -> Option<Self> {
        Self::with(settings, Vec::new()).await
    }

    /// Starts the server with settings that have no flag, or are made by the test.
    pub(crate) async fn with(settings: &[&str], environment: Vec<(&'static str, String)>) -> Option<Self> {
        let (mut command, data) = (Command::new(program()?), tempfile::tempdir().unwrap());
        let port = ReservedPort::on(Ipv4Addr::LOCALHOST).unwrap();
        command
            .env_clear()
            .envs(environment)
            .args(["--server-port", &port.number().to_string(), "--log-level", "warn", "--data-dir"])
            .arg(data.path())
            .args(["--messages-per-second=0", "--registrations-per-hour=0", "--guesses-per-hour=0"])
            .args(settings);
        let server = grpcchatter_testbed::Server::start(command).await.unwrap();
        Some(Self { url: server.url().to_owned(), server, _data: data, _port: port })
    }

    /// Kills it, as a crash or the lack of memory would, and starts it on the same port.
    pub(crate) async fn crash(&mut self) {
        self.server.kill().await.unwrap();
        self.server.start_again().await.unwrap();
    }

    /// Ends it as an operator does, waits until it has drained, and starts it on the same port.
    pub(crate) async fn restart(&mut self) {
        assert!(self.server.stop().await.unwrap().success(), "{}", self.server.log());
        self.server.start_again().await.unwrap();
    }

    /// Somebody who has an account and is logged in.
    pub(crate) async fn user(&self, name: &str) -> Client {
        user_at(&self.url, name).await
    }
}

/// Somebody who has an account at what answers there, and is logged in.
pub(crate) async fn user_at(url: &str, name: &str) -> Client {
    let client = Client::new_at(url).unwrap();
    client.register(name, PASSWORD).await.unwrap();
    client.login(name, PASSWORD).await.unwrap();
    client
}

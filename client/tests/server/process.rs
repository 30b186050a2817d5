//! A server that a test starts, ends in both ways and starts again.

use std::{
    env,
    io::{BufRead as _, BufReader},
    net::Ipv4Addr,
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use grpcchatter_client::Client;
use tempfile::TempDir;

use crate::port::KeptPort;

/// Meets the rules for a password.
pub(crate) const PASSWORD: &str = "Secret-1!";

pub(crate) struct Server {
    program: PathBuf,
    data: TempDir,
    settings: &'static [&'static str],
    environment: Vec<(&'static str, String)>,
    running: Option<Child>,
    pub(crate) url: String,
    port: KeptPort,
}

/// The server's program: named, or built beside the tests.
fn program() -> Option<PathBuf> {
    env::var_os("GRPCCHATTER_SERVER").map_or_else(|| built("grpcchatter"), |named| there(named.into()))
}

/// A program that a build of the workspace puts beside the tests.
pub(crate) fn built(name: &str) -> Option<PathBuf> {
    let tests = env::current_exe().unwrap();
    there(tests.parent()?.parent()?.join(format!("{name}{}", env::consts::EXE_SUFFIX)))
}

#[expect(clippy::print_stderr, reason = "whoever runs the tests must see what was not tested")]
fn there(program: PathBuf) -> Option<PathBuf> {
    if program.exists() {
        return Some(program);
    }
    assert!(env::var_os("REQUIRE_SERVER").is_none(), "there is no {}", program.display());
    eprintln!("NOT TESTED: there is no {}", program.display());
    None
}

impl Server {
    /// Starts the server with settings of the test's own; `None` where there is no program.
    pub(crate) fn start(settings: &'static [&'static str]) -> Option<Self> {
        Self::with(settings, Vec::new())
    }

    /// Starts the server with settings that have no flag, or are made by the test.
    pub(crate) fn with(
        settings: &'static [&'static str],
        environment: Vec<(&'static str, String)>,
    ) -> Option<Self> {
        let (program, data) = (program()?, tempfile::tempdir().unwrap());
        let port = KeptPort::on(Ipv4Addr::LOCALHOST.into());
        let mut server =
            Self { program, data, settings, environment, running: None, url: String::new(), port };
        server.spawn();
        Some(server)
    }

    /// Kills it, as a crash or the lack of memory would, and starts it on the same port.
    pub(crate) fn crash(&mut self) {
        self.kill();
        self.spawn();
    }

    /// Ends it as an operator does, waits until it has drained, and starts it on the same port.
    pub(crate) fn restart(&mut self) {
        let mut running = self.running.take().unwrap();
        let told = Command::new("kill").args(["-TERM", &running.id().to_string()]).status().unwrap();
        assert!(told.success() && running.wait().unwrap().success());
        self.spawn();
    }

    fn spawn(&mut self) {
        let port = self.port.number().to_string();
        let limits = ["messages-per-second", "registrations-per-hour", "guesses-per-hour"];
        let mut child = Command::new(&self.program)
            .env_clear()
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .args(["--server-port", &port, "--log-level", "warn", "--data-dir"])
            .arg(self.data.path())
            .args(limits.iter().flat_map(|name| [format!("--{name}"), "0".to_owned()]))
            .args(self.settings)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut announced = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut announced).unwrap();
        self.running = Some(child);
        self.url = announced.split_whitespace().last().unwrap().trim_end_matches('/').to_owned();
    }

    fn kill(&mut self) {
        if let Some(mut running) = self.running.take() {
            running.kill().unwrap();
            running.wait().unwrap();
        }
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

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

//! A user's home folder, the program run in it, and its results.

use std::{process::Stdio, time::Duration};

use grpcchatter_client::Client;
use tempfile::TempDir;
use tokio::{
    io::AsyncWriteExt as _,
    process::{Child, Command},
    time::timeout,
};

use crate::process::{PASSWORD, Server};

/// The timeout for what is immediate on an idle machine.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(60);
/// An address without a listener: the port of tcpmux.
pub(crate) const UNREACHABLE_URL: &str = "http://127.0.0.1:1";

/// A home folder, empty at first.
pub(crate) struct Home(pub(crate) TempDir);

/// The result of a command.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Output {
    /// The output of a command that succeeded without a word on standard error.
    pub(crate) fn ok(self) -> String {
        assert_eq!((self.code, self.err.as_str()), (0, ""), "{}", self.out);
        self.out
    }

    /// Asserts that the command failed with this code, printed nothing, and wrote one line with these words to
    /// standard error.
    pub(crate) fn failed(self, code: i32, words: &str) {
        assert_eq!((self.code, self.out.as_str()), (code, ""), "{}", self.err);
        assert!(self.err.starts_with("chatter: ") && self.err.lines().count() == 1, "{}", self.err);
        assert!(self.err.contains(words), "{}", self.err);
        assert!(!self.err.contains(PASSWORD), "{}", self.err);
    }
}

impl Home {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_chatter"));
        command.env_clear().env("HOME", self.0.path()).env("TZ", "UTC").args(args);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command
    }

    pub(crate) async fn run(&self, args: &[&str]) -> Output {
        output_of(self.command(args).spawn().unwrap()).await
    }

    /// Runs a command with this standard input.
    pub(crate) async fn run_with_input(&self, input: &str, args: &[&str]) -> Output {
        let mut child = self.command(args).stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).await.unwrap();
        output_of(child).await
    }

    pub(crate) async fn log_in(&self, url: &str, name: &str) {
        let login =
            self.run_with_input(&format!("{PASSWORD}\n"), &["login", url, name, "--password-stdin"]).await;
        assert_eq!(login.ok(), "");
    }
}

pub(crate) async fn output_of(child: Child) -> Output {
    let output = timeout(TIMEOUT, child.wait_with_output()).await.expect("the command ends").unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Output { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
}

/// A server with a room of Anna's, and her home folder, logged in.
pub(crate) async fn anna() -> Option<(Server, Home, Client, String)> {
    let server = Server::start(&[]).await?;
    let client = server.user("anna01").await;
    let code = client.create_chat_room("High mountains", "").await.unwrap().short_code;
    client.join_chat_room(&code, "").await.unwrap();
    let home = Home::new();
    home.log_in(&server.url, "anna01").await;
    Some((server, home, client, code))
}

pub(crate) fn json(line: &str) -> serde_json::Value {
    serde_json::from_str(line).unwrap()
}

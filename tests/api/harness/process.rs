//! The real program, as a process that can be killed.

use std::{
    net::SocketAddr,
    os::fd::OwnedFd,
    path::PathBuf,
    process::{ExitStatus, Stdio},
};

use grpcchatter_testbed::{LineFilter, Server};
use rustix::process::Signal;
use tempfile::TempDir;
use tokio::{io::AsyncWriteExt as _, process::Command};

use super::{Caller, Database, User, app::with_defaults, log, within};

const PROGRAM: &str = env!("CARGO_BIN_EXE_grpcchatter");

/// The levels that a test does not read unless it asks for them, as they stand in a line for people and for programs.
const FINER: [&str; 4] = [" TRACE ", " DEBUG ", "\"level\":\"TRACE\"", "\"level\":\"DEBUG\""];

/// A running server. It is killed when it is dropped.
pub(crate) struct Process {
    server: Server,
    _searched: log::Searched,
}

impl Process {
    /// Starts the program on a folder, and returns once it says where it listens.
    pub(crate) async fn start(database: &Database, folder: &TempDir, settings: &[(&str, &str)]) -> Self {
        let program = Command::new(PROGRAM);
        Self::run(program, Stdio::null(), database, folder, settings).await
    }

    /// Starts the program as systemd does with a socket that it has bound: as file descriptor 3.
    pub(crate) async fn activated(
        database: &Database,
        folder: &TempDir,
        socket: std::net::TcpListener,
    ) -> Self {
        let mut shell = Command::new("/bin/sh");
        let script = "exec 3<&0 </dev/null; export LISTEN_FDS=1 LISTEN_PID=$$; exec \"$0\"";
        shell.args(["-c", script, PROGRAM]);
        Self::run(shell, OwnedFd::from(socket).into(), database, folder, &[]).await
    }

    /// Starts the program after a command of the shell, as `ulimit`.
    pub(crate) async fn after(
        command: &str,
        database: &Database,
        folder: &TempDir,
        settings: &[(&str, &str)],
    ) -> Self {
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", &format!("{command} && exec \"$0\""), PROGRAM]);
        Self::run(shell, Stdio::null(), database, folder, settings).await
    }

    async fn run(
        program: Command,
        stdin: Stdio,
        database: &Database,
        folder: &TempDir,
        settings: &[(&str, &str)],
    ) -> Self {
        let mut server = spawn(program, stdin, database, folder, settings);
        server.listens().await.unwrap();
        Self { server, _searched: log::Searched }
    }

    /// Runs the program where it cannot serve, and returns how it ended and what it said.
    pub(crate) async fn fail(
        database: &Database,
        folder: &TempDir,
        settings: &[(&str, &str)],
    ) -> (i32, String) {
        Self::fail_by(Command::new(PROGRAM), database, folder, settings).await
    }

    /// The same as somebody who may not do everything: root, as whom tests run in containers, is refused nothing.
    pub(crate) async fn fail_unprivileged(
        database: &Database,
        folder: &TempDir,
        settings: &[(&str, &str)],
    ) -> (i32, String) {
        let mut program = Command::new(PROGRAM);
        if rustix::process::getuid().is_root() {
            program = Command::new("setpriv");
            program.args(["--reuid=65534", "--regid=65534", "--clear-groups", PROGRAM]);
        }
        Self::fail_by(program, database, folder, settings).await
    }

    async fn fail_by(
        program: Command,
        database: &Database,
        folder: &TempDir,
        settings: &[(&str, &str)],
    ) -> (i32, String) {
        let mut server = spawn(program, Stdio::null(), database, folder, settings);
        let status = server.wait().await.unwrap();
        let said = server.log();
        (status.code().unwrap_or_else(|| panic!("{status}: {said}")), said)
    }

    /// Runs a command to its end with this input, and returns the exit code and what it printed and complained.
    pub(crate) async fn command(
        database: &Database,
        folder: &TempDir,
        arguments: &[&str],
        input: &str,
    ) -> (i32, String, String) {
        Self::command_with(database, folder, arguments, input, &[]).await
    }

    /// The same with these settings before all others.
    pub(crate) async fn command_with(
        database: &Database,
        folder: &TempDir,
        arguments: &[&str],
        input: &str,
        settings: &[(&str, &str)],
    ) -> (i32, String, String) {
        let mut child = Command::new(PROGRAM)
            .args(arguments)
            .env_clear()
            .envs(with_defaults(database, folder.path(), settings))
            .current_dir(folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        // A command that takes no input may have ended before it comes.
        drop(child.stdin.take().unwrap().write_all(input.as_bytes()).await);
        let output = within("the command's end", child.wait_with_output()).await.unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let complaints = text(output.stderr);
        log::search(&complaints);
        (output.status.code().unwrap(), text(output.stdout), complaints)
    }

    /// Returns where it listens.
    pub(crate) const fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Returns its folder in /proc.
    pub(crate) fn proc(&self) -> PathBuf {
        self.server.proc().unwrap()
    }

    /// Returns somebody without a token.
    pub(crate) fn anonymous(&self) -> Caller {
        Caller::anonymous(self.address())
    }

    /// Returns somebody new with an account, logged in.
    pub(crate) async fn user(&self) -> User {
        User::register(&self.anonymous()).await
    }

    /// Ends it without any warning, and returns all that it had logged.
    pub(crate) async fn kill(mut self) -> String {
        self.server.kill().await.unwrap();
        self.server.log()
    }

    /// Asks it to end.
    pub(crate) fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        self.server.signal(signal).unwrap();
    }

    /// Awaits a line of its log with this text that was not there at the last such wait, and returns it.
    pub(crate) async fn says(&mut self, text: &str) -> String {
        within(text, self.server.logs(text)).await.unwrap()
    }

    /// Awaits its end, and returns how it ended and all that it had logged.
    pub(crate) async fn wait(mut self) -> (ExitStatus, String) {
        let status = self.server.wait().await.unwrap();
        (status, self.server.log())
    }
}

/// Starts the program with nothing but these settings in its environment. It logs at the finest level, so that all of it
/// is searched; what is finer than usual is kept only where the test has asked for it.
fn spawn(
    mut program: Command,
    stdin: Stdio,
    database: &Database,
    folder: &TempDir,
    settings: &[(&str, &str)],
) -> Server {
    let searched_and_kept: LineFilter = |line| {
        log::search(line);
        true
    };
    let searched: LineFilter = |line| {
        log::search(line);
        !FINER.iter().any(|level| line.contains(level))
    };
    let keeps_all = settings.iter().any(|(name, _)| *name == "LOG_LEVEL");
    program
        .env_clear()
        .env("LOG_LEVEL", "trace")
        .envs(with_defaults(database, folder.path(), settings))
        .current_dir(folder.path())
        .stdin(stdin);
    Server::spawn(program, if keeps_all { searched_and_kept } else { searched }).unwrap()
}

//! The real program, as a process that can be killed.

use std::{
    net::SocketAddr,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, AsyncWriteExt as _, BufReader},
    process::{Child, Command},
    sync::Notify,
    task::JoinHandle,
};

use super::{Caller, Database, User, app::with_defaults, log, within};

const PROGRAM: &str = env!("CARGO_BIN_EXE_grpcchatter");

/// The levels that a test does not read unless it asks for them, as they stand in a line for people and for programs.
const FINER: [&str; 4] = [" TRACE ", " DEBUG ", "\"level\":\"TRACE\"", "\"level\":\"DEBUG\""];

/// A running server. It is killed when it is dropped.
pub(crate) struct Process {
    child: Child,
    address: SocketAddr,
    output: Output,
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
        let (mut child, output) = spawn(program, stdin, database, folder, settings);
        let address = within("the address in the log", output.address()).await;
        let Some(address) = address else {
            panic!("the program ended: {:?} {}", child.wait().await, output.text());
        };
        Self { child, address, output, _searched: log::Searched }
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
        let (mut child, output) = spawn(program, Stdio::null(), database, folder, settings);
        let status = within("the program's end", child.wait()).await.unwrap();
        let said = output.end().await;
        (status.code().unwrap_or_else(|| panic!("{status}: {said}")), said)
    }

    /// Runs a command to its end with this input, and returns the exit code and what it printed and complained.
    pub(crate) async fn command(
        database: &Database,
        folder: &TempDir,
        arguments: &[&str],
        input: &str,
    ) -> (i32, String, String) {
        let mut child = Command::new(PROGRAM)
            .args(arguments)
            .env_clear()
            .envs(with_defaults(database, folder.path(), &[]))
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
        self.address
    }

    /// Returns where Linux tells about it.
    pub(crate) fn proc(&self) -> PathBuf {
        Path::new("/proc").join(self.child.id().expect("it runs").to_string())
    }

    /// Returns somebody without a token.
    pub(crate) fn anonymous(&self) -> Caller {
        Caller::anonymous(self.address)
    }

    /// Returns somebody new with an account, logged in.
    pub(crate) async fn user(&self) -> User {
        User::register(&self.anonymous()).await
    }

    /// Ends it without any warning, and returns all that it had logged.
    pub(crate) async fn kill(mut self) -> String {
        self.child.kill().await.unwrap();
        self.output.end().await
    }

    /// Asks it to end.
    pub(crate) fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id().expect("it runs")).unwrap();
        kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
    }

    /// Awaits a line of its log with this text that was not there at the last such wait, and returns it.
    pub(crate) async fn says(&mut self, text: &str) -> String {
        within(text, self.output.says(text)).await
    }

    /// Awaits its end, and returns how it ended and all that it had logged.
    pub(crate) async fn wait(mut self) -> (ExitStatus, String) {
        let status = within("the program's end", self.child.wait()).await.unwrap();
        (status, self.output.end().await)
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
) -> (Child, Output) {
    let keeps_all = settings.iter().any(|(name, _)| *name == "LOG_LEVEL");
    let mut child = program
        .env_clear()
        .env("LOG_LEVEL", "trace")
        .envs(with_defaults(database, folder.path(), settings))
        .current_dir(folder.path())
        .stdin(stdin)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let output = Output::of(&mut child, keeps_all);
    (child, output)
}

/// All that a program says, on standard output and standard error, kept as it comes.
struct Output {
    said: Arc<Said>,
    /// How many lines were looked through by [`Self::says`].
    seen: usize,
    readers: [JoinHandle<()>; 2],
}

#[derive(Default)]
struct Said {
    lines: Mutex<Vec<String>>,
    /// How many of the two still may say something.
    open: AtomicUsize,
    changed: Notify,
}

impl Output {
    fn of(child: &mut Child, keeps_all: bool) -> Self {
        let said = Arc::new(Said { open: AtomicUsize::new(2), ..Said::default() });
        let out = keep(child.stdout.take().unwrap(), &said, keeps_all);
        let err = keep(child.stderr.take().unwrap(), &said, keeps_all);
        Self { said, seen: 0, readers: [out, err] }
    }

    fn text(&self) -> String {
        self.said.lines.lock().unwrap().join("\n")
    }

    /// Awaits the line that names the address; nothing where the program ends without it.
    async fn address(&self) -> Option<SocketAddr> {
        loop {
            let ended = self.said.open.load(Ordering::Acquire) == 0;
            let found = self.text().split("open http").skip(1).find_map(|rest| {
                let rest = rest.trim_start_matches('s').strip_prefix("://")?;
                let end = rest.find(|c: char| !(c.is_ascii_digit() || ".:[]".contains(c)));
                rest[..end.unwrap_or(rest.len())].parse().ok()
            });
            if found.is_some() || ended {
                return found;
            }
            self.said.changed.notified().await;
        }
    }

    /// Awaits the next line with this text.
    async fn says(&mut self, text: &str) -> String {
        loop {
            let ended = self.said.open.load(Ordering::Acquire) == 0;
            let lines = self.said.lines.lock().unwrap()[self.seen..].to_vec();
            if let Some(at) = lines.iter().position(|line| line.contains(text)) {
                self.seen += at + 1;
                return lines[at].clone();
            }
            assert!(!ended, "the program ended without {text}: {}", self.text());
            self.said.changed.notified().await;
        }
    }

    /// Awaits the end of all that is said.
    async fn end(self) -> String {
        for reader in self.readers {
            within("the end of the log", reader).await.unwrap();
        }
        self.said.lines.lock().unwrap().join("\n")
    }
}

/// Looks at each line that comes, and keeps it.
fn keep(from: impl AsyncRead + Unpin + Send + 'static, said: &Arc<Said>, keeps_all: bool) -> JoinHandle<()> {
    let said = Arc::clone(said);
    let mut reader = BufReader::new(from).lines();
    tokio::spawn(async move {
        while let Ok(Some(line)) = reader.next_line().await {
            log::search(&line);
            if !keeps_all && FINER.iter().any(|level| line.contains(level)) {
                continue;
            }
            said.lines.lock().unwrap().push(line);
            said.changed.notify_one();
        }
        said.open.fetch_sub(1, Ordering::Release);
        said.changed.notify_one();
    })
}

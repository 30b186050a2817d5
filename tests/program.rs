//! The program from outside: its output, its errors, and its exit codes, on which scripts rely.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Output, Stdio},
};

/// A test's own folder, the working directory of its programs. It is removed when dropped.
struct Folder(PathBuf);

impl Folder {
    fn new(test: &str) -> Self {
        let path = std::env::temp_dir().join(format!("grpcchatter-{test}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// Returns the program with these arguments, in this folder, with an empty environment.
    fn program(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_grpcchatter"));
        command.args(arguments).env_clear().current_dir(&self.0).stdin(Stdio::null());
        command
    }

    /// Runs the program. Returns its exit code and stderr.
    fn run(&self, arguments: &[&str]) -> (i32, String) {
        let Output { status, stderr, .. } = self.program(arguments).output().unwrap();
        (status.code().unwrap(), String::from_utf8(stderr).unwrap())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

/// A running server, after it has printed its URL. It is killed when dropped.
struct Server {
    child: Child,
    stdout: BufReader<ChildStdout>,
    url: String,
}

impl Server {
    fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        // The line is JSON if the log is.
        let announcement = match serde_json::from_str::<serde_json::Value>(&line) {
            Ok(event) => event["message"].as_str().unwrap_or_default().to_owned(),
            Err(_) => line,
        };
        let url =
            announcement.trim().strip_prefix("open ").expect("the first line is the URL to open").to_owned();
        Self { child, stdout, url }
    }

    /// Sends SIGTERM. Returns the exit code and the log.
    fn terminate(mut self) -> (i32, String) {
        let sent = Command::new("kill").arg(self.child.id().to_string()).status().unwrap();
        assert!(sent.success());
        let mut log = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
        self.stdout.read_to_string(&mut String::new()).unwrap();
        (self.child.wait().unwrap().code().unwrap(), log)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn exists(folder: &Folder, file: &str) -> bool {
    Path::new(&folder.0).join(file).exists()
}

#[test]
fn in_an_empty_folder_it_prints_its_url_and_exits_with_0_on_sigterm() {
    let folder = Folder::new("empty");
    let server = Server::start(folder.program(&["--server-port", "0"]));
    assert!(server.url.starts_with("http://127.0.0.1:") && server.url.ends_with('/'), "{}", server.url);
    assert!(exists(&folder, "data/lock"));
    let (code, log) = server.terminate();
    assert_eq!(code, 0, "{log}");
    assert!(log.contains("SIGTERM received"), "{log}");
}

#[test]
fn a_development_certificate_is_generated() {
    let folder = Folder::new("self-signed");
    let server = Server::start(folder.program(&["--server-port=0", "--tls-self-signed"]));
    assert!(server.url.starts_with("https://127.0.0.1:"), "{}", server.url);
    let port = server.url.trim_end_matches('/').rsplit_once(':').unwrap().1;
    let checked = folder.run(&["healthcheck", "--tls-self-signed", "--server-port", port]);
    assert_eq!(checked.0, 0, "{}", checked.1);
    let (code, log) = server.terminate();
    assert_eq!(code, 0, "{log}");
    assert!(log.contains("TLS is on") && log.contains("sha256="), "{log}");
    let both = folder.run(&["--tls-self-signed", "--tls-cert=a.pem", "--tls-key=b.pem"]);
    assert_eq!((both.0, both.1.contains("both are given")), (64, true), "{}", both.1);
}

#[test]
fn a_folder_replaces_the_built_in_page() {
    let folder = Folder::new("web-dir");
    let (code, stderr) = folder.run(&["serve", "--server-port=0", "--web-dir=."]);
    assert_eq!((code, stderr.contains("holds no index.html")), (64, true), "{stderr}");
    fs::write(folder.0.join("index.html"), "mine").unwrap();
    let server = Server::start(folder.program(&["serve", "--server-port=0", "--web-dir=."]));
    let mut socket =
        TcpStream::connect(server.url.trim_start_matches("http://").trim_end_matches('/')).unwrap();
    socket.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.0 200 ") && answer.ends_with("mine"), "{answer}");
    assert_eq!(server.terminate().0, 0);
}

#[test]
fn serve_is_the_default_subcommand() {
    let folder = Folder::new("serve");
    let server = Server::start(folder.program(&["serve", "--server-port=0", "--server-address=0.0.0.0"]));
    assert!(server.url.starts_with("http://127.0.0.1:"), "no URL: {}", server.url);
    assert_eq!(server.terminate().0, 0);
}

#[test]
fn the_log_names_the_settings_file() {
    let folder = Folder::new("file");
    fs::create_dir(folder.0.join("configs")).unwrap();
    fs::write(folder.0.join("configs/default_config.env"), "SERVER_PORT=0\nLOG_FORMAT=json\n").unwrap();
    let (code, log) = Server::start(folder.program(&[])).terminate();
    assert_eq!(code, 0, "{log}");
    assert!(log.contains(r#""file":"configs/default_config.env""#), "{log}");
}

#[test]
fn wrong_flags_and_wrong_settings_exit_with_64() {
    let folder = Folder::new("wrong");
    for arguments in [&["--no-such-flag"][..], &["no-such-command"], &["--server-port"]] {
        assert_eq!(folder.run(arguments).0, 64, "{arguments:?}");
    }
    let (code, stderr) = folder.run(&["--server-port=x", "--token-duration=1"]);
    assert_eq!(code, 64);
    assert!(
        stderr.contains("SERVER_PORT in the flags") && stderr.contains("TOKEN_DURATION in the flags"),
        "{stderr}"
    );
    assert!(!exists(&folder, "data"), "a folder was created before the settings were right");
}

#[test]
fn flags_are_accepted_before_and_after_a_command() {
    let folder = Folder::new("before");
    fs::write(folder.0.join("settings.env"), "SERVER_PORT=9\n").unwrap();
    for (arguments, address) in [
        (&["--config", "settings.env", "check-config"][..], "127.0.0.1:9"),
        (&["--config=settings.env", "--server-port=8", "check-config"], "127.0.0.1:8"),
        (&["--server-port=8", "check-config", "--server-port=7"], "127.0.0.1:7"),
    ] {
        let output = folder.program(arguments).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!((output.status.code(), text.contains(address)), (Some(0), true), "{arguments:?}: {text}");
    }
    let (code, stderr) = folder.run(&["--data-dir=elsewhere", "room", "list"]);
    assert_eq!((code, stderr.contains("elsewhere/grpcchatter.db")), (69, true), "{stderr}");
    for arguments in [
        &["--server-port=8", "secret"][..],
        &["--web-dir=.", "user", "add", "walker1"],
        &["user", "add", "walker1", "--max-connections=7"],
    ] {
        let (code, stderr) = folder.run(arguments);
        assert_eq!((code, stderr.contains("does not apply to")), (64, true), "{arguments:?}: {stderr}");
    }
    assert_eq!(folder.run(&["user", "add", "walker1", "--no-such-flag"]).0, 64);
}

#[test]
fn a_secret_on_the_command_line_is_refused_and_not_printed() {
    let folder = Folder::new("flags");
    for arguments in [
        &["--secret", "cAnary"][..],
        &["--secret=cAnary"],
        &["check-config", "--database-url", "postgres://u:cAnary@h/d"],
        &["--metrics-token=cAnary", "serve"],
    ] {
        let (code, stderr) = folder.run(arguments);
        assert_eq!((code, stderr.contains("is not a flag")), (64, true), "{arguments:?}: {stderr}");
        assert!(!stderr.contains("cAnary"), "{stderr}");
    }
    assert!(folder.run(&["--secret=x"]).1.contains("SECRET_FILE"));
}

#[test]
fn a_misspelt_setting_is_reported() {
    let folder = Folder::new("close");
    let output =
        folder.program(&["check-config"]).env("SERVER_PROT", "1").env("SERVER_NAME", "x").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(
        text.contains("SERVER_PROT in the environment is not a setting")
            && text.contains("did you mean SERVER_PORT"),
        "{text}"
    );
    assert!(!text.contains("SERVER_NAME"), "{text}");
    let mut served = folder.program(&["--server-port=0"]);
    served.env("DATA_DIRS", "x");
    let (code, log) = Server::start(served).terminate();
    assert_eq!((code, log.contains("WARN")), (0, true), "{log}");
    assert!(log.contains("DATA_DIRS in the environment is not a setting"), "{log}");
}

/// Commands that print something.
const PRINTING: [&[&str]; 8] = [
    &["--help"],
    &["--version"],
    &["user", "--help"],
    &["completions", "bash"],
    &["man"],
    &["openapi"],
    &["secret"],
    &["check-config"],
];

#[test]
fn a_closed_output_ends_quietly() {
    let folder = Folder::new("unread");
    for arguments in PRINTING {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = folder.program(arguments).stdout(writer).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), stderr.as_str()), (Some(0), ""), "{arguments:?}");
    }
}

#[test]
fn an_output_that_cannot_be_written_exits_with_74() {
    let folder = Folder::new("full");
    for arguments in PRINTING {
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = folder.program(arguments).stdout(full).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(74), "{arguments:?}: {stderr}");
        assert!(stderr.starts_with("grpcchatter: the output cannot be written: "), "{stderr}");
    }
}

#[test]
fn help_and_version_exit_with_0() {
    let folder = Folder::new("help");
    let help = folder.program(&["--help"]).output().unwrap();
    let text = String::from_utf8(help.stdout).unwrap();
    assert_eq!(help.status.code(), Some(0));
    assert!(text.contains("--max-message-size <SIZE>") && !text.contains("--database-url"), "{text}");
    assert_eq!(folder.run(&["--version"]).0, 0);
}

#[test]
fn every_command_has_help() {
    let folder = Folder::new("helps");
    for command in [
        &["serve"][..],
        &["migrate"],
        &["check-config"],
        &["healthcheck"],
        &["backup"],
        &["user"],
        &["user", "add"],
        &["user", "disable"],
        &["user", "enable"],
        &["user", "reset-password"],
        &["room"],
        &["room", "list"],
        &["room", "delete"],
        &["secret"],
        &["openapi"],
        &["completions"],
        &["man"],
    ] {
        let help = folder.program(&[command, &["--help"]].concat()).output().unwrap();
        let text = String::from_utf8(help.stdout).unwrap();
        assert_eq!(help.status.code(), Some(0), "{command:?}");
        assert!(text.contains("Usage: grpcchatter") && text.lines().next().unwrap().len() > 10, "{text}");
        assert!(text.contains("Exit codes: 0 done") && text.contains("130 "), "{command:?}: {text}");
    }
}

#[test]
fn check_config_checks_the_settings_without_serving() {
    let folder = Folder::new("check");
    let good = folder.program(&["check-config", "--server-port=7"]).output().unwrap();
    let text = String::from_utf8(good.stdout).unwrap();
    assert_eq!((good.status.code(), text.contains("127.0.0.1:7")), (Some(0), true), "{text}");
    let (code, stderr) = folder.run(&["check-config", "--server-port=x", "--tls-cert=a"]);
    assert_eq!(
        (code, stderr.contains("SERVER_PORT"), stderr.contains("TLS_KEY")),
        (64, true, true),
        "{stderr}"
    );
    assert!(!exists(&folder, "data"), "the check created a folder");
}

#[test]
fn secrets_completions_and_manuals_are_printed() {
    let folder = Folder::new("papers");
    let print = |arguments: &[&str]| {
        let output = folder.program(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let [one, other] = [(); 2].map(|()| print(&["secret"]));
    assert!(one.trim().len() == 64 && one != other, "{one}{other}");
    assert!(print(&["openapi"]).contains(r#""openapi": "3.1.0""#));
    assert!(print(&["completions", "bash"]).contains("check-config"));
    assert!(print(&["man"]).contains(".TH grpcchatter"));
    print(&["man", "pages"]);
    assert!(exists(&folder, "pages/grpcchatter-check-config.1"));
    fs::write(folder.0.join("file"), "").unwrap();
    assert_eq!(folder.run(&["man", "file"]).0, 73);
}

#[test]
fn a_second_process_on_the_same_data_folder_exits_with_75() {
    let folder = Folder::new("second");
    let server = Server::start(folder.program(&["--server-port=0"]));
    let (code, stderr) = folder.run(&["--server-port=0"]);
    assert_eq!((code, stderr.contains("another process is using the data folder")), (75, true), "{stderr}");
    assert_eq!(server.terminate().0, 0);
}

#[test]
fn a_port_in_use_exits_with_75() {
    let folder = Folder::new("port");
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = holder.local_addr().unwrap().port().to_string();
    let (code, stderr) = folder.run(&["--server-port", &port]);
    assert_eq!((code, stderr.contains(&port)), (75, true), "{stderr}");
}

#[test]
fn an_address_of_no_interface_is_reported_with_its_setting() {
    let folder = Folder::new("address");
    let (code, stderr) = folder.run(&["--server-address=192.0.2.1", "--server-port=0"]);
    assert_eq!((code, stderr.contains("SERVER_ADDRESS")), (75, true), "{stderr}");
    assert!(
        stderr.contains("no interface of this machine has") && !stderr.contains("stop the process that uses"),
        "{stderr}"
    );
}

#[test]
fn a_data_folder_that_cannot_be_created_exits_with_73() {
    let folder = Folder::new("folder");
    fs::write(folder.0.join("file"), "").unwrap();
    let (code, stderr) = folder.run(&["--server-port=0", "--data-dir=file/data"]);
    assert_eq!((code, stderr.contains("DATA_DIR")), (73, true), "{stderr}");
}

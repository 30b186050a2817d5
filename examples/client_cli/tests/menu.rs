//! The menu as a user sees it, in a terminal, against the server's binary.
//!
//! util-linux's `script` provides the terminal: a password is read from the terminal, not from standard input.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

#[path = "../../../client/tests/server/process.rs"]
#[expect(dead_code, reason = "nothing is killed here")]
mod process;

use std::{fs, process::Stdio, time::Duration};

use process::{PASSWORD, Server};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::timeout,
};

/// The timeout for what is immediate on an idle machine.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The example in a terminal.
struct Terminal {
    child: Child,
    keys: ChildStdin,
    screen: ChildStdout,
    /// Output that was not waited for yet.
    unread: String,
    /// All output.
    output: String,
}

impl Terminal {
    fn open(url: &str) -> Self {
        let command = format!("{} {url}", env!("CARGO_BIN_EXE_client_cli"));
        let mut child = Command::new("script")
            .args(["--quiet", "--return", "--command", &command, "/dev/null"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let (keys, screen) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Self { child, keys, screen, unread: String::new(), output: String::new() }
    }

    /// Reads until these words are shown; returns the output before them.
    async fn read_until(&mut self, words: &str) -> String {
        loop {
            if let Some(start) = self.unread.find(words) {
                let rest = self.unread.split_off(start + words.len());
                let mut before = std::mem::replace(&mut self.unread, rest);
                before.truncate(start);
                return before;
            }
            let mut part = [0; 4096];
            let read = timeout(TIMEOUT, self.screen.read(&mut part)).await;
            let read =
                read.unwrap_or_else(|_| panic!("{words:?} does not come after {:?}", self.output)).unwrap();
            assert!(read > 0, "{words:?} did not come: {}", self.output);
            let part = String::from_utf8_lossy(&part[..read]).into_owned();
            self.unread += &part;
            self.output += &part;
        }
    }

    /// Answers a question once it is shown.
    async fn answer(&mut self, question: &str, answer: &str) {
        self.read_until(&format!("{question}: ")).await;
        if question.to_lowercase().ends_with("password") {
            timeout(TIMEOUT, self.echo_ends()).await.expect("typed input is hidden");
        }
        self.type_line(answer).await;
    }

    /// Returns once the terminal does not echo input. The question appears shortly before that, and a test types
    /// faster than a person.
    async fn echo_ends(&self) {
        let script = self.child.id().unwrap();
        let children = fs::read_to_string(format!("/proc/{script}/task/{script}/children")).unwrap();
        let child = children.split(' ').next().unwrap();
        let terminal = fs::read_link(format!("/proc/{child}/fd/0")).unwrap();
        loop {
            let settings = Command::new("stty").arg("-a").arg("-F").arg(&terminal).output().await.unwrap();
            if String::from_utf8_lossy(&settings.stdout).contains(" -echo ") {
                return;
            }
        }
    }

    async fn type_line(&mut self, line: &str) {
        self.keys.write_all(format!("{line}\n").as_bytes()).await.unwrap();
    }

    async fn choose(&mut self, number: &str, answers: &[(&str, &str)]) {
        self.answer("Your choice", number).await;
        for (question, answer) in answers {
            self.answer(question, answer).await;
        }
    }
}

#[tokio::test]
async fn every_menu_entry_works() {
    let Some(server) = Server::start(&[]).await else { return };
    let mut anna = Terminal::open(&server.url);
    anna.choose("9", &[]).await;
    anna.read_until("There is no \"9\" in the menu.").await;
    anna.choose("2", &[("User name", "walker1"), ("Password", PASSWORD)]).await;
    anna.read_until("That did not work: ").await;
    anna.choose("1", &[("User name", "walker1"), ("Password", PASSWORD)]).await;
    anna.read_until("Welcome, walker1. Log in next.").await;
    anna.choose("2", &[("User name", "walker1"), ("Password", PASSWORD)]).await;
    anna.read_until("You are logged in.").await;
    let maker = server.user("maker01").await;
    let code = maker.create_chat_room("High mountains", "edelweiss").await.unwrap().short_code;
    anna.choose("5", &[("Short code", &code), ("Password", "edelweiss")]).await;
    anna.read_until("High mountains: ").await;
    anna.read_until("an empty line leaves.").await;

    let room = maker.join_chat_room(&code, "").await.unwrap();
    anna.type_line("hello").await;
    assert_eq!(room.receive().await.unwrap().body, "hello");
    room.send("good \u{1b}]0;morning").await.unwrap();
    anna.read_until("maker01: good ]0;morning").await;

    // The room is deleted while she is in it: the next line is for the menu and must not be sent.
    maker.delete_chat_room(&code).await.unwrap();
    anna.read_until("The chat is over: this room was deleted.").await;
    anna.choose("3", &[("Name of the room", "Kitchen"), ("Its password", "")]).await;
    anna.read_until("Tell your friends its short code: ").await;
    let code = anna.read_until("\n").await.trim().to_owned();
    anna.choose("5", &[("Short code", &code), ("Password", "")]).await;
    anna.read_until("an empty line leaves.").await;
    anna.type_line("").await;
    anna.choose("4", &[("Short code", &code)]).await;
    anna.read_until("The room is gone.").await;
    anna.choose("6", &[]).await;
    let ended = timeout(TIMEOUT, anna.child.wait()).await.expect("it ends").unwrap();
    assert!(ended.success());
    assert!(!anna.output.contains(PASSWORD) && !anna.output.contains("edelweiss"), "{}", anna.output);
}

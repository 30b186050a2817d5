//! The menu as a person uses it: on a terminal of its own, against the server's program.
//!
//! util-linux's `script` is that terminal, since a password is read from the terminal and not from the input.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

#[path = "../../../tests/api/harness/port.rs"]
mod port;
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

/// For what happens at once on an idle machine.
const LONG: Duration = Duration::from_secs(60);

/// The example on a terminal.
struct Terminal {
    child: Child,
    keys: ChildStdin,
    screen: ChildStdout,
    /// What was shown and not waited for yet.
    shown: String,
    /// All that was ever shown.
    whole: String,
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
        Self { child, keys, screen, shown: String::new(), whole: String::new() }
    }

    /// Reads until these words are shown; returns what came before them.
    async fn until(&mut self, words: &str) -> String {
        loop {
            if let Some(place) = self.shown.find(words) {
                let rest = self.shown.split_off(place + words.len());
                let mut before = std::mem::replace(&mut self.shown, rest);
                before.truncate(place);
                return before;
            }
            let mut part = [0; 4096];
            let read = timeout(LONG, self.screen.read(&mut part)).await;
            let read =
                read.unwrap_or_else(|_| panic!("{words:?} does not come after {:?}", self.whole)).unwrap();
            assert!(read > 0, "{words:?} did not come: {}", self.whole);
            let part = String::from_utf8_lossy(&part[..read]).into_owned();
            self.shown += &part;
            self.whole += &part;
        }
    }

    /// Answers a question once it is asked.
    async fn answer(&mut self, question: &str, answer: &str) {
        self.until(&format!("{question}: ")).await;
        if question.to_lowercase().ends_with("password") {
            timeout(LONG, self.echo_ends()).await.expect("what is typed is hidden");
        }
        self.say(answer).await;
    }

    /// Returns once the terminal shows nothing of what is typed. The question stands there a moment before that, and a
    /// program types quicker than people.
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

    async fn say(&mut self, line: &str) {
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
async fn two_people_use_every_line_of_the_menu() {
    let Some(server) = Server::start(&[]) else { return };
    let mut anna = Terminal::open(&server.url);
    anna.choose("9", &[]).await;
    anna.until("There is no \"9\" in the menu.").await;
    anna.choose("2", &[("User name", "walker1"), ("Password", PASSWORD)]).await;
    anna.until("That did not work: ").await;
    anna.choose("1", &[("User name", "walker1"), ("Password", PASSWORD)]).await;
    anna.until("Welcome, walker1. Log in next.").await;
    anna.choose("2", &[("User name", "walker1"), ("Password", PASSWORD)]).await;
    anna.until("You are logged in.").await;
    let maker = server.user("maker01").await;
    let code = maker.create_chat_room("High mountains", "edelweiss").await.unwrap().short_code;
    anna.choose("5", &[("Short code", &code), ("Password", "edelweiss")]).await;
    anna.until("High mountains: ").await;
    anna.until("an empty line leaves.").await;

    let room = maker.join_chat_room(&code, "").await.unwrap();
    anna.say("hello").await;
    assert_eq!(room.receive().await.unwrap().body, "hello");
    room.send("good \u{1b}]0;morning").await.unwrap();
    anna.until("maker01: good ]0;morning").await;

    // The room ends under her: the next line is for the menu, and is not said into nothing.
    maker.delete_chat_room(&code).await.unwrap();
    anna.until("The chat is over: this room was deleted.").await;
    anna.choose("3", &[("Name of the room", "Kitchen"), ("Its password", "")]).await;
    anna.until("Tell your friends its short code: ").await;
    let code = anna.until("\n").await.trim().to_owned();
    anna.choose("5", &[("Short code", &code), ("Password", "")]).await;
    anna.until("an empty line leaves.").await;
    anna.say("").await;
    anna.choose("4", &[("Short code", &code)]).await;
    anna.until("The room is gone.").await;
    anna.choose("6", &[]).await;
    let ended = timeout(LONG, anna.child.wait()).await.expect("it ends").unwrap();
    assert!(ended.success());
    assert!(!anna.whole.contains(PASSWORD) && !anna.whole.contains("edelweiss"), "{}", anna.whole);
}

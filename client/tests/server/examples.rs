//! The examples do what they say.

use std::{
    io::{Read as _, Write as _},
    path::Path,
    process::{Child, Command, Stdio},
};

use grpcchatter_client::{Event, Room};

use crate::process::{PASSWORD, Server, built};

/// Starts an example of this package. `cargo test` builds them where it is not asked for one program of tests alone.
fn example(name: &str, arguments: &[&str], folder: &Path) -> Option<Child> {
    let mut command = Command::new(built(&format!("examples/{name}"))?);
    command.args(arguments).current_dir(folder).env("CHAT_PASSWORD", PASSWORD);
    Some(command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap())
}

fn kill(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

/// The next message by somebody else.
async fn hear(room: &Room) -> String {
    loop {
        let message = room.receive().await.unwrap();
        if !message.is_own {
            return message.body;
        }
    }
}

#[tokio::test]
async fn the_echo_bot_answers_each_message_once_and_goes_on_where_it_stopped() {
    let Some(server) = Server::start(&[]).await else { return };
    let anna = server.user("anna01").await;
    server.user("echobot1").await;
    let code = anna.create_room("Mountains", "").await.unwrap().short_code;
    let room = anna.join(&code, "").await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let bot = || example("echo_bot", &[&server.url, "echobot1", &code, "place.json"], folder.path());

    let mut events = room.events();
    room.send("before it was there").await.unwrap();
    let Some(first) = bot() else { return };
    loop {
        if let Event::Came(user) = events.recv().await.unwrap()
            && user.name == "echobot1"
        {
            break;
        }
    }
    // It keeps its place after each: once it answers the second, it has one.
    for body in ["one", "two"] {
        room.send(body).await.unwrap();
        assert_eq!(hear(&room).await, body);
    }
    kill(first);
    room.send("while it was away").await.unwrap();
    let Some(second) = bot() else { return };
    // What it could not note before it was killed is said again under the id that it has, and stored once.
    assert_eq!(hear(&room).await, "while it was away");
    room.send("the end").await.unwrap();
    assert_eq!(hear(&room).await, "the end");
    kill(second);
}

#[tokio::test]
async fn the_outbox_sends_what_an_earlier_run_left_and_then_its_input() {
    let Some(server) = Server::start(&[]).await else { return };
    let anna = server.user("anna01").await;
    let code = anna.create_room("Mountains", "").await.unwrap().short_code;
    let room = anna.join(&code, "").await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    // It was stored, and the run before ended without having heard so.
    room.send_with_id("left", "one").await.unwrap();
    std::fs::write(folder.path().join("outbox.json"), r#"["left","one"]"#).unwrap();
    let child = example("outbox", &[&server.url, "anna01", &code, "outbox.json"], folder.path());
    let Some(mut child) = child else { return };
    child.stdin.take().unwrap().write_all(b"two\nthree\n").unwrap();
    assert!(child.wait().unwrap().success());
    let bodies: Vec<_> =
        room.newest_messages(10).await.unwrap().messages.into_iter().map(|it| it.body).collect();
    assert_eq!(bodies, ["one", "two", "three"]);
    assert!(!folder.path().join("outbox.json").exists());
}

#[cfg(feature = "blocking")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_blocking_example_says_and_shows() {
    let Some(server) = Server::start(&[]).await else { return };
    let (anna, ben) = (server.user("anna01").await, server.user("ben001").await);
    let code = anna.create_room("Mountains", "").await.unwrap().short_code;
    anna.join(&code, "").await.unwrap().send("hello").await.unwrap();
    ben.join(&code, "").await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let child = example("blocking", &[&server.url, "ben001", &code, "good morning"], folder.path());
    let Some(mut child) = child else { return };
    let mut shown = String::new();
    child.stdout.take().unwrap().read_to_string(&mut shown).unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(shown, "anna01: hello\nme: good morning\n");
}

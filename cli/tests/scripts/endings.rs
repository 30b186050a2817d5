//! How a tail ends when its user or its room is removed.

use std::fs::OpenOptions;

use grpcchatter_client::Client;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::Child,
    time::timeout,
};

use crate::home::{Home, TIMEOUT, anna, output_of};

/// Starts a tail of Ben's and waits until it follows the room.
async fn tail(home: &Home, code: &str) -> Child {
    let mut tail = home.command(&["tail", code, "-n", "1"]).spawn().unwrap();
    let mut lines = BufReader::new(tail.stdout.take().unwrap()).lines();
    let line = timeout(TIMEOUT, lines.next_line()).await.expect("it comes").unwrap().unwrap();
    assert!(line.ends_with(" anna01: hello"), "{line}");
    // The output stays open: a closed one would end the tail too.
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    tail
}

async fn ends(tail: Child, code: i32, words: &str) {
    let done = output_of(tail).await;
    assert_eq!(done.code, code, "{}", done.err);
    assert!(done.err.contains(words), "{}", done.err);
}

/// Anna with a room, and Ben, who has joined it.
async fn anna_and_ben() -> Option<(crate::process::Server, Client, Home, String)> {
    let (server, _, anna, code) = anna().await?;
    anna.join_chat_room(&code, "").await.unwrap().send("hello").await.unwrap();
    server.user("ben001").await;
    let ben = Home::new();
    ben.log_in(&server.url, "ben001").await;
    Some((server, anna, ben, code))
}

#[tokio::test]
async fn a_tail_ends_with_77_after_a_removal_and_66_after_a_deletion() {
    let Some((_server, anna, ben, code)) = anna_and_ben().await else { return };
    let reading = tail(&ben, &code).await;
    anna.remove_user(&code, "ben001").await.unwrap();
    ends(reading, 77, "no longer a member").await;

    let reading = tail(&ben, &code).await;
    anna.delete_chat_room(&code).await.unwrap();
    ends(reading, 66, "was deleted").await;
}

#[tokio::test]
async fn a_tail_ends_with_77_after_a_ban() {
    let Some((_server, anna, ben, code)) = anna_and_ben().await else { return };
    let reading = tail(&ben, &code).await;
    anna.ban_user(&code, "ben001").await.unwrap();
    ends(reading, 77, "").await;
    ben.run(&["tail", &code]).await.failed(77, "");
}

#[tokio::test]
async fn a_closed_pipe_is_success_and_a_full_disk_is_a_failure() {
    let home = Home::new();
    for args in [&["--help"][..], &["--version"], &["completions", "bash"], &["man"]] {
        let (reader, unread) = std::io::pipe().unwrap();
        drop(reader);
        let done = output_of(home.command(args).stdout(unread).spawn().unwrap()).await;
        assert_eq!((done.code, done.err.as_str()), (0, ""), "{args:?}");
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        output_of(home.command(args).stdout(full).spawn().unwrap()).await.failed(1, "No space left");
    }
}

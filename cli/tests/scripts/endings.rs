//! How a tail ends where the room does, and what a script is told of it.

use std::fs::OpenOptions;

use grpcchatter_client::Client;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::Child,
    time::timeout,
};

use crate::home::{Home, LONG, anna, finish};

/// A tail of Ben's that has shown a message, so that it reads what happens next.
async fn tail(home: &Home, code: &str) -> Child {
    let mut tail = home.command(&["tail", code, "-n", "1"]).spawn().unwrap();
    let mut lines = BufReader::new(tail.stdout.take().unwrap()).lines();
    let line = timeout(LONG, lines.next_line()).await.expect("it comes").unwrap().unwrap();
    assert!(line.ends_with(" anna01: hello"), "{line}");
    // The output stays open: that nobody reads it would end the tail as well.
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    tail
}

async fn ends(tail: Child, code: i32, words: &str) {
    let done = finish(tail).await;
    assert_eq!(done.code, code, "{}", done.err);
    assert!(done.err.contains(words), "{}", done.err);
}

/// Anna, who owns a room, and Ben at home.
async fn anna_and_ben() -> Option<(crate::process::Server, Client, Home, String)> {
    let (server, _, anna, code) = anna().await?;
    anna.join_chat_room(&code, "").await.unwrap().send("hello").await.unwrap();
    server.user("ben001").await;
    let ben = Home::new();
    ben.log_in(&server.url, "ben001").await;
    Some((server, anna, ben, code))
}

#[tokio::test]
async fn whoever_is_put_out_ends_with_77_and_whose_room_is_deleted_with_66() {
    let Some((_server, anna, ben, code)) = anna_and_ben().await else { return };
    let reading = tail(&ben, &code).await;
    anna.remove_user(&code, "ben001").await.unwrap();
    ends(reading, 77, "no longer a member").await;

    let reading = tail(&ben, &code).await;
    anna.delete_chat_room(&code).await.unwrap();
    ends(reading, 66, "was deleted").await;
}

#[tokio::test]
async fn whoever_is_banned_ends_with_77_and_may_not_come_back() {
    let Some((_server, anna, ben, code)) = anna_and_ben().await else { return };
    let reading = tail(&ben, &code).await;
    anna.ban_user(&code, "ben001").await.unwrap();
    ends(reading, 77, "").await;
    ben.run(&["tail", &code]).await.failed(77, "");
}

#[tokio::test]
async fn an_output_that_nobody_reads_ends_quietly_and_one_that_cannot_be_written_does_not() {
    let home = Home::new();
    for args in [&["--help"][..], &["--version"], &["completions", "bash"], &["man"]] {
        let (reader, unread) = std::io::pipe().unwrap();
        drop(reader);
        let done = finish(home.command(args).stdout(unread).spawn().unwrap()).await;
        assert_eq!((done.code, done.err.as_str()), (0, ""), "{args:?}");
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        finish(home.command(args).stdout(full).spawn().unwrap()).await.failed(1, "No space left");
    }
}

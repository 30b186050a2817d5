//! kill -9, again and again, while people talk: nothing acknowledged is lost, nothing is told twice.

use grpcchatter_client::{Event, Message, Room};
use tokio::sync::watch;

use crate::process::Server;

const SENDERS: usize = 4;
const READERS: usize = 4;
const MESSAGES: usize = 150;
/// A kill each time that so many more were acknowledged.
const KILL_EVERY: usize = 40;

/// Sends its messages one after the other, and keeps what was acknowledged.
async fn send(room: Room, sender: usize, acknowledged: watch::Sender<usize>) -> Vec<Message> {
    let mut sent = Vec::new();
    for number in 0..MESSAGES {
        let body = format!("{sender}/{number}");
        let message = room.send(&body).await.unwrap();
        assert_eq!(message.body, body);
        sent.push(message);
        acknowledged.send_modify(|count| *count += 1);
    }
    sent
}

/// Reads until every message has come; no stream may ask to begin anew.
async fn read(room: Room) -> Vec<Message> {
    let mut events = room.events();
    let mut read = Vec::new();
    while read.len() < SENDERS * MESSAGES {
        match events.recv().await.unwrap() {
            Event::Message(message) => read.push(message),
            Event::Reset { .. } => panic!("the log was reset"),
            Event::Closed(why) => panic!("the stream was closed: {why}"),
            _ => {}
        }
    }
    read
}

/// The whole log, page by page.
async fn log(room: &Room) -> Vec<Message> {
    let mut log: Vec<Message> = Vec::new();
    loop {
        let page = room.messages_after(log.last().map_or(0, |message| message.seq), 200).await.unwrap();
        log.extend(page.messages);
        if !page.more {
            return log;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_or_doubled_by_kills() {
    let Some(mut server) = Server::start(&[]) else { return };
    let owner = server.user("walker1").await;
    let code = owner.create_chat_room("Mountains", "").await.unwrap().short_code;

    let count = watch::Sender::new(0);
    let (mut senders, mut readers) = (Vec::new(), Vec::new());
    for reader in 0..READERS {
        let room = server.user(&format!("reader{reader}")).await.join_chat_room(&code, "").await.unwrap();
        readers.push(tokio::spawn(read(room)));
    }
    for sender in 0..SENDERS {
        let room = server.user(&format!("sender{sender}")).await.join_chat_room(&code, "").await.unwrap();
        senders.push(tokio::spawn(send(room, sender, count.clone())));
    }
    let mut acknowledged = count.subscribe();
    for kill in 1..SENDERS * MESSAGES / KILL_EVERY {
        acknowledged.wait_for(|count| *count >= kill * KILL_EVERY).await.unwrap();
        server.crash();
    }

    let mut sent = Vec::new();
    for sender in senders {
        let messages = sender.await.unwrap();
        assert!(messages.is_sorted_by_key(|message| message.seq), "each sender's messages in their order");
        sent.extend(messages);
    }
    sent.sort_unstable_by_key(|message| message.seq);
    let places = sent.iter().map(|message| message.seq);
    assert!(places.eq(1..=i64::try_from(SENDERS * MESSAGES).unwrap()), "each has a place of its own");
    let log = log(&owner.join_chat_room(&code, "").await.unwrap()).await;
    assert!(log == sent, "the log is what was acknowledged, and nothing else");
    for reader in readers {
        assert!(reader.await.unwrap() == log, "each reader was told the log, once");
    }
}

//! Crashes and restarts, again and again, while people talk: what everybody did and saw goes to the nemesis's checker.

use std::{
    mem,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::future::join_all;
use grpcchatter_client::{Event, Message, Room, new_message_id};
use grpcchatter_nemesis::{Entry, Event as Seen, History, Start, check};
use grpcchatter_testbed::{Postgres, ReverseProxy};
use tokio::{sync::watch, time::timeout};

use crate::{
    process::{Server, user_at},
    proxy::Proxy,
};

const SENDERS: usize = 4;
const READERS: usize = 4;
/// Unacknowledged messages of a sender at a time, sent in order.
const IN_FLIGHT: usize = 3;
/// Acknowledged messages between two ends of the server.
const END_EVERY: usize = 40;
/// Timeout of the whole test: if a message is lost, its readers wait forever.
const LONG: Duration = Duration::from_secs(240);

/// The history: each action before it begins, each observation after it was made.
#[derive(Clone, Default)]
struct Record(Arc<Mutex<Vec<Seen>>>);

impl Record {
    fn note(&self, seen: Seen) {
        self.0.lock().unwrap().push(seen);
    }

    fn take(&self) -> Vec<Seen> {
        mem::take(&mut self.0.lock().unwrap())
    }
}

fn entry(message: Message) -> Entry {
    let Message { seq, message_id, body, client_message_id, .. } = message;
    Entry { seq, message_id, id: client_message_id.unwrap_or_default(), body }
}

/// Sends under an id, and notes both ends of it.
async fn say(room: &Room, record: &Record, chat: Option<usize>, id: &str, body: &str) {
    record.note(Seen::Sent { room: 0, id: id.to_owned(), body: body.to_owned(), chat });
    let message = room.send_with_id(id, body).await.unwrap();
    assert_eq!((message.body.as_str(), message.client_message_id.as_deref()), (body, Some(id)));
    record.note(Seen::Acknowledged { id: id.to_owned(), seq: message.seq, chat });
}

/// Sends its messages, some at a time, and the first of each time once more when it is acknowledged.
async fn send(room: Room, sender: usize, load: usize, record: Record, acknowledged: watch::Sender<usize>) {
    for first in (0..load).step_by(IN_FLIGHT) {
        let ids: Vec<_> = (first..first + IN_FLIGHT).map(|number| (new_message_id(), number)).collect();
        let sent = ids.iter().map(|(id, number)| {
            let body = format!("{sender}/{number}");
            let (room, record) = (&room, &record);
            async move { say(room, record, Some(sender), id, &body).await }
        });
        join_all(sent).await;
        say(&room, &record, None, &ids[0].0, &format!("{sender}/{first}")).await;
        acknowledged.send_modify(|count| *count += IN_FLIGHT);
    }
}

/// Reads until the last message has come.
async fn read(room: Room, reader: usize, load: usize, record: Record) {
    let mut events = room.events();
    let start = Start::After { seq: 0, message_id: String::new() };
    record.note(Seen::Opened { reader, room: 0, start, author: None });
    let mut newest = 0;
    while newest < SENDERS * load {
        match events.recv().await.unwrap() {
            Event::Message(message) => {
                newest = usize::try_from(message.seq).unwrap();
                record.note(Seen::Received { reader, message: entry(message) });
            }
            Event::Reset { .. } => record.note(Seen::LogReset { reader }),
            Event::Closed(why) => panic!("the stream was closed: {why}"),
            _ => {}
        }
    }
}

/// The whole log, page by page.
async fn log(room: &Room) -> Vec<Entry> {
    let mut log: Vec<Entry> = Vec::new();
    loop {
        let page = room.messages_after(log.last().map_or(0, |entry| entry.seq), 200).await.unwrap();
        log.extend(page.messages.into_iter().map(entry));
        if !page.more {
            return log;
        }
    }
}

/// Has each sender send `load` messages by `url` while the server is ended again and again.
async fn the_promise_is_kept(mut server: Server, url: &str, load: usize) {
    let owner = user_at(url, "walker1").await;
    let code = owner.create_chat_room("Mountains", "").await.unwrap().short_code;
    let (record, count) = (Record::default(), watch::Sender::new(0));
    let mut people = Vec::new();
    for number in 0..READERS {
        let room = user_at(url, &format!("reader{number}")).await.join_chat_room(&code, "").await.unwrap();
        people.push(tokio::spawn(read(room, number, load, record.clone())));
    }
    for number in 0..SENDERS {
        let room = user_at(url, &format!("sender{number}")).await.join_chat_room(&code, "").await.unwrap();
        people.push(tokio::spawn(send(room, number, load, record.clone(), count.clone())));
    }
    let mut acknowledged = count.subscribe();
    for end in 1..SENDERS * load / END_EVERY {
        acknowledged.wait_for(|count| *count >= end * END_EVERY).await.unwrap();
        // By turns without a warning, and with a drain: GOAWAY, and a hint when to come back.
        if end % 2 == 0 { server.restart().await } else { server.crash().await }
    }
    for person in people {
        timeout(LONG, person).await.expect("everybody comes to an end").unwrap();
    }
    let logs = vec![log(&owner.join_chat_room(&code, "").await.unwrap()).await];
    assert_eq!(logs[0].len(), SENDERS * load);
    assert_eq!(check(&History { events: record.take(), logs, firsts: Vec::new() }), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_promise_is_kept_on_sqlite() {
    let Some(server) = Server::start(&[]).await else { return };
    let url = server.url.clone();
    Box::pin(the_promise_is_kept(server, &url, 150)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_promise_is_kept_behind_nginx() {
    behind(ReverseProxy::Nginx).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_promise_is_kept_behind_haproxy() {
    behind(ReverseProxy::Haproxy).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_promise_is_kept_behind_caddy() {
    behind(ReverseProxy::Caddy).await;
}

async fn behind(kind: ReverseProxy) {
    let Some(server) = Server::start(&[]).await else { return };
    let Some(proxy) = Proxy::start(kind, &server.url).await else { return };
    Box::pin(the_promise_is_kept(server, &proxy.url, 60)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_promise_is_kept_on_postgres() {
    let Some(postgres) = Postgres::shared().await else {
        assert!(std::env::var_os("REQUIRE_POSTGRES").is_none(), "PostgreSQL is not installed");
        return;
    };
    let database = postgres.new_database().await.unwrap();
    let secret = "a secret of this test that is longer than 32 bytes".to_owned();
    let environment = vec![("DATABASE_URL", database), ("SECRET", secret)];
    let Some(server) = Server::with(&[], environment).await else { return };
    let url = server.url.clone();
    Box::pin(the_promise_is_kept(server, &url, 150)).await;
}

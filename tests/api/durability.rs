//! What was acknowledged stays, however the server ends: killed at any moment, or asked to stop under load.

use std::{collections::BTreeMap, time::Duration};

use grpcchatter_proto::v1::{ListMessagesRequest, Message, subscribe_response::Event};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::mpsc,
    task::JoinSet,
};
use tonic::{Code, Status};

use crate::harness::{
    Caller, Chat, Connection, Database, Dialect, Member, PASSWORD, Process, Refused as _, Version,
    on_each_database, promised, report, request, within,
};

on_each_database! {
    no_acknowledged_message_is_lost_by_kill_9,
    sigterm_under_load_ends_every_stream_with_a_status_and_loses_nothing,
    sigterm_ends_a_server_with_idle_connections,
    a_call_under_way_at_sigterm_is_answered,
}

/// How soon a server that was asked to end has ended.
const END: Duration = Duration::from_secs(10);

/// What was acknowledged: the author's id of each message, and its place.
pub(crate) type Acknowledged = BTreeMap<String, i64>;

/// Says one message after the other, at most 32 of them unanswered, until the stream ends. Each that is
/// acknowledged is counted where the test listens.
async fn speak(mut chat: Chat, author: String, counted: mpsc::UnboundedSender<()>) -> (Acknowledged, Status) {
    let (mut said, mut own, mut acknowledged) = (0, 0, Acknowledged::new());
    loop {
        while said - own < 32 {
            let id = format!("{author}-{said:06}");
            chat.say_as(&id, &format!("cAnary body of {id}")).await;
            said += 1;
        }
        match chat.response().await {
            Ok(Some(response)) if response.client_message_id.starts_with(&author) => {
                own += 1;
                if response.rejected.is_none() {
                    acknowledged.insert(response.client_message_id, response.seq);
                    // The test may have heard enough.
                    let _ = counted.send(());
                }
            }
            Ok(Some(_)) => {}
            Ok(None) => return (acknowledged, Status::ok("")),
            Err(status) => return (acknowledged, status),
        }
    }
}

/// Reads the whole log.
pub(crate) async fn log(member: &Caller) -> Vec<Message> {
    let mut log: Vec<Message> = Vec::new();
    loop {
        let after_seq = Some(log.last().map_or(0, |message| message.seq));
        let page = member.call(ListMessagesRequest { page_size: 200, after_seq, ..Default::default() });
        let page = page.await.unwrap();
        log.extend(page.messages);
        if !page.more {
            return log;
        }
    }
}

/// Checks that a log is whole, and holds what was acknowledged at its place, once.
pub(crate) fn assert_kept(log: &[Message], acknowledged: &Acknowledged) {
    let mut places = BTreeMap::new();
    for (message, seq) in log.iter().zip(1..) {
        assert_eq!(message.seq, seq, "a gap or a repeat");
        assert_eq!(message.body, format!("cAnary body of {}", message.client_message_id));
        let before = places.insert(message.client_message_id.as_str(), seq);
        assert_eq!(before, None, "{} is stored twice", message.client_message_id);
    }
    for (id, seq) in acknowledged {
        assert_eq!(places.get(id.as_str()), Some(seq), "{id} was acknowledged");
    }
}

/// Starts authors who speak until their streams end. All of them have come when it returns: whatever ends the server
/// afterwards ends a stream of each.
async fn speakers(
    member: &Member,
    round: usize,
    count: usize,
) -> (JoinSet<(Acknowledged, Status)>, mpsc::UnboundedReceiver<()>) {
    let (counted, counts) = mpsc::unbounded_channel();
    let mut chats = Vec::new();
    for _ in 0..count {
        chats.push(member.elsewhere().chat().await.unwrap());
    }
    let mut speaking = JoinSet::new();
    for (author, chat) in chats.into_iter().enumerate() {
        speaking.spawn(speak(chat, format!("{round}-{author}"), counted.clone()));
    }
    (speaking, counts)
}

/// Awaits so many acknowledgements.
async fn acknowledged(counts: &mut mpsc::UnboundedReceiver<()>, count: usize) {
    let heard = async {
        for _ in 0..count {
            counts.recv().await.expect("somebody speaks");
        }
    };
    within("acknowledgements", heard).await;
}

async fn no_acknowledged_message_is_lost_by_kill_9(database: Database) {
    let folder = TempDir::new().unwrap();
    let mut server = Process::start(&database, &folder, &[]).await;
    let user = server.user().await;
    let mut member = user.join(&user.create_room().await).await;
    let mut all = Acknowledged::new();
    for round in 0..5 {
        let (speaking, mut counts) = speakers(&member, round, 8).await;
        // Killed at another moment each time, in the middle of what is being said.
        acknowledged(&mut counts, 100 + 37 * round).await;
        server.kill().await;
        for (heard, status) in within("the authors' end", speaking.join_all()).await {
            assert_ne!(status.code(), Code::Ok, "killed");
            all.extend(heard);
        }
        server = Process::start(&database, &folder, &[]).await;
        member = member.at(server.address());
        assert_kept(&log(&member).await, &all);
    }
    // Whoever sends again what was acknowledged is told the same place.
    for (id, seq) in all.iter().take(50) {
        assert_eq!(member.say_as(id, &format!("cAnary body of {id}")).await.seq, *seq);
    }
    report("kill -9", &format!("5 times, {} acknowledged, all kept", all.len()));
}

async fn sigterm_under_load_ends_every_stream_with_a_status_and_loses_nothing(database: Database) {
    let folder = TempDir::new().unwrap();
    let server = Process::start(&database, &folder, &[("STREAMS_PER_USER", "0")]).await;
    let user = server.user().await;
    let member = user.join(&user.create_room().await).await;
    let mut listening = JoinSet::new();
    for dialect in Dialect::ALL {
        let stream = member.elsewhere().speaking(dialect).subscribe(None).await.unwrap();
        listening.spawn(stream.rest());
    }
    let (speaking, mut counts) = speakers(&member, 0, 8).await;
    acknowledged(&mut counts, 500).await;
    server.terminate();
    let ended = promised("the end", END, server.wait()).await;
    assert_eq!(ended.0.code(), Some(0), "{}", ended.1);

    let mut all = Acknowledged::new();
    for (heard, status) in within("the authors' end", speaking.join_all()).await {
        status.refused(Code::Unavailable, "DRAINING");
        all.extend(heard);
    }
    for (events, status) in within("the listeners' end", listening.join_all()).await {
        assert!(events.iter().any(|event| matches!(event, Event::Draining(_))), "told to come back");
        status.refused(Code::Unavailable, "DRAINING");
    }
    let server = Process::start(&database, &folder, &[]).await;
    assert_kept(&log(&member.at(server.address())).await, &all);
    report("SIGTERM under load", &format!("{} acknowledged, all kept", all.len()));
}

async fn sigterm_ends_a_server_with_idle_connections(database: Database) {
    let folder = TempDir::new().unwrap();
    let server = Process::start(&database, &folder, &[]).await;
    let mut idle = Vec::new();
    for version in [Version::H1, Version::H2] {
        let mut connection = Connection::open(server.address(), version).await;
        assert_eq!(connection.send(request("GET", "/livez", &[], "")).await.status, 200);
        idle.push(connection);
    }
    let silent = TcpStream::connect(server.address()).await.unwrap();
    server.terminate();
    let (status, log) = promised("the end", END, server.wait()).await;
    assert_eq!(status.code(), Some(0), "{log}");
    drop((idle, silent));
}

async fn a_call_under_way_at_sigterm_is_answered(database: Database) {
    let folder = TempDir::new().unwrap();
    let mut server = Process::start(&database, &folder, &[]).await;
    let user = server.user().await;
    let form = serde_json::json!({"user_name": user.name, "password": PASSWORD}).to_string();
    let head = format!(
        "POST /login HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: {}\r\n\r\n",
        form.len()
    );
    let mut socket = TcpStream::connect(server.address()).await.unwrap();
    socket.write_all(head.as_bytes()).await.unwrap();
    // The server asks for the form once the call is under way.
    let mut asked = [0; b"HTTP/1.1 100 Continue\r\n\r\n".len()];
    within("the question for the form", socket.read_exact(&mut asked)).await.unwrap();
    assert!(asked.starts_with(b"HTTP/1.1 100 "), "{}", asked.escape_ascii());
    server.terminate();
    server.says("SIGTERM received").await;
    socket.write_all(form.as_bytes()).await.unwrap();
    let mut answer = String::new();
    within("an answer", socket.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let (status, log) = server.wait().await;
    assert_eq!(status.code(), Some(0), "{log}");
}

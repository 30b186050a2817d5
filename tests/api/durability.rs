//! Acknowledged messages stay when the server is killed at any moment or stopped under load.

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
    a_sigkill_loses_no_acknowledged_message,
    sigterm_under_load_ends_every_stream_with_a_status_and_loses_nothing,
    sigterm_stops_a_server_with_idle_connections,
    a_call_in_flight_at_sigterm_is_answered,
}

/// Within this time a server stops after SIGTERM.
const STOP_DEADLINE: Duration = Duration::from_secs(10);

/// The acknowledged messages: the client message id of each, and its seq.
pub(crate) type Acknowledged = BTreeMap<String, i64>;

/// Sends messages until the stream ends, with at most 32 of them unanswered. Notifies the test of each acknowledgement.
async fn send_until_end(
    mut chat: Chat,
    author: String,
    counted: mpsc::UnboundedSender<()>,
) -> (Acknowledged, Status) {
    let (mut sent, mut own, mut acknowledged) = (0, 0, Acknowledged::new());
    loop {
        while sent - own < 32 {
            let id = format!("{author}-{sent:06}");
            chat.say_as(&id, &format!("cAnary body of {id}")).await;
            sent += 1;
        }
        match chat.response().await {
            Ok(Some(response)) if response.client_message_id.starts_with(&author) => {
                own += 1;
                if response.rejected.is_none() {
                    acknowledged.insert(response.client_message_id, response.seq);
                    // Fails once the test no longer counts.
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

/// Checks that a log has no gaps, and contains each acknowledged message once, with its seq.
pub(crate) fn assert_complete(log: &[Message], acknowledged: &Acknowledged) {
    let mut stored = BTreeMap::new();
    for (message, seq) in log.iter().zip(1..) {
        assert_eq!(message.seq, seq, "a gap or a repeat");
        assert_eq!(message.body, format!("cAnary body of {}", message.client_message_id));
        let before = stored.insert(message.client_message_id.as_str(), seq);
        assert_eq!(before, None, "{} is stored twice", message.client_message_id);
    }
    for (id, seq) in acknowledged {
        assert_eq!(stored.get(id.as_str()), Some(seq), "{id} was acknowledged");
    }
}

/// Starts authors who send until their streams end. Returns when all streams are open, so that the server's end ends each of them.
async fn authors(
    member: &Member,
    round: usize,
    count: usize,
) -> (JoinSet<(Acknowledged, Status)>, mpsc::UnboundedReceiver<()>) {
    let (counted, counts) = mpsc::unbounded_channel();
    let mut chats = Vec::new();
    for _ in 0..count {
        chats.push(member.on_new_connection().chat().await.unwrap());
    }
    let mut sending = JoinSet::new();
    for (author, chat) in chats.into_iter().enumerate() {
        sending.spawn(send_until_end(chat, format!("{round}-{author}"), counted.clone()));
    }
    (sending, counts)
}

/// Awaits `count` acknowledgements.
async fn acknowledged(counts: &mut mpsc::UnboundedReceiver<()>, count: usize) {
    let acked = async {
        for _ in 0..count {
            counts.recv().await.expect("an author is still sending");
        }
    };
    within("acknowledgements", acked).await;
}

async fn a_sigkill_loses_no_acknowledged_message(database: Database) {
    let folder = TempDir::new().unwrap();
    let mut server = Process::start(&database, &folder, &[]).await;
    let user = server.user().await;
    let mut member = user.join(&user.create_room().await).await;
    let mut all = Acknowledged::new();
    for round in 0..5 {
        let (sending, mut counts) = authors(&member, round, 8).await;
        // Each time it is killed at another moment, while messages are being sent.
        acknowledged(&mut counts, 100 + 37 * round).await;
        server.kill().await;
        for (acked, status) in within("the authors' end", sending.join_all()).await {
            assert_ne!(status.code(), Code::Ok, "killed");
            all.extend(acked);
        }
        server = Process::start(&database, &folder, &[]).await;
        member = member.at(server.address());
        assert_complete(&log(&member).await, &all);
    }
    // A repeated send of an acknowledged message gets the same seq.
    for (id, seq) in all.iter().take(50) {
        assert_eq!(member.say_as(id, &format!("cAnary body of {id}")).await.seq, *seq);
    }
    report("kill -9", &format!("5 times, {} acknowledged, all stored", all.len()));
}

async fn sigterm_under_load_ends_every_stream_with_a_status_and_loses_nothing(database: Database) {
    let folder = TempDir::new().unwrap();
    let server = Process::start(&database, &folder, &[("STREAMS_PER_USER", "0")]).await;
    let user = server.user().await;
    let member = user.join(&user.create_room().await).await;
    let mut listening = JoinSet::new();
    for dialect in Dialect::ALL {
        let stream = member.on_new_connection().with_dialect(dialect).subscribe(None).await.unwrap();
        listening.spawn(stream.rest());
    }
    let (sending, mut counts) = authors(&member, 0, 8).await;
    acknowledged(&mut counts, 500).await;
    server.terminate();
    let ended = promised("the end", STOP_DEADLINE, server.wait()).await;
    assert_eq!(ended.0.code(), Some(0), "{}", ended.1);

    let mut all = Acknowledged::new();
    for (acked, status) in within("the authors' end", sending.join_all()).await {
        status.refused(Code::Unavailable, "DRAINING");
        all.extend(acked);
    }
    for (events, status) in within("the listeners' end", listening.join_all()).await {
        assert!(
            events.iter().any(|event| matches!(event, Event::Draining(_))),
            "a draining event came first"
        );
        status.refused(Code::Unavailable, "DRAINING");
    }
    let server = Process::start(&database, &folder, &[]).await;
    assert_complete(&log(&member.at(server.address())).await, &all);
    report("SIGTERM under load", &format!("{} acknowledged, all stored", all.len()));
}

async fn sigterm_stops_a_server_with_idle_connections(database: Database) {
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
    let (status, log) = promised("the end", STOP_DEADLINE, server.wait()).await;
    assert_eq!(status.code(), Some(0), "{log}");
    drop((idle, silent));
}

async fn a_call_in_flight_at_sigterm_is_answered(database: Database) {
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
    // The server asks for the body once the call is in flight.
    let mut asked = [0; b"HTTP/1.1 100 Continue\r\n\r\n".len()];
    within("the request for the body", socket.read_exact(&mut asked)).await.unwrap();
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

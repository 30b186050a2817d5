//! The server's lifecycle: restarted under load on the same port, stopped by two signals, run by systemd.

use std::{
    error::Error as _,
    net::Ipv4Addr,
    os::unix::net::UnixDatagram,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use grpcchatter_proto::v1::{
    ResumePoint, SendMessageRequest, subscribe_request::Start, subscribe_response::Event,
};
use grpcchatter_testbed::ReservedPort;
use rustix::process::Signal;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::{mpsc, oneshot},
    task::JoinSet,
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request, Status};
use tonic_prost::ProstCodec;

use crate::{
    durability::{Acknowledged, assert_complete, log},
    harness::{
        Caller, Chat, Database, Dialect, Member, Process, Refused as _, User, on_each_database, report,
        within,
    },
};

on_each_database! {
    a_restart_under_load_loses_no_message_and_causes_only_retriable_errors,
    a_second_signal_stops_at_once,
    health_watches_and_reflection_end_with_a_status_and_do_not_delay_the_stop,
    systemd_is_notified_of_start_and_stop,
    a_socket_from_systemd_is_served,
}

/// How many messages each author sends. There is one author for each gRPC dialect, and one on Chat.
const MESSAGES: usize = 60;
const ALL: usize = MESSAGES * 4;

/// Checks that a client may retry: the server says so, or the client library says that the connection had ended before the call was
/// sent.
#[track_caller]
fn assert_retriable(status: &Status) {
    let was_sent = !status.source().is_some_and(|source| source.is::<tonic::transport::Error>());
    assert!(status.code() == Code::Unavailable || !was_sent, "{status:?}");
}

/// Returns the ids and bodies of an author's messages.
fn drafts(author: &str) -> impl Iterator<Item = (String, String)> {
    let ids = (0..MESSAGES).map(move |number| format!("{author}-{number}"));
    ids.map(|id| (id.clone(), format!("cAnary body of {id}")))
}

/// Repeats each send with the same id until it is acknowledged. Returns the seqs.
async fn send_until_stored(member: Caller, author: &'static str) -> Acknowledged {
    let mut acknowledged = Acknowledged::new();
    for (client_message_id, body) in drafts(author) {
        let seq = loop {
            let request =
                SendMessageRequest { body: body.clone(), client_message_id: client_message_id.clone() };
            match member.call(request).await {
                Ok(answer) => break answer.message.unwrap().seq,
                Err(status) => assert_retriable(&status),
            }
            tokio::task::yield_now().await;
        };
        acknowledged.insert(client_message_id, seq);
    }
    acknowledged
}

/// Does the same on Chat, and reopens the stream when it ends.
async fn send_on_chat_until_stored(member: Member, author: &'static str) -> Acknowledged {
    let (mut acknowledged, mut open) = (Acknowledged::new(), None);
    for (id, body) in drafts(author) {
        while !acknowledged.contains_key(&id) {
            let mut chat = match open.take() {
                Some(chat) => chat,
                None => match member.on_new_connection().chat().await {
                    Ok(chat) => chat,
                    Err(status) => {
                        assert_retriable(&status);
                        tokio::task::yield_now().await;
                        continue;
                    }
                },
            };
            chat.say_as(&id, &body).await;
            let answer = loop {
                match chat.response().await {
                    Ok(Some(response)) if response.client_message_id == id => break Ok(response),
                    Ok(Some(_)) => {}
                    Ok(None) => panic!("a stream ended with OK"),
                    Err(status) => break Err(status),
                }
            };
            match answer {
                Ok(response) => {
                    match response.rejected {
                        None => drop(acknowledged.insert(id.clone(), response.seq)),
                        Some(rejected) => assert_eq!(rejected.code, Code::Unavailable as i32, "{rejected:?}"),
                    }
                    open = Some(chat);
                }
                Err(status) => assert_retriable(&status),
            }
        }
    }
    acknowledged
}

/// Reads all messages, in order and without a gap or a repeat, and resumes when the stream ends.
async fn listen(member: Caller) {
    let mut last = ResumePoint::default();
    loop {
        let mut stream = match member.subscribe(Some(Start::After(last.clone()))).await {
            Ok(stream) => stream,
            Err(status) => {
                assert_retriable(&status);
                tokio::task::yield_now().await;
                continue;
            }
        };
        loop {
            match stream.event().await {
                Ok(Some(Event::Message(message))) => {
                    assert_eq!(message.seq, last.seq + 1);
                    last = ResumePoint { seq: message.seq, message_id: message.message_id };
                    if last.seq == ALL as i64 {
                        return;
                    }
                }
                Ok(Some(Event::Subscribed(subscribed))) => assert!(!subscribed.reset),
                Ok(Some(_)) => {}
                Ok(None) => panic!("a stream ended with OK"),
                Err(status) => {
                    assert_retriable(&status);
                    break;
                }
            }
        }
    }
}

/// Does the same on a Chat of another user, which was opened before the first message. Notifies the test of the first message, since
/// without one there is nothing to resume after.
async fn listen_on_chat(member: Member, mut chat: Chat, started: oneshot::Sender<()>) {
    let mut started = Some(started);
    let mut last = None;
    loop {
        match chat.response().await {
            Ok(Some(response)) => {
                let before = last.as_ref().map_or(0, |point: &ResumePoint| point.seq);
                assert_eq!(response.seq, before + 1);
                last = Some(ResumePoint { seq: response.seq, message_id: response.message_id });
                if let Some(started) = started.take() {
                    started.send(()).expect("the test waits for it");
                }
                if response.seq == ALL as i64 {
                    return;
                }
            }
            Ok(None) => panic!("a stream ended with OK"),
            Err(status) => {
                assert_retriable(&status);
                chat = loop {
                    let point = last.clone().expect("a message came before the restart");
                    match member.on_new_connection().chat_after(point).await {
                        Ok(chat) => break chat,
                        Err(status) => assert_retriable(&status),
                    }
                    tokio::task::yield_now().await;
                };
                assert!(!chat.metadata.contains_key("grpcchatter-reset"));
            }
        }
    }
}

/// Gets /account until `stop` is set. Returns how often it was answered.
async fn poll_account(user: User, stop: Arc<AtomicBool>) -> usize {
    let head = format!(
        "GET /account HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer {}\r\n\r\n",
        user.token()
    );
    let (mut answered, mut pause) = (0, tokio::time::interval(Duration::from_millis(20)));
    while !stop.load(Ordering::Relaxed) {
        pause.tick().await;
        let exchange = async {
            let mut socket = TcpStream::connect(user.address).await?;
            socket.write_all(head.as_bytes()).await?;
            let mut answer = String::new();
            socket.read_to_string(&mut answer).await.map(|_| answer)
        };
        // No answer means that the server does not listen or has closed the connection, so the next round retries.
        let answer = within("an answer or an end", exchange).await.unwrap_or_default();
        let status = answer.split(' ').nth(1).unwrap_or_default();
        assert!(["", "200", "503"].contains(&status), "{answer}");
        answered += usize::from(status == "200");
    }
    answered
}

async fn a_restart_under_load_loses_no_message_and_causes_only_retriable_errors(database: Database) {
    let folder = TempDir::new().unwrap();
    let kept = ReservedPort::on(Ipv4Addr::LOCALHOST).unwrap();
    let port = kept.number().to_string();
    // The server accepts calls for a moment after it has announced its stop, as behind a load balancer.
    let settings = [("SERVER_PORT", port.as_str()), ("DRAIN_DELAY", "500ms")];
    let server = Process::start(&database, &folder, &settings).await;
    let (user, other) = (server.user().await, server.user().await);
    let room = user.create_room().await;
    let (member, guest) = (user.join(&room).await, other.join(&room).await);
    let mut listening = JoinSet::new();
    let chat = guest.on_new_connection().chat().await.unwrap();
    let (started, has_started) = oneshot::channel();
    listening.spawn(listen_on_chat(guest.at(server.address()), chat, started));
    let mut watch = member.on_new_connection().subscribe(None).await.unwrap();
    let mut sending = JoinSet::new();
    for (dialect, author) in Dialect::ALL.into_iter().zip(["native", "web", "text"]) {
        let member = member.at(server.address());
        sending.spawn(send_until_stored(member.with_dialect(dialect), author));
        listening.spawn(listen(member.with_dialect(dialect)));
    }
    sending.spawn(send_on_chat_until_stored(member.at(server.address()), "chat"));
    let stop = Arc::new(AtomicBool::new(false));
    let polling = tokio::spawn(poll_account(user.at(server.address()), Arc::clone(&stop)));
    // It is restarted after a third of the messages.
    while watch.message().await.seq < (ALL / 3) as i64 {}
    within("the first message on Chat", has_started).await.unwrap();
    server.terminate();
    let (status, log_lines) = server.wait().await;
    assert_eq!(status.code(), Some(0), "{log_lines}");
    let server = Process::start(&database, &folder, &[("SERVER_PORT", &port)]).await;
    let mut acknowledged = Acknowledged::new();
    while let Some(acked) = within("the next author's end", sending.join_next()).await {
        acknowledged.extend(acked.unwrap());
    }
    while let Some(ended) = within("the next listener's end", listening.join_next()).await {
        ended.unwrap();
    }
    stop.store(true, Ordering::Relaxed);
    let polls = within("the last answer", polling).await.unwrap();
    assert_eq!(acknowledged.len(), ALL);
    assert_complete(&log(&member.at(server.address())).await, &acknowledged);
    report(
        "restart under load",
        &format!("{ALL} acknowledged, all stored; {polls} REST answers, none wrong"),
    );
    server.kill().await;
}

async fn a_second_signal_stops_at_once(database: Database) {
    let folder = TempDir::new().unwrap();
    // The drain alone takes an hour.
    let mut server = Process::start(&database, &folder, &[("DRAIN_DELAY", "1h")]).await;
    server.terminate();
    server.says("SIGTERM received: draining").await;
    server.signal(Signal::INT);
    let (status, log) = server.wait().await;
    assert_eq!((status.code(), log.contains("ending at once")), (Some(130), true), "{log}");
}

/// Anybody may open these streams, so they must not delay the stop.
async fn health_watches_and_reflection_end_with_a_status_and_do_not_delay_the_stop(database: Database) {
    let folder = TempDir::new().unwrap();
    let server = Process::start(&database, &folder, &[]).await;
    let caller = server.anonymous();
    let mut ending = JoinSet::new();
    // SERVING, and SERVICE_UNKNOWN, after which the watch stays open.
    for (service, state) in [("", 1), ("grpcchatter.v1.ChatService", 1), ("nobody", 3)] {
        let mut watch = caller.watch(service).await.unwrap();
        assert_eq!(within("a state", watch.message()).await.unwrap(), Some(state), "{service}");
        ending.spawn(async move {
            while watch.message().await?.is_some() {}
            Ok(())
        });
    }
    for version in ["v1", "v1alpha"] {
        let path = format!("/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo");
        // It sends nothing, and never closes its side.
        let (requests, stream) = mpsc::channel::<()>(1);
        let (path, codec) = (path.parse().unwrap(), ProstCodec::<(), ()>::default());
        let request = Request::new(ReceiverStream::new(stream));
        let answer = caller.ready().await.unwrap().streaming(request, path, codec).await;
        let mut answers = answer.unwrap().into_inner();
        ending.spawn(async move {
            let end = answers.message().await.map(drop);
            drop(requests);
            end
        });
    }
    server.terminate();
    // A stream that delayed the stop would be cut off after 8 s, without a status.
    for ended in within("their ends", ending.join_all()).await {
        ended.refused(Code::Unavailable, "DRAINING");
    }
    let (status, log) = server.wait().await;
    assert_eq!(status.code(), Some(0), "{log}");
}

async fn systemd_is_notified_of_start_and_stop(database: Database) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_nonblocking(true).unwrap();
    let socket = tokio::net::UnixDatagram::from_std(socket).unwrap();
    let notification = async || {
        let mut message = [0; 64];
        let length = within("a notification", socket.recv(&mut message)).await.unwrap();
        String::from_utf8(message[..length].to_vec()).unwrap()
    };
    let server = Process::start(&database, &folder, &[("NOTIFY_SOCKET", path.to_str().unwrap())]).await;
    assert_eq!(notification().await, "READY=1");
    server.terminate();
    assert_eq!(notification().await, "STOPPING=1");
    assert_eq!(server.wait().await.0.code(), Some(0));
}

async fn a_socket_from_systemd_is_served(database: Database) {
    let folder = TempDir::new().unwrap();
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let server = Process::activated(&database, &folder, socket).await;
    assert_eq!(server.address(), address);
    let user = server.user().await;
    user.join(&user.create_room().await).await.say("hello").await;
    server.terminate();
    assert_eq!(server.wait().await.0.code(), Some(0));
}

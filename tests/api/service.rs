//! The server among its like: replaced under load on the same port, told twice to end, run by systemd.

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
    durability::{Acknowledged, assert_kept, log},
    harness::{
        Caller, Chat, Database, Dialect, KeptPort, Member, Process, Refused as _, User, on_each_database,
        report, within,
    },
};

on_each_database! {
    a_restart_under_load_costs_no_message_and_no_error_that_may_not_be_retried,
    a_second_signal_ends_at_once,
    health_watches_and_reflection_end_with_a_status_and_hold_nobody_up,
    systemd_is_told_of_the_start_and_of_the_end,
    a_socket_that_systemd_has_bound_is_served,
}

/// How many messages each author says: one in each of gRPC's dialects, and one on Chat.
const MESSAGES: usize = 60;
const ALL: usize = MESSAGES * 4;

/// Checks that a client may try again: the server says so, or the client's own library that the connection had ended before
/// the call was sent.
#[track_caller]
fn assert_retriable(status: &Status) {
    let was_sent = !status.source().is_some_and(|source| source.is::<tonic::transport::Error>());
    assert!(status.code() == Code::Unavailable || !was_sent, "{status:?}");
}

/// Returns the ids that an author gives, and the body of each.
fn drafts(author: &str) -> impl Iterator<Item = (String, String)> {
    let ids = (0..MESSAGES).map(move |number| format!("{author}-{number}"));
    ids.map(|id| (id.clone(), format!("cAnary body of {id}")))
}

/// Says each message until it is acknowledged, under the same id. Returns where each then stands.
async fn insist(member: Caller, author: &'static str) -> Acknowledged {
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

/// Does the same on Chat: a stream that ends is opened again.
async fn insist_on_chat(member: Member, author: &'static str) -> Acknowledged {
    let (mut acknowledged, mut open) = (Acknowledged::new(), None);
    for (id, body) in drafts(author) {
        while !acknowledged.contains_key(&id) {
            let mut chat = match open.take() {
                Some(chat) => chat,
                None => match member.elsewhere().chat().await {
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

/// Listens until all was heard, in order, without a gap or a repeat; resumes whenever the stream ends.
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

/// Does the same on Chat, which somebody else than the author has open since before the first message. It is told where the
/// test listens when the first has come: without that there is nothing to resume after.
async fn listen_on_chat(member: Member, mut chat: Chat, begun: oneshot::Sender<()>) {
    let mut begun = Some(begun);
    let mut last = None;
    loop {
        match chat.response().await {
            Ok(Some(response)) => {
                let before = last.as_ref().map_or(0, |point: &ResumePoint| point.seq);
                assert_eq!(response.seq, before + 1);
                last = Some(ResumePoint { seq: response.seq, message_id: response.message_id });
                if let Some(begun) = begun.take() {
                    begun.send(()).expect("the test waits for it");
                }
                if response.seq == ALL as i64 {
                    return;
                }
            }
            Ok(None) => panic!("a stream ended with OK"),
            Err(status) => {
                assert_retriable(&status);
                chat = loop {
                    let point = last.clone().expect("something was heard before the restart");
                    match member.elsewhere().chat_after(point).await {
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

/// Asks for the same again and again until it is told to stop. Returns how often it was answered.
async fn ask(user: User, stop: Arc<AtomicBool>) -> usize {
    let head = format!(
        "GET /account HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer {}\r\n\r\n",
        user.token()
    );
    let (mut answered, mut pace) = (0, tokio::time::interval(Duration::from_millis(20)));
    while !stop.load(Ordering::Relaxed) {
        pace.tick().await;
        let exchange = async {
            let mut socket = TcpStream::connect(user.address).await?;
            socket.write_all(head.as_bytes()).await?;
            let mut answer = String::new();
            socket.read_to_string(&mut answer).await.map(|_| answer)
        };
        // Where nobody listens, or the connection is closed, it is asked again: nothing was answered.
        let answer = within("an answer or an end", exchange).await.unwrap_or_default();
        let status = answer.split(' ').nth(1).unwrap_or_default();
        assert!(["", "200", "503"].contains(&status), "{answer}");
        answered += usize::from(status == "200");
    }
    answered
}

async fn a_restart_under_load_costs_no_message_and_no_error_that_may_not_be_retried(database: Database) {
    let folder = TempDir::new().unwrap();
    let kept = KeptPort::on(Ipv4Addr::LOCALHOST.into());
    let port = kept.number().to_string();
    // It goes on for a moment after it says that it is going, as behind a balancer.
    let settings = [("SERVER_PORT", port.as_str()), ("DRAIN_DELAY", "500ms")];
    let server = Process::start(&database, &folder, &settings).await;
    let (user, other) = (server.user().await, server.user().await);
    let room = user.create_room().await;
    let (member, guest) = (user.join(&room).await, other.join(&room).await);
    let mut listening = JoinSet::new();
    let chat = guest.elsewhere().chat().await.unwrap();
    let (begun, has_begun) = oneshot::channel();
    listening.spawn(listen_on_chat(guest.at(server.address()), chat, begun));
    let mut watch = member.elsewhere().subscribe(None).await.unwrap();
    let mut speaking = JoinSet::new();
    for (dialect, author) in Dialect::ALL.into_iter().zip(["native", "web", "text"]) {
        let member = member.at(server.address());
        speaking.spawn(insist(member.speaking(dialect), author));
        listening.spawn(listen(member.speaking(dialect)));
    }
    speaking.spawn(insist_on_chat(member.at(server.address()), "chat"));
    let stop = Arc::new(AtomicBool::new(false));
    let asking = tokio::spawn(ask(user.at(server.address()), Arc::clone(&stop)));
    // It is replaced in the middle: a third of the messages are there.
    while watch.message().await.seq < (ALL / 3) as i64 {}
    within("the first message on Chat", has_begun).await.unwrap();
    server.terminate();
    let (status, log_lines) = server.wait().await;
    assert_eq!(status.code(), Some(0), "{log_lines}");
    let server = Process::start(&database, &folder, &[("SERVER_PORT", &port)]).await;
    let mut acknowledged = Acknowledged::new();
    while let Some(heard) = within("the next author's end", speaking.join_next()).await {
        acknowledged.extend(heard.unwrap());
    }
    while let Some(ended) = within("the next listener's end", listening.join_next()).await {
        ended.unwrap();
    }
    stop.store(true, Ordering::Relaxed);
    let asked = within("the last answer", asking).await.unwrap();
    assert_eq!(acknowledged.len(), ALL);
    assert_kept(&log(&member.at(server.address())).await, &acknowledged);
    report(
        "restart under load",
        &format!("{ALL} acknowledged, all kept; {asked} answers of REST, none wrong"),
    );
    server.kill().await;
}

async fn a_second_signal_ends_at_once(database: Database) {
    let folder = TempDir::new().unwrap();
    // The drain alone would take an hour.
    let mut server = Process::start(&database, &folder, &[("DRAIN_DELAY", "1h")]).await;
    server.terminate();
    server.says("SIGTERM received: draining").await;
    server.signal(Signal::INT);
    let (status, log) = server.wait().await;
    assert_eq!((status.code(), log.contains("ending at once")), (Some(130), true), "{log}");
}

/// Rows 15 and 20 of one port: what anybody may open must not put the end off.
async fn health_watches_and_reflection_end_with_a_status_and_hold_nobody_up(database: Database) {
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
        // It asks nothing, and never says that it is done.
        let (asking, questions) = mpsc::channel::<()>(1);
        let (path, codec) = (path.parse().unwrap(), ProstCodec::<(), ()>::default());
        let request = Request::new(ReceiverStream::new(questions));
        let answer = caller.ready().await.unwrap().streaming(request, path, codec).await;
        let mut answers = answer.unwrap().into_inner();
        ending.spawn(async move {
            let end = answers.message().await.map(drop);
            drop(asking);
            end
        });
    }
    server.terminate();
    // Whoever holds the end up is cut off after eight seconds, without a status.
    for ended in within("their ends", ending.join_all()).await {
        ended.refused(Code::Unavailable, "DRAINING");
    }
    let (status, log) = server.wait().await;
    assert_eq!(status.code(), Some(0), "{log}");
}

async fn systemd_is_told_of_the_start_and_of_the_end(database: Database) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_nonblocking(true).unwrap();
    let socket = tokio::net::UnixDatagram::from_std(socket).unwrap();
    let told = async || {
        let mut message = [0; 64];
        let length = within("a notification", socket.recv(&mut message)).await.unwrap();
        String::from_utf8(message[..length].to_vec()).unwrap()
    };
    let server = Process::start(&database, &folder, &[("NOTIFY_SOCKET", path.to_str().unwrap())]).await;
    assert_eq!(told().await, "READY=1");
    server.terminate();
    assert_eq!(told().await, "STOPPING=1");
    assert_eq!(server.wait().await.0.code(), Some(0));
}

async fn a_socket_that_systemd_has_bound_is_served(database: Database) {
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

//! The server among its like: replaced under load on the same port, told twice to end, run by systemd.

use std::os::unix::net::UnixDatagram;

use grpcchatter_proto::v1::{
    ResumePoint, SendMessageRequest, subscribe_request::Start, subscribe_response::Event,
};
use rustix::process::Signal;
use tempfile::TempDir;
use tokio::task::JoinSet;
use tonic::{Code, Status};

use crate::harness::{Database, Member, Process, on_each_database, within};

on_each_database! {
    a_restart_under_load_costs_no_message_and_no_error_that_may_not_be_retried,
    a_second_signal_ends_at_once,
    systemd_is_told_of_the_start_and_of_the_end,
    a_socket_that_systemd_has_bound_is_served,
}

const AUTHORS: usize = 4;
const MESSAGES: usize = 150;

/// Checks that a client may try again.
#[track_caller]
fn assert_retriable(status: &Status) {
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
}

/// Says each message until it is acknowledged, under the same id.
async fn insist(member: Member, author: usize) {
    for number in 0..MESSAGES {
        let client_message_id = format!("{author}-{number}");
        loop {
            let request = SendMessageRequest {
                body: "on and on".to_owned(),
                client_message_id: client_message_id.clone(),
            };
            match member.call(request).await {
                Ok(_) => break,
                Err(status) => assert_retriable(&status),
            }
            tokio::task::yield_now().await;
        }
    }
}

/// Listens until all was heard, in order, without a gap or a repeat; resumes whenever the stream ends.
async fn listen(member: Member) {
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
                    if last.seq == (AUTHORS * MESSAGES) as i64 {
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

async fn a_restart_under_load_costs_no_message_and_no_error_that_may_not_be_retried(database: Database) {
    let folder = TempDir::new().unwrap();
    let server = Process::start(&database, &folder, &[]).await;
    let user = server.user().await;
    let member = user.join(&user.create_room().await).await;
    let mut clients = JoinSet::new();
    for author in 0..AUTHORS {
        clients.spawn(insist(member.at(server.address()), author));
    }
    for _ in 0..AUTHORS {
        clients.spawn(listen(member.at(server.address())));
    }
    // It is replaced in the middle: a third of the messages are there.
    let mut watch = member.elsewhere().subscribe(None).await.unwrap();
    while watch.message().await.seq < (AUTHORS * MESSAGES / 3) as i64 {}
    let port = server.address().port().to_string();
    server.terminate();
    let (status, log) = server.wait().await;
    assert_eq!(status.code(), Some(0), "{log}");
    let server = Process::start(&database, &folder, &[("SERVER_PORT", &port)]).await;
    within("the clients' end", async {
        while let Some(ended) = clients.join_next().await {
            ended.unwrap();
        }
    })
    .await;
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

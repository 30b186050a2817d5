//! A proxy that answers in the server's place while it restarts: nothing is lost, delivered twice, or given up.

use grpcchatter_client::{Client, CloseReason, Error, Event, Events, Kind, Start};
use tonic::{Code, Status};

use crate::{
    fake::{Fake, Fault, status, with_messages},
    joined_room,
};

const SEND: &str = "SendMessage";
const SUBSCRIBE: &str = "Subscribe";

/// The failures behind a proxy when a server is killed or restarts.
const PROXY_FAILURES: [Fault; 9] = [
    Fault::Page(502),
    Fault::Page(503),
    Fault::Page(504),
    Fault::Page(429),
    Fault::GrpcStatus(Code::Internal),
    Fault::GrpcStatus(Code::Unknown),
    Fault::GrpcStatus(Code::Unavailable),
    Fault::Truncated,
    Fault::StreamReset,
];

/// The seq of the next message, over any number of lost connections.
async fn message(events: &mut Events) -> i64 {
    loop {
        match events.recv().await.expect("the stream continues") {
            Event::Message(message) => return message.seq,
            Event::Closed(why) => panic!("{why}"),
            _ => {}
        }
    }
}

#[tokio::test]
async fn a_send_behind_a_failing_proxy_is_retried_and_stored_once() {
    for fault in PROXY_FAILURES {
        let (fake, _client, room) = joined_room().await;
        fake.inject(SEND, fault);
        fake.inject(SEND, fault);
        assert_eq!(room.send("hello").await.unwrap().seq, 1, "{fault:?}");
        assert_eq!(fake.state().log.len(), 1, "{fault:?}");
    }
}

#[tokio::test]
async fn events_resume_after_a_proxy_failure() {
    for fault in PROXY_FAILURES {
        let (fake, _client, room) = joined_room().await;
        let mut events = room.events();
        fake.inject(SUBSCRIBE, fault);
        if fault.reaches_server() {
            fake.script_stream(with_messages([]), None);
        }
        fake.script_stream(with_messages([1]), Some(Status::unknown("cut off")));
        fake.script_stream(with_messages([2]), Some(Status::internal("RST_STREAM")));
        fake.script_stream(with_messages([3]), None);
        for seq in 1..=3 {
            assert_eq!(message(&mut events).await, seq, "{fault:?}");
        }
    }
}

#[tokio::test]
async fn joins_and_reads_are_retried() {
    let (fake, client, room) = joined_room().await;
    for fault in [Fault::Page(502), Fault::Truncated] {
        for call in ["JoinChatRoom", "ListChatRooms", "ListMessages"] {
            fake.inject(call, fault);
        }
        client.join("aB3xYz", "").await.unwrap();
        client.rooms().await.unwrap();
        room.newest_messages(1).await.unwrap();
    }
}

#[tokio::test]
async fn an_internal_error_of_the_server_itself_closes_the_stream() {
    let (fake, _client, room) = joined_room().await;
    fake.script_stream(with_messages([1]), Some(status(Code::Internal, "INTERNAL")));
    let mut events = room.events();
    assert_eq!(message(&mut events).await, 1);
    let end = events.recv().await;
    assert!(matches!(end, Some(Event::Closed(CloseReason::Failed(_)))), "{end:?}");
}

#[tokio::test]
async fn a_refusal_by_a_proxy_leaves_a_send_unacknowledged() {
    let (fake, client, room) = joined_room().await;
    fake.inject(SEND, Fault::Page(403));
    let error = room.send("hello").await.unwrap_err();
    assert!(matches!(error, Error::Unacknowledged { .. }) && !error.is_retryable(), "{error:?}");
    assert_eq!((error.kind(), error.reason()), (Some(Kind::PermissionDenied), None));
    fake.inject("JoinChatRoom", Fault::Page(301));
    let error = client.join("aB3xYz", "").await.unwrap_err();
    assert!(matches!(error, Error::Malformed(_)), "{error:?}");
    assert!(error.to_string().contains("301"), "{error}");
}

#[tokio::test]
async fn a_401_of_a_proxy_does_not_end_the_session() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("session.json");
    let fake = Fake::start().await;
    let client = Client::builder(&fake.url).session_file(&path).build().unwrap();
    client.login("walker1", "Secret-1!").await.unwrap();
    let room = client.join("aB3xYz", "").await.unwrap();
    fake.inject("ListChatRooms", Fault::Page(401));
    let error = client.rooms().await.unwrap_err();
    assert_eq!((error.kind(), error.reason()), (Some(Kind::Unauthenticated), None));
    fake.inject(SUBSCRIBE, Fault::Page(401));
    let end = room.events_from(Start::Now).recv().await;
    assert!(matches!(end, Some(Event::Closed(CloseReason::Failed(_)))), "{end:?}");
    fake.state().user_token_invalid = true;
    fake.inject("/refresh", Fault::Page(401));
    client.rooms().await.unwrap_err();
    assert!(path.exists());
    client.rooms().await.unwrap();
    assert_eq!(fake.state().refreshes, 1);
}

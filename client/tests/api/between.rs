//! A server behind something that answers in its place while it restarts: nothing is lost, told twice, or given up.

use grpcchatter_client::{Client, CloseReason, Error, Event, Events, Kind, Start};
use tonic::{Code, Status};

use crate::{
    fake::{Between, Fake, says, status},
    in_a_room,
};

const SEND: &str = "SendMessage";
const SUBSCRIBE: &str = "Subscribe";

/// What a server that is killed or restarts looks like from behind a proxy.
const PASSING: [Between; 9] = [
    Between::Page(502),
    Between::Page(503),
    Between::Page(504),
    Between::Page(429),
    Between::Says(Code::Internal),
    Between::Says(Code::Unknown),
    Between::Says(Code::Unavailable),
    Between::Cut,
    Between::Reset,
];

/// The next message's place, over as many lost connections as there are.
async fn message(events: &mut Events) -> i64 {
    loop {
        match events.recv().await.expect("the stream goes on") {
            Event::Message(message) => return message.seq,
            Event::Closed(why) => panic!("{why}"),
            _ => {}
        }
    }
}

#[tokio::test]
async fn a_send_is_tried_again_and_stored_once() {
    for between in PASSING {
        let (fake, _client, room) = in_a_room().await;
        fake.between(SEND, between);
        fake.between(SEND, between);
        assert_eq!(room.send("hello").await.unwrap().seq, 1, "{between:?}");
        assert_eq!(fake.state().log.len(), 1, "{between:?}");
    }
}

#[tokio::test]
async fn events_go_on_where_they_were() {
    for between in PASSING {
        let (fake, _client, room) = in_a_room().await;
        let mut events = room.events();
        fake.between(SUBSCRIBE, between);
        if between.lets_pass() {
            fake.scene(says([]), None);
        }
        fake.scene(says([1]), Some(Status::unknown("cut off")));
        fake.scene(says([2]), Some(Status::internal("RST_STREAM")));
        fake.scene(says([3]), None);
        for seq in 1..=3 {
            assert_eq!(message(&mut events).await, seq, "{between:?}");
        }
    }
}

#[tokio::test]
async fn joining_and_reading_are_tried_again() {
    let (fake, client, room) = in_a_room().await;
    for between in [Between::Page(502), Between::Cut] {
        for call in ["JoinChatRoom", "ListChatRooms", "ListMessages"] {
            fake.between(call, between);
        }
        client.join("aB3xYz", "").await.unwrap();
        client.rooms().await.unwrap();
        room.newest_messages(1).await.unwrap();
    }
}

#[tokio::test]
async fn what_the_server_itself_says_is_the_end() {
    let (fake, _client, room) = in_a_room().await;
    fake.scene(says([1]), Some(status(Code::Internal, "INTERNAL")));
    let mut events = room.events();
    assert_eq!(message(&mut events).await, 1);
    let end = events.recv().await;
    assert!(matches!(end, Some(Event::Closed(CloseReason::Failed(_)))), "{end:?}");
}

#[tokio::test]
async fn a_proxys_no_is_told_and_leaves_open_whether_a_message_was_stored() {
    let (fake, client, room) = in_a_room().await;
    fake.between(SEND, Between::Page(403));
    let error = room.send("hello").await.unwrap_err();
    assert!(matches!(error, Error::Unacknowledged { .. }) && !error.is_retryable(), "{error:?}");
    assert_eq!((error.kind(), error.reason()), (Some(Kind::PermissionDenied), None));
    fake.between("JoinChatRoom", Between::Page(301));
    let error = client.join("aB3xYz", "").await.unwrap_err();
    assert!(matches!(error, Error::Malformed(_)), "{error:?}");
    assert!(error.to_string().contains("301"), "{error}");
}

#[tokio::test]
async fn a_proxy_that_asks_for_a_log_in_ends_no_session() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("session.json");
    let fake = Fake::start().await;
    let client = Client::builder(&fake.url).session_file(&path).build().unwrap();
    client.login("walker1", "Secret-1!").await.unwrap();
    let room = client.join("aB3xYz", "").await.unwrap();
    fake.between("ListChatRooms", Between::Page(401));
    let error = client.rooms().await.unwrap_err();
    assert_eq!((error.kind(), error.reason()), (Some(Kind::Unauthenticated), None));
    fake.between(SUBSCRIBE, Between::Page(401));
    let end = room.events_from(Start::Now).recv().await;
    assert!(matches!(end, Some(Event::Closed(CloseReason::Failed(_)))), "{end:?}");
    fake.state().spoiled = true;
    fake.between("/refresh", Between::Page(401));
    client.rooms().await.unwrap_err();
    assert!(path.exists());
    client.rooms().await.unwrap();
    assert_eq!(fake.state().refreshes, 1);
}

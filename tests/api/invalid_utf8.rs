//! A text field that is not UTF-8 is refused, and its sender leaves the room like any other user.

use grpcchatter_proto::v1::{
    ListChatRoomUsersRequest, ListMessagesRequest, SendMessageRequest, subscribe_response::Event,
};
use tonic::Code;

use crate::harness::{
    Connection, Database, Dialect, Refused as _, Rpc as _, TestApp, Version, on_each_database,
};

on_each_database! {
    text_that_is_not_utf8_is_refused_and_leaves_no_user_present,
}

/// A message whose body need not be UTF-8.
#[derive(Clone, PartialEq, prost::Message)]
struct Bytes {
    #[prost(bytes, tag = "1")]
    body: Vec<u8>,
}

/// The original kept the sender of such a message in its list of present users for ever.
async fn text_that_is_not_utf8_is_refused_and_leaves_no_user_present(database: Database) {
    let app = TestApp::start(&database).await;
    let (alice, bob) = (app.user().await, app.user().await);
    let room = alice.create_room().await;
    let (alice, bob) = (alice.join(&room).await, bob.join(&room).await);
    let mut watching = bob.subscribe(None).await.unwrap();
    // A user who comes and leaves between two presence updates is in neither, so the arrival is awaited.
    let arrived = watching.find(|event| {
        match event {
            Event::Presence(presence) => Some(presence.users),
            Event::PresenceChange(change) => Some(change.came),
            _ => None,
        }
        .filter(|users| users.iter().any(|user| user.user_name == alice.name))
    });
    arrived.await;
    let broken = Bytes { body: b"\xff\xfe".to_vec() };
    let token = [("token", alice.token())];
    for dialect in Dialect::ALL {
        let mut connection = Connection::open(app.address(), dialect.version()).await;
        let outcome = dialect.call(&mut connection, SendMessageRequest::PATH, &token, &broken).await;
        outcome.refused(Code::InvalidArgument, "INVALID_FIELD");
    }
    for path in ["/grpcchatter.v1.ChatService/Chat", "/proto.GRPCChatter/Chat"] {
        let mut connection = Connection::open(app.address(), Version::H2).await;
        let outcome = Dialect::Native.call(&mut connection, path, &token, &broken).await;
        outcome.refused(Code::InvalidArgument, "INVALID_FIELD");
    }
    // The streams have ended, so their user leaves after the grace period.
    let left = watching.find(|event| match event {
        Event::PresenceChange(change) if !change.left.is_empty() => Some(change.left),
        _ => None,
    });
    assert_eq!(left.await, [alice.name.clone()]);
    let present = bob.call(ListChatRoomUsersRequest::default()).await.unwrap();
    assert!(!format!("{present:?}").contains(&alice.name), "{present:?}");
    let log = ListMessagesRequest { after_seq: Some(0), ..Default::default() };
    assert!(bob.call(log).await.unwrap().messages.is_empty());
    assert_eq!(alice.say("in UTF-8").await.seq, 1);
}

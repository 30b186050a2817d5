//! Presence: who is here, told once a person, with a grace for those who come back.

use std::collections::BTreeSet;

use futures_util::{StreamExt as _, stream};
use grpcchatter_proto::v1::{
    LeaveChatRoomRequest, ListChatRoomUsersRequest, PresenceChange, subscribe_response::Event,
};

use tonic::Code;

use crate::harness::{
    Caller, Database, Dialect, Refused as _, Room, Subscription, TestApp, User, on_each_database,
};

on_each_database! {
    everybody_present_is_listed_once_and_the_caller_too,
    joining_is_being_present,
    coming_and_going_are_told,
    whoever_comes_back_within_the_grace_never_left,
    leaving_is_told_at_once,
    beyond_200_only_the_count_is_told,
}

async fn names(caller: &Caller) -> Vec<String> {
    let users = caller.call(ListChatRoomUsersRequest {}).await.unwrap().users;
    assert!(users.iter().all(|user| user.online_since.is_some()), "{users:?}");
    users.into_iter().map(|user| user.user_name).collect()
}

/// Awaits that somebody is told to have come. The arrival of whoever watches may be told together with it.
async fn came(subscription: &mut Subscription, name: &str) -> PresenceChange {
    subscription
        .find(|event| match event {
            Event::PresenceChange(change) if change.came.iter().any(|user| user.user_name == name) => {
                assert!(change.left.is_empty(), "{change:?}");
                Some(change)
            }
            _ => None,
        })
        .await
}

/// Awaits that somebody is told to have left.
async fn left(subscription: &mut Subscription) -> PresenceChange {
    subscription
        .find(|event| match event {
            Event::PresenceChange(change) if !change.left.is_empty() => Some(change),
            _ => None,
        })
        .await
}

async fn owner_and_room(app: &TestApp) -> (User, Room) {
    let owner = app.user().await;
    let room = owner.create_room().await;
    (owner, room)
}

async fn everybody_present_is_listed_once_and_the_caller_too(database: Database) {
    let app = TestApp::start(&database).await;
    let (owner, room) = owner_and_room(&app).await;
    let guest = app.user().await;
    let (member, visitor) = (owner.join(&room).await, guest.join(&room).await);
    let _streams = [
        visitor.subscribe(None).await.unwrap(),
        visitor.elsewhere().subscribe(None).await.unwrap(),
        visitor.speaking(Dialect::Web).subscribe(None).await.unwrap(),
    ];
    let expected = BTreeSet::from([owner.name.clone(), guest.name.clone()]);
    for dialect in Dialect::ALL {
        let listed = names(&member.speaking(dialect)).await;
        assert_eq!((listed.len(), listed.into_iter().collect::<BTreeSet<_>>()), (2, expected.clone()));
    }
}

async fn joining_is_being_present(database: Database) {
    let app = TestApp::start(&database).await;
    let (owner, room) = owner_and_room(&app).await;
    let member = owner.join(&room).await;
    assert_eq!(names(&member).await, [owner.name.clone()], "for thirty seconds, without a stream");
}

async fn coming_and_going_are_told(database: Database) {
    let app = TestApp::start(&database).await;
    let (owner, room) = owner_and_room(&app).await;
    let guest = app.user().await;
    let member = owner.join(&room).await;
    let mut watching = member.subscribe(None).await.unwrap();
    let visitor = guest.join(&room).await;
    let stream = visitor.subscribe(None).await.unwrap();
    assert_eq!(came(&mut watching, &guest.name).await.user_count, 2);
    drop(stream);
    let left = left(&mut watching).await;
    assert_eq!((left.left, left.came.len(), left.user_count), (vec![guest.name.clone()], 0, 1));
    assert_eq!(names(&member).await, [owner.name.clone()]);
}

async fn whoever_comes_back_within_the_grace_never_left(database: Database) {
    let app = TestApp::start(&database).await;
    let (owner, room) = owner_and_room(&app).await;
    let (guest, other) = (app.user().await, app.user().await);
    let member = owner.join(&room).await;
    let mut watching = member.subscribe(None).await.unwrap();
    let visitor = guest.join(&room).await;
    drop(visitor.subscribe(None).await.unwrap());
    let _back = visitor.subscribe(None).await.unwrap();
    came(&mut watching, &guest.name).await;
    // The one who goes for good, later than the one who came back, is the first to be told as gone.
    let leaving = other.join(&room).await;
    let stream = leaving.subscribe(None).await.unwrap();
    came(&mut watching, &other.name).await;
    drop(stream);
    assert_eq!(left(&mut watching).await.left, [other.name.clone()]);
}

async fn leaving_is_told_at_once(database: Database) {
    let app = TestApp::start(&database).await;
    let (owner, room) = owner_and_room(&app).await;
    let guest = app.user().await;
    let member = owner.join(&room).await;
    let mut watching = member.subscribe(None).await.unwrap();
    let visitor = guest.join(&room).await;
    let stream = visitor.subscribe(None).await.unwrap();
    // Whoever comes and leaves before either was told is not told at all.
    came(&mut watching, &guest.name).await;
    visitor.call(LeaveChatRoomRequest {}).await.unwrap();
    assert_eq!(names(&member).await, [owner.name.clone()]);
    assert_eq!(left(&mut watching).await.left, [guest.name.clone()]);
    stream.end().await.refused(Code::PermissionDenied, "NOT_A_MEMBER");
}

async fn beyond_200_only_the_count_is_told(database: Database) {
    let app = TestApp::start(&database).await;
    let owner = app.user().await;
    let room = owner.create_room_with("").await;
    let member = owner.join(&room).await;
    let mut watching = member.subscribe(None).await.unwrap();
    let mut streams = Vec::new();
    // A few at a time: the server refuses at once the passwords that it cannot hash soon.
    let users: Vec<_> = stream::iter(0..205).map(|_| app.user()).buffer_unordered(2).collect().await;
    // Joining counts for half a minute, which all of them may not enter in on a busy machine; a stream counts as long as it is.
    for user in &users {
        streams.push(user.join(&room).await.subscribe(None).await.unwrap());
    }
    let last = watching.find(|event| match event {
        Event::PresenceChange(change) if change.user_count == 206 => {
            Some((change.came.len(), change.user_count))
        }
        Event::Presence(presence) if presence.user_count == 206 => Some((presence.users.len(), 206)),
        _ => None,
    });
    assert!(last.await.0 <= 200);
}

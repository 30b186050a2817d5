//! Presence: who is in a room, once per user, with a grace period for users who come back.

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
    everybody_present_is_listed_once_including_the_caller,
    a_user_who_joins_is_present,
    the_first_list_is_complete_and_not_repeated_as_changes,
    arrivals_and_departures_are_sent,
    a_user_who_returns_within_the_grace_period_never_left,
    leaving_is_sent_at_once,
    above_200_users_only_the_count_is_sent,
}

async fn names(caller: &Caller) -> Vec<String> {
    let users = caller.call(ListChatRoomUsersRequest {}).await.unwrap().users;
    assert!(users.iter().all(|user| user.online_since.is_some()), "{users:?}");
    users.into_iter().map(|user| user.user_name).collect()
}

/// Awaits the arrival of a user. The watcher's own arrival may be in the same change.
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

/// Awaits a change with a departure.
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

async fn everybody_present_is_listed_once_including_the_caller(database: Database) {
    let app = TestApp::start(&database).await;
    let (owner, room) = owner_and_room(&app).await;
    let guest = app.user().await;
    let (member, visitor) = (owner.join(&room).await, guest.join(&room).await);
    let _streams = [
        visitor.subscribe(None).await.unwrap(),
        visitor.on_new_connection().subscribe(None).await.unwrap(),
        visitor.with_dialect(Dialect::Web).subscribe(None).await.unwrap(),
    ];
    let expected = BTreeSet::from([owner.name.clone(), guest.name.clone()]);
    for dialect in Dialect::ALL {
        let listed = names(&member.with_dialect(dialect)).await;
        assert_eq!((listed.len(), listed.into_iter().collect::<BTreeSet<_>>()), (2, expected.clone()));
    }
}

async fn a_user_who_joins_is_present(database: Database) {
    let app = TestApp::start(&database).await;
    let (owner, room) = owner_and_room(&app).await;
    let member = owner.join(&room).await;
    assert_eq!(names(&member).await, [owner.name.clone()], "for 30 s, without a stream");
}

/// The users arrive one right after the other.
async fn the_first_list_is_complete_and_not_repeated_as_changes(database: Database) {
    let app = TestApp::start(&database).await;
    let (owner, room) = owner_and_room(&app).await;
    let (guest, other, last) = (app.user().await, app.user().await, app.user().await);
    let member = owner.join(&room).await;
    let (visitor, third) = (guest.join(&room).await, other.join(&room).await);
    for caller in [&member, &visitor, &third] {
        for dialect in Dialect::ALL {
            let mut watching = caller.with_dialect(dialect).subscribe(None).await.unwrap();
            let first = watching.find(|event| match event {
                Event::Presence(presence) => Some(presence),
                _ => None,
            });
            let first = first.await;
            let names: BTreeSet<_> = first.users.into_iter().map(|user| user.user_name).collect();
            let expected = [&owner, &guest, &other].map(|user| user.name.clone());
            assert_eq!((names, first.user_count), (BTreeSet::from(expected), 3));
        }
    }
    let mut watching = third.subscribe(None).await.unwrap();
    last.join(&room).await;
    let change = watching.find(|event| match event {
        Event::PresenceChange(change) => Some(change),
        _ => None,
    });
    let came: Vec<_> = change.await.came.into_iter().map(|user| user.user_name).collect();
    assert_eq!(came, [last.name.clone()]);
}

async fn arrivals_and_departures_are_sent(database: Database) {
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

async fn a_user_who_returns_within_the_grace_period_never_left(database: Database) {
    let app = TestApp::start(&database).await;
    let (owner, room) = owner_and_room(&app).await;
    let (guest, other) = (app.user().await, app.user().await);
    let member = owner.join(&room).await;
    let mut watching = member.subscribe(None).await.unwrap();
    let visitor = guest.join(&room).await;
    drop(visitor.subscribe(None).await.unwrap());
    let _back = visitor.subscribe(None).await.unwrap();
    came(&mut watching, &guest.name).await;
    // The user who leaves for good, later than the one who came back, is in the first departure.
    let leaving = other.join(&room).await;
    let stream = leaving.subscribe(None).await.unwrap();
    came(&mut watching, &other.name).await;
    drop(stream);
    assert_eq!(left(&mut watching).await.left, [other.name.clone()]);
}

async fn leaving_is_sent_at_once(database: Database) {
    let app = TestApp::start(&database).await;
    let (owner, room) = owner_and_room(&app).await;
    let guest = app.user().await;
    let member = owner.join(&room).await;
    let mut watching = member.subscribe(None).await.unwrap();
    let visitor = guest.join(&room).await;
    let stream = visitor.subscribe(None).await.unwrap();
    // A user who arrives and leaves between two changes is in neither, so the arrival is awaited.
    came(&mut watching, &guest.name).await;
    visitor.call(LeaveChatRoomRequest {}).await.unwrap();
    assert_eq!(names(&member).await, [owner.name.clone()]);
    assert_eq!(left(&mut watching).await.left, [guest.name.clone()]);
    stream.end().await.refused(Code::PermissionDenied, "NOT_A_MEMBER");
}

async fn above_200_users_only_the_count_is_sent(database: Database) {
    let app = TestApp::start(&database).await;
    let owner = app.user().await;
    let room = owner.create_room_with("").await;
    let member = owner.join(&room).await;
    let mut watching = member.subscribe(None).await.unwrap();
    let mut streams = Vec::new();
    // A few at a time, since the server refuses passwords that it cannot hash soon.
    let users: Vec<_> = stream::iter(0..205).map(|_| app.user()).buffer_unordered(2).collect().await;
    // A join counts for 30 s, which is too short for all of them on a busy machine. A stream counts as long as it is open.
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

//! Tokens: renewed once, for all who wait, and by the programs of one person in turn.

use futures_util::future::join_all;
use grpcchatter_client::{Client, Error};

use crate::{fake::Fake, in_a_room};

#[tokio::test]
async fn calls_that_are_refused_together_refresh_once() {
    let (fake, client, _room) = in_a_room().await;
    spoil(&fake);
    for listed in join_all((0..10).map(|_| client.list_chat_rooms())).await {
        assert_eq!(listed.unwrap().len(), 2);
    }
    assert_eq!(fake.state().refreshes, 1);
}

/// Ends the user token without the refresh token.
fn spoil(fake: &Fake) {
    fake.state().spoiled = true;
}

#[tokio::test]
async fn programs_that_share_a_file_share_the_session() {
    let fake = Fake::start().await;
    let folder = tempfile::tempdir().unwrap();
    let program =
        || Client::builder(&fake.url).session_file(folder.path().join("session.json")).build().unwrap();
    let (first, second) = (program(), program());
    assert!(matches!(second.user_name().await, Err(Error::NotLoggedIn)));
    first.login("walker1", "Secret-1!").await.unwrap();
    assert_eq!(second.user_name().await.unwrap(), "walker1");
    spoil(&fake);
    first.list_chat_rooms().await.unwrap();
    second.list_chat_rooms().await.unwrap();
    assert_eq!(fake.state().refreshes, 1);
}

#[tokio::test]
async fn a_session_that_has_ended_is_forgotten() {
    let fake = Fake::start().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("session.json");
    let client = Client::builder(&fake.url).session_file(&path).build().unwrap();
    client.login("walker1", "Secret-1!").await.unwrap();
    spoil(&fake);
    fake.state().session_over = true;
    assert!(matches!(client.list_chat_rooms().await, Err(Error::NotLoggedIn)));
    assert!(!path.exists());
}

#[tokio::test]
async fn nothing_secret_is_printed() {
    let (_fake, client, room) = in_a_room().await;
    let printed = format!("{client:?} {room:?} {:?}", room.events());
    for secret in ["Secret-1!", "edelweiss", "user-1", "refresh-1", "chat-1"] {
        assert!(!printed.contains(secret), "{printed}");
    }
}

#[cfg(feature = "blocking")]
#[test]
fn the_same_calls_work_without_a_runtime() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let fake = runtime.block_on(Fake::start());
    fake.scene(crate::fake::says([1]), None);
    let client = grpcchatter_client::blocking::Client::new_at(&fake.url).unwrap();
    client.login("walker1", "Secret-1!").unwrap();
    let room = client.join_chat_room("aB3xYz", "").unwrap();
    assert_eq!(room.receive().unwrap().seq, 1);
    assert_eq!(room.send("hello").unwrap().seq, 1);
    room.disconnect();
    assert_eq!(room.events().count(), 1);
}

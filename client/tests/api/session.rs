//! Tokens: renewed once, for all who wait, and by the programs of one person in turn.

use std::sync::Arc;

use futures_util::future::join_all;
use grpcchatter_client::{Client, Error, Reason};
use tokio::{runtime::Runtime, sync::Notify};

use crate::{
    fake::{Between, Fake},
    in_a_room,
};

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
async fn a_program_logs_in_where_its_session_is_missing_or_over_and_not_else() {
    let fake = Fake::start().await;
    fake.state().user_name = "walker1".to_owned();
    let folder = tempfile::tempdir().unwrap();
    let program =
        || Client::builder(&fake.url).session_file(folder.path().join("session.json")).build().unwrap();
    // The server is on its way up.
    fake.between("/login", Between::Page(502));
    for logins in [1, 1] {
        program().login_if_needed("walker1", "Secret-1!").await.unwrap();
        assert_eq!(*fake.logins.borrow(), logins);
    }
    spoil(&fake);
    fake.state().refresh_over = true;
    program().login_if_needed("walker1", "Secret-1!").await.unwrap();
    assert_eq!(*fake.logins.borrow(), 2);
    program().login_if_needed("walker2", "Secret-1!").await.unwrap();
    assert_eq!((*fake.logins.borrow(), program().user_name().await.unwrap().as_str()), (3, "walker2"));
}

#[tokio::test]
async fn a_user_is_called_as_the_server_writes_them() {
    let fake = Fake::start().await;
    fake.state().user_name = "zo\u{eb}1234".to_owned();
    let client = Client::new_at(&fake.url).unwrap();
    client.login("zoe\u{308}1234", "Secret-1!").await.unwrap();
    assert_eq!(client.user_name().await.unwrap(), "zo\u{eb}1234");
}

#[tokio::test]
async fn a_name_in_another_spelling_than_the_servers_logs_in_once() {
    let fake = Fake::start().await;
    fake.state().user_name = "zo\u{eb}1234".to_owned();
    let folder = tempfile::tempdir().unwrap();
    let program =
        || Client::builder(&fake.url).session_file(folder.path().join("session.json")).build().unwrap();
    for name in ["zoe\u{308}1234", "zoe\u{308}1234", "zo\u{eb}1234"] {
        program().login_if_needed(name, "Secret-1!").await.unwrap();
        assert_eq!(*fake.logins.borrow(), 1, "{name:?}");
    }
    spoil(&fake);
    for _ in 0..2 {
        program().login_if_needed("zoe\u{308}1234", "Secret-1!").await.unwrap();
    }
    assert_eq!((*fake.logins.borrow(), fake.state().refreshes), (1, 1), "a refresh keeps both");
}

#[tokio::test]
async fn nothing_secret_is_printed() {
    let (fake, client, room) = in_a_room().await;
    let builder = Client::builder(&fake.url);
    fake.state().session_over = true;
    let error = client.login("walker1", "Secret-1!").await.unwrap_err();
    let printed = format!("{builder:?} {client:?} {room:?} {:?} {error:?} {error}", room.events());
    for secret in ["Secret-1!", "edelweiss", "user-1", "refresh-1", "chat-1"] {
        assert!(!printed.contains(secret), "{printed}");
    }
}

#[tokio::test]
async fn a_room_outlives_the_handle_it_came_from() {
    let (_fake, client, room) = in_a_room().await;
    drop(client);
    assert_eq!(room.send("hello").await.unwrap().seq, 1);
}

#[tokio::test]
async fn disconnecting_ends_a_call_that_waits_for_a_fresh_token() {
    let (fake, client, _room) = in_a_room().await;
    spoil(&fake);
    fake.state().busy = Some(5);
    let (listed, ()) = tokio::join!(client.list_chat_rooms(), async {
        fake.put_off.notified().await;
        client.disconnect();
    });
    assert!(matches!(listed, Err(Error::Disconnected)), "{listed:?}");
}

#[tokio::test]
async fn a_refresh_that_is_put_off_for_long_is_told_at_once() {
    let (fake, client, _room) = in_a_room().await;
    spoil(&fake);
    fake.state().busy = Some(3600);
    let error = client.list_chat_rooms().await.unwrap_err();
    assert_eq!(error.reason(), Some(&Reason::Overloaded));
}

#[tokio::test]
async fn a_refresh_under_way_does_not_take_the_place_of_a_new_session() {
    let (fake, client, _room) = in_a_room().await;
    let held = Arc::new(Notify::new());
    spoil(&fake);
    fake.state().slow_refresh = Some(Arc::clone(&held));
    let (listed, logged_in) = tokio::join!(client.list_chat_rooms(), async {
        fake.put_off.notified().await;
        // The new session ends the one before: that is what the refresh is told afterwards.
        let mut logins = fake.logins.subscribe();
        let refreshed = async {
            logins.wait_for(|logins| *logins == 2).await.unwrap();
            held.notify_one();
        };
        tokio::join!(client.login("walker2", "Secret-1!"), refreshed).0
    });
    logged_in.unwrap();
    drop(listed);
    assert_eq!(client.user_name().await.unwrap(), "walker2");
    client.list_chat_rooms().await.unwrap();
}

#[tokio::test]
async fn logging_out_of_a_session_that_has_ended_is_done() {
    let (fake, client, _room) = in_a_room().await;
    spoil(&fake);
    fake.state().session_over = true;
    client.logout().await.unwrap();
    assert!(matches!(client.logout().await, Err(Error::NotLoggedIn)));
}

#[test]
fn a_client_outlives_the_runtime_that_it_was_used_on_first() {
    let serving = Runtime::new().unwrap();
    let fake = serving.block_on(Fake::start());
    let client = Client::new_at(&fake.url).unwrap();
    for _ in 0..2 {
        Runtime::new().unwrap().block_on(client.login("walker1", "Secret-1!")).unwrap();
    }
}

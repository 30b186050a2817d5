//! Tokens are renewed once for all waiting calls, and by one program at a time.

use std::sync::Arc;

use futures_util::future::join_all;
use grpcchatter_client::{Client, Error, Reason};
use tokio::{runtime::Runtime, sync::Notify};

use crate::{
    fake::{Fake, Fault},
    joined_room,
};

#[tokio::test]
async fn calls_that_are_refused_together_refresh_once() {
    let (fake, client, _room) = joined_room().await;
    invalidate_user_token(&fake);
    for listed in join_all((0..10).map(|_| client.list_chat_rooms())).await {
        assert_eq!(listed.unwrap().len(), 2);
    }
    assert_eq!(fake.state().refreshes, 1);
}

/// Invalidates the user token but not the refresh token.
fn invalidate_user_token(fake: &Fake) {
    fake.state().user_token_invalid = true;
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
    invalidate_user_token(&fake);
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
    invalidate_user_token(&fake);
    fake.state().session_ended = true;
    assert!(matches!(client.list_chat_rooms().await, Err(Error::NotLoggedIn)));
    assert!(!path.exists());
}

#[tokio::test]
async fn login_if_needed_logs_in_only_without_a_valid_session() {
    let fake = Fake::start().await;
    fake.state().user_name = "walker1".to_owned();
    let folder = tempfile::tempdir().unwrap();
    let program =
        || Client::builder(&fake.url).session_file(folder.path().join("session.json")).build().unwrap();
    // The server is still starting.
    fake.inject("/login", Fault::Page(502));
    for logins in [1, 1] {
        program().login_if_needed("walker1", "Secret-1!").await.unwrap();
        assert_eq!(*fake.logins.borrow(), logins);
    }
    invalidate_user_token(&fake);
    fake.state().refresh_token_invalid = true;
    program().login_if_needed("walker1", "Secret-1!").await.unwrap();
    assert_eq!(*fake.logins.borrow(), 2);
    program().login_if_needed("walker2", "Secret-1!").await.unwrap();
    assert_eq!((*fake.logins.borrow(), program().user_name().await.unwrap().as_str()), (3, "walker2"));
}

#[tokio::test]
async fn user_name_is_the_servers_spelling() {
    let fake = Fake::start().await;
    fake.state().user_name = "zo\u{eb}1234".to_owned();
    let client = Client::new_at(&fake.url).unwrap();
    client.login("zoe\u{308}1234", "Secret-1!").await.unwrap();
    assert_eq!(client.user_name().await.unwrap(), "zo\u{eb}1234");
}

#[tokio::test]
async fn another_spelling_of_a_name_logs_in_once() {
    let fake = Fake::start().await;
    fake.state().user_name = "zo\u{eb}1234".to_owned();
    let folder = tempfile::tempdir().unwrap();
    let program =
        || Client::builder(&fake.url).session_file(folder.path().join("session.json")).build().unwrap();
    for name in ["zoe\u{308}1234", "zoe\u{308}1234", "zo\u{eb}1234"] {
        program().login_if_needed(name, "Secret-1!").await.unwrap();
        assert_eq!(*fake.logins.borrow(), 1, "{name:?}");
    }
    invalidate_user_token(&fake);
    for _ in 0..2 {
        program().login_if_needed("zoe\u{308}1234", "Secret-1!").await.unwrap();
    }
    assert_eq!((*fake.logins.borrow(), fake.state().refreshes), (1, 1), "a refresh preserves both spellings");
}

#[tokio::test]
async fn debug_output_contains_no_secret() {
    let (fake, client, room) = joined_room().await;
    let builder = Client::builder(&fake.url);
    fake.state().session_ended = true;
    let error = client.login("walker1", "Secret-1!").await.unwrap_err();
    let printed = format!("{builder:?} {client:?} {room:?} {:?} {error:?} {error}", room.events());
    for secret in ["Secret-1!", "edelweiss", "user-1", "refresh-1", "chat-1"] {
        assert!(!printed.contains(secret), "{printed}");
    }
}

#[tokio::test]
async fn a_room_outlives_its_client_handle() {
    let (_fake, client, room) = joined_room().await;
    drop(client);
    assert_eq!(room.send("hello").await.unwrap().seq, 1);
}

#[tokio::test]
async fn disconnect_ends_a_call_that_waits_for_a_refresh() {
    let (fake, client, _room) = joined_room().await;
    invalidate_user_token(&fake);
    fake.state().overloaded_for = Some(5);
    let (listed, ()) = tokio::join!(client.list_chat_rooms(), async {
        fake.refresh_held.notified().await;
        client.disconnect();
    });
    assert!(matches!(listed, Err(Error::Disconnected)), "{listed:?}");
}

#[tokio::test]
async fn a_refresh_with_a_long_retry_delay_fails_at_once() {
    let (fake, client, _room) = joined_room().await;
    invalidate_user_token(&fake);
    fake.state().overloaded_for = Some(3600);
    let error = client.list_chat_rooms().await.unwrap_err();
    assert_eq!(error.reason(), Some(&Reason::Overloaded));
}

#[tokio::test]
async fn a_refresh_in_flight_does_not_overwrite_a_new_session() {
    let (fake, client, _room) = joined_room().await;
    let held = Arc::new(Notify::new());
    invalidate_user_token(&fake);
    fake.state().refresh_gate = Some(Arc::clone(&held));
    let (listed, logged_in) = tokio::join!(client.list_chat_rooms(), async {
        fake.refresh_held.notified().await;
        // The new session ends the old one, which the delayed refresh learns afterwards.
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
async fn logging_out_of_an_ended_session_succeeds() {
    let (fake, client, _room) = joined_room().await;
    invalidate_user_token(&fake);
    fake.state().session_ended = true;
    client.logout().await.unwrap();
    assert!(matches!(client.logout().await, Err(Error::NotLoggedIn)));
}

#[test]
fn a_client_outlives_its_first_runtime() {
    let serving = Runtime::new().unwrap();
    let fake = serving.block_on(Fake::start());
    let client = Client::new_at(&fake.url).unwrap();
    for _ in 0..2 {
        Runtime::new().unwrap().block_on(client.login("walker1", "Secret-1!")).unwrap();
    }
}

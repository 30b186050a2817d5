//! Every call, as people use them.

use std::time::Duration;

use grpcchatter_client::{Client, CloseReason, Error, Event, Events, Kind, Reason, Start};

use crate::process::{PASSWORD, Server};

/// The next event that `wanted` wants.
async fn until<T>(events: &mut Events, mut wanted: impl FnMut(Event) -> Option<T>) -> T {
    loop {
        let event = events.recv().await.expect("the stream goes on");
        if let Some(found) = wanted(event) {
            return found;
        }
    }
}

async fn closed(events: &mut Events) -> CloseReason {
    until(events, |event| match event {
        Event::Closed(why) => Some(why),
        _ => None,
    })
    .await
}

fn refused<T>(answer: Result<T, Error>) -> Reason {
    let error = answer.err().expect("it is refused");
    error.reason().expect("the server refused it").clone()
}

#[tokio::test]
async fn an_account_lives_and_ends() {
    let Some(server) = Server::start(&[]).await else { return };
    let client = server.user("walker1").await;
    assert_eq!(client.account().await.unwrap().user_name, "walker1");
    assert_eq!(refused(client.register("walker1", PASSWORD).await), Reason::UserNameTaken);
    assert_eq!(refused(client.register("walker2", "weak").await), Reason::InvalidPassword);
    client.change_password(PASSWORD, "Better-Secret-2!").await.unwrap();
    assert_eq!(refused(client.login("walker1", PASSWORD).await), Reason::InvalidCredentials);
    client.login("walker1", "Better-Secret-2!").await.unwrap();

    let code = client.create_chat_room("Mountains", "").await.unwrap().short_code;
    let refusal = client.delete_account("Better-Secret-2!").await.unwrap_err();
    assert_eq!(
        (refusal.reason(), refusal.kind()),
        (Some(&Reason::OwnsRooms), Some(Kind::FailedPrecondition))
    );
    client.delete_chat_room(&code).await.unwrap();
    client.delete_account("Better-Secret-2!").await.unwrap();
    assert!(matches!(client.account().await, Err(Error::NotLoggedIn)));
}

#[tokio::test]
async fn people_talk_and_read_again() {
    let Some(server) = Server::start(&[]).await else { return };
    let (anna, ben) = (server.user("anna01").await, server.user("ben001").await);
    let made = anna.create_chat_room("Mountains", "edelweiss").await.unwrap();
    assert_eq!((made.name.as_str(), made.owner_name.as_str()), ("Mountains", "anna01"));
    assert_eq!(refused(ben.join_chat_room(&made.short_code, "wrong").await), Reason::WrongRoomPassword);
    assert_eq!(refused(ben.join_chat_room("nosuch", "").await), Reason::RoomNotFound);

    let room = anna.join_chat_room(&made.short_code, "edelweiss").await.unwrap();
    for number in 1..=5 {
        assert_eq!(room.send(&format!("number {number}")).await.unwrap().seq, number);
    }
    let bens = ben.join_chat_room(&made.short_code, "edelweiss").await.unwrap();
    let mut events = bens.events_from(Start::Last(2));
    let message = |event| match event {
        Event::Message(message) => Some(message),
        _ => None,
    };
    assert_eq!(until(&mut events, message).await.seq, 4);
    assert_eq!(until(&mut events, message).await.seq, 5);

    room.send("number 6").await.unwrap();
    assert_eq!(bens.receive().await.unwrap().body, "number 6");
    assert_eq!(until(&mut events, message).await.seq, 6);
    let again = room.send_with_id("mine", "number 7").await.unwrap();
    assert_eq!(room.send_with_id("mine", "number 7").await.unwrap(), again);
    assert_eq!(refused(room.send_with_id("mine", "other").await), Reason::ClientMessageIdReused);
    assert_eq!(refused(room.send(&"x".repeat(5000)).await), Reason::MessageTooLong);

    let newest = bens.newest_messages(3).await.unwrap();
    assert_eq!(newest.messages.iter().map(|message| message.seq).collect::<Vec<_>>(), [5, 6, 7]);
    assert!(newest.more);
    let older = bens.messages_before(5, 200).await.unwrap();
    assert_eq!((older.messages.len(), older.more, older.first_seq, older.last_seq), (4, false, 1, 7));
    let newer = bens.messages_after(5, 1).await.unwrap();
    assert_eq!((newer.messages[0].seq, newer.more), (6, true));

    let rooms = ben.list_chat_rooms().await.unwrap();
    assert_eq!(rooms.len(), 1);
    assert_eq!(rooms[0].last_seq, 7);
}

#[tokio::test]
async fn those_who_are_here_are_told() {
    let Some(server) = Server::start(&[]).await else { return };
    let (anna, ben) = (server.user("anna01").await, server.user("ben001").await);
    let code = anna.create_chat_room("Mountains", "").await.unwrap().short_code;
    let room = anna.join_chat_room(&code, "").await.unwrap();
    let mut events = room.events();
    until(&mut events, |event| match event {
        Event::Present { count: 1, .. } => Some(()),
        _ => None,
    })
    .await;
    let bens = ben.join_chat_room(&code, "").await.unwrap();
    until(&mut events, |event| matches!(event, Event::Came(user) if user.name == "ben001").then_some(()))
        .await;
    let names: Vec<_> =
        room.list_chat_room_users().await.unwrap().into_iter().map(|user| user.name).collect();
    assert_eq!(names.len(), 2, "{names:?}");
    bens.leave().await.unwrap();
    until(&mut events, |event| matches!(event, Event::Left(name) if name == "ben001").then_some(())).await;
}

/// A room of Anna's that Ben is reading.
async fn read_by_ben(server: &Server) -> (Client, Client, String, Events) {
    let (anna, ben) = (server.user("anna01").await, server.user("ben001").await);
    let code = anna.create_chat_room("Mountains", "").await.unwrap().short_code;
    let room = ben.join_chat_room(&code, "").await.unwrap();
    let mut events = room.events();
    until(&mut events, |event| matches!(event, Event::CaughtUp { .. }).then_some(())).await;
    (anna, ben, code, events)
}

#[tokio::test]
async fn an_owner_puts_people_out_and_lets_them_in() {
    let Some(server) = Server::start(&[]).await else { return };
    let (anna, ben, code, mut events) = read_by_ben(&server).await;
    assert_eq!(refused(ben.remove_user(&code, "anna01").await), Reason::NotRoomOwner);
    anna.remove_user(&code, "ben001").await.unwrap();
    assert!(matches!(closed(&mut events).await, CloseReason::Removed));

    let mut events = ben.join_chat_room(&code, "").await.unwrap().events();
    anna.ban_user(&code, "ben001").await.unwrap();
    let why = closed(&mut events).await;
    assert!(matches!(why, CloseReason::Banned | CloseReason::Removed), "{why:?}");
    assert_eq!(refused(ben.join_chat_room(&code, "").await), Reason::Banned);
    anna.unban_user(&code, "ben001").await.unwrap();
    ben.join_chat_room(&code, "").await.unwrap();
}

#[tokio::test]
async fn a_room_is_renamed_locked_and_deleted() {
    let Some(server) = Server::start(&[]).await else { return };
    let (anna, ben, code, mut events) = read_by_ben(&server).await;
    anna.rename_chat_room(&code, "High mountains").await.unwrap();
    let name = until(&mut events, |event| match event {
        Event::RoomUpdated(info) => Some(info.name),
        _ => None,
    })
    .await;
    assert_eq!(name, "High mountains");

    anna.change_room_password(&code, "gentian").await.unwrap();
    let why = closed(&mut events).await;
    assert!(matches!(why, CloseReason::PasswordChanged), "{why:?}");
    let invitation = anna.invite(&code, Some(Duration::from_secs(3600))).await.unwrap();
    assert!(!format!("{invitation:?}").contains(&invitation.token));
    let mut events = ben.join_by_invitation(&invitation.token).await.unwrap().events();
    until(&mut events, |event| matches!(event, Event::CaughtUp { .. }).then_some(())).await;

    anna.delete_chat_room(&code).await.unwrap();
    let why = closed(&mut events).await;
    assert!(matches!(why, CloseReason::RoomDeleted), "{why:?}");
}

#[tokio::test]
async fn logging_out_ends_the_streams() {
    let Some(server) = Server::start(&[]).await else { return };
    let (_anna, ben, _code, mut events) = read_by_ben(&server).await;
    ben.logout().await.unwrap();
    let why = closed(&mut events).await;
    assert!(matches!(why, CloseReason::LoggedOut), "{why:?}");
}

#[tokio::test]
async fn tokens_that_end_are_renewed_under_open_streams() {
    let short = &["--token-duration", "1s", "--chat-token-duration", "1s"];
    let Some(server) = Server::start(short).await else { return };
    let (anna, _ben, code, mut events) = read_by_ben(&server).await;
    until(&mut events, |event| matches!(event, Event::Resumed).then_some(())).await;
    let room = anna.join_chat_room(&code, "").await.unwrap();
    room.send("still here").await.unwrap();
    let body = until(&mut events, |event| match event {
        Event::Message(message) => Some(message.body),
        _ => None,
    })
    .await;
    assert_eq!(body, "still here");
}

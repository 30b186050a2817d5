//! What a reader is told when streams end, fall silent, or cannot be continued.

use std::time::Duration;

use grpcchatter_client::{CloseReason, Error, Event, Events, ResumePoint, Start};
use grpcchatter_proto::v1::{self, subscribe_request};
use tonic::{Code, Status};

use crate::{
    fake::{Told, message, says, status, subscribed},
    in_a_room,
};

/// What comes next, shortly.
async fn next(events: &mut Events) -> String {
    match events.recv().await {
        Some(Event::Message(message)) => message.seq.to_string(),
        Some(Event::Reconnecting { .. }) => "reconnecting".to_owned(),
        Some(Event::Reset { last_seq }) => format!("reset {last_seq}"),
        Some(other) => format!("{other:?}").to_lowercase(),
        None => "nothing".to_owned(),
    }
}

async fn told(events: &mut Events, expected: &[&str]) {
    for expected in expected {
        assert_eq!(next(events).await, *expected);
    }
}

fn after(seq: i64) -> v1::SubscribeRequest {
    let message_id = if seq == 0 { String::new() } else { format!("id-{seq}") };
    v1::SubscribeRequest { start: Some(subscribe_request::Start::After(v1::ResumePoint { seq, message_id })) }
}

#[tokio::test]
async fn a_lost_stream_goes_on_after_the_last_message() {
    let (fake, _client, room) = in_a_room().await;
    fake.scene(says([1, 2]), Some(Status::unavailable("going away")));
    fake.scene(says([3]), None);
    let mut events = room.events();
    told(&mut events, &["1", "2", "reconnecting", "resumed", "3"]).await;
    assert_eq!(fake.state().subscriptions, [after(0), after(2)]);
}

#[tokio::test]
async fn reading_begins_where_the_room_was_joined() {
    let (fake, client, _) = in_a_room().await;
    fake.state().log.push(message(1));
    let room = client.join_chat_room("aB3xYz", "").await.unwrap();
    fake.state().log.push(message(2));
    fake.scene(says([2]), None);
    told(&mut room.events(), &["2"]).await;
    assert_eq!(fake.state().subscriptions, [after(1)]);
}

#[tokio::test]
async fn a_stream_that_leaves_out_a_message_is_not_believed() {
    let (fake, _client, room) = in_a_room().await;
    fake.scene(says([1, 3]), None);
    fake.scene(says([2, 3]), None);
    told(&mut room.events(), &["1", "reconnecting", "resumed", "2", "3"]).await;
}

#[tokio::test]
async fn what_is_said_while_one_joins_is_told() {
    let (fake, client, _) = in_a_room().await;
    fake.state().log.push(message(1));
    fake.state().said_after_join.push(message(2));
    let room = client.join_chat_room("aB3xYz", "").await.unwrap();
    fake.scene(says([2]), None);
    told(&mut room.events(), &["2"]).await;
    assert_eq!(fake.state().subscriptions, [after(1)]);
}

#[tokio::test]
async fn a_stream_that_begins_behind_where_it_was_resumed_is_not_believed() {
    let (fake, _client, room) = in_a_room().await;
    fake.scene(says([1]), Some(Status::unavailable("going away")));
    fake.scene(says([3]), None);
    fake.scene(says([2, 3]), None);
    let expected = &["1", "reconnecting", "resumed", "reconnecting", "resumed", "2", "3"];
    told(&mut room.events(), expected).await;
    assert_eq!(fake.state().subscriptions, [after(0), after(1), after(1)]);
}

#[tokio::test]
async fn what_is_said_while_a_reader_of_no_message_is_away_is_told() {
    let (fake, _client, room) = in_a_room().await;
    fake.state().log.extend([message(1), message(2)]);
    let caught_up = Told::CaughtUp(v1::CaughtUp { last_seq: 1 });
    let told_so_far = vec![subscribed(1, false, Duration::from_secs(15)), caught_up];
    fake.scene(told_so_far, Some(Status::unavailable("going away")));
    fake.scene(says([2]), None);
    let mut events = room.events_from(Start::Last(0));
    told(&mut events, &["caughtup { last_seq: 1 }", "reconnecting", "resumed", "2"]).await;
    assert_eq!(fake.state().subscriptions[1], after(1));
}

#[tokio::test]
async fn a_reader_of_no_message_hears_of_what_it_missed_before_it_had_caught_up() {
    let (fake, _client, room) = in_a_room().await;
    fake.state().log.extend([message(1), message(2)]);
    let just_opened = vec![subscribed(1, false, Duration::from_secs(15))];
    fake.scene(just_opened, Some(Status::unavailable("going away")));
    fake.scene(vec![subscribed(2, false, Duration::from_secs(15))], None);
    fake.scene(says([3]), None);
    let mut events = room.events_from(Start::Now);
    told(&mut events, &["reconnecting", "reset 2", "3"]).await;
    assert_eq!(fake.state().subscriptions[2], after(2));
}

#[tokio::test]
async fn a_reader_of_no_message_that_missed_nothing_goes_on() {
    let (fake, _client, room) = in_a_room().await;
    let just_opened = || vec![subscribed(1, false, Duration::from_secs(15))];
    fake.scene(just_opened(), Some(Status::unavailable("going away")));
    fake.scene(just_opened().into_iter().chain([Told::Message(message(2))]).collect(), None);
    told(&mut room.events_from(Start::Now), &["reconnecting", "resumed", "2"]).await;
}

#[tokio::test]
async fn a_reader_of_no_message_keeps_its_place_where_the_log_cannot_be_read() {
    let (fake, client, _) = in_a_room().await;
    let room = client.within(Duration::from_secs(60)).join("aB3xYz", "").await.unwrap();
    // From here on no call of the room's is answered in time; streams are.
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(61)).await;
    tokio::time::resume();
    let caught_up = Told::CaughtUp(v1::CaughtUp { last_seq: 1 });
    let just_opened = || subscribed(1, false, Duration::from_secs(15));
    fake.scene(vec![just_opened(), caught_up], None);
    fake.scene(vec![just_opened(), Told::Message(message(2))], None);
    told(&mut room.events_from(Start::Now), &["reconnecting", "resumed", "2"]).await;
    assert_eq!(fake.state().subscriptions[1], v1::SubscribeRequest { start: None });
}

#[tokio::test]
async fn a_message_is_told_once() {
    let (fake, _client, room) = in_a_room().await;
    fake.scene(says([1, 2]), Some(Status::unavailable("going away")));
    fake.scene(says([1, 2, 3]), None);
    told(&mut room.events(), &["1", "2", "reconnecting", "resumed", "3"]).await;
}

#[tokio::test]
async fn a_silent_stream_is_given_up() {
    let (fake, _client, room) = in_a_room().await;
    // Long enough for what is said first to be read before the silence is found out, on a busy machine too.
    fake.scene(vec![subscribed(0, false, Duration::from_millis(300)), Told::Message(message(1))], None);
    fake.scene(says([2]), None);
    told(&mut room.events(), &["1", "reconnecting", "resumed", "2"]).await;
}

#[tokio::test]
async fn a_log_that_cannot_be_continued_is_told_and_read_on_from_its_end() {
    let (fake, _client, room) = in_a_room().await;
    fake.state().log.push(message(7));
    fake.scene(vec![subscribed(7, true, Duration::from_secs(15))], None);
    fake.scene(says([8]), None);
    let unknown = ResumePoint { seq: 40, message_id: "id-40".to_owned() };
    told(&mut room.events_from(Start::After(unknown)), &["reset 7", "8"]).await;
    assert_eq!(fake.state().subscriptions[1], after(7));
}

#[tokio::test]
async fn a_server_that_drains_is_left_alone_for_as_long_as_it_asks() {
    let (fake, _client, room) = in_a_room().await;
    let asked = Duration::from_millis(50);
    let draining = Told::Draining(v1::Draining { reconnect_after: asked.try_into().ok() });
    fake.scene(says([1]).into_iter().chain([draining]).collect(), None);
    fake.scene(says([2]), None);
    let mut events = room.events();
    told(&mut events, &["1"]).await;
    let Some(Event::Reconnecting { delay, .. }) = events.recv().await else { panic!("it went on") };
    assert!(delay >= asked);
    told(&mut events, &["resumed", "2"]).await;
}

#[tokio::test]
async fn an_expired_token_is_renewed_without_the_password() {
    let (fake, _client, room) = in_a_room().await;
    fake.scene(says([1]), Some(status(Code::Unauthenticated, "TOKEN_EXPIRED")));
    fake.scene(says([2]), None);
    told(&mut room.events(), &["1", "reconnecting", "resumed", "2"]).await;
    let joins = fake.state().joins.clone();
    assert_eq!((joins.len(), joins[1].short_code.as_str()), (2, "aB3xYz"));
    assert!(joins[1].room_password.is_empty());
}

#[tokio::test]
async fn a_room_is_not_entered_again_as_somebody_else() {
    let (fake, client, room) = in_a_room().await;
    client.login("walker2", "Secret-1!").await.unwrap();
    fake.scene(says([1]), Some(status(Code::Unauthenticated, "TOKEN_EXPIRED")));
    told(&mut room.events(), &["1", "closed(loggedout)", "nothing"]).await;
    assert_eq!(fake.state().joins.len(), 1);
}

#[tokio::test]
async fn what_does_not_heal_closes_the_stream_with_its_reason() {
    for (code, reason, expected) in [
        (Code::PermissionDenied, "NOT_A_MEMBER", "closed(removed)"),
        (Code::PermissionDenied, "BANNED", "closed(banned)"),
        (Code::NotFound, "ROOM_NOT_FOUND", "closed(roomdeleted)"),
    ] {
        let (fake, _client, room) = in_a_room().await;
        fake.scene(says([1]), Some(status(code, reason)));
        told(&mut room.events(), &["1", expected, "nothing"]).await;
    }
}

#[tokio::test]
async fn disconnecting_ends_a_quiet_room_at_once() {
    let (fake, client, room) = in_a_room().await;
    fake.scene(says([]), None);
    let reader = tokio::spawn({
        let room = room.clone();
        async move { room.receive().await }
    });
    fake.open.subscribe().wait_for(|open| *open == 1).await.unwrap();
    client.disconnect();
    assert!(matches!(reader.await.unwrap(), Err(Error::Disconnected)));
    assert!(matches!(room.send("hello").await, Err(Error::Disconnected)));
    let end = room.events().recv().await;
    assert!(matches!(end, Some(Event::Closed(CloseReason::Disconnected))));
    fake.open.subscribe().wait_for(|open| *open == 0).await.unwrap();
}

#[tokio::test]
async fn dropping_a_stream_ends_it_on_the_server() {
    let (fake, _client, room) = in_a_room().await;
    fake.scene(says([1]), None);
    let mut events = room.events();
    told(&mut events, &["1"]).await;
    drop(events);
    fake.open.subscribe().wait_for(|open| *open == 0).await.unwrap();
}

#[tokio::test]
async fn dropping_the_room_drops_what_receive_reads() {
    let (fake, _client, room) = in_a_room().await;
    fake.scene(says([1]), None);
    assert_eq!(room.receive().await.unwrap().seq, 1);
    drop(room);
    fake.open.subscribe().wait_for(|open| *open == 0).await.unwrap();
}

#[tokio::test]
async fn receive_says_where_the_log_was_reset_and_goes_on() {
    let (fake, _client, room) = in_a_room().await;
    fake.scene(vec![subscribed(7, true, Duration::from_secs(15))], None);
    fake.scene(says([1]), None);
    assert!(matches!(room.receive().await, Err(Error::LogReset)));
    assert_eq!(room.receive().await.unwrap().seq, 1);
}

#[tokio::test]
async fn each_start_asks_for_what_it_says() {
    let (fake, _client, room) = in_a_room().await;
    let last = |count| v1::SubscribeRequest { start: Some(subscribe_request::Start::Last(count)) };
    let known = ResumePoint { seq: 3, message_id: "id-3".to_owned() };
    for (start, asked) in [
        (Start::Joined, after(0)),
        (Start::Now, last(0)),
        (Start::Last(50), last(50)),
        (Start::After(known), after(3)),
        (Start::Beginning, after(0)),
    ] {
        fake.scene(
            vec![subscribed(9, false, Duration::from_secs(15)), Told::CaughtUp(v1::CaughtUp { last_seq: 9 })],
            None,
        );
        fake.state().log = vec![message(9)];
        told(&mut room.events_from(start), &["caughtup { last_seq: 9 }"]).await;
        assert_eq!(fake.state().subscriptions.pop(), Some(asked));
    }
}

#[tokio::test]
async fn ones_own_messages_are_told_apart() {
    let (fake, client, room) = in_a_room().await;
    let others = v1::Message { user_name: "walker2".to_owned(), ..message(2) };
    fake.scene(
        vec![subscribed(2, false, Duration::from_secs(15)), Told::Message(message(1)), Told::Message(others)],
        None,
    );
    assert!(room.receive().await.unwrap().is_own);
    assert!(!room.receive().await.unwrap().is_own);
    assert!(room.send("hello").await.unwrap().is_own);
    assert!(room.newest_messages(1).await.unwrap().messages[0].is_own);
    client.login("walker2", "Secret-1!").await.unwrap();
    assert!(!client.join("aB3xYz", "").await.unwrap().newest_messages(1).await.unwrap().messages[0].is_own);
}

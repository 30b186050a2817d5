//! What a reader receives when a stream ends, falls silent, or cannot be continued.

use std::time::Duration;

use grpcchatter_client::{CloseReason, Error, Event, Events, ResumePoint, Start};
use grpcchatter_proto::v1::{self, subscribe_request};
use tonic::{Code, Status};

use crate::{
    fake::{ServerEvent, message, status, subscribed, with_messages},
    joined_room,
};

/// The next event, abbreviated.
async fn next(events: &mut Events) -> String {
    match events.recv().await {
        Some(Event::Message(message)) => message.seq.to_string(),
        Some(Event::Reconnecting { .. }) => "reconnecting".to_owned(),
        Some(Event::Reset { last_seq }) => format!("reset {last_seq}"),
        Some(other) => format!("{other:?}").to_lowercase(),
        None => "nothing".to_owned(),
    }
}

async fn expect_events(events: &mut Events, expected: &[&str]) {
    for expected in expected {
        assert_eq!(next(events).await, *expected);
    }
}

fn after(seq: i64) -> v1::SubscribeRequest {
    let message_id = if seq == 0 { String::new() } else { format!("id-{seq}") };
    v1::SubscribeRequest { start: Some(subscribe_request::Start::After(v1::ResumePoint { seq, message_id })) }
}

#[tokio::test]
async fn a_dropped_stream_resumes_after_its_last_message() {
    let (fake, _client, room) = joined_room().await;
    fake.script_stream(with_messages([1, 2]), Some(Status::unavailable("going away")));
    fake.script_stream(with_messages([3]), None);
    let mut events = room.events();
    expect_events(&mut events, &["1", "2", "reconnecting", "resumed", "3"]).await;
    assert_eq!(fake.state().subscriptions, [after(0), after(2)]);
}

#[tokio::test]
async fn reading_starts_where_the_room_was_joined() {
    let (fake, client, _) = joined_room().await;
    fake.state().log.push(message(1));
    let room = client.join_chat_room("aB3xYz", "").await.unwrap();
    fake.state().log.push(message(2));
    fake.script_stream(with_messages([2]), None);
    expect_events(&mut room.events(), &["2"]).await;
    assert_eq!(fake.state().subscriptions, [after(1)]);
}

#[tokio::test]
async fn a_stream_that_skips_a_message_is_reopened() {
    let (fake, _client, room) = joined_room().await;
    fake.script_stream(with_messages([1, 3]), None);
    fake.script_stream(with_messages([2, 3]), None);
    expect_events(&mut room.events(), &["1", "reconnecting", "resumed", "2", "3"]).await;
}

#[tokio::test]
async fn a_message_sent_during_the_join_is_delivered() {
    let (fake, client, _) = joined_room().await;
    fake.state().log.push(message(1));
    fake.state().appended_after_join.push(message(2));
    let room = client.join_chat_room("aB3xYz", "").await.unwrap();
    fake.script_stream(with_messages([2]), None);
    expect_events(&mut room.events(), &["2"]).await;
    assert_eq!(fake.state().subscriptions, [after(1)]);
}

#[tokio::test]
async fn a_stream_that_starts_past_its_resume_point_is_reopened() {
    let (fake, _client, room) = joined_room().await;
    fake.script_stream(with_messages([1]), Some(Status::unavailable("going away")));
    fake.script_stream(with_messages([3]), None);
    fake.script_stream(with_messages([2, 3]), None);
    let expected = &["1", "reconnecting", "resumed", "reconnecting", "resumed", "2", "3"];
    expect_events(&mut room.events(), expected).await;
    assert_eq!(fake.state().subscriptions, [after(0), after(1), after(1)]);
}

#[tokio::test]
async fn a_reader_without_messages_receives_what_it_missed_after_catching_up() {
    let (fake, _client, room) = joined_room().await;
    fake.state().log.extend([message(1), message(2)]);
    let caught_up = ServerEvent::CaughtUp(v1::CaughtUp { last_seq: 1 });
    let first_stream = vec![subscribed(1, false, Duration::from_secs(15)), caught_up];
    fake.script_stream(first_stream, Some(Status::unavailable("going away")));
    fake.script_stream(with_messages([2]), None);
    let mut events = room.events_from(Start::Last(0));
    expect_events(&mut events, &["caughtup { last_seq: 1 }", "reconnecting", "resumed", "2"]).await;
    assert_eq!(fake.state().subscriptions[1], after(1));
}

#[tokio::test]
async fn a_reader_that_missed_messages_before_catching_up_gets_a_reset() {
    let (fake, _client, room) = joined_room().await;
    fake.state().log.extend([message(1), message(2)]);
    let only_opened = vec![subscribed(1, false, Duration::from_secs(15))];
    fake.script_stream(only_opened, Some(Status::unavailable("going away")));
    fake.script_stream(vec![subscribed(2, false, Duration::from_secs(15))], None);
    fake.script_stream(with_messages([3]), None);
    let mut events = room.events_from(Start::Now);
    expect_events(&mut events, &["reconnecting", "reset 2", "3"]).await;
    assert_eq!(fake.state().subscriptions[2], after(2));
}

#[tokio::test]
async fn a_reader_without_messages_that_missed_nothing_resumes() {
    let (fake, _client, room) = joined_room().await;
    let only_opened = || vec![subscribed(1, false, Duration::from_secs(15))];
    fake.script_stream(only_opened(), Some(Status::unavailable("going away")));
    fake.script_stream(only_opened().into_iter().chain([ServerEvent::Message(message(2))]).collect(), None);
    expect_events(&mut room.events_from(Start::Now), &["reconnecting", "resumed", "2"]).await;
}

#[tokio::test]
async fn a_reader_without_messages_keeps_its_position_if_the_log_cannot_be_read() {
    let (fake, client, _) = joined_room().await;
    let room = client.within(Duration::from_secs(60)).join("aB3xYz", "").await.unwrap();
    // From here on the room's calls time out; its streams do not.
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(61)).await;
    tokio::time::resume();
    let caught_up = ServerEvent::CaughtUp(v1::CaughtUp { last_seq: 1 });
    let only_opened = || subscribed(1, false, Duration::from_secs(15));
    fake.script_stream(vec![only_opened(), caught_up], None);
    fake.script_stream(vec![only_opened(), ServerEvent::Message(message(2))], None);
    expect_events(&mut room.events_from(Start::Now), &["reconnecting", "resumed", "2"]).await;
    assert_eq!(fake.state().subscriptions[1], v1::SubscribeRequest { start: None });
}

#[tokio::test]
async fn a_message_is_delivered_once() {
    let (fake, _client, room) = joined_room().await;
    fake.script_stream(with_messages([1, 2]), Some(Status::unavailable("going away")));
    fake.script_stream(with_messages([1, 2, 3]), None);
    expect_events(&mut room.events(), &["1", "2", "reconnecting", "resumed", "3"]).await;
}

#[tokio::test]
async fn a_silent_stream_is_reopened() {
    let (fake, _client, room) = joined_room().await;
    // Long enough to deliver the first message before the silence is detected, even on a busy machine.
    fake.script_stream(
        vec![subscribed(0, false, Duration::from_millis(300)), ServerEvent::Message(message(1))],
        None,
    );
    fake.script_stream(with_messages([2]), None);
    expect_events(&mut room.events(), &["1", "reconnecting", "resumed", "2"]).await;
}

#[tokio::test]
async fn a_reset_is_reported_and_the_stream_continues_from_the_end_of_the_log() {
    let (fake, _client, room) = joined_room().await;
    fake.state().log.push(message(7));
    fake.script_stream(vec![subscribed(7, true, Duration::from_secs(15))], None);
    fake.script_stream(with_messages([8]), None);
    let unknown = ResumePoint { seq: 40, message_id: "id-40".to_owned() };
    expect_events(&mut room.events_from(Start::After(unknown)), &["reset 7", "8"]).await;
    assert_eq!(fake.state().subscriptions[1], after(7));
}

#[tokio::test]
async fn a_draining_server_is_not_contacted_before_its_reconnect_delay() {
    let (fake, _client, room) = joined_room().await;
    let asked = Duration::from_millis(50);
    let draining = ServerEvent::Draining(v1::Draining { reconnect_after: asked.try_into().ok() });
    fake.script_stream(with_messages([1]).into_iter().chain([draining]).collect(), None);
    fake.script_stream(with_messages([2]), None);
    let mut events = room.events();
    expect_events(&mut events, &["1"]).await;
    let Some(Event::Reconnecting { delay, .. }) = events.recv().await else { panic!("it went on") };
    assert!(delay >= asked);
    expect_events(&mut events, &["resumed", "2"]).await;
}

#[tokio::test]
async fn an_expired_token_is_renewed_without_the_password() {
    let (fake, _client, room) = joined_room().await;
    fake.script_stream(with_messages([1]), Some(status(Code::Unauthenticated, "TOKEN_EXPIRED")));
    fake.script_stream(with_messages([2]), None);
    expect_events(&mut room.events(), &["1", "reconnecting", "resumed", "2"]).await;
    let joins = fake.state().joins.clone();
    assert_eq!((joins.len(), joins[1].short_code.as_str()), (2, "aB3xYz"));
    assert!(joins[1].room_password.is_empty());
}

#[tokio::test]
async fn a_room_is_not_rejoined_as_another_user() {
    let (fake, client, room) = joined_room().await;
    client.login("walker2", "Secret-1!").await.unwrap();
    fake.script_stream(with_messages([1]), Some(status(Code::Unauthenticated, "TOKEN_EXPIRED")));
    expect_events(&mut room.events(), &["1", "closed(loggedout)", "nothing"]).await;
    assert_eq!(fake.state().joins.len(), 1);
}

#[tokio::test]
async fn a_permanent_failure_closes_the_stream_with_its_reason() {
    for (code, reason, expected) in [
        (Code::PermissionDenied, "NOT_A_MEMBER", "closed(removed)"),
        (Code::PermissionDenied, "BANNED", "closed(banned)"),
        (Code::NotFound, "ROOM_NOT_FOUND", "closed(roomdeleted)"),
    ] {
        let (fake, _client, room) = joined_room().await;
        fake.script_stream(with_messages([1]), Some(status(code, reason)));
        expect_events(&mut room.events(), &["1", expected, "nothing"]).await;
    }
}

#[tokio::test]
async fn disconnect_ends_a_quiet_room_at_once() {
    let (fake, client, room) = joined_room().await;
    fake.script_stream(with_messages([]), None);
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
    let (fake, _client, room) = joined_room().await;
    fake.script_stream(with_messages([1]), None);
    let mut events = room.events();
    expect_events(&mut events, &["1"]).await;
    drop(events);
    fake.open.subscribe().wait_for(|open| *open == 0).await.unwrap();
}

#[tokio::test]
async fn dropping_the_room_ends_the_stream_of_receive() {
    let (fake, _client, room) = joined_room().await;
    fake.script_stream(with_messages([1]), None);
    assert_eq!(room.receive().await.unwrap().seq, 1);
    drop(room);
    fake.open.subscribe().wait_for(|open| *open == 0).await.unwrap();
}

#[tokio::test]
async fn receive_reports_a_reset_and_continues() {
    let (fake, _client, room) = joined_room().await;
    fake.script_stream(vec![subscribed(7, true, Duration::from_secs(15))], None);
    fake.script_stream(with_messages([1]), None);
    assert!(matches!(room.receive().await, Err(Error::LogReset)));
    assert_eq!(room.receive().await.unwrap().seq, 1);
}

#[tokio::test]
async fn each_start_sends_its_request() {
    let (fake, _client, room) = joined_room().await;
    let last = |count| v1::SubscribeRequest { start: Some(subscribe_request::Start::Last(count)) };
    let known = ResumePoint { seq: 3, message_id: "id-3".to_owned() };
    for (start, asked) in [
        (Start::Joined, after(0)),
        (Start::Now, last(0)),
        (Start::Last(50), last(50)),
        (Start::After(known), after(3)),
        (Start::Beginning, after(0)),
    ] {
        fake.script_stream(
            vec![
                subscribed(9, false, Duration::from_secs(15)),
                ServerEvent::CaughtUp(v1::CaughtUp { last_seq: 9 }),
            ],
            None,
        );
        fake.state().log = vec![message(9)];
        expect_events(&mut room.events_from(start), &["caughtup { last_seq: 9 }"]).await;
        assert_eq!(fake.state().subscriptions.pop(), Some(asked));
    }
}

#[tokio::test]
async fn own_messages_are_marked() {
    let (fake, client, room) = joined_room().await;
    let others = v1::Message { user_name: "walker2".to_owned(), ..message(2) };
    fake.script_stream(
        vec![
            subscribed(2, false, Duration::from_secs(15)),
            ServerEvent::Message(message(1)),
            ServerEvent::Message(others),
        ],
        None,
    );
    assert!(room.receive().await.unwrap().is_own);
    assert!(!room.receive().await.unwrap().is_own);
    assert!(room.send("hello").await.unwrap().is_own);
    assert!(room.newest_messages(1).await.unwrap().messages[0].is_own);
    client.login("walker2", "Secret-1!").await.unwrap();
    assert!(!client.join("aB3xYz", "").await.unwrap().newest_messages(1).await.unwrap().messages[0].is_own);
}

//! Sending: until it is acknowledged, once, in order.

use std::time::Duration;

use futures_util::future::join_all;
use grpcchatter_client::{Error, Reason};
use tokio::time::Instant;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::{fake::status, in_a_room};

#[tokio::test]
async fn a_lost_answer_does_not_double_a_message() {
    let (fake, _client, room) = in_a_room().await;
    fake.state().lost_answers = 2;
    assert_eq!(room.send("hello").await.unwrap().seq, 1);
    assert_eq!(fake.state().log.len(), 1);
}

#[tokio::test]
async fn messages_are_stored_in_the_order_sent_though_some_are_refused_first() {
    let (fake, _client, room) = in_a_room().await;
    fake.state().refusals.extend([Status::unavailable("busy"), Status::unavailable("busy")]);
    let bodies: Vec<_> = (1..=20).map(|number| format!("number {number}")).collect();
    for sent in join_all(bodies.iter().map(|body| room.send(body))).await {
        sent.unwrap();
    }
    let stored: Vec<_> = fake.state().log.iter().map(|message| message.body.clone()).collect();
    assert_eq!(stored, bodies);
}

/// A refusal that asks to wait for longer than anybody waits.
fn an_hour() -> Status {
    Status::with_error_details(
        Code::Unavailable,
        "busy",
        ErrorDetails::with_retry_info(Some(Duration::from_secs(3600))),
    )
}

fn unacknowledged(error: &Error) -> &str {
    match error {
        Error::Unacknowledged { client_message_id, .. } => client_message_id,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_is_not_acknowledged_in_time_is_told_with_its_id() {
    let (fake, _client, room) = in_a_room().await;
    fake.state().refusals.push_back(an_hour());
    let error = room.send_with_id("mine", "hello").await.unwrap_err();
    assert!(error.is_retryable());
    assert_eq!(unacknowledged(&error), "mine");
}

#[tokio::test]
async fn a_send_and_those_that_wait_for_it_end_in_time_though_nobody_answers() {
    let (fake, _client, room) = in_a_room().await;
    fake.state().silent = true;
    // From here on nothing but time ends anything, so it need not be waited for.
    tokio::time::pause();
    let began = Instant::now();
    let ids = ["one", "two", "three"];
    for (sent, id) in join_all(ids.map(|id| room.send_with_id(id, "hello"))).await.iter().zip(ids) {
        assert_eq!(unacknowledged(sent.as_ref().unwrap_err()), id);
    }
    assert!(began.elapsed() <= Duration::from_secs(61), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_refusal_after_a_lost_answer_does_not_say_that_nothing_was_stored() {
    let (fake, _client, room) = in_a_room().await;
    fake.state()
        .refusals
        .extend([Status::unavailable("the answer is lost"), status(Code::PermissionDenied, "NOT_A_MEMBER")]);
    let error = room.send_with_id("mine", "hello").await.unwrap_err();
    assert_eq!((unacknowledged(&error), error.reason()), ("mine", Some(&Reason::NotAMember)));
    assert!(!error.is_retryable());
}

#[tokio::test]
async fn a_refusal_after_a_limit_says_that_nothing_was_stored() {
    let (fake, _client, room) = in_a_room().await;
    let mut details = ErrorDetails::with_error_info("RATE_LIMITED", "grpcchatter", []);
    details.set_retry_info(Some(Duration::ZERO));
    let limited = Status::with_error_details(Code::ResourceExhausted, "too many requests", details);
    fake.state().refusals.extend([limited, status(Code::PermissionDenied, "NOT_A_MEMBER")]);
    let error = room.send("hello").await.unwrap_err();
    assert!(matches!(error, Error::Refused(_)), "{error:?}");
}

#[tokio::test]
async fn a_refused_message_is_not_tried_again() {
    let (fake, _client, room) = in_a_room().await;
    fake.state().refusals.push_back(status(Code::InvalidArgument, "MESSAGE_TOO_LONG"));
    let error = room.send("hello").await.unwrap_err();
    assert_eq!(error.reason(), Some(&Reason::MessageTooLong));
    assert!(fake.state().log.is_empty());
}

#[tokio::test]
async fn a_message_of_somebody_who_reads_nothing_is_stored_once() {
    let (fake, client, _room) = in_a_room().await;
    fake.state().lost_answers = 1;
    assert_eq!(client.join_and_send("aB3xYz", "hello").await.unwrap().body, "hello");
    assert_eq!(fake.state().log.len(), 1);
}

#[tokio::test]
async fn a_message_of_another_run_is_stored_once_under_its_id() {
    let (fake, client, _room) = in_a_room().await;
    fake.state().refusals.push_back(an_hour());
    let error = client.join_and_send_with_id("aB3xYz", "mine", "hello").await.unwrap_err();
    assert_eq!(unacknowledged(&error), "mine");
    assert!(error.to_string().contains("may be stored") && error.to_string().contains("mine"), "{error}");
    for _ in 0..2 {
        assert_eq!(client.join_and_send_with_id("aB3xYz", "mine", "hello").await.unwrap().seq, 1);
    }
    assert_eq!(fake.state().log.len(), 1);
}

#[tokio::test]
async fn all_that_a_handle_with_one_end_does_is_over_at_that_end() {
    let (fake, client, _room) = in_a_room().await;
    let client = client.within(Duration::from_secs(9));
    let room = client.join("aB3xYz", "").await.unwrap();
    fake.state().silent = true;
    tokio::time::pause();
    let began = Instant::now();
    for id in ["one", "two", "three"] {
        assert_eq!(unacknowledged(&room.send_with_id(id, "hello").await.unwrap_err()), id);
    }
    assert!(began.elapsed() <= Duration::from_secs(10), "{:?}", began.elapsed());
}

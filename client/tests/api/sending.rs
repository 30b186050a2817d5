//! Sending: retried until acknowledged, stored once, in order.

use std::time::Duration;

use futures_util::future::join_all;
use grpcchatter_client::{Error, Reason};
use tokio::time::Instant;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::{fake::status, joined_room};

#[tokio::test]
async fn a_lost_response_does_not_duplicate_a_message() {
    let (fake, _client, room) = joined_room().await;
    fake.state().lost_responses = 2;
    assert_eq!(room.send("hello").await.unwrap().seq, 1);
    assert_eq!(fake.state().log.len(), 1);
}

#[tokio::test]
async fn retried_messages_are_stored_in_the_order_sent() {
    let (fake, _client, room) = joined_room().await;
    fake.state().refusals.extend([Status::unavailable("busy"), Status::unavailable("busy")]);
    let bodies: Vec<_> = (1..=20).map(|number| format!("number {number}")).collect();
    for sent in join_all(bodies.iter().map(|body| room.send(body))).await {
        sent.unwrap();
    }
    let stored: Vec<_> = fake.state().log.iter().map(|message| message.body.clone()).collect();
    assert_eq!(stored, bodies);
}

/// A refusal that asks for a longer delay than any timeout.
fn retry_in_an_hour() -> Status {
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
async fn an_unacknowledged_message_is_reported_with_its_id() {
    let (fake, _client, room) = joined_room().await;
    fake.state().refusals.push_back(retry_in_an_hour());
    let error = room.send_with_id("mine", "hello").await.unwrap_err();
    assert!(error.is_retryable());
    assert_eq!(unacknowledged(&error), "mine");
}

#[tokio::test]
async fn a_send_and_those_queued_behind_it_end_by_the_timeout() {
    let (fake, _client, room) = joined_room().await;
    fake.state().no_response = true;
    // From here on only time ends anything, so the clock is paused.
    tokio::time::pause();
    let began = Instant::now();
    let ids = ["one", "two", "three"];
    for (sent, id) in join_all(ids.map(|id| room.send_with_id(id, "hello"))).await.iter().zip(ids) {
        assert_eq!(unacknowledged(sent.as_ref().unwrap_err()), id);
    }
    assert!(began.elapsed() <= Duration::from_secs(61), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_refusal_after_a_lost_response_leaves_the_message_unacknowledged() {
    let (fake, _client, room) = joined_room().await;
    fake.state()
        .refusals
        .extend([Status::unavailable("the answer is lost"), status(Code::PermissionDenied, "NOT_A_MEMBER")]);
    let error = room.send_with_id("mine", "hello").await.unwrap_err();
    assert_eq!((unacknowledged(&error), error.reason()), ("mine", Some(&Reason::NotAMember)));
    assert!(!error.is_retryable());
}

#[tokio::test]
async fn a_refusal_after_a_rate_limit_is_final() {
    let (fake, _client, room) = joined_room().await;
    let mut details = ErrorDetails::with_error_info("RATE_LIMITED", "grpcchatter", []);
    details.set_retry_info(Some(Duration::ZERO));
    let limited = Status::with_error_details(Code::ResourceExhausted, "too many requests", details);
    fake.state().refusals.extend([limited, status(Code::PermissionDenied, "NOT_A_MEMBER")]);
    let error = room.send("hello").await.unwrap_err();
    assert!(matches!(error, Error::Refused(_)), "{error:?}");
}

#[tokio::test]
async fn a_refused_message_is_not_retried() {
    let (fake, _client, room) = joined_room().await;
    fake.state().refusals.push_back(status(Code::InvalidArgument, "MESSAGE_TOO_LONG"));
    let error = room.send("hello").await.unwrap_err();
    assert_eq!(error.reason(), Some(&Reason::MessageTooLong));
    assert!(fake.state().log.is_empty());
}

#[tokio::test]
async fn join_and_send_stores_a_message_once() {
    let (fake, client, _room) = joined_room().await;
    fake.state().lost_responses = 1;
    assert_eq!(client.join_and_send("aB3xYz", "hello").await.unwrap().body, "hello");
    assert_eq!(fake.state().log.len(), 1);
}

#[tokio::test]
async fn a_message_that_another_run_sends_again_is_stored_once() {
    let (fake, client, _room) = joined_room().await;
    fake.state().refusals.push_back(retry_in_an_hour());
    let error = client.join_and_send_with_id("aB3xYz", "mine", "hello").await.unwrap_err();
    assert_eq!(unacknowledged(&error), "mine");
    assert!(error.to_string().contains("may be stored") && error.to_string().contains("mine"), "{error}");
    for _ in 0..2 {
        assert_eq!(client.join_and_send_with_id("aB3xYz", "mine", "hello").await.unwrap().seq, 1);
    }
    assert_eq!(fake.state().log.len(), 1);
}

#[tokio::test]
async fn all_calls_of_a_handle_with_a_deadline_end_by_it() {
    let (fake, client, _room) = joined_room().await;
    let client = client.within(Duration::from_secs(9));
    let room = client.join("aB3xYz", "").await.unwrap();
    fake.state().no_response = true;
    tokio::time::pause();
    let began = Instant::now();
    for id in ["one", "two", "three"] {
        assert_eq!(unacknowledged(&room.send_with_id(id, "hello").await.unwrap_err()), id);
    }
    assert!(began.elapsed() <= Duration::from_secs(10), "{:?}", began.elapsed());
}

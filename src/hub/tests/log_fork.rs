//! A log that lost published messages and has grown again: no stream gets messages of both logs.

use std::task::Poll;

use super::fixture::{ROOM, attach, hub, id, log_and_seq, message_of, poll, seeded, seqs, slice};
use crate::{
    hub::{Cursor, Fork, Gap, Seed, Start, Step, StreamKind},
    model::{Error, LogSlice, Seq},
};

const OLD: u64 = 0;
const NEW: u64 = 1;

fn of(log: u64, seqs: std::ops::RangeInclusive<i64>, before: Option<(u64, i64)>) -> LogSlice {
    let before = before.map(|(log, seq)| id(log, seq));
    LogSlice { before, messages: seqs.map(|seq| message_of(log, seq)).collect() }
}

/// Polls a stream until it sends nothing, and returns the log and the seq of each message that it sent.
fn received(cursor: &mut Cursor) -> Vec<(u64, i64)> {
    let mut received = Vec::new();
    while let Poll::Ready(Step::Send(frames)) = poll(cursor) {
        received.extend(seqs(frames).map(log_and_seq));
    }
    received
}

#[test]
fn messages_that_follow_another_than_the_published_one_are_not_published() {
    for late in [
        // The new log is longer already: the id before the message differs.
        of(NEW, 12..=13, Some((NEW, 11))),
        // It is as long: the id of the last message differs.
        of(NEW, 11..=11, Some((OLD, 10))),
        of(NEW, 10..=11, Some((OLD, 9))),
        // Both differ.
        of(NEW, 10..=14, Some((OLD, 9))),
    ] {
        let hub = hub(255, usize::MAX);
        let room = seeded(&hub, 9);
        let mut cursor = attach(&hub, &room, StreamKind::Chat, 0, Start::Now);
        assert_eq!(room.publish(slice(10..=11)), Ok(None));
        assert_eq!(room.publish(late.clone()), Err(Fork), "{late:?}");
        assert_eq!(received(&mut cursor), [(OLD, 10), (OLD, 11)]);
        assert_eq!(room.fill(late), Err(Fork));
        assert_eq!(received(&mut cursor), []);
    }
}

#[test]
fn a_gap_is_filled_only_from_the_published_log() {
    let hub = hub(255, usize::MAX);
    let room = seeded(&hub, 9);
    let mut cursor = attach(&hub, &room, StreamKind::Subscribe, 1, Start::Now);
    room.publish(slice(10..=11)).unwrap();
    // Its message waits, and what is read for the gap begins with the message published last.
    assert_eq!(
        room.publish(of(NEW, 14..=14, Some((NEW, 13)))),
        Ok(Some(Gap { first: Seq(12), last: Seq(13) }))
    );
    assert_eq!(room.fill(of(NEW, 11..=13, None)), Err(Fork));
    assert_eq!(received(&mut cursor), [(OLD, 10), (OLD, 11)]);
}

#[test]
fn messages_that_wait_must_be_of_the_log_that_fills_the_gap() {
    let hub = hub(255, usize::MAX);
    let room = seeded(&hub, 9);
    let mut cursor = attach(&hub, &room, StreamKind::Subscribe, 1, Start::Now);
    assert!(matches!(room.publish(of(OLD, 12..=12, Some((OLD, 11)))), Ok(Some(_))));
    // The failover comes in between.
    assert_eq!(room.fill(of(NEW, 10..=11, None)), Err(Fork));
    assert_eq!(received(&mut cursor), []);
}

#[test]
fn an_unknown_previous_message_is_no_fork() {
    let hub = hub(255, usize::MAX);
    let room = hub.open(ROOM);
    // Nothing was published: a room begins with what was just committed.
    assert_eq!(room.publish(of(OLD, 5..=6, Some((OLD, 4)))), Ok(None));
    assert_eq!(room.head(), Some((Seq(6), Some(id(OLD, 6)))));
    // RETENTION has removed the messages before it.
    assert_eq!(room.fill(of(OLD, 7..=7, None)), Ok(None));
    // It is late and was published before.
    assert_eq!(room.publish(of(OLD, 5..=5, Some((OLD, 4)))), Ok(None));
    assert_eq!(room.head(), Some((Seq(7), Some(id(OLD, 7)))));
}

#[test]
fn another_message_at_the_head_is_seen_when_a_stream_is_opened() {
    let hub = hub(255, usize::MAX);
    let room = seeded(&hub, 9);
    let seed =
        |log, last_seq| Seed { last_seq: Seq(last_seq), last_message_id: Some(id(log, last_seq)), server: 0 };
    assert_eq!(room.seed(seed(OLD, 9)), Ok(()));
    assert_eq!(room.seed(seed(NEW, 9)), Err(Fork));
    // It may have been read before the newest message was published.
    assert_eq!(room.seed(seed(NEW, 8)), Ok(()));
}

#[test]
fn a_room_is_closed_once_and_its_successor_is_not() {
    let hub = hub(255, usize::MAX);
    let room = seeded(&hub, 9);
    let mut cursor = attach(&hub, &room, StreamKind::Chat, 0, Start::Now);
    hub.close(&room, &Error::LogReset);
    assert!(matches!(poll(&mut cursor), Poll::Ready(Step::End(Err(Error::LogReset)))));
    assert_eq!(room.publish(slice(10..=11)), Ok(None), "the room is closed");
    let next = seeded(&hub, 20);
    let mut cursor = attach(&hub, &next, StreamKind::Chat, 0, Start::Now);
    hub.close(&room, &Error::LogReset);
    next.publish(slice(21..=21)).unwrap();
    assert_eq!(received(&mut cursor), [(OLD, 21)]);
}

#[test]
fn a_stream_that_resumes_ahead_of_its_room_gets_nothing_of_another_log() {
    for (log, published) in [(OLD, Ok(None)), (NEW, Err(Fork))] {
        let hub = hub(255, usize::MAX);
        let room = seeded(&hub, 9);
        // Another process has sent it the next messages, which this room publishes later.
        let mut cursor = attach(&hub, &room, StreamKind::Chat, 0, Start::After(Seq(11)));
        assert_eq!(room.publish(of(log, 10..=13, Some((OLD, 9)))), published);
        let rest: &[(u64, i64)] = if published.is_ok() { &[(OLD, 12), (OLD, 13)] } else { &[] };
        assert_eq!(received(&mut cursor), rest);
    }
}

//! The hub as its streams see it: what is told, in which order, and when a stream must read the log instead.

use std::task::Poll;

use bytes::{BufMut as _, Bytes, BytesMut};

use super::{
    fixture::{ROOM, attach, hub, line, lines, payloads, poll, seeded, seqs},
    *,
};
use crate::model::ShortCode;

/// Returns the seqs of everything that a stream is told now.
fn told(cursor: &mut Cursor) -> Vec<i64> {
    let mut told = Vec::new();
    while let Poll::Ready(Step::Send(frames)) = poll(cursor) {
        told.extend(seqs(frames));
    }
    told
}

#[test]
fn a_stream_is_told_what_is_said_after_it_opened_in_order() {
    let hub = hub(255, usize::MAX);
    let room = seeded(&hub, 10);
    for (feed, shard) in [(Feed::Subscribe, 0), (Feed::Subscribe, 1), (Feed::Chat, 0), (Feed::Chat, 1)] {
        let mut cursor = attach(&hub, &room, feed, shard, Start::Now);
        let (first, _) = room.head().expect("seeded");
        assert_eq!(told(&mut cursor), [0_i64; 0]);
        assert_eq!(room.publish(lines(first + 1..=first + 3)), None);
        assert_eq!(told(&mut cursor), (first + 1..=first + 3).collect::<Vec<_>>());
        assert!(poll(&mut cursor).is_pending());
    }
}

#[test]
fn a_stream_that_begins_before_what_is_kept_reads_the_log_and_joins_without_gap_or_repeat() {
    let hub = hub(255, usize::MAX);
    let room = seeded(&hub, 10);
    let mut cursor = attach(&hub, &room, Feed::Subscribe, 0, Start::After(4));
    room.publish(lines(11..=12));
    assert!(matches!(poll(&mut cursor), Poll::Ready(Step::Read(5))));
    cursor.advance(11);
    assert_eq!(told(&mut cursor), [11, 12]);
}

#[test]
fn a_stream_that_begins_inside_a_chunk_is_told_its_rest() {
    let hub = hub(255, usize::MAX);
    let room = seeded(&hub, 0);
    let _keeps_chunks = attach(&hub, &room, Feed::Subscribe, 0, Start::Now);
    room.publish(lines(1..=5));
    let mut cursor = attach(&hub, &room, Feed::Subscribe, 0, Start::After(3));
    assert_eq!(told(&mut cursor), [4, 5]);
}

#[test]
fn a_gap_is_asked_for_once_and_what_came_after_it_waits() {
    let hub = hub(255, usize::MAX);
    let room = seeded(&hub, 3);
    let mut cursor = attach(&hub, &room, Feed::Subscribe, 0, Start::Now);
    assert_eq!(room.publish(lines(6..=7)), Some(Gap { first: 4, last: 5 }));
    assert_eq!(room.publish(lines(8..=8)), None);
    assert_eq!(told(&mut cursor), [0_i64; 0]);
    assert_eq!(room.fill(lines(4..=5)), None);
    assert_eq!(told(&mut cursor), [4, 5, 6, 7, 8]);
}

#[test]
fn what_is_told_twice_is_heard_once() {
    let hub = hub(255, usize::MAX);
    let room = seeded(&hub, 0);
    let mut cursor = attach(&hub, &room, Feed::Chat, 1, Start::Now);
    room.publish(lines(1..=3));
    room.publish(lines(2..=4));
    assert_eq!(room.observe(4), None);
    assert_eq!(room.observe(6), Some(Gap { first: 5, last: 6 }));
    assert_eq!(told(&mut cursor), [1, 2, 3, 4]);
}

#[test]
fn a_line_without_an_id_is_kept_from_the_stream_that_said_it_and_from_no_other() {
    let hub = hub(255, usize::MAX);
    let room = seeded(&hub, 0);
    let mut own = attach(&hub, &room, Feed::Chat, 0, Start::Now);
    let mut other = attach(&hub, &room, Feed::Chat, 0, Start::Now);
    let mut said = lines(1..=3);
    said[1].origin = Some(own.place().stream());
    room.publish(said);
    assert_eq!(told(&mut own), [1, 3]);
    assert_eq!(told(&mut other), [1, 2, 3]);
    let mut last = lines(4..=4);
    last[0].origin = Some(own.place().stream());
    room.publish(last);
    assert_eq!(told(&mut own), [0_i64; 0]);
    assert_eq!(own.next_seq(), 5);
    assert_eq!(told(&mut other), [4]);
}

#[test]
fn a_stream_that_fell_behind_what_is_kept_reads_the_log() {
    let hub = hub(4, 1);
    let room = seeded(&hub, 0);
    let mut slow = attach(&hub, &room, Feed::Subscribe, 0, Start::Now);
    assert!(poll(&mut slow).is_pending());
    for seq in 1..=100 {
        room.publish(vec![line(seq)]);
        hub.reclaim();
    }
    assert!(matches!(poll(&mut slow), Poll::Ready(Step::Read(1))));
    slow.advance(100);
    assert_eq!(told(&mut slow), [100]);
}

#[test]
fn memory_is_given_back_when_nobody_listens() {
    let hub = hub(255, usize::MAX);
    let room = seeded(&hub, 0);
    let first = attach(&hub, &room, Feed::Subscribe, 0, Start::Now);
    let second = attach(&hub, &room, Feed::Subscribe, 1, Start::Now);
    room.publish(lines(1..=100));
    assert!(room.memory() > 0);
    drop((first, second));
    assert_eq!(room.memory(), 0);
}

#[test]
fn a_refusal_ends_a_stream_before_anything_else_is_told() {
    let hub = hub(255, usize::MAX);
    let room = seeded(&hub, 0);
    let mut cursor = attach(&hub, &room, Feed::Subscribe, 0, Start::Now);
    room.publish(lines(1..=3));
    room.end(cursor.place(), Error::Banned(ShortCode::trusted("abcdef")));
    assert!(matches!(poll(&mut cursor), Poll::Ready(Step::End(Err(Error::Banned(_))))));
}

#[test]
fn a_stream_that_has_said_its_last_ends_after_it_was_told() {
    let hub = hub(255, usize::MAX);
    let room = seeded(&hub, 0);
    let mut cursor = attach(&hub, &room, Feed::Chat, 0, Start::Now);
    room.end_after(cursor.place(), 2);
    room.publish(lines(1..=2));
    assert_eq!(told(&mut cursor), [1, 2]);
    assert!(matches!(poll(&mut cursor), Poll::Ready(Step::End(Ok(())))));
}

#[test]
fn a_stream_that_is_not_read_is_parked_and_ends_when_it_reads_again() {
    let hub = hub(255, usize::MAX);
    let room = seeded(&hub, 0);
    let mut stuck = attach(&hub, &room, Feed::Subscribe, 0, Start::Now);
    let mut reads = attach(&hub, &room, Feed::Subscribe, 0, Start::Now);
    let mut wakers = Vec::new();
    for second in 1..=29 {
        hub.tick(&room, 0, second, Timestamp::from_seconds(1_000), &mut wakers);
        assert_eq!(told(&mut reads), [0_i64; 0]);
    }
    assert!(room.streams().len() == 2);
    hub.tick(&room, 0, 30, Timestamp::from_seconds(1_000), &mut wakers);
    assert_eq!(room.streams().len(), 1);
    assert!(matches!(poll(&mut stuck), Poll::Ready(Step::End(Err(Error::StreamBehind)))));
}

#[test]
fn a_stream_ends_with_its_token_and_hears_a_heartbeat_before() {
    let hub = hub(255, usize::MAX);
    let room = seeded(&hub, 0);
    let mut cursor = attach(&hub, &room, Feed::Subscribe, 0, Start::Now);
    let mut wakers = Vec::new();
    assert!(poll(&mut cursor).is_pending());
    hub.tick(&room, 0, 15, Timestamp::from_seconds(1_000), &mut wakers);
    let Poll::Ready(Step::Send(frames)) = poll(&mut cursor) else { panic!("no heartbeat") };
    assert_eq!(payloads(frames), [Bytes::from_static(b"heartbeat")]);
    assert!(poll(&mut cursor).is_pending());
    hub.tick(&room, 0, 16, Timestamp::from_seconds(2_000), &mut wakers);
    assert!(matches!(poll(&mut cursor), Poll::Ready(Step::End(Err(Error::TokenExpired)))));
}

#[tokio::test(start_paused = true)]
async fn a_room_is_forgotten_when_nobody_is_left() {
    let hub = hub(255, usize::MAX);
    let room = seeded(&hub, 0);
    let cursor = attach(&hub, &room, Feed::Subscribe, 0, Start::Now);
    hub.forget_if_idle(ROOM);
    assert!(hub.get(ROOM).is_some());
    drop(cursor);
    hub.leave(ROOM, UserId(1));
    hub.forget_if_idle(ROOM);
    assert!(hub.get(ROOM).is_none());
    assert_eq!(room.publish(lines(1..=1)), None);
}

#[test]
fn frames_are_grpc_messages() {
    let mut bytes = BytesMut::new();
    frame(&mut bytes, |bytes| bytes.put_slice(b"abc"));
    assert_eq!(&bytes[..], b"\0\0\0\0\x03abc");
}

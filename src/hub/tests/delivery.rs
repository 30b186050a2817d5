//! What streams are sent and in which order, when they read the log instead, and how they end.

use std::{sync::Arc, task::Poll, time::Duration};

use bytes::{BufMut as _, Bytes, BytesMut};
use uuid::Uuid;

use super::fixture::{
    HEARTBEAT, ROOM, attach, attach_over, hub, hub_with, message, messages, payloads, poll, read, received,
    seeded, slice, slice_of,
};
use crate::{
    hub::{Connection, Event, Gap, Hub, HubConfig, Start, Step, StreamKind, frame},
    model::{Error, RoomId, Seq, ShortCode, Timestamp, UserId},
};

#[test]
fn a_stream_gets_what_is_published_after_it_opened_in_order() {
    let hub = hub(255, usize::MAX);
    let room = seeded(&hub, 10);
    for (kind, shard) in
        [(StreamKind::Subscribe, 0), (StreamKind::Subscribe, 1), (StreamKind::Chat, 0), (StreamKind::Chat, 1)]
    {
        let mut cursor = attach(&hub, &room, kind, shard, Start::Now);
        let (Seq(first), _) = room.head().expect("seeded");
        assert_eq!(received(&mut cursor), [0_i64; 0]);
        assert_eq!(room.publish(slice(first + 1..=first + 3)), Ok(None));
        assert_eq!(received(&mut cursor), (first + 1..=first + 3).collect::<Vec<_>>());
        assert!(poll(&mut cursor).is_pending());
    }
}

#[test]
fn a_stream_that_starts_before_the_chunks_reads_the_log_and_joins_without_gap_or_repeat() {
    let hub = hub(255, usize::MAX);
    let room = seeded(&hub, 10);
    let mut cursor = attach(&hub, &room, StreamKind::Subscribe, 0, Start::After(Seq(4)));
    room.publish(slice(11..=12)).unwrap();
    assert!(matches!(poll(&mut cursor), Poll::Ready(Step::Read(Seq(5)))));
    cursor.advance(Seq(11));
    assert_eq!(received(&mut cursor), [11, 12]);
}

#[test]
fn a_stream_that_starts_inside_a_chunk_gets_its_rest() {
    let hub = hub(255, usize::MAX);
    let room = seeded(&hub, 0);
    let _keeps_chunks = attach(&hub, &room, StreamKind::Subscribe, 0, Start::Now);
    room.publish(slice(1..=5)).unwrap();
    let mut cursor = attach(&hub, &room, StreamKind::Subscribe, 0, Start::After(Seq(3)));
    assert_eq!(received(&mut cursor), [4, 5]);
}

#[test]
fn a_gap_is_returned_once_and_the_messages_after_it_wait() {
    let hub = hub(255, usize::MAX);
    let room = seeded(&hub, 3);
    let mut cursor = attach(&hub, &room, StreamKind::Subscribe, 0, Start::Now);
    assert_eq!(room.publish(slice(6..=7)), Ok(Some(Gap { first: Seq(4), last: Seq(5) })));
    assert_eq!(room.publish(slice(8..=8)), Ok(None));
    assert_eq!(received(&mut cursor), [0_i64; 0]);
    assert_eq!(room.fill(read(4..=5)), Ok(None));
    assert_eq!(received(&mut cursor), [4, 5, 6, 7, 8]);
}

#[test]
fn a_stream_that_resumes_after_an_unpublished_message_does_not_get_it_again() {
    let hub = hub(255, usize::MAX);
    let room = seeded(&hub, 10);
    for kind in [StreamKind::Subscribe, StreamKind::Chat] {
        let (Seq(last), _) = room.head().expect("seeded");
        // The next message is stored and acknowledged, but not published yet.
        let mut cursor = attach(&hub, &room, kind, 0, Start::After(Seq(last + 1)));
        assert_eq!(received(&mut cursor), [0_i64; 0]);
        room.publish_event(&Event::CaughtUp(Seq(last)));
        assert_eq!(received(&mut cursor), [0_i64; 0]);
        assert_eq!(cursor.next_seq(), Seq(last + 2), "an event does not move it back");
        room.publish(slice(last + 1..=last + 1)).unwrap();
        assert_eq!(received(&mut cursor), [0_i64; 0]);
        room.publish(slice(last + 2..=last + 3)).unwrap();
        assert_eq!(received(&mut cursor), [last + 2, last + 3]);
    }
}

#[test]
fn a_stream_that_is_ahead_of_its_room_gets_the_rest_of_a_chunk() {
    let hub = hub(255, usize::MAX);
    let room = seeded(&hub, 10);
    let mut cursor = attach(&hub, &room, StreamKind::Subscribe, 0, Start::After(Seq(12)));
    assert!(poll(&mut cursor).is_pending());
    room.publish(slice(11..=14)).unwrap();
    assert_eq!(received(&mut cursor), [13, 14]);
}

#[test]
fn messages_that_wait_for_a_gap_are_limited_and_the_rest_is_found_again() {
    let hub = hub(255, usize::MAX);
    let room = seeded(&hub, 0);
    let mut cursor = attach(&hub, &room, StreamKind::Subscribe, 0, Start::Now);
    let body: Arc<str> = "x".repeat(1_000).into();
    for seq in 2..=10_000 {
        let mut late = message(seq);
        late.body = Arc::clone(&body);
        room.publish(slice_of(vec![late])).unwrap();
        room.give_up_filling();
    }
    let pending = Arc::strong_count(&body) - 1;
    assert!((100..1_000).contains(&pending), "{pending} messages wait");
    let mut gap = room.observe(Seq(10_000));
    while let Some(found) = gap {
        let last = found.last.min(found.first.skip(999));
        gap = room.fill(read(found.first.0..=last.0)).unwrap().or_else(|| room.observe(Seq(10_000)));
    }
    assert_eq!(received(&mut cursor), (1..=10_000).collect::<Vec<_>>());
}

#[test]
fn a_message_that_is_published_twice_is_sent_once() {
    let hub = hub(255, usize::MAX);
    let room = seeded(&hub, 0);
    let mut cursor = attach(&hub, &room, StreamKind::Chat, 1, Start::Now);
    room.publish(slice(1..=3)).unwrap();
    room.publish(slice(2..=4)).unwrap();
    assert_eq!(room.observe(Seq(4)), None);
    assert_eq!(room.observe(Seq(6)), Some(Gap { first: Seq(5), last: Seq(6) }));
    assert_eq!(received(&mut cursor), [1, 2, 3, 4]);
}

#[test]
fn a_message_without_an_id_is_not_echoed_and_reaches_all_other_streams() {
    let hub = hub(255, usize::MAX);
    let room = seeded(&hub, 0);
    let mut own = attach(&hub, &room, StreamKind::Chat, 0, Start::Now);
    let mut other = attach(&hub, &room, StreamKind::Chat, 0, Start::Now);
    room.suppress_echo(own.key(), message(2).message_id);
    room.publish(slice_of(messages(1..=3))).unwrap();
    assert_eq!(received(&mut own), [1, 3]);
    assert_eq!(received(&mut other), [1, 2, 3]);
    room.suppress_echo(own.key(), message(4).message_id);
    room.publish(slice_of(messages(4..=4))).unwrap();
    assert_eq!(received(&mut own), [0_i64; 0]);
    assert_eq!(own.next_seq(), Seq(5));
    assert_eq!(received(&mut other), [4]);
}

#[test]
fn a_stream_that_fell_behind_the_chunks_reads_the_log() {
    let hub = hub(4, 1);
    let room = seeded(&hub, 0);
    let mut slow = attach(&hub, &room, StreamKind::Subscribe, 0, Start::Now);
    assert!(poll(&mut slow).is_pending());
    for seq in 1..=100 {
        room.publish(slice_of(vec![message(seq)])).unwrap();
        hub.reclaim();
    }
    assert!(matches!(poll(&mut slow), Poll::Ready(Step::Read(Seq(1)))));
    slow.advance(Seq(100));
    assert_eq!(received(&mut slow), [100]);
}

#[test]
fn memory_is_freed_with_the_last_stream() {
    let hub = hub(255, usize::MAX);
    let room = seeded(&hub, 0);
    let first = attach(&hub, &room, StreamKind::Subscribe, 0, Start::Now);
    let second = attach(&hub, &room, StreamKind::Subscribe, 1, Start::Now);
    room.publish(slice(1..=100)).unwrap();
    assert!(room.memory() > 0);
    drop((first, second));
    assert_eq!(room.memory(), 0);
}

#[test]
fn a_refusal_ends_a_stream_before_anything_else_is_sent() {
    let hub = hub(255, usize::MAX);
    let room = seeded(&hub, 0);
    let mut cursor = attach(&hub, &room, StreamKind::Subscribe, 0, Start::Now);
    room.publish(slice(1..=3)).unwrap();
    room.end(cursor.key(), Error::Banned(ShortCode::trusted("abcdef")));
    assert!(matches!(poll(&mut cursor), Poll::Ready(Step::End(Err(Error::Banned(_))))));
}

#[test]
fn a_stream_that_is_to_end_after_a_message_ends_once_it_is_sent() {
    let hub = hub(255, usize::MAX);
    let room = seeded(&hub, 0);
    let mut cursor = attach(&hub, &room, StreamKind::Chat, 0, Start::Now);
    room.end_after(cursor.key(), Seq(2));
    room.publish(slice(1..=2)).unwrap();
    assert_eq!(received(&mut cursor), [1, 2]);
    assert!(matches!(poll(&mut cursor), Poll::Ready(Step::End(Ok(())))));
}

#[test]
fn a_stream_that_is_not_read_is_parked_and_ends_when_it_reads_again() {
    let hub = hub(255, usize::MAX);
    let room = seeded(&hub, 0);
    let mut stuck = attach(&hub, &room, StreamKind::Subscribe, 0, Start::Now);
    let mut reads = attach(&hub, &room, StreamKind::Subscribe, 0, Start::Now);
    let mut wakers = Vec::new();
    for second in 1..=29 {
        hub.tick(&room, 0, second, Timestamp::from_seconds(1_000), &mut wakers);
        assert_eq!(received(&mut reads), [0_i64; 0]);
    }
    assert!(room.streams().len() == 2);
    hub.tick(&room, 0, 30, Timestamp::from_seconds(1_000), &mut wakers);
    assert_eq!(room.streams().len(), 1);
    assert!(matches!(poll(&mut stuck), Poll::Ready(Step::End(Err(Error::StreamBehind)))));
}

#[test]
fn direct_frames_are_limited_and_a_stream_over_the_limit_ends() {
    let hub = hub(255, usize::MAX);
    let room = seeded(&hub, 0);
    let mut stuck = attach(&hub, &room, StreamKind::Chat, 0, Start::Now);
    assert!(poll(&mut stuck).is_pending());
    let frames = Bytes::from_static(&[7; 100]);
    let kept = (0..100_000).take_while(|_| {
        room.send(stuck.key(), frames.clone());
        room.is_live(stuck.key())
    });
    assert!((64..1_000).contains(&kept.count()));
    assert!(matches!(poll(&mut stuck), Poll::Ready(Step::End(Err(Error::StreamBehind)))));
}

#[test]
fn sixty_four_answers_may_wait_however_long_they_are() {
    let hub = hub(255, usize::MAX);
    let room = seeded(&hub, 0);
    let mut cursor = attach(&hub, &room, StreamKind::Chat, 0, Start::Now);
    let frames = Bytes::from(vec![7; 32 * 1024]);
    for _ in 0..64 {
        room.answer_duplicate(cursor.key(), Uuid::nil(), (Seq::ZERO, Uuid::nil()), frames.clone());
    }
    for _ in 0..64 {
        assert!(matches!(poll(&mut cursor), Poll::Ready(Step::Send(sent)) if sent == frames));
    }
    assert!(poll(&mut cursor).is_pending());
}

#[test]
fn a_stream_that_does_not_read_its_direct_frames_is_parked() {
    let hub = hub(255, usize::MAX);
    let room = seeded(&hub, 0);
    let mut stuck = attach(&hub, &room, StreamKind::Chat, 0, Start::Now);
    assert!(poll(&mut stuck).is_pending());
    room.send(stuck.key(), Bytes::from_static(b"direct"));
    let mut wakers = Vec::new();
    hub.tick(&room, 0, 29, Timestamp::from_seconds(1_000), &mut wakers);
    assert_eq!(room.streams().len(), 1);
    hub.tick(&room, 0, 30, Timestamp::from_seconds(1_000), &mut wakers);
    assert!(room.streams().is_empty());
}

/// Runs the hub as the app does.
fn run(hub: &Hub) {
    for index in 0..2 {
        let hub = hub.clone();
        tokio::spawn(async move { hub.run_shard(index).await });
    }
    let hub = hub.clone();
    tokio::spawn(async move { hub.run_presence().await });
}

#[tokio::test(start_paused = true)]
async fn the_connection_of_a_parked_stream_is_closed_though_its_room_was_evicted() {
    let hub = hub(255, usize::MAX);
    let room = seeded(&hub, 0);
    run(&hub);
    let connection = Arc::<Connection>::default();
    // No other user is in the room.
    let _stuck = attach_over(&hub, &room, StreamKind::Subscribe, 0, Start::Now, Arc::clone(&connection));
    let closing = tokio::time::timeout(Duration::from_secs(65), connection.closing());
    closing.await.expect("closed in time");
    assert!(hub.get(ROOM).is_none(), "it is evicted");
}

#[tokio::test(start_paused = true)]
async fn a_parked_stream_of_a_deleted_room_returns_its_permit_and_its_connection_is_closed() {
    let config = HubConfig { shards: 2, queue: 255, memory: usize::MAX, streams_per_user: 1 };
    let hub = hub_with(config);
    let room = seeded(&hub, 0);
    run(&hub);
    let connection = Arc::<Connection>::default();
    let mut stuck = attach_over(&hub, &room, StreamKind::Chat, 1, Start::Now, Arc::clone(&connection));
    assert!(poll(&mut stuck).is_pending());
    hub.close(&room, &Error::LogReset);
    assert!(hub.permits().acquire(UserId(1), RoomId(1)).is_err());
    let closing = tokio::time::timeout(Duration::from_secs(65), connection.closing());
    closing.await.expect("closed in time");
    assert!(hub.permits().acquire(UserId(1), RoomId(1)).is_ok());
    assert_eq!(hub.all_rooms().len(), 1);
    drop(stuck);
    assert!(!room.has_slots());
}

#[test]
fn a_reopened_room_and_one_whose_chunks_are_dropped_begin_a_cache_generation() {
    let hub = hub(255, usize::MAX);
    let room = seeded(&hub, 0);
    let first = room.cache_generation();
    assert_eq!(room.cache_generation(), first);
    room.invalidate_frames();
    assert_ne!(room.cache_generation(), first);
    hub.close(&room, &Error::LogReset);
    assert!(![first, room.cache_generation()].contains(&hub.open(ROOM).cache_generation()));
}

#[test]
fn a_stream_gets_heartbeats_and_ends_when_its_token_expires() {
    let hub = hub(255, usize::MAX);
    let room = seeded(&hub, 0);
    let mut cursor = attach(&hub, &room, StreamKind::Subscribe, 0, Start::Now);
    let mut wakers = Vec::new();
    assert!(poll(&mut cursor).is_pending());
    hub.tick(&room, 0, HEARTBEAT, Timestamp::from_seconds(1_000), &mut wakers);
    let Poll::Ready(Step::Send(frames)) = poll(&mut cursor) else { panic!("no heartbeat") };
    assert_eq!(payloads(frames), [Bytes::from_static(b"heartbeat")]);
    assert!(poll(&mut cursor).is_pending());
    hub.tick(&room, 0, 16, Timestamp::from_seconds(2_000), &mut wakers);
    assert!(matches!(poll(&mut cursor), Poll::Ready(Step::End(Err(Error::TokenExpired)))));
}

#[test]
fn a_stream_without_an_interval_gets_no_heartbeats() {
    let hub = hub(255, usize::MAX);
    let room = seeded(&hub, 0);
    let mut cursor = attach(&hub, &room, StreamKind::Chat, 0, Start::Now);
    assert!(poll(&mut cursor).is_pending());
    hub.tick(&room, 0, 600, Timestamp::from_seconds(1_000), &mut Vec::new());
    assert!(poll(&mut cursor).is_pending());
}

#[tokio::test(start_paused = true)]
async fn a_room_is_evicted_once_nobody_is_present() {
    let hub = hub(255, usize::MAX);
    let room = seeded(&hub, 0);
    let cursor = attach(&hub, &room, StreamKind::Subscribe, 0, Start::Now);
    hub.evict_if_idle(ROOM);
    assert!(hub.get(ROOM).is_some());
    drop(cursor);
    hub.leave(ROOM, UserId(1));
    hub.evict_if_idle(ROOM);
    assert!(hub.get(ROOM).is_none());
    assert_eq!(room.publish(slice(1..=1)), Ok(None));
}

#[test]
fn frames_are_grpc_messages() {
    let mut bytes = BytesMut::new();
    frame(&mut bytes, |bytes| bytes.put_slice(b"abc"));
    assert_eq!(&bytes[..], b"\0\0\0\0\x03abc");
}

//! The hub as its streams see it: what is told, in which order, and when a stream must read the log instead.

use std::{task::Poll, time::Duration};

use bytes::{BufMut as _, Bytes, BytesMut};

use super::{
    fixture::{
        HEARTBEAT, ROOM, attach, attach_over, following, hub, hub_with, message, messages, passage, payloads,
        poll, read, seeded, told,
    },
    *,
};
use crate::model::ShortCode;

#[test]
fn a_stream_is_told_what_is_said_after_it_opened_in_order() {
    let hub = hub(255, usize::MAX);
    let room = seeded(&hub, 10);
    for (feed, shard) in [(Feed::Subscribe, 0), (Feed::Subscribe, 1), (Feed::Chat, 0), (Feed::Chat, 1)] {
        let mut cursor = attach(&hub, &room, feed, shard, Start::Now);
        let (first, _) = room.head().expect("seeded");
        assert_eq!(told(&mut cursor), [0_i64; 0]);
        assert_eq!(room.publish(passage(first + 1..=first + 3)), Ok(None));
        assert_eq!(told(&mut cursor), (first + 1..=first + 3).collect::<Vec<_>>());
        assert!(poll(&mut cursor).is_pending());
    }
}

#[test]
fn a_stream_that_begins_before_what_is_kept_reads_the_log_and_joins_without_gap_or_repeat() {
    let hub = hub(255, usize::MAX);
    let room = seeded(&hub, 10);
    let mut cursor = attach(&hub, &room, Feed::Subscribe, 0, Start::After(4));
    room.publish(passage(11..=12)).unwrap();
    assert!(matches!(poll(&mut cursor), Poll::Ready(Step::Read(5))));
    cursor.advance(11);
    assert_eq!(told(&mut cursor), [11, 12]);
}

#[test]
fn a_stream_that_begins_inside_a_chunk_is_told_its_rest() {
    let hub = hub(255, usize::MAX);
    let room = seeded(&hub, 0);
    let _keeps_chunks = attach(&hub, &room, Feed::Subscribe, 0, Start::Now);
    room.publish(passage(1..=5)).unwrap();
    let mut cursor = attach(&hub, &room, Feed::Subscribe, 0, Start::After(3));
    assert_eq!(told(&mut cursor), [4, 5]);
}

#[test]
fn a_gap_is_asked_for_once_and_what_came_after_it_waits() {
    let hub = hub(255, usize::MAX);
    let room = seeded(&hub, 3);
    let mut cursor = attach(&hub, &room, Feed::Subscribe, 0, Start::Now);
    assert_eq!(room.publish(passage(6..=7)), Ok(Some(Gap { first: 4, last: 5 })));
    assert_eq!(room.publish(passage(8..=8)), Ok(None));
    assert_eq!(told(&mut cursor), [0_i64; 0]);
    assert_eq!(room.fill(read(4..=5)), Ok(None));
    assert_eq!(told(&mut cursor), [4, 5, 6, 7, 8]);
}

#[test]
fn a_stream_that_has_a_message_which_the_room_hears_of_later_is_not_told_it_again() {
    let hub = hub(255, usize::MAX);
    let room = seeded(&hub, 10);
    for feed in [Feed::Subscribe, Feed::Chat] {
        let (last, _) = room.head().expect("seeded");
        // Its next message is stored and acknowledged, and on its way to the room.
        let mut cursor = attach(&hub, &room, feed, 0, Start::After(last + 1));
        assert_eq!(told(&mut cursor), [0_i64; 0]);
        room.tell_event(&Event::CaughtUp(last));
        assert_eq!(told(&mut cursor), [0_i64; 0]);
        assert_eq!(cursor.next_seq(), last + 2, "an event does not take it back");
        room.publish(passage(last + 1..=last + 1)).unwrap();
        assert_eq!(told(&mut cursor), [0_i64; 0]);
        room.publish(passage(last + 2..=last + 3)).unwrap();
        assert_eq!(told(&mut cursor), [last + 2, last + 3]);
    }
}

#[test]
fn a_stream_that_is_ahead_of_its_room_takes_the_rest_of_a_chunk() {
    let hub = hub(255, usize::MAX);
    let room = seeded(&hub, 10);
    let mut cursor = attach(&hub, &room, Feed::Subscribe, 0, Start::After(12));
    assert!(poll(&mut cursor).is_pending());
    room.publish(passage(11..=14)).unwrap();
    assert_eq!(told(&mut cursor), [13, 14]);
}

#[test]
fn what_waits_for_a_gap_to_be_filled_is_bounded_and_the_rest_is_found_again() {
    let hub = hub(255, usize::MAX);
    let room = seeded(&hub, 0);
    let mut cursor = attach(&hub, &room, Feed::Subscribe, 0, Start::Now);
    let body: std::sync::Arc<str> = "x".repeat(1_000).into();
    for seq in 2..=10_000 {
        let mut late = message(seq);
        late.body = std::sync::Arc::clone(&body);
        room.publish(following(vec![late])).unwrap();
        room.give_up_filling();
    }
    let held = std::sync::Arc::strong_count(&body) - 1;
    assert!((100..1_000).contains(&held), "{held} messages wait");
    let mut gap = room.observe(10_000);
    while let Some(found) = gap {
        let last = found.last.min(found.first + 999);
        gap = room.fill(read(found.first..=last)).unwrap().or_else(|| room.observe(10_000));
    }
    assert_eq!(told(&mut cursor), (1..=10_000).collect::<Vec<_>>());
}

#[test]
fn what_is_told_twice_is_heard_once() {
    let hub = hub(255, usize::MAX);
    let room = seeded(&hub, 0);
    let mut cursor = attach(&hub, &room, Feed::Chat, 1, Start::Now);
    room.publish(passage(1..=3)).unwrap();
    room.publish(passage(2..=4)).unwrap();
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
    room.leave_out(own.place(), message(2).message_id);
    room.publish(following(messages(1..=3))).unwrap();
    assert_eq!(told(&mut own), [1, 3]);
    assert_eq!(told(&mut other), [1, 2, 3]);
    room.leave_out(own.place(), message(4).message_id);
    room.publish(following(messages(4..=4))).unwrap();
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
        room.publish(following(vec![message(seq)])).unwrap();
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
    room.publish(passage(1..=100)).unwrap();
    assert!(room.memory() > 0);
    drop((first, second));
    assert_eq!(room.memory(), 0);
}

#[test]
fn a_refusal_ends_a_stream_before_anything_else_is_told() {
    let hub = hub(255, usize::MAX);
    let room = seeded(&hub, 0);
    let mut cursor = attach(&hub, &room, Feed::Subscribe, 0, Start::Now);
    room.publish(passage(1..=3)).unwrap();
    room.end(cursor.place(), Error::Banned(ShortCode::trusted("abcdef")));
    assert!(matches!(poll(&mut cursor), Poll::Ready(Step::End(Err(Error::Banned(_))))));
}

#[test]
fn a_stream_that_has_said_its_last_ends_after_it_was_told() {
    let hub = hub(255, usize::MAX);
    let room = seeded(&hub, 0);
    let mut cursor = attach(&hub, &room, Feed::Chat, 0, Start::Now);
    room.end_after(cursor.place(), 2);
    room.publish(passage(1..=2)).unwrap();
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
fn frames_for_a_stream_that_does_not_read_are_bounded_and_it_ends() {
    let hub = hub(255, usize::MAX);
    let room = seeded(&hub, 0);
    let mut stuck = attach(&hub, &room, Feed::Chat, 0, Start::Now);
    assert!(poll(&mut stuck).is_pending());
    let frames = Bytes::from_static(&[7; 100]);
    let kept = (0..100_000).take_while(|_| {
        room.send(stuck.place(), frames.clone());
        room.goes_on(stuck.place())
    });
    assert!((64..1_000).contains(&kept.count()));
    assert!(matches!(poll(&mut stuck), Poll::Ready(Step::End(Err(Error::StreamBehind)))));
}

#[test]
fn as_many_answers_as_may_be_asked_for_at_once_wait_however_long_they_are() {
    let hub = hub(255, usize::MAX);
    let room = seeded(&hub, 0);
    let mut cursor = attach(&hub, &room, Feed::Chat, 0, Start::Now);
    let frames = Bytes::from(vec![7; 32 * 1024]);
    for _ in 0..64 {
        room.repeat(cursor.place(), Uuid::nil(), (0, Uuid::nil()), frames.clone());
    }
    for _ in 0..64 {
        assert!(matches!(poll(&mut cursor), Poll::Ready(Step::Send(sent)) if sent == frames));
    }
    assert!(poll(&mut cursor).is_pending());
}

#[test]
fn a_stream_that_does_not_read_what_is_for_it_alone_is_parked() {
    let hub = hub(255, usize::MAX);
    let room = seeded(&hub, 0);
    let mut stuck = attach(&hub, &room, Feed::Chat, 0, Start::Now);
    assert!(poll(&mut stuck).is_pending());
    room.send(stuck.place(), Bytes::from_static(b"for you"));
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
async fn the_connection_of_a_silent_stream_is_closed_though_its_room_is_forgotten_before() {
    let hub = hub(255, usize::MAX);
    let room = seeded(&hub, 0);
    run(&hub);
    let connection = Arc::<Connection>::default();
    // Its user is its room's only one.
    let _stuck = attach_over(&hub, &room, Feed::Subscribe, 0, Start::Now, Arc::clone(&connection));
    let closing = tokio::time::timeout(Duration::from_secs(65), connection.closing());
    closing.await.expect("closed in time");
    assert!(hub.get(ROOM).is_none(), "nobody is left");
}

#[tokio::test(start_paused = true)]
async fn a_silent_stream_of_a_deleted_room_gives_its_place_back_and_its_connection_is_closed() {
    let config = HubConfig { shards: 2, queue: 255, memory: usize::MAX, streams_per_user: 1 };
    let hub = hub_with(config);
    let room = seeded(&hub, 0);
    run(&hub);
    let connection = Arc::<Connection>::default();
    let mut stuck = attach_over(&hub, &room, Feed::Chat, 1, Start::Now, Arc::clone(&connection));
    assert!(poll(&mut stuck).is_pending());
    hub.close(&room, &Error::LogReset);
    assert!(hub.permits().take(UserId(1), RoomId(1)).is_err());
    let closing = tokio::time::timeout(Duration::from_secs(65), connection.closing());
    closing.await.expect("closed in time");
    assert!(hub.permits().take(UserId(1), RoomId(1)).is_ok());
    assert_eq!(hub.served().len(), 1);
    drop(stuck);
    assert!(!room.has_slots());
}

#[test]
fn a_room_that_is_opened_anew_and_one_whose_frames_are_wrong_begin_an_era() {
    let hub = hub(255, usize::MAX);
    let room = seeded(&hub, 0);
    let first = room.era();
    assert_eq!(room.era(), first);
    room.drop_chunks();
    assert_ne!(room.era(), first);
    hub.close(&room, &Error::LogReset);
    assert!(![first, room.era()].contains(&hub.open(ROOM).era()));
}

#[test]
fn a_stream_ends_with_its_token_and_hears_a_heartbeat_before() {
    let hub = hub(255, usize::MAX);
    let room = seeded(&hub, 0);
    let mut cursor = attach(&hub, &room, Feed::Subscribe, 0, Start::Now);
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
fn a_stream_without_heartbeats_is_silent() {
    let hub = hub(255, usize::MAX);
    let room = seeded(&hub, 0);
    let mut cursor = attach(&hub, &room, Feed::Chat, 0, Start::Now);
    assert!(poll(&mut cursor).is_pending());
    hub.tick(&room, 0, 600, Timestamp::from_seconds(1_000), &mut Vec::new());
    assert!(poll(&mut cursor).is_pending());
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
    assert_eq!(room.publish(passage(1..=1)), Ok(None));
}

#[test]
fn frames_are_grpc_messages() {
    let mut bytes = BytesMut::new();
    frame(&mut bytes, |bytes| bytes.put_slice(b"abc"));
    assert_eq!(&bytes[..], b"\0\0\0\0\x03abc");
}

//! A log that has lost what was told, and has grown again in its place: nothing of it is told to who heard what was lost.

use std::task::Poll;

use super::{
    Cursor, Feed, Fork, Gap, Seed, Start, Step,
    fixture::{ROOM, attach, hub, id, log_and_seq, message_of, passage, poll, seeded, seqs},
};
use crate::model::{Error, Passage};

const OLD: u64 = 0;
const NEW: u64 = 1;

fn of(log: u64, seqs: std::ops::RangeInclusive<i64>, before: Option<(u64, i64)>) -> Passage {
    let before = before.map(|(log, seq)| id(log, seq));
    Passage { before, messages: seqs.map(|seq| message_of(log, seq)).collect() }
}

/// Returns everything that a stream is told now, by the log in which it stands.
fn told(cursor: &mut Cursor) -> Vec<(u64, i64)> {
    let mut told = Vec::new();
    while let Poll::Ready(Step::Send(frames)) = poll(cursor) {
        told.extend(seqs(frames).map(log_and_seq));
    }
    told
}

#[test]
fn what_follows_another_message_than_was_told_is_not_told() {
    for late in [
        // The new log is longer already: the message before it tells.
        of(NEW, 12..=13, Some((NEW, 11))),
        // As long: the last message tells.
        of(NEW, 11..=11, Some((OLD, 10))),
        of(NEW, 10..=11, Some((OLD, 9))),
        // And both.
        of(NEW, 10..=14, Some((OLD, 9))),
    ] {
        let hub = hub(255, usize::MAX);
        let room = seeded(&hub, 9);
        let mut cursor = attach(&hub, &room, Feed::Chat, 0, Start::Now);
        assert_eq!(room.publish(passage(10..=11)), Ok(None));
        assert_eq!(room.publish(late.clone()), Err(Fork), "{late:?}");
        assert_eq!(told(&mut cursor), [(OLD, 10), (OLD, 11)]);
        assert_eq!(room.fill(late), Err(Fork));
        assert_eq!(told(&mut cursor), []);
    }
}

#[test]
fn a_gap_is_filled_from_the_log_that_was_told_alone() {
    let hub = hub(255, usize::MAX);
    let room = seeded(&hub, 9);
    let mut cursor = attach(&hub, &room, Feed::Subscribe, 1, Start::Now);
    room.publish(passage(10..=11)).unwrap();
    // Its own message waits, and what is read for the gap begins with what was told.
    assert_eq!(room.publish(of(NEW, 14..=14, Some((NEW, 13)))), Ok(Some(Gap { first: 12, last: 13 })));
    assert_eq!(room.fill(of(NEW, 11..=13, None)), Err(Fork));
    assert_eq!(told(&mut cursor), [(OLD, 10), (OLD, 11)]);
}

#[test]
fn messages_that_wait_belong_to_the_log_with_which_the_gap_is_filled() {
    let hub = hub(255, usize::MAX);
    let room = seeded(&hub, 9);
    let mut cursor = attach(&hub, &room, Feed::Subscribe, 1, Start::Now);
    assert!(matches!(room.publish(of(OLD, 12..=12, Some((OLD, 11)))), Ok(Some(_))));
    // The failover comes between the two.
    assert_eq!(room.fill(of(NEW, 10..=11, None)), Err(Fork));
    assert_eq!(told(&mut cursor), []);
}

#[test]
fn what_nobody_knows_before_a_line_is_no_reason_to_doubt_it() {
    let hub = hub(255, usize::MAX);
    let room = hub.open(ROOM);
    // Nothing was told: a room begins with what was just committed.
    assert_eq!(room.publish(of(OLD, 5..=6, Some((OLD, 4)))), Ok(None));
    assert_eq!(room.head(), Some((6, Some(id(OLD, 6)))));
    // RETENTION has removed what stood before.
    assert_eq!(room.fill(of(OLD, 7..=7, None)), Ok(None));
    // It is late, and long since told.
    assert_eq!(room.publish(of(OLD, 5..=5, Some((OLD, 4)))), Ok(None));
    assert_eq!(room.head(), Some((7, Some(id(OLD, 7)))));
}

#[test]
fn another_message_at_the_newest_place_is_seen_when_a_stream_is_opened() {
    let hub = hub(255, usize::MAX);
    let room = seeded(&hub, 9);
    let seed = |log, last_seq| Seed { last_seq, last_message_id: Some(id(log, last_seq)), server: 0 };
    assert_eq!(room.seed(seed(OLD, 9)), Ok(()));
    assert_eq!(room.seed(seed(NEW, 9)), Err(Fork));
    // It may have been read before what was told since.
    assert_eq!(room.seed(seed(NEW, 8)), Ok(()));
}

#[test]
fn a_room_is_closed_once_and_its_successor_is_not() {
    let hub = hub(255, usize::MAX);
    let room = seeded(&hub, 9);
    let mut cursor = attach(&hub, &room, Feed::Chat, 0, Start::Now);
    hub.close(&room, &Error::LogReset);
    assert!(matches!(poll(&mut cursor), Poll::Ready(Step::End(Err(Error::LogReset)))));
    assert_eq!(room.publish(passage(10..=11)), Ok(None), "nobody is there to be told");
    let next = seeded(&hub, 20);
    let mut cursor = attach(&hub, &next, Feed::Chat, 0, Start::Now);
    hub.close(&room, &Error::LogReset);
    next.publish(passage(21..=21)).unwrap();
    assert_eq!(told(&mut cursor), [(OLD, 21)]);
}

#[test]
fn who_comes_back_ahead_of_the_room_is_told_nothing_of_another_log() {
    for (log, heard) in [(OLD, Ok(None)), (NEW, Err(Fork))] {
        let hub = hub(255, usize::MAX);
        let room = seeded(&hub, 9);
        // Somebody else has told it the next messages, of which this room hears later.
        let mut cursor = attach(&hub, &room, Feed::Chat, 0, Start::After(11));
        assert_eq!(room.publish(of(log, 10..=13, Some((OLD, 9)))), heard);
        let rest: &[(u64, i64)] = if heard.is_ok() { &[(OLD, 12), (OLD, 13)] } else { &[] };
        assert_eq!(told(&mut cursor), rest);
    }
}

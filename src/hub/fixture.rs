//! A hub to look at: its frames hold no more than seqs, and in which log a message stands.

use std::{
    sync::Arc,
    task::{Context, Poll, Waker},
};

use bytes::{Buf as _, BufMut as _, Bytes};
use uuid::Uuid;

use super::{Attach, Connection, Cursor, Event, Feed, Framing, Hub, HubConfig, Room, Seed, Start, Step};
use crate::{
    clock::Clock,
    model::{
        ChatIdentity, Epochs, Message, Passage, RoomId, SessionId, ShortCode, Timestamp, UserId, UserName,
    },
};

pub(super) const ROOM: RoomId = RoomId(7);

/// After how many silent seconds a subscription beats here.
pub(super) const HEARTBEAT: u32 = 15;

/// A log that was begun anew at some place has a number. It stands above the bits of a seq.
const LOG_BITS: u32 = 32;

/// Messages are written as their seq and the number of their log, events as what they are: enough to tell what a stream
/// was told.
pub(super) fn framing() -> Framing {
    Framing {
        message: |_, message, bytes| {
            let (log, _) = message.message_id.as_u64_pair();
            bytes.put_i64(message.seq + (i64::try_from(log).expect("few logs") << LOG_BITS));
        },
        event: |event, bytes| {
            bytes.put_slice(match event {
                Event::Presence(..) => b"presence",
                Event::PresenceChange(_) => b"change",
                Event::Heartbeat(..) => b"heartbeat",
                _ => b"other",
            });
        },
    }
}

pub(super) fn hub(queue: usize, memory: usize) -> Hub {
    hub_with(HubConfig { shards: 2, queue, memory, streams_per_user: 0 })
}

pub(super) fn hub_with(config: HubConfig) -> Hub {
    Hub::new(config, framing(), Clock::manual(Timestamp::from_seconds(1_000)))
}

/// Names the message at a place of a log; the first log is 0.
pub(super) fn id(log: u64, seq: i64) -> Uuid {
    Uuid::from_u64_pair(log, seq.unsigned_abs())
}

/// Returns the log and the seq of what [`seqs`] tells.
pub(super) fn log_and_seq(told: i64) -> (u64, i64) {
    ((told >> LOG_BITS).unsigned_abs(), told & ((1 << LOG_BITS) - 1))
}

pub(super) fn message(seq: i64) -> Message {
    message_of(0, seq)
}

pub(super) fn message_of(log: u64, seq: i64) -> Message {
    Message {
        seq,
        message_id: id(log, seq),
        author: UserId(1),
        user_name: "ann001".into(),
        body: "hello".into(),
        created_at: Timestamp::from_seconds(1_000),
        client_message_id: None,
    }
}

pub(super) fn messages(seqs: std::ops::RangeInclusive<i64>) -> Vec<Message> {
    seqs.map(message).collect()
}

/// Returns what a writer hands on that has appended these to the first log.
pub(super) fn passage(seqs: std::ops::RangeInclusive<i64>) -> Passage {
    following(messages(seqs))
}

/// Returns messages of the first log with what stands before them.
pub(super) fn following(messages: Vec<Message>) -> Passage {
    let before = messages.first().map(|message| message.seq - 1).filter(|seq| *seq > 0).map(|seq| id(0, seq));
    Passage { before, messages }
}

/// Returns what is read from the first log for a gap: the message before it, too.
pub(super) fn read(seqs: std::ops::RangeInclusive<i64>) -> Passage {
    Passage { before: None, messages: messages((seqs.start() - 1).max(1)..=*seqs.end()) }
}

pub(super) fn identity(user: i64) -> Arc<ChatIdentity> {
    Arc::new(ChatIdentity {
        user: UserId(user),
        user_name: UserName::trusted(format!("user{user}")),
        session: SessionId(Uuid::nil()),
        room: ROOM,
        short_code: ShortCode::trusted("abcdef"),
        room_epoch: 0,
        member_epoch: 0,
        expires_at: Timestamp::from_seconds(2_000),
    })
}

pub(super) fn attach(hub: &Hub, room: &Arc<Room>, feed: Feed, shard: usize, start: Start) -> Cursor {
    attach_over(hub, room, feed, shard, start, Arc::default())
}

pub(super) fn attach_over(
    hub: &Hub,
    room: &Arc<Room>,
    feed: Feed,
    shard: usize,
    start: Start,
    connection: Arc<Connection>,
) -> Cursor {
    let has = if let Start::After(seq) = start { Some(id(0, seq)).filter(|_| seq > 0) } else { None };
    attach_with(hub, room, feed, shard, (start, has), connection)
}

/// Opens a stream of somebody who has a message.
pub(super) fn attach_with(
    hub: &Hub,
    room: &Arc<Room>,
    feed: Feed,
    shard: usize,
    (start, has): (Start, Option<Uuid>),
    connection: Arc<Connection>,
) -> Cursor {
    let stream = hub.stream_id();
    let attach = Attach {
        feed,
        heartbeat: (feed == Feed::Subscribe).then_some(HEARTBEAT),
        shard,
        stream,
        identity: identity(1),
        checked: Epochs { room: 0, members: 0 },
        start,
        has,
        first_seq: 1,
        permit: hub.permits().take(UserId(1), RoomId(1)).expect("no limit"),
        connection,
    };
    hub.attach(room, attach).map(|attached| attached.cursor).map_err(|_| "closed").expect("open")
}

pub(super) fn seeded(hub: &Hub, last_seq: i64) -> Arc<Room> {
    let room = hub.open(ROOM);
    let last_message_id = (last_seq > 0).then(|| id(0, last_seq));
    room.seed(Seed { last_seq, last_message_id, server: 0 }).expect("nothing was told");
    room
}

pub(super) fn poll(cursor: &mut Cursor) -> Poll<Step> {
    cursor.poll(&mut Context::from_waker(Waker::noop()), None)
}

/// Splits frames into their payloads.
pub(super) fn payloads(mut frames: Bytes) -> Vec<Bytes> {
    let mut payloads = Vec::new();
    while frames.has_remaining() {
        frames.advance(1);
        let length = frames.get_u32() as usize;
        payloads.push(frames.split_to(length));
    }
    payloads
}

/// Returns the seqs of everything that a stream is told now.
#[cfg(test)]
pub(super) fn told(cursor: &mut Cursor) -> Vec<i64> {
    let mut told = Vec::new();
    while let Poll::Ready(Step::Send(frames)) = poll(cursor) {
        told.extend(seqs(frames));
    }
    told
}

/// Returns the seqs of the messages in frames; events are passed over.
pub(super) fn seqs(frames: Bytes) -> impl Iterator<Item = i64> {
    payloads(frames).into_iter().filter_map(|mut payload| {
        (payload.len() == 8 && !payload.starts_with(b"presence")).then(|| payload.get_i64())
    })
}

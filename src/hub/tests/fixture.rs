//! A hub for tests, whose frames hold no more than the seq of a message and the log that it is in.

use std::{
    ops::RangeInclusive,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use bytes::{Buf as _, BufMut as _, Bytes};
use uuid::Uuid;

use crate::{
    clock::Clock,
    hub::{Attach, Connection, Cursor, Event, Framing, Hub, HubConfig, Room, Seed, Start, Step, StreamKind},
    model::{
        ChatIdentity, Epochs, LogSlice, Message, RoomId, Seq, SessionId, ShortCode, Timestamp, UserId,
        UserName,
    },
};

pub(in crate::hub) const ROOM: RoomId = RoomId(7);

/// Seconds of silence after which subscriptions get a heartbeat.
pub(in crate::hub) const HEARTBEAT: u32 = 15;

/// The first log is 0, and each that replaced another has a number. It is written above the bits of the seq.
const LOG_SHIFT: u32 = 32;

/// Writes messages as their seq and the number of their log, and events as their kind: all that tests look at.
pub(in crate::hub) fn framing() -> Framing {
    Framing {
        message: |_, message, bytes| {
            let (log, _) = message.message_id.as_u64_pair();
            bytes.put_i64(message.seq.0 + (i64::try_from(log).expect("few logs") << LOG_SHIFT));
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

pub(in crate::hub) fn hub(queue: usize, memory: usize) -> Hub {
    hub_with(HubConfig { shards: 2, queue, memory, streams_per_user: 0 })
}

pub(in crate::hub) fn hub_with(config: HubConfig) -> Hub {
    Hub::new(config, framing(), Clock::manual(Timestamp::from_seconds(1_000)))
}

/// Returns the id of a log's message.
pub(in crate::hub) fn id(log: u64, seq: i64) -> Uuid {
    Uuid::from_u64_pair(log, seq.unsigned_abs())
}

/// Splits a number of [`seqs`] into the log and the seq.
pub(in crate::hub) fn log_and_seq(received: i64) -> (u64, i64) {
    ((received >> LOG_SHIFT).unsigned_abs(), received & ((1 << LOG_SHIFT) - 1))
}

pub(in crate::hub) fn message(seq: i64) -> Message {
    message_of(0, seq)
}

pub(in crate::hub) fn message_of(log: u64, seq: i64) -> Message {
    Message {
        seq: Seq(seq),
        message_id: id(log, seq),
        author: UserId(1),
        user_name: "ann001".into(),
        body: "hello".into(),
        created_at: Timestamp::from_seconds(1_000),
        client_message_id: None,
    }
}

pub(in crate::hub) fn messages(seqs: RangeInclusive<i64>) -> Vec<Message> {
    seqs.map(message).collect()
}

/// Returns what the writer publishes after it has appended these to the first log.
pub(in crate::hub) fn slice(seqs: RangeInclusive<i64>) -> LogSlice {
    slice_of(messages(seqs))
}

/// Returns messages of the first log with the id of the one before them.
pub(in crate::hub) fn slice_of(messages: Vec<Message>) -> LogSlice {
    let before =
        messages.first().map(|message| message.seq.previous().0).filter(|seq| *seq > 0).map(|seq| id(0, seq));
    LogSlice { before, messages }
}

/// Returns what is read from the first log for a gap: the message before it, too.
pub(in crate::hub) fn read(seqs: RangeInclusive<i64>) -> LogSlice {
    LogSlice { before: None, messages: messages((seqs.start() - 1).max(1)..=*seqs.end()) }
}

pub(in crate::hub) fn identity(user: i64) -> Arc<ChatIdentity> {
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

pub(in crate::hub) fn attach(
    hub: &Hub,
    room: &Arc<Room>,
    kind: StreamKind,
    shard: usize,
    start: Start,
) -> Cursor {
    attach_over(hub, room, kind, shard, start, Arc::default())
}

pub(in crate::hub) fn attach_over(
    hub: &Hub,
    room: &Arc<Room>,
    kind: StreamKind,
    shard: usize,
    start: Start,
    connection: Arc<Connection>,
) -> Cursor {
    let resume_id =
        if let Start::After(seq) = start { Some(id(0, seq.0)).filter(|_| seq > Seq::ZERO) } else { None };
    attach_with(hub, room, kind, shard, (start, resume_id), connection)
}

/// Opens a stream that resumes after a message, if `resume_id` is one.
pub(in crate::hub) fn attach_with(
    hub: &Hub,
    room: &Arc<Room>,
    kind: StreamKind,
    shard: usize,
    (start, resume_id): (Start, Option<Uuid>),
    connection: Arc<Connection>,
) -> Cursor {
    let stream = hub.stream_id();
    let attach = Attach {
        kind,
        heartbeat: (kind == StreamKind::Subscribe).then_some(HEARTBEAT),
        shard,
        stream,
        identity: identity(1),
        epochs: Epochs { room: 0, members: 0 },
        start,
        resume_id,
        first_seq: Seq::FIRST,
        permit: hub.permits().acquire(UserId(1), RoomId(1)).expect("no limit"),
        connection,
    };
    hub.attach(room, attach).map(|attached| attached.cursor).map_err(|_| "closed").expect("open")
}

/// Opens the room and seeds it with the first log's head.
pub(in crate::hub) fn seeded(hub: &Hub, last_seq: i64) -> Arc<Room> {
    let room = hub.open(ROOM);
    let last_message_id = (last_seq > 0).then(|| id(0, last_seq));
    room.seed(Seed { last_seq: Seq(last_seq), last_message_id, server: 0 }).expect("nothing was published");
    room
}

pub(in crate::hub) fn poll(cursor: &mut Cursor) -> Poll<Step> {
    cursor.poll(&mut Context::from_waker(Waker::noop()), None)
}

/// Splits frames into their payloads.
pub(in crate::hub) fn payloads(mut frames: Bytes) -> Vec<Bytes> {
    let mut payloads = Vec::new();
    while frames.has_remaining() {
        frames.advance(1);
        let length = frames.get_u32() as usize;
        payloads.push(frames.split_to(length));
    }
    payloads
}

/// Polls a stream until it sends nothing, and returns the seqs that it sent.
#[cfg(test)]
pub(in crate::hub) fn received(cursor: &mut Cursor) -> Vec<i64> {
    let mut received = Vec::new();
    while let Poll::Ready(Step::Send(frames)) = poll(cursor) {
        received.extend(seqs(frames));
    }
    received
}

/// Returns the seqs of the messages in frames, without the events.
pub(in crate::hub) fn seqs(frames: Bytes) -> impl Iterator<Item = i64> {
    payloads(frames).into_iter().filter_map(|mut payload| {
        (payload.len() == 8 && !payload.starts_with(b"presence")).then(|| payload.get_i64())
    })
}

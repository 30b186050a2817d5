//! Converts values of the model to protobuf messages, and back.

use std::time::Duration;

use grpcchatter_proto::v1;

use crate::{
    domain::{Person, RoomPage},
    model::{Error, Message, Result, ResumePoint, Room, Seq, Timestamp},
};

pub(super) fn message(message: &Message) -> v1::Message {
    v1::Message {
        user_name: message.user_name.as_ref().to_owned(),
        body: message.body.as_ref().to_owned(),
        seq: message.seq.0,
        message_id: message.message_id.to_string(),
        create_time: Some(timestamp(message.created_at)),
        client_message_id: message
            .client_message_id
            .as_ref()
            .map_or_else(String::new, |id| id.as_str().to_owned()),
    }
}

pub(super) fn room(room: &Room) -> v1::ChatRoom {
    v1::ChatRoom {
        short_code: room.short_code.as_str().to_owned(),
        room_name: room.name.clone(),
        owner_name: room.owner_name.clone(),
        create_time: Some(timestamp(room.created_at)),
        last_seq: room.last_seq.0,
    }
}

/// Maximum size of a room in a response: a name of 128 characters, its owner's of 255, a code, and numbers.
pub(super) const MAX_ROOM_BYTES: usize = 4 * (128 + 255) + 32 + 64;

/// Estimates the size of a person in a response.
pub(super) fn user_bytes(person: &Person) -> usize {
    person.user_name.len() + 24
}

pub(super) fn user(person: &Person) -> v1::User {
    v1::User { user_name: person.user_name.as_ref().to_owned(), online_since: Some(timestamp(person.since)) }
}

pub(super) fn timestamp(time: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds: time.as_seconds(), nanos: time.subsec_nanos() }
}

pub(super) fn duration(duration: Duration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(duration.subsec_nanos()).unwrap_or(0),
    }
}

pub(super) fn count(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

/// Parses a time to live; none: the default.
pub(super) fn ttl(ttl: Option<prost_types::Duration>) -> Result<Option<Duration>> {
    let problem = "a ttl is a positive duration, of seconds and fewer than 1,000,000,000 nanoseconds";
    let read = |ttl: prost_types::Duration| {
        // The rule of google.protobuf.Duration. prost accepts other nanos, and adds them up.
        let nanos = (0..1_000_000_000).contains(&ttl.nanos).then_some(ttl.nanos);
        let (seconds, nanos) =
            (u64::try_from(ttl.seconds).ok(), nanos.and_then(|nanos| u32::try_from(nanos).ok()));
        seconds.zip(nanos).map(|(seconds, nanos)| Duration::new(seconds, nanos))
    };
    ttl.map(|ttl| read(ttl).ok_or(Error::InvalidField { field: "ttl", problem })).transpose()
}

/// Parses a page size: zero is `default`, and more than `max` is `max`.
pub(super) fn page_size(size: i32, default: usize, max: usize) -> Result<usize> {
    let problem = "a page size is not negative";
    let size = at_most(size, max, Error::InvalidField { field: "page_size", problem })?;
    Ok(if size == 0 { default } else { size })
}

/// Parses a count: more than `max` is `max`, and less than zero is the error `negative`.
pub(super) fn at_most(count: i32, max: usize, negative: Error) -> Result<usize> {
    usize::try_from(count).map(|count| count.min(max)).map_err(|_| negative)
}

pub(super) fn resume_point(point: v1::ResumePoint) -> Result<ResumePoint> {
    if point.seq < 0 {
        return Err(Error::InvalidField { field: "seq", problem: "a seq is not negative" });
    }
    let problem = "a message_id is a UUID";
    let parse = |text: &str| {
        uuid::Uuid::parse_str(text).map_err(|_| Error::InvalidField { field: "message_id", problem })
    };
    let message_id = if point.message_id.is_empty() { None } else { Some(parse(&point.message_id)?) };
    Ok(ResumePoint { seq: Seq(point.seq), message_id })
}

/// Returns the token of the next page, which clients send back unchanged.
pub(super) fn page_token(page: RoomPage) -> String {
    format!("{:x}.{:x}", page.active_at.as_micros(), page.room.0)
}

/// Parses a token of [`page_token`]; none: the first page.
pub(super) fn room_page(token: &str) -> Result<Option<RoomPage>> {
    if token.is_empty() {
        return Ok(None);
    }
    let parse = |text: &str| i64::from_str_radix(text, 16).ok();
    let page = token.split_once('.').and_then(|(active_at, room)| {
        Some(RoomPage {
            active_at: Timestamp::from_micros(parse(active_at)?),
            room: crate::model::RoomId(parse(room)?),
        })
    });
    let problem = "a page_token is one that ListChatRooms returned";
    page.map(Some).ok_or(Error::InvalidField { field: "page_token", problem })
}

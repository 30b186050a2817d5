//! Formats messages, rooms and users as text or JSON lines.

use std::{
    io::{self, Write},
    time::SystemTime,
};

use grpcchatter_client::{Message, RoomInfo, User};
use jiff::{Timestamp, tz::TimeZone};
use serde::Serialize;

use crate::text;

/// One line of JSON output.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Record<'a> {
    Message {
        seq: i64,
        message_id: &'a str,
        user_name: &'a str,
        body: &'a str,
        create_time: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        client_message_id: Option<&'a str>,
    },
    Room {
        short_code: &'a str,
        name: &'a str,
        owner_name: &'a str,
        create_time: String,
        last_seq: i64,
    },
    /// A user who is present in a room.
    User {
        user_name: &'a str,
        online_since: String,
    },
    /// The user left the room.
    Left {
        short_code: &'a str,
    },
    /// The log was reset: the records above are void.
    Reset {
        last_seq: i64,
    },
}

impl<'a> From<&'a Message> for Record<'a> {
    fn from(message: &'a Message) -> Self {
        Self::Message {
            seq: message.seq,
            message_id: &message.message_id,
            user_name: &message.user_name,
            body: &message.body,
            create_time: utc(message.create_time),
            client_message_id: message.client_message_id.as_deref(),
        }
    }
}

impl<'a> From<&'a RoomInfo> for Record<'a> {
    fn from(room: &'a RoomInfo) -> Self {
        Self::Room {
            short_code: &room.short_code,
            name: &room.name,
            owner_name: &room.owner_name,
            create_time: utc(room.create_time),
            last_seq: room.last_seq,
        }
    }
}

impl<'a> From<&'a User> for Record<'a> {
    fn from(user: &'a User) -> Self {
        Self::User { user_name: &user.name, online_since: utc(user.online_since) }
    }
}

impl Record<'_> {
    pub(crate) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        serde_json::to_writer(&mut *out, self)?;
        writeln!(out)
    }
}

/// Writes `text` to standard output and flushes it: an error on exit would be lost.
pub(crate) fn write(text: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text)?;
    out.flush()
}

/// Writes a message as text for people.
pub(crate) fn write_text(out: &mut impl Write, message: &Message, zone: &TimeZone) -> io::Result<()> {
    let time = format_time(message.create_time, zone);
    let body = text::printable(&message.body).replace('\n', "\n    ");
    writeln!(out, "{time} {}: {body}", text::one_line(&message.user_name))
}

/// Formats a time to the minute.
pub(crate) fn format_time(time: SystemTime, zone: &TimeZone) -> String {
    timestamp(time).to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M").to_string()
}

/// The server's timestamp; one that is out of range becomes the epoch.
pub(crate) fn timestamp(time: SystemTime) -> Timestamp {
    Timestamp::try_from(time).unwrap_or_default()
}

fn utc(time: SystemTime) -> String {
    timestamp(time).to_string()
}

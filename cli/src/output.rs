//! How messages look outside the full screen: a line each, for people or as JSON.

use std::{
    io::{self, Write},
    time::SystemTime,
};

use grpcchatter_client::{Message, RoomInfo};
use jiff::{Timestamp, tz::TimeZone};
use serde::Serialize;

use crate::text;

/// A line of JSON.
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
    /// The log was reset: what stands above is void.
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

impl Record<'_> {
    pub(crate) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        serde_json::to_writer(&mut *out, self)?;
        writeln!(out)
    }
}

/// Writes a text to the output, to its last byte: what is left in a buffer at the end would be lost without a word.
pub(crate) fn write(text: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text)?;
    out.flush()
}

/// Writes a message as people read it.
pub(crate) fn write_text(out: &mut impl Write, message: &Message, zone: &TimeZone) -> io::Result<()> {
    let time = stamp(message.create_time).to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M").to_string();
    let body = text::printable(&message.body).replace('\n', "\n    ");
    writeln!(out, "{time} {}: {body}", text::one_line(&message.user_name))
}

/// The moment that the server gave; one out of all range is the epoch.
pub(crate) fn stamp(time: SystemTime) -> Timestamp {
    Timestamp::try_from(time).unwrap_or_default()
}

fn utc(time: SystemTime) -> String {
    stamp(time).to_string()
}

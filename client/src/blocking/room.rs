//! The calls of [`crate::Room`].

use std::sync::Arc;

use super::{Events, Room};
use crate::{Error, Message, Page, RoomInfo, Start, User};

impl Room {
    /// See [`crate::Room::info`].
    #[must_use]
    pub fn info(&self) -> RoomInfo {
        self.room.info()
    }

    /// See [`crate::Room::send`].
    pub fn send(&self, body: &str) -> Result<Message, Error> {
        self.thread.wait(self.room.send(body))
    }

    /// See [`crate::Room::send_with_id`].
    pub fn send_with_id(&self, client_message_id: &str, body: &str) -> Result<Message, Error> {
        self.thread.wait(self.room.send_with_id(client_message_id, body))
    }

    /// See [`crate::Room::receive`].
    pub fn receive(&self) -> Result<Message, Error> {
        self.thread.wait(self.room.receive())
    }

    /// See [`crate::Room::events`].
    #[must_use = "a stream does nothing until it is read"]
    pub fn events(&self) -> Events {
        self.events_from(Start::Joined)
    }

    /// See [`crate::Room::events_from`].
    #[must_use = "a stream does nothing until it is read"]
    pub fn events_from(&self, start: Start) -> Events {
        Events { thread: Arc::clone(&self.thread), events: self.room.events_from(start) }
    }

    /// See [`crate::Room::newest_messages`].
    pub fn newest_messages(&self, count: u16) -> Result<Page, Error> {
        self.thread.wait(self.room.newest_messages(count))
    }

    /// See [`crate::Room::messages_before`].
    pub fn messages_before(&self, seq: i64, count: u16) -> Result<Page, Error> {
        self.thread.wait(self.room.messages_before(seq, count))
    }

    /// See [`crate::Room::messages_after`].
    pub fn messages_after(&self, seq: i64, count: u16) -> Result<Page, Error> {
        self.thread.wait(self.room.messages_after(seq, count))
    }

    /// See [`crate::Room::users`].
    pub fn users(&self) -> Result<Vec<User>, Error> {
        self.thread.wait(self.room.users())
    }

    /// See [`crate::Room::leave`].
    pub fn leave(&self) -> Result<(), Error> {
        self.thread.wait(self.room.leave())
    }

    /// See [`crate::Room::disconnect`]. It also ends the calls that block other threads.
    pub fn disconnect(&self) {
        self.room.disconnect();
    }
}

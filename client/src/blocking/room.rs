//! The calls of [`crate::Room`].

use std::sync::Arc;

use super::{Events, Room};
use crate::{Error, Message, Page, RoomInfo, Start, User};

impl Room {
    /// As [`crate::Room::info`].
    ///
    /// ```no_run
    /// # fn run(room: grpcchatter_client::blocking::Room) {
    /// println!("{}", room.info().name);
    /// # }
    /// ```
    #[must_use]
    pub fn info(&self) -> RoomInfo {
        self.room.info()
    }

    /// As [`crate::Room::send`].
    ///
    /// # Errors
    /// The same.
    ///
    /// ```no_run
    /// # fn run(room: grpcchatter_client::blocking::Room) -> Result<(), grpcchatter_client::Error> {
    /// let message = room.send("hello")?;
    /// println!("number {} in the log", message.seq);
    /// # Ok(())
    /// # }
    /// ```
    pub fn send(&self, body: &str) -> Result<Message, Error> {
        self.thread.wait(self.room.send(body))
    }

    /// As [`crate::Room::send_with_id`].
    ///
    /// # Errors
    /// The same.
    ///
    /// ```no_run
    /// # fn run(client: grpcchatter_client::blocking::Client, room: grpcchatter_client::blocking::Room) -> Result<(), grpcchatter_client::Error> {
    /// let id = grpcchatter_client::new_message_id();
    /// let first = room.send_with_id(&id, "hello")?;
    /// assert_eq!(room.send_with_id(&id, "hello")?.seq, first.seq);
    /// # Ok(())
    /// # }
    /// ```
    pub fn send_with_id(&self, client_message_id: &str, body: &str) -> Result<Message, Error> {
        self.thread.wait(self.room.send_with_id(client_message_id, body))
    }

    /// As [`crate::Room::receive`].
    ///
    /// # Errors
    /// The same.
    ///
    /// ```no_run
    /// # fn run(room: grpcchatter_client::blocking::Room) -> Result<(), grpcchatter_client::Error> {
    /// let message = room.receive()?;
    /// println!("{}: {}", message.user_name, message.body);
    /// # Ok(())
    /// # }
    /// ```
    pub fn receive(&self) -> Result<Message, Error> {
        self.thread.wait(self.room.receive())
    }

    /// As [`crate::Room::events`].
    ///
    /// ```no_run
    /// # fn run(room: grpcchatter_client::blocking::Room) {
    /// for event in room.events() {
    ///     println!("{event:?}");
    /// }
    /// # }
    /// ```
    #[must_use = "a stream does nothing until it is read"]
    pub fn events(&self) -> Events {
        self.events_from(Start::Joined)
    }

    /// As [`crate::Room::events_from`].
    ///
    /// ```no_run
    /// # fn run(client: grpcchatter_client::blocking::Client, room: grpcchatter_client::blocking::Room) {
    /// use grpcchatter_client::Start;
    ///
    /// for event in room.events_from(Start::Last(50)) {
    ///     println!("{event:?}");
    /// }
    /// # }
    /// ```
    #[must_use = "a stream does nothing until it is read"]
    pub fn events_from(&self, start: Start) -> Events {
        Events { thread: Arc::clone(&self.thread), events: self.room.events_from(start) }
    }

    /// As [`crate::Room::newest_messages`].
    ///
    /// # Errors
    /// The same.
    ///
    /// ```no_run
    /// # fn run(room: grpcchatter_client::blocking::Room) -> Result<(), grpcchatter_client::Error> {
    /// for message in room.newest_messages(20)?.messages {
    ///     println!("{}: {}", message.user_name, message.body);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn newest_messages(&self, count: u16) -> Result<Page, Error> {
        self.thread.wait(self.room.newest_messages(count))
    }

    /// As [`crate::Room::messages_before`].
    ///
    /// # Errors
    /// The same.
    ///
    /// ```no_run
    /// # fn run(room: grpcchatter_client::blocking::Room) -> Result<(), grpcchatter_client::Error> {
    /// let newest = room.newest_messages(50)?;
    /// if newest.more {
    ///     let older = room.messages_before(newest.messages[0].seq, 50)?;
    ///     println!("{} older ones", older.messages.len());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn messages_before(&self, seq: i64, count: u16) -> Result<Page, Error> {
        self.thread.wait(self.room.messages_before(seq, count))
    }

    /// As [`crate::Room::messages_after`].
    ///
    /// # Errors
    /// The same.
    ///
    /// ```no_run
    /// # fn run(room: grpcchatter_client::blocking::Room) -> Result<(), grpcchatter_client::Error> {
    /// let first = room.messages_after(0, 200)?;
    /// println!("{} messages from the beginning", first.messages.len());
    /// # Ok(())
    /// # }
    /// ```
    pub fn messages_after(&self, seq: i64, count: u16) -> Result<Page, Error> {
        self.thread.wait(self.room.messages_after(seq, count))
    }

    /// As [`crate::Room::users`].
    ///
    /// # Errors
    /// The same.
    ///
    /// ```no_run
    /// # fn run(room: grpcchatter_client::blocking::Room) -> Result<(), grpcchatter_client::Error> {
    /// for user in room.users()? {
    ///     println!("{}", user.name);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn users(&self) -> Result<Vec<User>, Error> {
        self.thread.wait(self.room.users())
    }

    /// As [`crate::Room::leave`].
    ///
    /// # Errors
    /// The same.
    ///
    /// ```no_run
    /// # fn run(room: grpcchatter_client::blocking::Room) -> Result<(), grpcchatter_client::Error> {
    /// room.leave()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn leave(&self) -> Result<(), Error> {
        self.thread.wait(self.room.leave())
    }

    /// As [`crate::Room::disconnect`]: what other threads wait for ends at once.
    ///
    /// ```no_run
    /// # fn run(room: grpcchatter_client::blocking::Room) {
    /// room.disconnect();
    /// # }
    /// ```
    pub fn disconnect(&self) {
        self.room.disconnect();
    }
}

//! The same calls for programs without an async runtime.
//!
//! A [`Client`] of this module owns a runtime with one thread, which keeps the connection alive between the
//! calls. It must not be used inside an async runtime: a call would block it.
//!
//! ```no_run
//! use grpcchatter_client::{Event, blocking::Client};
//!
//! # fn run() -> Result<(), grpcchatter_client::Error> {
//! let client = Client::new_at("http://localhost:8080")?;
//! client.login("walker1", "Secret-1!")?;
//! let room = client.join_chat_room("aB3xYz", "edelweiss")?;
//! room.send("good morning")?;
//! for event in room.events() {
//!     if let Event::Message(message) = event {
//!         println!("{}: {}", message.user_name, message.body);
//!     }
//! }
//! # Ok(())
//! # }
//! ```

use std::{sync::Arc, time::Duration};

use tokio::runtime::{Builder, Runtime};

use crate::{Account, ClientBuilder, Error, Event, Invitation, Message, Page, RoomInfo, Start, User};

/// The thread that the calls run on.
#[derive(Debug)]
struct Thread {
    runtime: Option<Runtime>,
}

impl Thread {
    fn start() -> Result<Arc<Self>, Error> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("grpcchatter-client")
            .enable_all()
            .build()
            .map_err(Error::unreachable)?;
        Ok(Arc::new(Self { runtime: Some(runtime) }))
    }

    fn wait<T>(&self, call: impl Future<Output = T>) -> T {
        self.runtime.as_ref().expect("it is taken by drop alone").block_on(call)
    }
}

impl Drop for Thread {
    /// Without waiting: what still runs is a connection that nobody needs.
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// As [`crate::Client`].
#[derive(Debug, Clone)]
pub struct Client {
    thread: Arc<Thread>,
    client: crate::Client,
}

/// As [`crate::Room`].
#[derive(Debug, Clone)]
pub struct Room {
    thread: Arc<Thread>,
    room: crate::Room,
}

/// As [`crate::Events`]: an iterator that waits for the next event, and ends after [`Event::Closed`].
#[derive(Debug)]
pub struct Events {
    thread: Arc<Thread>,
    events: crate::Events,
}

impl Client {
    /// As [`crate::Client::new_at`].
    ///
    /// # Errors
    /// [`Error::InvalidUrl`].
    pub fn new_at(url: impl Into<String>) -> Result<Self, Error> {
        Self::builder(url).build_blocking()
    }

    /// As [`crate::Client::builder`]; ends with [`ClientBuilder::build_blocking`].
    pub fn builder(url: impl Into<String>) -> ClientBuilder {
        crate::Client::builder(url)
    }

    pub(crate) fn start(client: crate::Client) -> Result<Self, Error> {
        Ok(Self { client, thread: Thread::start()? })
    }

    /// As [`crate::Client::url`].
    #[must_use]
    pub fn url(&self) -> &str {
        self.client.url()
    }

    /// As [`crate::Client::register`].
    ///
    /// # Errors
    /// The same.
    pub fn register(&self, user_name: &str, password: &str) -> Result<Account, Error> {
        self.thread.wait(self.client.register(user_name, password))
    }

    /// As [`crate::Client::login`].
    ///
    /// # Errors
    /// The same.
    pub fn login(&self, user_name: &str, password: &str) -> Result<(), Error> {
        self.thread.wait(self.client.login(user_name, password))
    }

    /// As [`crate::Client::logout`].
    ///
    /// # Errors
    /// The same.
    pub fn logout(&self) -> Result<(), Error> {
        self.thread.wait(self.client.logout())
    }

    /// As [`crate::Client::user_name`].
    ///
    /// # Errors
    /// The same.
    pub fn user_name(&self) -> Result<String, Error> {
        self.thread.wait(self.client.user_name())
    }

    /// As [`crate::Client::account`].
    ///
    /// # Errors
    /// The same.
    pub fn account(&self) -> Result<Account, Error> {
        self.thread.wait(self.client.account())
    }

    /// As [`crate::Client::change_password`].
    ///
    /// # Errors
    /// The same.
    pub fn change_password(&self, password: &str, new_password: &str) -> Result<(), Error> {
        self.thread.wait(self.client.change_password(password, new_password))
    }

    /// As [`crate::Client::delete_account`].
    ///
    /// # Errors
    /// The same.
    pub fn delete_account(&self, password: &str) -> Result<(), Error> {
        self.thread.wait(self.client.delete_account(password))
    }

    /// As [`crate::Client::create_chat_room`].
    ///
    /// # Errors
    /// The same.
    pub fn create_chat_room(&self, name: &str, password: &str) -> Result<RoomInfo, Error> {
        self.thread.wait(self.client.create_chat_room(name, password))
    }

    /// As [`crate::Client::rename_chat_room`].
    ///
    /// # Errors
    /// The same.
    pub fn rename_chat_room(&self, short_code: &str, name: &str) -> Result<RoomInfo, Error> {
        self.thread.wait(self.client.rename_chat_room(short_code, name))
    }

    /// As [`crate::Client::change_room_password`].
    ///
    /// # Errors
    /// The same.
    pub fn change_room_password(&self, short_code: &str, password: &str) -> Result<RoomInfo, Error> {
        self.thread.wait(self.client.change_room_password(short_code, password))
    }

    /// As [`crate::Client::delete_chat_room`].
    ///
    /// # Errors
    /// The same.
    pub fn delete_chat_room(&self, short_code: &str) -> Result<(), Error> {
        self.thread.wait(self.client.delete_chat_room(short_code))
    }

    /// As [`crate::Client::list_chat_rooms`].
    ///
    /// # Errors
    /// The same.
    pub fn list_chat_rooms(&self) -> Result<Vec<RoomInfo>, Error> {
        self.thread.wait(self.client.list_chat_rooms())
    }

    /// As [`crate::Client::invite`].
    ///
    /// # Errors
    /// The same.
    pub fn invite(&self, short_code: &str, ttl: Option<Duration>) -> Result<Invitation, Error> {
        self.thread.wait(self.client.invite(short_code, ttl))
    }

    /// As [`crate::Client::remove_user`].
    ///
    /// # Errors
    /// The same.
    pub fn remove_user(&self, short_code: &str, user_name: &str) -> Result<(), Error> {
        self.thread.wait(self.client.remove_user(short_code, user_name))
    }

    /// As [`crate::Client::ban_user`].
    ///
    /// # Errors
    /// The same.
    pub fn ban_user(&self, short_code: &str, user_name: &str) -> Result<(), Error> {
        self.thread.wait(self.client.ban_user(short_code, user_name))
    }

    /// As [`crate::Client::unban_user`].
    ///
    /// # Errors
    /// The same.
    pub fn unban_user(&self, short_code: &str, user_name: &str) -> Result<(), Error> {
        self.thread.wait(self.client.unban_user(short_code, user_name))
    }

    /// As [`crate::Client::join_chat_room`].
    ///
    /// # Errors
    /// The same.
    pub fn join_chat_room(&self, short_code: &str, password: &str) -> Result<Room, Error> {
        let room = self.thread.wait(self.client.join_chat_room(short_code, password))?;
        Ok(Room { thread: Arc::clone(&self.thread), room })
    }

    /// As [`crate::Client::join_by_invitation`].
    ///
    /// # Errors
    /// The same.
    pub fn join_by_invitation(&self, token: &str) -> Result<Room, Error> {
        let room = self.thread.wait(self.client.join_by_invitation(token))?;
        Ok(Room { thread: Arc::clone(&self.thread), room })
    }

    /// As [`crate::Client::disconnect`]: what other threads wait for ends at once.
    pub fn disconnect(&self) {
        self.client.disconnect();
    }
}

impl Room {
    /// As [`crate::Room::info`].
    #[must_use]
    pub fn info(&self) -> RoomInfo {
        self.room.info()
    }

    /// As [`crate::Room::send`].
    ///
    /// # Errors
    /// The same.
    pub fn send(&self, body: &str) -> Result<Message, Error> {
        self.thread.wait(self.room.send(body))
    }

    /// As [`crate::Room::send_with_id`].
    ///
    /// # Errors
    /// The same.
    pub fn send_with_id(&self, client_message_id: &str, body: &str) -> Result<Message, Error> {
        self.thread.wait(self.room.send_with_id(client_message_id, body))
    }

    /// As [`crate::Room::receive`].
    ///
    /// # Errors
    /// The same.
    pub fn receive(&self) -> Result<Message, Error> {
        self.thread.wait(self.room.receive())
    }

    /// As [`crate::Room::events`].
    #[must_use = "a stream does nothing until it is read"]
    pub fn events(&self) -> Events {
        self.events_from(Start::Joined)
    }

    /// As [`crate::Room::events_from`].
    #[must_use = "a stream does nothing until it is read"]
    pub fn events_from(&self, start: Start) -> Events {
        Events { thread: Arc::clone(&self.thread), events: self.room.events_from(start) }
    }

    /// As [`crate::Room::newest_messages`].
    ///
    /// # Errors
    /// The same.
    pub fn newest_messages(&self, count: u16) -> Result<Page, Error> {
        self.thread.wait(self.room.newest_messages(count))
    }

    /// As [`crate::Room::messages_before`].
    ///
    /// # Errors
    /// The same.
    pub fn messages_before(&self, seq: i64, count: u16) -> Result<Page, Error> {
        self.thread.wait(self.room.messages_before(seq, count))
    }

    /// As [`crate::Room::messages_after`].
    ///
    /// # Errors
    /// The same.
    pub fn messages_after(&self, seq: i64, count: u16) -> Result<Page, Error> {
        self.thread.wait(self.room.messages_after(seq, count))
    }

    /// As [`crate::Room::list_chat_room_users`].
    ///
    /// # Errors
    /// The same.
    pub fn list_chat_room_users(&self) -> Result<Vec<User>, Error> {
        self.thread.wait(self.room.list_chat_room_users())
    }

    /// As [`crate::Room::leave`].
    ///
    /// # Errors
    /// The same.
    pub fn leave(&self) -> Result<(), Error> {
        self.thread.wait(self.room.leave())
    }

    /// As [`crate::Room::disconnect`]: what other threads wait for ends at once.
    pub fn disconnect(&self) {
        self.room.disconnect();
    }
}

impl Iterator for Events {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        self.thread.wait(self.events.recv())
    }
}

//! The calls of [`crate::Client`].

use std::{sync::Arc, time::Duration};

use super::{Client, Room, Thread};
use crate::{Account, ClientBuilder, Error, Invitation, Message, RoomInfo};

impl Client {
    /// See [`crate::Client::new_at`].
    ///
    /// # Errors
    /// [`Error::InvalidUrl`].
    pub fn new_at(url: impl Into<String>) -> Result<Self, Error> {
        Self::builder(url).build_blocking()
    }

    /// See [`crate::Client::builder`]; ends with [`ClientBuilder::build_blocking`].
    pub fn builder(url: impl Into<String>) -> ClientBuilder {
        crate::Client::builder(url)
    }

    pub(crate) fn start(client: crate::Client) -> Result<Self, Error> {
        Ok(Self { client, thread: Thread::start()? })
    }

    /// See [`crate::Client::url`].
    #[must_use]
    pub fn url(&self) -> &str {
        self.client.url()
    }

    /// See [`crate::Client::within`].
    #[must_use]
    pub fn within(&self, timeout: Duration) -> Self {
        Self { thread: Arc::clone(&self.thread), client: self.client.within(timeout) }
    }

    /// See [`crate::Client::register`].
    pub fn register(&self, user_name: &str, password: &str) -> Result<Account, Error> {
        self.thread.wait(self.client.register(user_name, password))
    }

    /// See [`crate::Client::login`].
    pub fn login(&self, user_name: &str, password: &str) -> Result<(), Error> {
        self.thread.wait(self.client.login(user_name, password))
    }

    /// See [`crate::Client::login_if_needed`].
    pub fn login_if_needed(&self, user_name: &str, password: &str) -> Result<(), Error> {
        self.thread.wait(self.client.login_if_needed(user_name, password))
    }

    /// See [`crate::Client::logout`].
    pub fn logout(&self) -> Result<(), Error> {
        self.thread.wait(self.client.logout())
    }

    /// See [`crate::Client::user_name`].
    pub fn user_name(&self) -> Result<String, Error> {
        self.thread.wait(self.client.user_name())
    }

    /// See [`crate::Client::account`].
    pub fn account(&self) -> Result<Account, Error> {
        self.thread.wait(self.client.account())
    }

    /// See [`crate::Client::change_password`].
    pub fn change_password(&self, password: &str, new_password: &str) -> Result<(), Error> {
        self.thread.wait(self.client.change_password(password, new_password))
    }

    /// See [`crate::Client::delete_account`].
    pub fn delete_account(&self, password: &str) -> Result<(), Error> {
        self.thread.wait(self.client.delete_account(password))
    }

    /// See [`crate::Client::create_room`].
    pub fn create_room(&self, name: &str, password: &str) -> Result<RoomInfo, Error> {
        self.thread.wait(self.client.create_room(name, password))
    }

    /// See [`crate::Client::rename_room`].
    pub fn rename_room(&self, short_code: &str, name: &str) -> Result<RoomInfo, Error> {
        self.thread.wait(self.client.rename_room(short_code, name))
    }

    /// See [`crate::Client::change_room_password`].
    pub fn change_room_password(&self, short_code: &str, password: &str) -> Result<RoomInfo, Error> {
        self.thread.wait(self.client.change_room_password(short_code, password))
    }

    /// See [`crate::Client::delete_room`].
    pub fn delete_room(&self, short_code: &str) -> Result<(), Error> {
        self.thread.wait(self.client.delete_room(short_code))
    }

    /// See [`crate::Client::rooms`].
    pub fn rooms(&self) -> Result<Vec<RoomInfo>, Error> {
        self.thread.wait(self.client.rooms())
    }

    /// See [`crate::Client::invite`].
    pub fn invite(&self, short_code: &str, ttl: Option<Duration>) -> Result<Invitation, Error> {
        self.thread.wait(self.client.invite(short_code, ttl))
    }

    /// See [`crate::Client::remove_user`].
    pub fn remove_user(&self, short_code: &str, user_name: &str) -> Result<(), Error> {
        self.thread.wait(self.client.remove_user(short_code, user_name))
    }

    /// See [`crate::Client::ban_user`].
    pub fn ban_user(&self, short_code: &str, user_name: &str) -> Result<(), Error> {
        self.thread.wait(self.client.ban_user(short_code, user_name))
    }

    /// See [`crate::Client::unban_user`].
    pub fn unban_user(&self, short_code: &str, user_name: &str) -> Result<(), Error> {
        self.thread.wait(self.client.unban_user(short_code, user_name))
    }

    /// See [`crate::Client::join`].
    pub fn join(&self, short_code: &str, password: &str) -> Result<Room, Error> {
        let room = self.thread.wait(self.client.join(short_code, password))?;
        Ok(Room { thread: Arc::clone(&self.thread), room })
    }

    /// See [`crate::Client::join_by_invitation`].
    pub fn join_by_invitation(&self, token: &str) -> Result<Room, Error> {
        let room = self.thread.wait(self.client.join_by_invitation(token))?;
        Ok(Room { thread: Arc::clone(&self.thread), room })
    }

    /// See [`crate::Client::join_and_send`].
    pub fn join_and_send(&self, short_code: &str, body: &str) -> Result<Message, Error> {
        self.thread.wait(self.client.join_and_send(short_code, body))
    }

    /// See [`crate::Client::join_and_send_with_id`].
    pub fn join_and_send_with_id(&self, short_code: &str, id: &str, body: &str) -> Result<Message, Error> {
        self.thread.wait(self.client.join_and_send_with_id(short_code, id, body))
    }

    /// See [`crate::Client::disconnect`]. It also ends the calls that block other threads.
    pub fn disconnect(&self) {
        self.client.disconnect();
    }
}

//! The names of the original client's calls, as in [`crate::Client`].

use super::{Client, Room};
use crate::{Error, RoomInfo, User};

impl Client {
    /// [`Client::create_room`], as the original called it.
    pub fn create_chat_room(&self, name: &str, password: &str) -> Result<RoomInfo, Error> {
        self.create_room(name, password)
    }

    /// [`Client::delete_room`], as the original called it.
    pub fn delete_chat_room(&self, short_code: &str) -> Result<(), Error> {
        self.delete_room(short_code)
    }

    /// [`Client::join`], as the original called it.
    pub fn join_chat_room(&self, short_code: &str, password: &str) -> Result<Room, Error> {
        self.join(short_code, password)
    }

    /// [`Client::rooms`], named like the original's calls.
    pub fn list_chat_rooms(&self) -> Result<Vec<RoomInfo>, Error> {
        self.rooms()
    }

    /// [`Client::rename_room`], named like the original's calls.
    pub fn rename_chat_room(&self, short_code: &str, name: &str) -> Result<RoomInfo, Error> {
        self.rename_room(short_code, name)
    }
}

impl Room {
    /// [`Room::users`], as the original called it.
    pub fn list_chat_room_users(&self) -> Result<Vec<User>, Error> {
        self.users()
    }
}

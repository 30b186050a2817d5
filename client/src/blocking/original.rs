//! The names of the original client's calls, and of their kind, as in [`crate::Client`].

use super::{Client, Room};
use crate::{Error, RoomInfo, User};

impl Client {
    /// [`Client::create_room`], as the original called it.
    ///
    /// # Errors
    /// The same.
    ///
    /// ```no_run
    /// # fn run(client: grpcchatter_client::blocking::Client) -> Result<(), grpcchatter_client::Error> {
    /// let room = client.create_chat_room("Mountains", "edelweiss")?;
    /// # let _ = room;
    /// # Ok(())
    /// # }
    /// ```
    pub fn create_chat_room(&self, name: &str, password: &str) -> Result<RoomInfo, Error> {
        self.create_room(name, password)
    }

    /// [`Client::delete_room`], as the original called it.
    ///
    /// # Errors
    /// The same.
    ///
    /// ```no_run
    /// # fn run(client: grpcchatter_client::blocking::Client) -> Result<(), grpcchatter_client::Error> {
    /// client.delete_chat_room("aB3xYz")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn delete_chat_room(&self, short_code: &str) -> Result<(), Error> {
        self.delete_room(short_code)
    }

    /// [`Client::join`], as the original called it.
    ///
    /// # Errors
    /// The same.
    ///
    /// ```no_run
    /// # fn run(client: grpcchatter_client::blocking::Client) -> Result<(), grpcchatter_client::Error> {
    /// let room = client.join_chat_room("aB3xYz", "edelweiss")?;
    /// # let _ = room;
    /// # Ok(())
    /// # }
    /// ```
    pub fn join_chat_room(&self, short_code: &str, password: &str) -> Result<Room, Error> {
        self.join(short_code, password)
    }

    /// [`Client::rooms`], in the original's manner.
    ///
    /// # Errors
    /// The same.
    ///
    /// ```no_run
    /// # fn run(client: grpcchatter_client::blocking::Client) -> Result<(), grpcchatter_client::Error> {
    /// println!("{} rooms", client.list_chat_rooms()?.len());
    /// # Ok(())
    /// # }
    /// ```
    pub fn list_chat_rooms(&self) -> Result<Vec<RoomInfo>, Error> {
        self.rooms()
    }

    /// [`Client::rename_room`], in the original's manner.
    ///
    /// # Errors
    /// The same.
    ///
    /// ```no_run
    /// # fn run(client: grpcchatter_client::blocking::Client) -> Result<(), grpcchatter_client::Error> {
    /// client.rename_chat_room("aB3xYz", "High mountains")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn rename_chat_room(&self, short_code: &str, name: &str) -> Result<RoomInfo, Error> {
        self.rename_room(short_code, name)
    }
}

impl Room {
    /// [`Room::users`], as the original called it.
    ///
    /// # Errors
    /// The same.
    ///
    /// ```no_run
    /// # fn run(room: grpcchatter_client::blocking::Room) -> Result<(), grpcchatter_client::Error> {
    /// println!("{} are here", room.list_chat_room_users()?.len());
    /// # Ok(())
    /// # }
    /// ```
    pub fn list_chat_room_users(&self) -> Result<Vec<User>, Error> {
        self.users()
    }
}

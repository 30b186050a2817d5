//! The names of the original client's calls, and names formed like them, so that its programs need no renaming.

use crate::{Client, Error, Room, RoomInfo, User};

impl Client {
    /// [`Client::create_room`], as the original called it.
    ///
    /// # Errors
    /// The same.
    ///
    /// ```no_run
    /// # async fn run(client: grpcchatter_client::Client) -> Result<(), grpcchatter_client::Error> {
    /// let room = client.create_chat_room("Mountains", "edelweiss").await?;
    /// # let _ = room;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn create_chat_room(&self, name: &str, password: &str) -> Result<RoomInfo, Error> {
        self.create_room(name, password).await
    }

    /// [`Client::delete_room`], as the original called it.
    ///
    /// # Errors
    /// The same.
    ///
    /// ```no_run
    /// # async fn run(client: grpcchatter_client::Client) -> Result<(), grpcchatter_client::Error> {
    /// client.delete_chat_room("aB3xYz").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn delete_chat_room(&self, short_code: &str) -> Result<(), Error> {
        self.delete_room(short_code).await
    }

    /// [`Client::join`], as the original called it.
    ///
    /// # Errors
    /// The same.
    ///
    /// ```no_run
    /// # async fn run(client: grpcchatter_client::Client) -> Result<(), grpcchatter_client::Error> {
    /// let room = client.join_chat_room("aB3xYz", "edelweiss").await?;
    /// # let _ = room;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn join_chat_room(&self, short_code: &str, password: &str) -> Result<Room, Error> {
        self.join(short_code, password).await
    }

    /// [`Client::rooms`], named like the original's calls.
    ///
    /// # Errors
    /// The same.
    ///
    /// ```no_run
    /// # async fn run(client: grpcchatter_client::Client) -> Result<(), grpcchatter_client::Error> {
    /// println!("{} rooms", client.list_chat_rooms().await?.len());
    /// # Ok(())
    /// # }
    /// ```
    pub async fn list_chat_rooms(&self) -> Result<Vec<RoomInfo>, Error> {
        self.rooms().await
    }

    /// [`Client::rename_room`], named like the original's calls.
    ///
    /// # Errors
    /// The same.
    ///
    /// ```no_run
    /// # async fn run(client: grpcchatter_client::Client) -> Result<(), grpcchatter_client::Error> {
    /// client.rename_chat_room("aB3xYz", "High mountains").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn rename_chat_room(&self, short_code: &str, name: &str) -> Result<RoomInfo, Error> {
        self.rename_room(short_code, name).await
    }
}

impl Room {
    /// [`Room::users`], as the original called it.
    ///
    /// # Errors
    /// The same.
    ///
    /// ```no_run
    /// # async fn run(room: grpcchatter_client::Room) -> Result<(), grpcchatter_client::Error> {
    /// println!("{} are here", room.list_chat_room_users().await?.len());
    /// # Ok(())
    /// # }
    /// ```
    pub async fn list_chat_room_users(&self) -> Result<Vec<User>, Error> {
        self.users().await
    }
}

//! The client's calls about rooms: create, list, change, delete, invite, join.

use std::{sync::Arc, time::Duration};

use grpcchatter_proto::v1;
use tonic::{Request, Response, Status};

use crate::{Client, Error, Invitation, Room, RoomInfo, model::time_of, new_message_id, response::Stub};

/// The server's largest page.
const PAGE_SIZE: i32 = 200;

/// Whether a removed user may join again.
#[derive(PartialEq, Eq)]
enum Removal {
    Once,
    Ban,
}

impl Client {
    /// Creates a room that the caller owns. If the password is empty, the short code is enough to join.
    ///
    /// # Errors
    /// Any [`Error`].
    ///
    /// ```no_run
    /// # async fn run(client: grpcchatter_client::Client) -> Result<(), grpcchatter_client::Error> {
    /// let room = client.create_room("Mountains", "edelweiss").await?;
    /// println!("tell your friends: {}", room.short_code);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn create_room(&self, name: &str, password: &str) -> Result<RoomInfo, Error> {
        let request =
            v1::CreateChatRoomRequest { room_name: name.to_owned(), room_password: password.to_owned() };
        let response =
            self.call(request, |mut stub: Stub, it| async move { stub.create_chat_room(it).await }).await?;
        response.room.try_into()
    }

    /// Renames a room that the caller owns.
    ///
    /// # Errors
    /// A refusal with [`Reason::NotRoomOwner`](crate::Reason::NotRoomOwner), or with
    /// [`Reason::RoomNotFound`](crate::Reason::RoomNotFound) if the caller is not in the room.
    ///
    /// ```no_run
    /// # async fn run(client: grpcchatter_client::Client) -> Result<(), grpcchatter_client::Error> {
    /// client.rename_room("aB3xYz", "High mountains").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn rename_room(&self, short_code: &str, name: &str) -> Result<RoomInfo, Error> {
        self.update(short_code, Some(name), None).await
    }

    /// Changes the password of a room that the caller owns. All other users must join again.
    ///
    /// # Errors
    /// A refusal with [`Reason::NotRoomOwner`](crate::Reason::NotRoomOwner), or with
    /// [`Reason::RoomNotFound`](crate::Reason::RoomNotFound) if the caller is not in the room.
    ///
    /// ```no_run
    /// # async fn run(client: grpcchatter_client::Client) -> Result<(), grpcchatter_client::Error> {
    /// client.change_room_password("aB3xYz", "gentian").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn change_room_password(&self, short_code: &str, password: &str) -> Result<RoomInfo, Error> {
        self.update(short_code, None, Some(password)).await
    }

    async fn update(
        &self,
        code: &str,
        name: Option<&str>,
        password: Option<&str>,
    ) -> Result<RoomInfo, Error> {
        let request = v1::UpdateChatRoomRequest {
            short_code: code.to_owned(),
            room_name: name.map(str::to_owned),
            room_password: password.map(str::to_owned),
        };
        let response =
            self.call(request, |mut stub: Stub, it| async move { stub.update_chat_room(it).await }).await?;
        response.room.try_into()
    }

    /// Deletes a room that the caller owns, with its messages, and ends its streams.
    ///
    /// # Errors
    /// A refusal with [`Reason::NotRoomOwner`](crate::Reason::NotRoomOwner) or
    /// [`Reason::RoomNotFound`](crate::Reason::RoomNotFound).
    ///
    /// ```no_run
    /// # async fn run(client: grpcchatter_client::Client) -> Result<(), grpcchatter_client::Error> {
    /// client.delete_room("aB3xYz").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn delete_room(&self, short_code: &str) -> Result<(), Error> {
        let request = v1::DeleteChatRoomRequest { short_code: short_code.to_owned() };
        self.call(request, |mut stub: Stub, it| async move { stub.delete_chat_room(it).await }).await?;
        Ok(())
    }

    /// The rooms that the caller owns or has joined, the most recently active first.
    ///
    /// # Errors
    /// Any [`Error`].
    ///
    /// ```no_run
    /// # async fn run(client: grpcchatter_client::Client) -> Result<(), grpcchatter_client::Error> {
    /// for room in client.rooms().await? {
    ///     println!("{} {}", room.short_code, room.name);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn rooms(&self) -> Result<Vec<RoomInfo>, Error> {
        let deadline = self.inner.deadline();
        let mut rooms = Vec::new();
        let mut page_token = String::new();
        loop {
            let request = v1::ListChatRoomsRequest { page_size: PAGE_SIZE, page_token };
            let page =
                self.inner
                    .retry_until(deadline, || async {
                        self.call(request.clone(), |mut stub: Stub, it| async move {
                            stub.list_chat_rooms(it).await
                        })
                        .await
                    })
                    .await?;
            for room in page.rooms {
                rooms.push(Some(room).try_into()?);
            }
            if page.next_page_token.is_empty() {
                return Ok(rooms);
            }
            page_token = page.next_page_token;
        }
    }

    /// Creates an invitation to a room that the caller owns. It is valid for 24 hours unless `ttl` is given, at
    /// most 30 days.
    ///
    /// # Errors
    /// A refusal with [`Reason::NotRoomOwner`](crate::Reason::NotRoomOwner), or with
    /// [`Reason::RoomNotFound`](crate::Reason::RoomNotFound) if the caller is not in the room.
    ///
    /// ```no_run
    /// # async fn run(client: grpcchatter_client::Client) -> Result<(), grpcchatter_client::Error> {
    /// let invitation = client.invite("aB3xYz", None).await?;
    /// println!("show this to join: {}", invitation.token);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn invite(&self, short_code: &str, ttl: Option<Duration>) -> Result<Invitation, Error> {
        let ttl = match ttl.map(prost_types::Duration::try_from) {
            Some(Err(_)) => return Err(Error::InvalidValue("the duration")),
            other => other.and_then(Result::ok),
        };
        let request = v1::CreateRoomTokenRequest { short_code: short_code.to_owned(), ttl };
        let response =
            self.call(request, |mut stub: Stub, it| async move { stub.create_room_token(it).await }).await?;
        Ok(Invitation { token: response.room_token, expire_time: time_of(response.expire_time)? })
    }

    /// Removes a user from a room that the caller owns. They may join again.
    ///
    /// # Errors
    /// A refusal with [`Reason::NotRoomOwner`](crate::Reason::NotRoomOwner) or
    /// [`Reason::UserNotFound`](crate::Reason::UserNotFound).
    ///
    /// ```no_run
    /// # async fn run(client: grpcchatter_client::Client) -> Result<(), grpcchatter_client::Error> {
    /// client.remove_user("aB3xYz", "troll99").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn remove_user(&self, short_code: &str, user_name: &str) -> Result<(), Error> {
        self.remove(short_code, user_name, Removal::Once).await
    }

    /// Bans a user from a room that the caller owns, until [`Client::unban_user`]. The user need not be a member.
    /// An unknown name is no error: the server does not reveal which names are taken.
    ///
    /// # Errors
    /// Those of [`Client::rename_room`].
    ///
    /// ```no_run
    /// # async fn run(client: grpcchatter_client::Client) -> Result<(), grpcchatter_client::Error> {
    /// client.ban_user("aB3xYz", "troll99").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn ban_user(&self, short_code: &str, user_name: &str) -> Result<(), Error> {
        self.remove(short_code, user_name, Removal::Ban).await
    }

    async fn remove(&self, short_code: &str, user_name: &str, removal: Removal) -> Result<(), Error> {
        let request = v1::RemoveChatRoomUserRequest {
            short_code: short_code.to_owned(),
            user_name: user_name.to_owned(),
            ban: removal == Removal::Ban,
        };
        self.call(request, |mut stub: Stub, it| async move { stub.remove_chat_room_user(it).await }).await?;
        Ok(())
    }

    /// Lifts a ban. As with the ban, an unknown name is no error.
    ///
    /// # Errors
    /// Those of [`Client::rename_room`].
    ///
    /// ```no_run
    /// # async fn run(client: grpcchatter_client::Client) -> Result<(), grpcchatter_client::Error> {
    /// client.unban_user("aB3xYz", "troll99").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn unban_user(&self, short_code: &str, user_name: &str) -> Result<(), Error> {
        let request = v1::UnbanChatRoomUserRequest {
            short_code: short_code.to_owned(),
            user_name: user_name.to_owned(),
        };
        self.call(request, |mut stub: Stub, it| async move { stub.unban_chat_room_user(it).await }).await?;
        Ok(())
    }

    /// Joins a room and sends one message, for programs that do nothing else there. The user must be a member, or
    /// the room must have no password. It makes two calls, where [`join`](Client::join) also looks up the end of
    /// the log. It returns once the message is durably stored; both calls together are bounded by
    /// [`ClientBuilder::send_timeout`](crate::ClientBuilder::send_timeout).
    ///
    /// # Errors
    /// Those of [`join`](Client::join) and [`Room::send`](crate::Room::send).
    ///
    /// ```no_run
    /// # async fn run(client: grpcchatter_client::Client) -> Result<(), grpcchatter_client::Error> {
    /// let message = client.join_and_send("aB3xYz", "the build is green").await?;
    /// println!("stored as number {}", message.seq);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn join_and_send(&self, short_code: &str, body: &str) -> Result<crate::Message, Error> {
        self.join_and_send_with_id(short_code, &new_message_id(), body).await
    }

    /// Like [`join_and_send`](Client::join_and_send), under an id of your own, so that another run of the program
    /// can send the message again: the log holds it once.
    ///
    /// # Errors
    /// Those of [`join`](Client::join) and [`Room::send_with_id`](crate::Room::send_with_id).
    ///
    /// ```no_run
    /// # async fn run(client: grpcchatter_client::Client) -> Result<(), grpcchatter_client::Error> {
    /// let id = grpcchatter_client::new_message_id();
    /// let message = client.join_and_send_with_id("aB3xYz", &id, "the build is green").await?;
    /// println!("stored as number {}", message.seq);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn join_and_send_with_id(
        &self,
        short_code: &str,
        client_message_id: &str,
        body: &str,
    ) -> Result<crate::Message, Error> {
        Room::join_and_send(Arc::clone(&self.inner), short_code, client_message_id, body).await
    }

    /// Joins a room by its short code and password. A member joins again with an empty password.
    ///
    /// # Errors
    /// A refusal with [`Reason::RoomNotFound`](crate::Reason::RoomNotFound),
    /// [`Reason::WrongRoomPassword`](crate::Reason::WrongRoomPassword) or
    /// [`Reason::Banned`](crate::Reason::Banned).
    ///
    /// ```no_run
    /// # async fn run(client: grpcchatter_client::Client) -> Result<(), grpcchatter_client::Error> {
    /// let room = client.join("aB3xYz", "edelweiss").await?;
    /// println!("{} of {}", room.info().name, room.info().owner_name);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn join(&self, short_code: &str, password: &str) -> Result<Room, Error> {
        self.join_request(v1::JoinChatRoomRequest {
            short_code: short_code.to_owned(),
            room_password: password.to_owned(),
            room_token: String::new(),
        })
        .await
    }

    /// Joins the room of an invitation.
    ///
    /// # Errors
    /// Any [`Error`].
    ///
    /// ```no_run
    /// # async fn run(client: grpcchatter_client::Client, token: &str) -> Result<(), grpcchatter_client::Error> {
    /// let room = client.join_by_invitation(token).await?;
    /// # let _ = room;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn join_by_invitation(&self, token: &str) -> Result<Room, Error> {
        self.join_request(v1::JoinChatRoomRequest { room_token: token.to_owned(), ..Default::default() })
            .await
    }

    async fn join_request(&self, request: v1::JoinChatRoomRequest) -> Result<Room, Error> {
        Room::join(Arc::clone(&self.inner), request).await
    }

    async fn call<Q: Clone, A, Fut>(
        &self,
        message: Q,
        rpc: impl Fn(Stub, Request<Q>) -> Fut,
    ) -> Result<A, Error>
    where
        Fut: Future<Output = Result<Response<A>, Status>>,
    {
        let inner = &self.inner;
        inner.transport.call(&inner.session, message, rpc).await
    }
}

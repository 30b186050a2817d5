//! What a client can do about rooms: make, list, change, end them, and join one.

use std::{sync::Arc, time::Duration};

use grpcchatter_proto::v1;
use tonic::{Request, Response, Status};

use crate::{Client, Error, Invitation, Room, RoomInfo, answer::Stub, model::time_of, new_message_id};

/// As many rooms as the server puts on one page.
const PAGE: i32 = 200;

impl Client {
    /// Makes a room that the caller owns. With an empty password its short code is enough to join.
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
        let answer =
            self.call(request, |mut stub: Stub, it| async move { stub.create_chat_room(it).await }).await?;
        answer.room.try_into()
    }

    /// Renames a room of the caller's.
    ///
    /// # Errors
    /// A refusal with [`Reason::NotRoomOwner`](crate::Reason::NotRoomOwner), or, for whoever is not in the room,
    /// [`Reason::RoomNotFound`](crate::Reason::RoomNotFound).
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

    /// Gives a room of the caller's another password, which puts out everybody else until they join again.
    ///
    /// # Errors
    /// A refusal with [`Reason::NotRoomOwner`](crate::Reason::NotRoomOwner), or, for whoever is not in the room,
    /// [`Reason::RoomNotFound`](crate::Reason::RoomNotFound).
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
        let answer =
            self.call(request, |mut stub: Stub, it| async move { stub.update_chat_room(it).await }).await?;
        answer.room.try_into()
    }

    /// Deletes a room of the caller's with its messages, and ends its streams.
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

    /// The rooms that the caller owns or has joined, the latest active first.
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
        let end = self.inner.end();
        let mut rooms = Vec::new();
        let mut page_token = String::new();
        loop {
            let request = v1::ListChatRoomsRequest { page_size: PAGE, page_token };
            let page =
                self.inner
                    .patiently(end, || async {
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

    /// Makes an invitation to a room of the caller's; for 24 hours where no time is given, at most 30 days.
    ///
    /// # Errors
    /// A refusal with [`Reason::NotRoomOwner`](crate::Reason::NotRoomOwner), or, for whoever is not in the room,
    /// [`Reason::RoomNotFound`](crate::Reason::RoomNotFound).
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
        let answer =
            self.call(request, |mut stub: Stub, it| async move { stub.create_room_token(it).await }).await?;
        Ok(Invitation { token: answer.room_token, expire_time: time_of(answer.expire_time)? })
    }

    /// Puts a user out of a room of the caller's. They may join again.
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
        self.put_out(short_code, user_name, false).await
    }

    /// Puts a user out of a room of the caller's until [`Client::unban_user`]. They need not be in it, and a name that
    /// nobody has is no error: the server does not tell which names are taken.
    ///
    /// # Errors
    /// As [`Client::rename_room`].
    ///
    /// ```no_run
    /// # async fn run(client: grpcchatter_client::Client) -> Result<(), grpcchatter_client::Error> {
    /// client.ban_user("aB3xYz", "troll99").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn ban_user(&self, short_code: &str, user_name: &str) -> Result<(), Error> {
        self.put_out(short_code, user_name, true).await
    }

    async fn put_out(&self, short_code: &str, user_name: &str, ban: bool) -> Result<(), Error> {
        let request = v1::RemoveChatRoomUserRequest {
            short_code: short_code.to_owned(),
            user_name: user_name.to_owned(),
            ban,
        };
        self.call(request, |mut stub: Stub, it| async move { stub.remove_chat_room_user(it).await }).await?;
        Ok(())
    }

    /// Lets a banned user join again. As with the ban, a name that nobody has is no error.
    ///
    /// # Errors
    /// As [`Client::rename_room`].
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

    /// Joins a room that the user is in, or that has no password, and sends one message there: for programs that say
    /// something and end. It is two calls, where [`join`](Client::join) also looks up where in the log reading would
    /// begin. It returns once the message is durably stored. Both
    /// calls together take no longer than [`ClientBuilder::send_timeout`](crate::ClientBuilder::send_timeout).
    ///
    /// # Errors
    /// As those of [`join`](Client::join) and [`Room::send`](crate::Room::send).
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

    /// As [`join_and_send`](Client::join_and_send), under an id of the caller's own, so that the message can be sent
    /// again by another run of the program: the log holds it once.
    ///
    /// # Errors
    /// As those of [`join`](Client::join) and [`Room::send_with_id`](crate::Room::send_with_id).
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
        Room::send_only(Arc::clone(&self.inner), short_code, client_message_id, body).await
    }

    /// Joins a room by its short code and password. A member enters again with an empty password.
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
        self.enter(v1::JoinChatRoomRequest {
            short_code: short_code.to_owned(),
            room_password: password.to_owned(),
            room_token: String::new(),
        })
        .await
    }

    /// Joins the room that an invitation is for.
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
        self.enter(v1::JoinChatRoomRequest { room_token: token.to_owned(), ..Default::default() }).await
    }

    async fn enter(&self, request: v1::JoinChatRoomRequest) -> Result<Room, Error> {
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
        inner.transport.call(&inner.sessions, message, rpc).await
    }
}

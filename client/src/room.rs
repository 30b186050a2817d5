//! A room that was joined: sending, reading, leaving.

use std::{fmt, sync::Arc};

use grpcchatter_proto::v1;

use crate::{
    CloseReason, Error, Event, Events, Message, Page, RoomInfo, Start, User, answer::Stub, client::Inner,
    feed, membership::Membership, model::new_message_id, sending::Sending,
};

/// A room that this client has joined. Clones are handles of the same room.
///
/// Everything about its tokens, lost connections and restarts of the server is taken care of: what
/// [`Room::send`] has answered is in the log once, and what [`Room::events`] tells has no gap.
///
/// ```no_run
/// # async fn run(client: grpcchatter_client::Client) -> Result<(), grpcchatter_client::Error> {
/// let room = client.join("aB3xYz", "edelweiss").await?;
/// let reader = room.clone();
/// tokio::spawn(async move {
///     while let Ok(message) = reader.receive().await {
///         println!("{}: {}", message.user_name, message.body);
///     }
/// });
/// room.send("hello").await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Room {
    membership: Arc<Membership>,
    shared: Arc<Shared>,
}

/// What the clones of a [`Room`] share, and its streams do not: a stream that held this would hold itself.
#[derive(Default)]
struct Shared {
    sending: Sending,
    /// What [`Room::receive`] reads.
    receiving: tokio::sync::Mutex<Option<Events>>,
}

impl fmt::Debug for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Room").field("info", &self.info()).finish_non_exhaustive()
    }
}

impl Room {
    pub(crate) async fn join(client: Arc<Inner>, request: v1::JoinChatRoomRequest) -> Result<Self, Error> {
        let membership = Arc::new(Membership::join(client, request).await?);
        Ok(Self { membership, shared: Arc::default() })
    }

    /// Joins and sends, for whoever does nothing else there.
    pub(crate) async fn send_only(
        client: Arc<Inner>,
        code: &str,
        client_message_id: &str,
        body: &str,
    ) -> Result<Message, Error> {
        let request = v1::JoinChatRoomRequest { short_code: code.to_owned(), ..Default::default() };
        let end = client.end();
        let membership = Membership::enter(client, request, end).await?;
        Sending::default().send(&membership, end, client_message_id, body).await
    }

    /// The room as it was told of last.
    ///
    /// ```no_run
    /// # fn run(room: grpcchatter_client::Room) {
    /// println!("{}", room.info().name);
    /// # }
    /// ```
    #[must_use]
    pub fn info(&self) -> RoomInfo {
        self.membership.info()
    }

    /// Says something, and returns it as it stands in the log.
    ///
    /// It is tried again with the same id, through lost connections and restarts of the server, within
    /// [`ClientBuilder::send_timeout`](crate::ClientBuilder::send_timeout). Concurrent calls are answered one
    /// by one, in the order of their first poll. Dropping the future leaves open whether the message was
    /// stored.
    ///
    /// # Errors
    /// [`Error::Unacknowledged`] where time ran out, or where the message was refused after an answer had been
    /// lost: it may be stored then. A refusal, as with
    /// [`Reason::MessageTooLong`](crate::Reason::MessageTooLong), where it is not.
    /// [`Error::Disconnected`] where `disconnect` was called meanwhile, which leaves open whether it is.
    ///
    /// ```no_run
    /// # async fn run(room: grpcchatter_client::Room) -> Result<(), grpcchatter_client::Error> {
    /// let message = room.send("hello").await?;
    /// println!("number {} in the log", message.seq);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn send(&self, body: &str) -> Result<Message, Error> {
        self.send_with_id(&new_message_id(), body).await
    }

    /// Says something under an id of the caller's own, so that it can be sent again by another run of the
    /// program: the log holds it once.
    ///
    /// # Errors
    /// As [`Room::send`]; and a refusal with
    /// [`Reason::ClientMessageIdReused`](crate::Reason::ClientMessageIdReused) where another body was
    /// sent under this id.
    ///
    /// ```no_run
    /// # async fn run(room: grpcchatter_client::Room) -> Result<(), grpcchatter_client::Error> {
    /// let id = grpcchatter_client::new_message_id();
    /// let first = room.send_with_id(&id, "hello").await?;
    /// let again = room.send_with_id(&id, "hello").await?;
    /// assert_eq!(first.seq, again.seq);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn send_with_id(&self, client_message_id: &str, body: &str) -> Result<Message, Error> {
        let membership = &self.membership;
        self.shared.sending.send(membership, membership.end(), client_message_id, body).await
    }

    /// What happens in the room, with what was said since it was joined first.
    ///
    /// Each call makes a stream of its own.
    ///
    /// ```no_run
    /// # async fn run(room: grpcchatter_client::Room) {
    /// let mut events = room.events();
    /// while let Some(event) = events.recv().await {
    ///     println!("{event:?}");
    /// }
    /// # }
    /// ```
    pub fn events(&self) -> Events {
        self.events_from(Start::Joined)
    }

    /// What happens in the room, from another point on.
    ///
    /// ```no_run
    /// # async fn run(room: grpcchatter_client::Room) {
    /// use grpcchatter_client::Start;
    ///
    /// let mut events = room.events_from(Start::Last(50));
    /// # let _ = events.recv().await;
    /// # }
    /// ```
    pub fn events_from(&self, start: Start) -> Events {
        feed::events(Arc::clone(&self.membership), start)
    }

    /// Waits for the next message. All handles of the room share this one row of messages, which starts
    /// when the room is joined; a message goes to one of them. Cancel safe.
    ///
    /// # Errors
    /// [`Error::Disconnected`] or a refusal once nothing follows; [`Error::LogReset`] where
    /// [`Event::Reset`] would be told, after which messages follow again.
    ///
    /// ```no_run
    /// # async fn run(room: grpcchatter_client::Room) -> Result<(), grpcchatter_client::Error> {
    /// let message = room.receive().await?;
    /// println!("{}: {}", message.user_name, message.body);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn receive(&self) -> Result<Message, Error> {
        let mut receiving = self.membership.open(async { Ok(self.shared.receiving.lock().await) }).await?;
        let events = receiving.get_or_insert_with(|| self.events());
        loop {
            match events.recv().await {
                Some(Event::Message(message)) => return Ok(message),
                Some(Event::Reset { .. }) => return Err(Error::LogReset),
                Some(Event::Closed(why)) => return Err(Error::from(why)),
                Some(_) => {}
                None => return Err(Error::Disconnected),
            }
        }
    }

    /// The newest messages, at most 200.
    ///
    /// # Errors
    /// Any [`Error`].
    ///
    /// ```no_run
    /// # async fn run(room: grpcchatter_client::Room) -> Result<(), grpcchatter_client::Error> {
    /// for message in room.newest_messages(20).await?.messages {
    ///     println!("{}: {}", message.user_name, message.body);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn newest_messages(&self, count: u16) -> Result<Page, Error> {
        self.messages_before(0, count).await
    }

    /// The messages right before a place in the log, at most 200; 0 is its end.
    ///
    /// # Errors
    /// Any [`Error`].
    ///
    /// ```no_run
    /// # async fn run(room: grpcchatter_client::Room) -> Result<(), grpcchatter_client::Error> {
    /// let newest = room.newest_messages(50).await?;
    /// if newest.more {
    ///     let older = room.messages_before(newest.messages[0].seq, 50).await?;
    ///     println!("{} older ones", older.messages.len());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn messages_before(&self, seq: i64, count: u16) -> Result<Page, Error> {
        let page_size = count.into();
        let request = v1::ListMessagesRequest { page_size, before_seq: seq, after_seq: None };
        self.membership.page(self.membership.end(), request).await
    }

    /// The messages right after a place in the log, at most 200; 0 is its beginning.
    ///
    /// # Errors
    /// Any [`Error`].
    ///
    /// ```no_run
    /// # async fn run(room: grpcchatter_client::Room) -> Result<(), grpcchatter_client::Error> {
    /// let mut seq = 0;
    /// loop {
    ///     let page = room.messages_after(seq, 200).await?;
    ///     for message in &page.messages {
    ///         println!("{}", message.body);
    ///         seq = message.seq;
    ///     }
    ///     if !page.more {
    ///         break;
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn messages_after(&self, seq: i64, count: u16) -> Result<Page, Error> {
        let request =
            v1::ListMessagesRequest { page_size: count.into(), before_seq: 0, after_seq: Some(seq) };
        self.membership.page(self.membership.end(), request).await
    }

    /// Everybody who is present, each once.
    ///
    /// # Errors
    /// Any [`Error`].
    ///
    /// ```no_run
    /// # async fn run(room: grpcchatter_client::Room) -> Result<(), grpcchatter_client::Error> {
    /// for user in room.users().await? {
    ///     println!("{}", user.name);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn users(&self) -> Result<Vec<User>, Error> {
        let request = v1::ListChatRoomUsersRequest {};
        let rpc = |mut stub: Stub, it| async move { stub.list_chat_room_users(it).await };
        self.membership
            .call(self.membership.end(), request, rpc)
            .await?
            .users
            .into_iter()
            .map(User::try_from)
            .collect()
    }

    /// Gives up the membership: on every device of the user, until they join again.
    ///
    /// # Errors
    /// Any [`Error`]; the membership then stands.
    ///
    /// ```no_run
    /// # async fn run(room: grpcchatter_client::Room) -> Result<(), grpcchatter_client::Error> {
    /// room.leave().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn leave(&self) -> Result<(), Error> {
        let rpc = |mut stub: Stub, it| async move { stub.leave_chat_room(it).await };
        self.membership.call(self.membership.end(), v1::LeaveChatRoomRequest {}, rpc).await?;
        self.disconnect();
        Ok(())
    }

    /// Ends every call and stream of this room at once, also where nothing is being said. The membership
    /// stands; the client and its other rooms go on.
    ///
    /// ```no_run
    /// # fn run(room: grpcchatter_client::Room) {
    /// room.disconnect();
    /// # }
    /// ```
    pub fn disconnect(&self) {
        self.membership.close();
    }
}

impl From<CloseReason> for Error {
    /// For a caller that wants messages only: why there are no more.
    fn from(why: CloseReason) -> Self {
        match why {
            CloseReason::Disconnected => Self::Disconnected,
            CloseReason::LoggedOut => Self::NotLoggedIn,
            CloseReason::Failed(error) => error,
            other => Self::Closed(Box::new(other)),
        }
    }
}

//! A joined room: sending, reading, leaving.

use std::{fmt, sync::Arc};

use grpcchatter_proto::v1;

use crate::{
    CloseReason, Error, Event, Events, Message, Page, RoomInfo, Start, User, client::Inner,
    membership::Membership, model::new_message_id, response::Stub, send_queue::SendQueue, subscription,
};

/// A room that this client has joined. Clones are handles to the same room.
///
/// It handles tokens, lost connections and restarts of the server: a message that [`Room::send`] has acknowledged
/// is in the log exactly once, and the events of [`Room::events`] have no gap.
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

/// Shared by the clones of a [`Room`], but not by its streams: a stream that held it would hold itself.
#[derive(Default)]
struct Shared {
    send_queue: SendQueue,
    /// The stream of [`Room::receive`].
    receiver: tokio::sync::Mutex<Option<Events>>,
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

    /// Joins a room and sends one message, without reading.
    pub(crate) async fn join_and_send(
        client: Arc<Inner>,
        code: &str,
        client_message_id: &str,
        body: &str,
    ) -> Result<Message, Error> {
        let request = v1::JoinChatRoomRequest { short_code: code.to_owned(), ..Default::default() };
        let deadline = client.deadline();
        let membership = Membership::join_without_log_end(client, request, deadline).await?;
        SendQueue::default().send(&membership, deadline, client_message_id, body).await
    }

    /// The room's properties, as last reported by the server.
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

    /// Sends a message and returns it as stored in the log.
    ///
    /// It is retried under the same id, through lost connections and restarts of the server, within
    /// [`ClientBuilder::send_timeout`](crate::ClientBuilder::send_timeout). Concurrent calls are sent one by one,
    /// in the order of their first poll. If the future is dropped, the message may or may not be stored.
    ///
    /// # Errors
    /// [`Error::Unacknowledged`] if time ran out, or if the message was refused after a response was lost: it may
    /// be stored. A refusal, such as [`Reason::MessageTooLong`](crate::Reason::MessageTooLong): it is not stored.
    /// [`Error::Disconnected`] if `disconnect` was called meanwhile: it may be stored.
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

    /// Sends a message under an id of your own, so that another run of the program can send it again: the log holds
    /// it once.
    ///
    /// # Errors
    /// Those of [`Room::send`]; and a refusal with
    /// [`Reason::ClientMessageIdReused`](crate::Reason::ClientMessageIdReused) if another text was sent under this
    /// id.
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
        self.shared.send_queue.send(membership, membership.deadline(), client_message_id, body).await
    }

    /// The events of the room, starting with the messages since it was joined.
    ///
    /// Each call returns a stream of its own.
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

    /// The events of the room from another position on.
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
        subscription::events(Arc::clone(&self.membership), start)
    }

    /// Waits for the next message. All handles of the room share one stream of messages, which starts where the
    /// room was joined; each message goes to one of them. Cancel safe.
    ///
    /// # Errors
    /// [`Error::Disconnected`] or a refusal once the stream has ended; [`Error::LogReset`] for an [`Event::Reset`],
    /// after which messages follow again.
    ///
    /// ```no_run
    /// # async fn run(room: grpcchatter_client::Room) -> Result<(), grpcchatter_client::Error> {
    /// let message = room.receive().await?;
    /// println!("{}: {}", message.user_name, message.body);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn receive(&self) -> Result<Message, Error> {
        let mut receiver =
            self.membership.until_closed(async { Ok(self.shared.receiver.lock().await) }).await?;
        let events = receiver.get_or_insert_with(|| self.events());
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

    /// The messages right before `seq`, at most 200; 0 is the end of the log.
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
        self.membership.page(self.membership.deadline(), request).await
    }

    /// The messages right after `seq`, at most 200; 0 is the beginning of the log.
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
        self.membership.page(self.membership.deadline(), request).await
    }

    /// The users who are present, each once.
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
            .call(self.membership.deadline(), request, rpc)
            .await?
            .users
            .into_iter()
            .map(User::try_from)
            .collect()
    }

    /// Gives up the membership on all devices of the user, until they join again.
    ///
    /// # Errors
    /// Any [`Error`]; the membership is then unchanged.
    ///
    /// ```no_run
    /// # async fn run(room: grpcchatter_client::Room) -> Result<(), grpcchatter_client::Error> {
    /// room.leave().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn leave(&self) -> Result<(), Error> {
        let rpc = |mut stub: Stub, it| async move { stub.leave_chat_room(it).await };
        self.membership.call(self.membership.deadline(), v1::LeaveChatRoomRequest {}, rpc).await?;
        self.disconnect();
        Ok(())
    }

    /// Ends every call and stream of this room at once, even in a quiet room. The membership, the client and its
    /// other rooms are unaffected.
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
    /// Why there are no more messages.
    fn from(why: CloseReason) -> Self {
        match why {
            CloseReason::Disconnected => Self::Disconnected,
            CloseReason::LoggedOut => Self::NotLoggedIn,
            CloseReason::Failed(error) => error,
            other => Self::Closed(Box::new(other)),
        }
    }
}

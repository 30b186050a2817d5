//! What a room's handle and its streams share: the chat token, the room's info, and whether they were closed.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use grpcchatter_proto::v1;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use crate::{
    Error, Message, Page, ResumePoint, RoomInfo,
    client::Inner,
    response::Stub,
    transport::{Credential, Secret, renewed_token},
};

/// A position in a room's log.
#[derive(Debug, Clone)]
pub(crate) enum LogPosition {
    /// After this message.
    Message(ResumePoint),
    /// After this seq, whose message is not kept or was not looked up.
    Seq(i64),
}

/// One user in one room, on this client.
pub(crate) struct Membership {
    client: Arc<Inner>,
    /// The member's user name: by the time of a renewal, the client's session may be another user's.
    user_name: String,
    short_code: String,
    info: Mutex<RoomInfo>,
    token: Mutex<Secret>,
    /// Held during a renewal, so that calls that are refused together join the room again once.
    renewal_lock: tokio::sync::Mutex<()>,
    /// The end of the log when the room was joined.
    joined_at: LogPosition,
    closed: CancellationToken,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Membership {
    /// Joins a room and records where its log ends, so that streams can start there whenever they are opened.
    pub(crate) async fn join(client: Arc<Inner>, request: v1::JoinChatRoomRequest) -> Result<Self, Error> {
        let deadline = client.deadline();
        let mut membership = Self::join_without_log_end(client, request, deadline).await?;
        // The end as of the join: the streams deliver what came since.
        let last_seq = membership.info().last_seq;
        membership.joined_at = membership.position_after(last_seq, deadline).await?;
        Ok(membership)
    }

    /// Joins a room in one call, for callers that do not read it: of the end of its log, only the seq is recorded.
    pub(crate) async fn join_without_log_end(
        client: Arc<Inner>,
        request: v1::JoinChatRoomRequest,
        deadline: Instant,
    ) -> Result<Self, Error> {
        let user_name = client.session.current().await?.user_name;
        let response = client
            .retry_until(deadline, || async {
                let join = |mut stub: Stub, it| async move { stub.join_chat_room(it).await };
                client.transport.call(&client.session, request.clone(), join).await
            })
            .await?;
        let info = RoomInfo::try_from(response.room)?;
        Ok(Self {
            closed: client.transport.child_token(),
            client,
            user_name,
            short_code: info.short_code.clone(),
            joined_at: LogPosition::Seq(info.last_seq),
            token: Mutex::new(Secret(response.token)),
            renewal_lock: tokio::sync::Mutex::new(()),
            info: Mutex::new(info),
        })
    }

    pub(crate) fn info(&self) -> RoomInfo {
        lock(&self.info).clone()
    }

    pub(crate) fn set_info(&self, info: RoomInfo) {
        *lock(&self.info) = info;
    }

    pub(crate) fn joined_at(&self) -> LogPosition {
        self.joined_at.clone()
    }

    /// Ends every call and stream of the room.
    pub(crate) fn close(&self) {
        self.closed.cancel();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.is_cancelled()
    }

    /// Runs `work` until the room is closed.
    pub(crate) async fn until_closed<T>(
        &self,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        tokio::select! {
            biased;
            () = self.closed.cancelled() => Err(Error::Disconnected),
            done = work => done,
        }
    }

    /// The deadline of a call that starts now.
    pub(crate) fn deadline(&self) -> Instant {
        self.client.deadline()
    }

    /// Makes an idempotent call, retried until `deadline`.
    pub(crate) async fn call<Q: Clone, A, Fut>(
        &self,
        deadline: Instant,
        message: Q,
        rpc: impl Fn(Stub, Request<Q>) -> Fut,
    ) -> Result<A, Error>
    where
        Fut: Future<Output = Result<Response<A>, Status>>,
    {
        let client = &self.client;
        self.until_closed(client.retry_until(deadline, || client.transport.call(self, message.clone(), &rpc)))
            .await
    }

    /// A page of the log.
    pub(crate) async fn page(
        &self,
        deadline: Instant,
        request: v1::ListMessagesRequest,
    ) -> Result<Page, Error> {
        let rpc = |mut stub: Stub, it| async move { stub.list_messages(it).await };
        let mut page = Page::try_from(self.call(deadline, request, rpc).await?)?;
        page.messages = page.messages.into_iter().map(|message| self.mark_own(message)).collect();
        Ok(page)
    }

    /// Marks the user's own messages.
    pub(crate) fn mark_own(&self, message: Message) -> Message {
        message.seen_by(&self.user_name)
    }

    /// The position after the message `seq`.
    pub(crate) async fn position_after(&self, seq: i64, deadline: Instant) -> Result<LogPosition, Error> {
        if seq == 0 {
            return Ok(LogPosition::Message(ResumePoint::default()));
        }
        let request = v1::ListMessagesRequest { page_size: 1, before_seq: 0, after_seq: Some(seq - 1) };
        let page = self.page(deadline, request).await?;
        let found = page.messages.first().filter(|message| message.seq == seq);
        Ok(found.map_or(LogPosition::Seq(seq), |message| LogPosition::Message(message.resume_point())))
    }

    /// The position after the newest message.
    pub(crate) async fn end_of_log(&self) -> Result<LogPosition, Error> {
        let request = v1::ListMessagesRequest { page_size: 1, before_seq: 0, after_seq: None };
        let page = self.page(self.deadline(), request).await?;
        Ok(match page.messages.last() {
            Some(message) => LogPosition::Message(message.resume_point()),
            None if page.last_seq == 0 => LogPosition::Message(ResumePoint::default()),
            None => LogPosition::Seq(page.last_seq),
        })
    }

    /// Opens a stream, with a renewed token if the current one is refused. Also returns the token that was used.
    pub(crate) async fn subscribe(
        &self,
        request: v1::SubscribeRequest,
    ) -> Result<(Streaming<v1::SubscribeResponse>, Secret), Error> {
        let token = self.token().await?;
        let rpc = |mut stub: Stub, it| async move { stub.subscribe(it).await };
        match self.client.transport.call_once(&token, request.clone(), rpc).await {
            Err(error) => {
                let token = renewed_token(self, &token, error).await?;
                Ok((self.client.transport.call_once(&token, request, rpc).await?, token))
            }
            Ok(stream) => Ok((stream, token)),
        }
    }
}

impl Credential for Membership {
    async fn token(&self) -> Result<Secret, Error> {
        Ok(lock(&self.token).clone())
    }

    /// A member joins again by the short code alone, so no password is stored.
    async fn renew(&self, refused: &Secret) -> Result<(), Error> {
        let _one = self.renewal_lock.lock().await;
        if *lock(&self.token) != *refused {
            return Ok(());
        }
        if self.client.session.current().await?.user_name != self.user_name {
            return Err(Error::NotLoggedIn);
        }
        let request = v1::JoinChatRoomRequest { short_code: self.short_code.clone(), ..Default::default() };
        let join = |mut stub: Stub, it| async move { stub.join_chat_room(it).await };
        let response = self.client.transport.call(&self.client.session, request, join).await?;
        *lock(&self.token) = Secret(response.token);
        Ok(())
    }
}

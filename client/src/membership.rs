//! What a room's handle and its streams share: the chat token, and whether they are still wanted.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use grpcchatter_proto::v1;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use crate::{
    Error, Message, Page, ResumePoint, RoomInfo,
    answer::Stub,
    client::Inner,
    transport::{Credential, Secret, fresh},
};

/// One user in one room, on this client.
pub(crate) struct Membership {
    client: Arc<Inner>,
    /// Whose membership it is: the client's session may be another's by the time that it is to be renewed.
    user_name: String,
    short_code: String,
    info: Mutex<RoomInfo>,
    token: Mutex<Secret>,
    /// Held over a renewal, so that calls which are refused together enter the room again once.
    renewing: tokio::sync::Mutex<()>,
    /// The end of the log when the room was joined; its place alone where that message is not kept.
    joined_at: Result<ResumePoint, i64>,
    closed: CancellationToken,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Membership {
    /// Joins a room, and notes where its log ends, so that streams can start there whenever they are opened.
    pub(crate) async fn join(client: Arc<Inner>, request: v1::JoinChatRoomRequest) -> Result<Self, Error> {
        let end = client.end();
        let mut membership = Self::enter(client, request, end).await?;
        // The end as the answer told it: by now something may stand behind it, which is for the streams to tell.
        let last_seq = membership.info().last_seq;
        membership.joined_at = membership.point_at(last_seq, end).await?;
        Ok(membership)
    }

    /// Joins a room in one call, for whoever reads nothing there: of the end of its log, only the number is noted.
    pub(crate) async fn enter(
        client: Arc<Inner>,
        request: v1::JoinChatRoomRequest,
        end: Instant,
    ) -> Result<Self, Error> {
        let user_name = client.sessions.current().await?.user_name;
        let answer = client
            .patiently(end, || async {
                let join = |mut stub: Stub, it| async move { stub.join_chat_room(it).await };
                client.transport.call(&client.sessions, request.clone(), join).await
            })
            .await?;
        let info = RoomInfo::try_from(answer.room)?;
        Ok(Self {
            closed: client.transport.child(),
            client,
            user_name,
            short_code: info.short_code.clone(),
            joined_at: Err(info.last_seq),
            token: Mutex::new(Secret(answer.token)),
            renewing: tokio::sync::Mutex::new(()),
            info: Mutex::new(info),
        })
    }

    pub(crate) fn info(&self) -> RoomInfo {
        lock(&self.info).clone()
    }

    pub(crate) fn set_info(&self, info: RoomInfo) {
        *lock(&self.info) = info;
    }

    pub(crate) fn joined_at(&self) -> Result<ResumePoint, i64> {
        self.joined_at.clone()
    }

    /// Ends every call and stream of the room.
    pub(crate) fn close(&self) {
        self.closed.cancel();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.is_cancelled()
    }

    /// Runs `work` for as long as the room is wanted.
    pub(crate) async fn open<T>(&self, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        tokio::select! {
            biased;
            () = self.closed.cancelled() => Err(Error::Disconnected),
            done = work => done,
        }
    }

    /// When what begins now is given up.
    pub(crate) fn end(&self) -> Instant {
        self.client.end()
    }

    /// Makes a call that may be repeated, until it is answered, or until `end`.
    pub(crate) async fn call<Q: Clone, A, Fut>(
        &self,
        end: Instant,
        message: Q,
        rpc: impl Fn(Stub, Request<Q>) -> Fut,
    ) -> Result<A, Error>
    where
        Fut: Future<Output = Result<Response<A>, Status>>,
    {
        let client = &self.client;
        self.open(client.patiently(end, || client.transport.call(self, message.clone(), &rpc))).await
    }

    /// A page of the log.
    pub(crate) async fn page(&self, end: Instant, request: v1::ListMessagesRequest) -> Result<Page, Error> {
        let rpc = |mut stub: Stub, it| async move { stub.list_messages(it).await };
        let mut page = Page::try_from(self.call(end, request, rpc).await?)?;
        page.messages = page.messages.into_iter().map(|message| self.read(message)).collect();
        Ok(page)
    }

    /// The message as this user reads it.
    pub(crate) fn read(&self, message: Message) -> Message {
        message.read_by(&self.user_name)
    }

    /// The point after the message at `seq`; its place where it is not kept.
    pub(crate) async fn point_at(&self, seq: i64, end: Instant) -> Result<Result<ResumePoint, i64>, Error> {
        if seq == 0 {
            return Ok(Ok(ResumePoint::default()));
        }
        let request = v1::ListMessagesRequest { page_size: 1, before_seq: 0, after_seq: Some(seq - 1) };
        let page = self.page(end, request).await?;
        let found = page.messages.first().filter(|message| message.seq == seq);
        Ok(found.map(Message::resume_point).ok_or(seq))
    }

    /// The newest message; where none is kept, the log's length.
    pub(crate) async fn end_of_log(&self) -> Result<Result<ResumePoint, i64>, Error> {
        let request = v1::ListMessagesRequest { page_size: 1, before_seq: 0, after_seq: None };
        let page = self.page(self.end(), request).await?;
        Ok(match page.messages.last() {
            Some(message) => Ok(message.resume_point()),
            None if page.last_seq == 0 => Ok(ResumePoint::default()),
            None => Err(page.last_seq),
        })
    }

    /// Opens a stream, with a fresh token where the known one is refused, and tells with which.
    pub(crate) async fn subscribe(
        &self,
        request: v1::SubscribeRequest,
    ) -> Result<(Streaming<v1::SubscribeResponse>, Secret), Error> {
        let token = self.token().await?;
        let rpc = |mut stub: Stub, it| async move { stub.subscribe(it).await };
        match self.client.transport.open(&token, request.clone(), rpc).await {
            Err(error) => {
                let token = fresh(self, &token, error).await?;
                Ok((self.client.transport.open(&token, request, rpc).await?, token))
            }
            Ok(stream) => Ok((stream, token)),
        }
    }
}

impl Credential for Membership {
    async fn token(&self) -> Result<Secret, Error> {
        Ok(lock(&self.token).clone())
    }

    /// A member enters again by the short code alone, so no password is kept for it.
    async fn renew(&self, refused: &Secret) -> Result<(), Error> {
        let _one = self.renewing.lock().await;
        if *lock(&self.token) != *refused {
            return Ok(());
        }
        if self.client.sessions.current().await?.user_name != self.user_name {
            return Err(Error::NotLoggedIn);
        }
        let request = v1::JoinChatRoomRequest { short_code: self.short_code.clone(), ..Default::default() };
        let join = |mut stub: Stub, it| async move { stub.join_chat_room(it).await };
        let answer = self.client.transport.call(&self.client.sessions, request, join).await?;
        *lock(&self.token) = Secret(answer.token);
        Ok(())
    }
}

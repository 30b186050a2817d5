//! The gRPC side of the scripted server.

use std::pin::Pin;

use futures_util::{Stream, StreamExt as _, stream};
use grpcchatter_proto::v1::{self, chat_service_server::ChatService};
use tokio::sync::watch;
use tonic::Status;

use super::{Fake, message, room};

/// Counts a stream as long as it is open.
struct Counted(watch::Sender<usize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.send_modify(|open| *open -= 1);
    }
}

type Answer<T> = Result<tonic::Response<T>, Status>;

#[tonic::async_trait]
impl ChatService for Fake {
    type SubscribeStream = Pin<Box<dyn Stream<Item = Result<v1::SubscribeResponse, Status>> + Send>>;
    type ChatStream = stream::Empty<Result<v1::ChatResponse, Status>>;

    async fn join_chat_room(
        &self,
        request: tonic::Request<v1::JoinChatRoomRequest>,
    ) -> Answer<v1::JoinChatRoomResponse> {
        self.check(request.metadata(), "user")?;
        let mut state = self.state();
        state.joins.push(request.into_inner());
        state.chat_tokens += 1;
        let token = format!("chat-{}", state.chat_tokens);
        let last_seq = state.log.last().map_or(0, |message| message.seq);
        let appended = std::mem::take(&mut state.appended_after_join);
        state.log.extend(appended);
        Ok(tonic::Response::new(v1::JoinChatRoomResponse {
            token,
            expire_time: None,
            room: Some(room(last_seq)),
        }))
    }

    async fn list_chat_rooms(
        &self,
        request: tonic::Request<v1::ListChatRoomsRequest>,
    ) -> Answer<v1::ListChatRoomsResponse> {
        self.check(request.metadata(), "user")?;
        let (rooms, next_page_token) = match request.get_ref().page_token.as_str() {
            "" => (vec![room(1)], "second".to_owned()),
            _ => (vec![room(2)], String::new()),
        };
        Ok(tonic::Response::new(v1::ListChatRoomsResponse { rooms, next_page_token }))
    }

    async fn send_message(
        &self,
        request: tonic::Request<v1::SendMessageRequest>,
    ) -> Answer<v1::SendMessageResponse> {
        self.check(request.metadata(), "chat")?;
        if self.state().no_response {
            return std::future::pending().await;
        }
        let mut state = self.state();
        if let Some(refusal) = state.refusals.pop_front() {
            return Err(refusal);
        }
        let request = request.into_inner();
        let known = state.log.iter().find(|it| it.client_message_id == request.client_message_id).cloned();
        let duplicate = known.is_some();
        let message = known.unwrap_or_else(|| {
            let seq = i64::try_from(state.log.len()).unwrap() + 1;
            let new = v1::Message {
                body: request.body,
                client_message_id: request.client_message_id,
                ..message(seq)
            };
            state.log.push(new.clone());
            new
        });
        if state.lost_responses > 0 {
            state.lost_responses -= 1;
            return Err(Status::unavailable("the answer is lost"));
        }
        Ok(tonic::Response::new(v1::SendMessageResponse { message: Some(message), duplicate }))
    }

    async fn list_messages(
        &self,
        request: tonic::Request<v1::ListMessagesRequest>,
    ) -> Answer<v1::ListMessagesResponse> {
        self.check(request.metadata(), "chat")?;
        let log = &self.state().log;
        let found = match request.get_ref().after_seq {
            Some(seq) => log.iter().find(|message| message.seq > seq),
            None => log.last(),
        };
        let messages = found.cloned().into_iter().collect();
        let last_seq = log.last().map_or(0, |message| message.seq);
        Ok(tonic::Response::new(v1::ListMessagesResponse { messages, more: false, first_seq: 1, last_seq }))
    }

    async fn subscribe(
        &self,
        request: tonic::Request<v1::SubscribeRequest>,
    ) -> Answer<Self::SubscribeStream> {
        self.check(request.metadata(), "chat")?;
        let mut state = self.state();
        state.subscriptions.push(request.into_inner());
        let Some(script) = state.stream_scripts.pop_front() else {
            return Err(Status::unavailable("no stream is scripted"));
        };
        self.open.send_modify(|open| *open += 1);
        let counted = Counted(self.open.clone());
        let events = script.events.into_iter().map(|event| Ok(v1::SubscribeResponse { event: Some(event) }));
        let end = stream::once(async move {
            match script.end {
                Some(status) => Err(status),
                None => std::future::pending().await,
            }
        });
        let stream = stream::iter(events).chain(end).map(move |event| {
            let _open = &counted;
            event
        });
        Ok(tonic::Response::new(stream.boxed()))
    }

    async fn create_chat_room(
        &self,
        _: tonic::Request<v1::CreateChatRoomRequest>,
    ) -> Answer<v1::CreateChatRoomResponse> {
        Err(Status::unimplemented("not scripted"))
    }

    async fn update_chat_room(
        &self,
        _: tonic::Request<v1::UpdateChatRoomRequest>,
    ) -> Answer<v1::UpdateChatRoomResponse> {
        Err(Status::unimplemented("not scripted"))
    }

    async fn delete_chat_room(
        &self,
        _: tonic::Request<v1::DeleteChatRoomRequest>,
    ) -> Answer<v1::DeleteChatRoomResponse> {
        Err(Status::unimplemented("not scripted"))
    }

    async fn create_room_token(
        &self,
        _: tonic::Request<v1::CreateRoomTokenRequest>,
    ) -> Answer<v1::CreateRoomTokenResponse> {
        Err(Status::unimplemented("not scripted"))
    }

    async fn remove_chat_room_user(
        &self,
        _: tonic::Request<v1::RemoveChatRoomUserRequest>,
    ) -> Answer<v1::RemoveChatRoomUserResponse> {
        Err(Status::unimplemented("not scripted"))
    }

    async fn unban_chat_room_user(
        &self,
        _: tonic::Request<v1::UnbanChatRoomUserRequest>,
    ) -> Answer<v1::UnbanChatRoomUserResponse> {
        Err(Status::unimplemented("not scripted"))
    }

    async fn leave_chat_room(
        &self,
        _: tonic::Request<v1::LeaveChatRoomRequest>,
    ) -> Answer<v1::LeaveChatRoomResponse> {
        Err(Status::unimplemented("not scripted"))
    }

    async fn list_chat_room_users(
        &self,
        _: tonic::Request<v1::ListChatRoomUsersRequest>,
    ) -> Answer<v1::ListChatRoomUsersResponse> {
        Err(Status::unimplemented("not scripted"))
    }

    async fn chat(&self, _: tonic::Request<tonic::Streaming<v1::ChatRequest>>) -> Answer<Self::ChatStream> {
        Err(Status::unimplemented("not scripted"))
    }
}

//! A chat with one room in the style of tonic's examples: a broadcast channel of messages, which tonic's codec encodes for
//! each stream.

use std::pin::Pin;

use futures_util::{Stream, StreamExt as _, stream};
use grpcchatter_proto::v1::{
    ChatRequest, ChatResponse, Message, SubscribeRequest, SubscribeResponse, Subscribed,
    subscribe_response::Event,
};
use tokio::sync::broadcast;
use tokio_stream::wrappers::BroadcastStream;
use tonic::{Request, Response, Status, Streaming};

use generated::chat_service_server::{ChatService, ChatServiceServer};

/// Far more messages than the load client has in flight, so that no stream lags.
const CAPACITY: usize = 1024;

mod generated {
    #![expect(clippy::allow_attributes, unreachable_pub, reason = "generated code")]
    include!(concat!(env!("OUT_DIR"), "/grpcchatter.v1.ChatService.rs"));
}

pub(super) fn service() -> ChatServiceServer<impl ChatService> {
    ChatServiceServer::new(Room { messages: broadcast::Sender::new(CAPACITY) })
}

#[derive(Debug)]
struct Room {
    messages: broadcast::Sender<SubscribeResponse>,
}

#[tonic::async_trait]
impl ChatService for Room {
    type SubscribeStream = Pin<Box<dyn Stream<Item = Result<SubscribeResponse, Status>> + Send>>;
    type ChatStream = Pin<Box<dyn Stream<Item = Result<ChatResponse, Status>> + Send>>;

    async fn subscribe(
        &self,
        _: Request<SubscribeRequest>,
    ) -> Result<Response<Self::SubscribeStream>, Status> {
        let first = SubscribeResponse { event: Some(Event::Subscribed(Subscribed::default())) };
        let messages = BroadcastStream::new(self.messages.subscribe())
            .map(|message| message.map_err(|_| Status::unavailable("behind")));
        Ok(Response::new(Box::pin(stream::iter([Ok(first)]).chain(messages))))
    }

    async fn chat(
        &self,
        request: Request<Streaming<ChatRequest>>,
    ) -> Result<Response<Self::ChatStream>, Status> {
        let messages = self.messages.clone();
        let mut seq = 0;
        let answers = request.into_inner().map(move |request| {
            let ChatRequest { body, client_message_id } = request?;
            seq += 1;
            let answer = ChatResponse {
                user_name: "sender1".to_owned(),
                message_id: client_message_id.clone(),
                body,
                seq,
                client_message_id,
                ..Default::default()
            };
            let message = Message {
                user_name: answer.user_name.clone(),
                body: answer.body.clone(),
                seq,
                message_id: answer.message_id.clone(),
                client_message_id: answer.client_message_id.clone(),
                create_time: None,
            };
            // It fails only without a subscriber.
            let _ = messages.send(SubscribeResponse { event: Some(Event::Message(message)) });
            Ok(answer)
        });
        Ok(Response::new(Box::pin(answers)))
    }
}

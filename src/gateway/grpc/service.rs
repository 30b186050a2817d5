//! The adapter of the chat service: each method parses its request, makes one call of the domain, and converts the result.

use std::{net::IpAddr, sync::Arc, time::Duration};

use grpcchatter_proto::v1::{self, chat_service_server::ChatService};
use tokio_stream::{Empty, StreamExt as _};
use tonic::{Request, Response, Status, Streaming, metadata::MetadataValue};

use super::{convert, decode_error::from_tonic, room_stream};
use crate::{
    domain::{
        Direction, Rooms,
        chat::{self, Chat, ChatOptions, ChatSender, RequestedStart, StreamOrigin},
        payer,
        rooms::JoinCredential,
    },
    gateway::{
        peer::{ClientAddress, Peer},
        response_guards::ResponseGuards,
        response_memory::Reservation,
        route::{Call, Route},
    },
    model::{ChatIdentity, Error, Rejoin, Result, RoomName, RoomPassword, Seq, ShortCode, UserIdentity},
};

/// Request metadata of Chat: a serialised `ResumePoint`.
const RESUME: &str = "grpcchatter-resume-bin";

/// Request metadata of Chat that asks for heartbeats, and response metadata that confirms them.
const HEARTBEAT: &str = "grpcchatter-heartbeat";

/// The heartbeat intervals that a client may ask for, in seconds.
const HEARTBEAT_SECONDS: std::ops::RangeInclusive<u64> = 1..=300;

/// Response metadata of Chat: the stream could not resume from the client's point.
const RESET: &str = "grpcchatter-reset";

/// Default number of rooms in a page.
const DEFAULT_PAGE_ROOMS: usize = 50;

/// Maximum number of rooms in a page.
const MAX_PAGE_ROOMS: usize = 200;

/// The chat service.
#[derive(Clone)]
pub(crate) struct Service {
    rooms: Rooms,
    chat: Chat,
}

impl Service {
    /// Makes the service.
    pub(crate) fn new(rooms: Rooms, chat: Chat) -> Self {
        Self { rooms, chat }
    }
}

/// Returns a value that a layer above has put into the extensions. Where the access table gives a method another kind of
/// token than the method reads here, every call of the method fails with INTERNAL, and so do its tests.
fn extension<T, V: Clone + Send + Sync + 'static>(request: &Request<T>) -> Result<V> {
    request.extensions().get::<V>().cloned().ok_or(Error::Internal)
}

fn caller<T>(request: &Request<T>) -> Result<UserIdentity> {
    extension(request)
}

fn address<T>(request: &Request<T>) -> Result<IpAddr> {
    extension::<_, ClientAddress>(request).map(|ClientAddress(address)| address)
}

fn member<T>(request: &Request<T>) -> Result<Arc<ChatIdentity>> {
    extension(request)
}

fn stream_origin<T>(request: &Request<T>) -> Result<StreamOrigin> {
    let (peer, address): (Peer, _) = (extension(request)?, address(request)?);
    Ok(StreamOrigin { shard: peer.shard, connection: peer.connection, address })
}

/// Waits for the memory of a response.
async fn reserve<T>(request: &Request<T>, bytes: usize) -> Result<Reservation> {
    extension::<_, Peer>(request)?.memory.reserve(payer(), bytes).await
}

/// Makes a response that holds its memory until it is sent.
fn response_with<M: prost::Message>(message: M, mut reservation: Reservation) -> Response<M> {
    reservation.shrink(message.encoded_len());
    let mut response = Response::new(message);
    response.extensions_mut().insert(ResponseGuards::memory(reservation));
    response
}

fn is_legacy<T>(request: &Request<T>) -> bool {
    matches!(request.extensions().get(), Some(Route::Grpc(_, Call::Known { legacy: true, .. })))
}

#[tonic::async_trait]
impl ChatService for Service {
    async fn create_chat_room(
        &self,
        request: Request<v1::CreateChatRoomRequest>,
    ) -> Result<Response<v1::CreateChatRoomResponse>, Status> {
        let caller = caller(&request)?;
        let v1::CreateChatRoomRequest { room_name, room_password } = request.into_inner();
        let (name, password) = (RoomName::parse(room_name)?, RoomPassword::parse(room_password)?);
        let room = self.rooms.create(&caller, name, password).await?;
        let short_code = room.short_code.as_str().to_owned();
        Ok(Response::new(v1::CreateChatRoomResponse { short_code, room: Some(convert::room(&room)) }))
    }

    async fn update_chat_room(
        &self,
        request: Request<v1::UpdateChatRoomRequest>,
    ) -> Result<Response<v1::UpdateChatRoomResponse>, Status> {
        let (caller, address) = (caller(&request)?, address(&request)?);
        let v1::UpdateChatRoomRequest { short_code, room_name, room_password } = request.into_inner();
        let code = ShortCode::parse(&short_code)?;
        let name = room_name.map(RoomName::parse).transpose()?;
        let password = room_password.map(RoomPassword::parse).transpose()?;
        let room = self.rooms.update(&caller, &code, name, password, address).await?;
        Ok(Response::new(v1::UpdateChatRoomResponse { room: Some(convert::room(&room)) }))
    }

    async fn delete_chat_room(
        &self,
        request: Request<v1::DeleteChatRoomRequest>,
    ) -> Result<Response<v1::DeleteChatRoomResponse>, Status> {
        let code = ShortCode::parse(&request.get_ref().short_code)?;
        self.rooms.delete(&caller(&request)?, &code, address(&request)?).await?;
        Ok(Response::new(v1::DeleteChatRoomResponse {}))
    }

    async fn list_chat_rooms(
        &self,
        request: Request<v1::ListChatRoomsRequest>,
    ) -> Result<Response<v1::ListChatRoomsResponse>, Status> {
        let v1::ListChatRoomsRequest { page_size, page_token } = request.get_ref();
        let size = convert::page_size(*page_size, DEFAULT_PAGE_ROOMS, MAX_PAGE_ROOMS)?;
        let after = convert::room_page(page_token)?;
        let reservation = reserve(&request, size * convert::MAX_ROOM_BYTES).await?;
        let (rooms, next) = self.rooms.list(&caller(&request)?, after, size).await?;
        let next_page_token = next.map(convert::page_token).unwrap_or_default();
        let rooms = rooms.iter().map(convert::room).collect();
        Ok(response_with(v1::ListChatRoomsResponse { rooms, next_page_token }, reservation))
    }

    async fn create_room_token(
        &self,
        request: Request<v1::CreateRoomTokenRequest>,
    ) -> Result<Response<v1::CreateRoomTokenResponse>, Status> {
        let v1::CreateRoomTokenRequest { short_code, ttl } = request.get_ref();
        let code = ShortCode::parse(short_code)?;
        let (caller, address) = (caller(&request)?, address(&request)?);
        let (room_token, ends) = self.rooms.invite(&caller, &code, convert::ttl(*ttl)?, address).await?;
        Ok(Response::new(v1::CreateRoomTokenResponse {
            room_token,
            expire_time: Some(convert::timestamp(ends)),
        }))
    }

    async fn remove_chat_room_user(
        &self,
        request: Request<v1::RemoveChatRoomUserRequest>,
    ) -> Result<Response<v1::RemoveChatRoomUserResponse>, Status> {
        let v1::RemoveChatRoomUserRequest { short_code, user_name, ban } = request.get_ref();
        let code = ShortCode::parse(short_code)?;
        let rejoin = if *ban { Rejoin::Banned } else { Rejoin::Allowed };
        self.rooms.remove(&caller(&request)?, &code, user_name, rejoin, address(&request)?).await?;
        Ok(Response::new(v1::RemoveChatRoomUserResponse {}))
    }

    async fn unban_chat_room_user(
        &self,
        request: Request<v1::UnbanChatRoomUserRequest>,
    ) -> Result<Response<v1::UnbanChatRoomUserResponse>, Status> {
        let v1::UnbanChatRoomUserRequest { short_code, user_name } = request.get_ref();
        let code = ShortCode::parse(short_code)?;
        self.rooms.unban(&caller(&request)?, &code, user_name, address(&request)?).await?;
        Ok(Response::new(v1::UnbanChatRoomUserResponse {}))
    }

    async fn join_chat_room(
        &self,
        request: Request<v1::JoinChatRoomRequest>,
    ) -> Result<Response<v1::JoinChatRoomResponse>, Status> {
        let (caller, address) = (caller(&request)?, address(&request)?);
        let entered = self.rooms.join(&caller, join_credential(request.into_inner())?, address).await?;
        Ok(Response::new(v1::JoinChatRoomResponse {
            token: entered.token,
            expire_time: Some(convert::timestamp(entered.expires_at)),
            room: Some(convert::room(&entered.room)),
        }))
    }

    async fn leave_chat_room(
        &self,
        request: Request<v1::LeaveChatRoomRequest>,
    ) -> Result<Response<v1::LeaveChatRoomResponse>, Status> {
        self.chat.leave(&*member(&request)?).await?;
        Ok(Response::new(v1::LeaveChatRoomResponse {}))
    }

    async fn list_chat_room_users(
        &self,
        request: Request<v1::ListChatRoomUsersRequest>,
    ) -> Result<Response<v1::ListChatRoomUsersResponse>, Status> {
        let member = member(&request)?;
        let present = self.chat.users(&member).await?;
        // The original omits the caller.
        let is_listed = |user| !is_legacy(&request) || user != member.user;
        let listed = || present.iter().filter(|(user, _)| is_listed(*user)).map(|(_, person)| person);
        // The people are in memory already. Only the response needs more.
        let reservation = reserve(&request, listed().map(convert::user_bytes).sum()).await?;
        let users = listed().map(convert::user).collect();
        Ok(response_with(v1::ListChatRoomUsersResponse { users }, reservation))
    }

    async fn send_message(
        &self,
        request: Request<v1::SendMessageRequest>,
    ) -> Result<Response<v1::SendMessageResponse>, Status> {
        let member = member(&request)?;
        let v1::SendMessageRequest { body, client_message_id } = request.into_inner();
        let receipt = self.chat.send(member, body, &client_message_id).await?;
        let message = Some(convert::message(&receipt.message));
        Ok(Response::new(v1::SendMessageResponse { message, duplicate: receipt.duplicate }))
    }

    async fn list_messages(
        &self,
        request: Request<v1::ListMessagesRequest>,
    ) -> Result<Response<v1::ListMessagesResponse>, Status> {
        let size =
            convert::page_size(request.get_ref().page_size, chat::DEFAULT_PAGE_SIZE, chat::MAX_PAGE_SIZE)?;
        let (member, direction) = (member(&request)?, direction(request.get_ref())?);
        let reservation = reserve(&request, chat::PAGE_BYTES).await?;
        let page = self.chat.list_messages(&member, direction, size).await?;
        let response = v1::ListMessagesResponse {
            messages: page.messages.iter().map(convert::message).collect(),
            more: page.more,
            first_seq: page.first_seq.0,
            last_seq: page.last_seq.0,
        };
        Ok(response_with(response, reservation))
    }

    type SubscribeStream = Empty<Result<v1::SubscribeResponse, Status>>;

    async fn subscribe(
        &self,
        request: Request<v1::SubscribeRequest>,
    ) -> Result<Response<Self::SubscribeStream>, Status> {
        let (member, origin) = (member(&request)?, stream_origin(&request)?);
        let start = start(request.into_inner())?;
        Ok(room_stream::respond(self.chat.subscribe(member, start, origin).await?))
    }

    type ChatStream = Empty<Result<v1::ChatResponse, Status>>;

    async fn chat(
        &self,
        request: Request<Streaming<v1::ChatRequest>>,
    ) -> Result<Response<Self::ChatStream>, Status> {
        let (member, origin, legacy) = (member(&request)?, stream_origin(&request)?, is_legacy(&request));
        let resume = request.metadata().get_bin(RESUME).map(resume).transpose()?;
        let requested = request.metadata().get(HEARTBEAT).cloned();
        let heartbeat = requested.as_ref().map(heartbeat).transpose()?;
        let options = ChatOptions { resume, heartbeat, legacy };
        let (mut subscription, sender, reset) = self.chat.chat(member, options, origin).await?;
        subscription.hold(Box::new(AbortOnDrop(tokio::spawn(read_messages(request.into_inner(), sender)))));
        let mut response = room_stream::respond(subscription);
        if reset {
            response.metadata_mut().insert(RESET, MetadataValue::from_static("true"));
        }
        if let Some(requested) = requested {
            response.metadata_mut().insert(HEARTBEAT, requested);
        }
        Ok(response)
    }
}

/// Aborts the task that reads a chat's messages when the chat ends.
struct AbortOnDrop(tokio::task::JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Sends the messages of a chat, until the client ends it or a message cannot be sent.
async fn read_messages(mut requests: Streaming<v1::ChatRequest>, sender: ChatSender) {
    while let Some(request) = requests.next().await {
        let sent = match request {
            Ok(v1::ChatRequest { body, client_message_id }) => sender.send(body, &client_message_id),
            Err(status) => Err(from_tonic(&status)),
        };
        if let Err(error) = sent {
            return sender.refuse(error);
        }
        // One frame may hold many messages. Yielding lets the stream send the replies to them in between.
        tokio::task::coop::consume_budget().await;
    }
    sender.finish();
}

fn join_credential(request: v1::JoinChatRoomRequest) -> Result<JoinCredential> {
    let v1::JoinChatRoomRequest { short_code, room_password, room_token } = request;
    if room_token.is_empty() {
        return Ok(JoinCredential::Code(ShortCode::parse(&short_code)?, RoomPassword::parse(room_password)?));
    }
    if short_code.is_empty() && room_password.is_empty() {
        return Ok(JoinCredential::Invitation(room_token));
    }
    let problem = "send either a room_token, or a short_code and room_password";
    Err(Error::InvalidField { field: "room_token", problem })
}

fn direction(request: &v1::ListMessagesRequest) -> Result<Direction> {
    match (request.before_seq, request.after_seq) {
        (before, _) if before < 0 => {
            Err(Error::InvalidField { field: "before_seq", problem: "a seq is not negative" })
        }
        (_, Some(after)) if after < 0 => {
            Err(Error::InvalidField { field: "after_seq", problem: "a seq is not negative" })
        }
        (0, None) => Ok(Direction::Before(Seq::MAX)),
        (before, None) => Ok(Direction::Before(Seq(before))),
        (0, Some(after)) => Ok(Direction::After(Seq(after))),
        (_, Some(_)) => Err(Error::InvalidField {
            field: "before_seq",
            problem: "at most one of before_seq and after_seq",
        }),
    }
}

fn start(request: v1::SubscribeRequest) -> Result<RequestedStart> {
    use v1::subscribe_request::Start;
    match request.start {
        None => Ok(RequestedStart::Now),
        Some(Start::After(point)) => Ok(RequestedStart::Resume(convert::resume_point(point)?)),
        Some(Start::Last(count)) => {
            let negative = Error::InvalidField { field: "last", problem: "last is not negative" };
            convert::at_most(count, chat::MAX_PAGE_SIZE, negative).map(RequestedStart::Last)
        }
    }
}

fn heartbeat(value: &MetadataValue<tonic::metadata::Ascii>) -> Result<Duration> {
    let digits = value.to_str().ok().and_then(|text| text.strip_suffix('s'));
    // `parse` would accept a sign and leading zeros.
    let digits = digits.filter(|digits| digits.starts_with(|first: char| matches!(first, '1'..='9')));
    let seconds = digits.and_then(|digits| digits.parse().ok());
    let seconds = seconds.filter(|seconds| HEARTBEAT_SECONDS.contains(seconds));
    let problem = "grpcchatter-heartbeat is a number of whole seconds from 1s to 300s, as 20s";
    seconds.map(Duration::from_secs).ok_or(Error::InvalidField { field: HEARTBEAT, problem })
}

fn resume(value: &MetadataValue<tonic::metadata::Binary>) -> Result<crate::model::ResumePoint> {
    let problem = "grpcchatter-resume-bin is a serialised ResumePoint";
    let invalid = Error::InvalidField { field: RESUME, problem };
    let bytes = value.to_bytes().map_err(|_| invalid.clone())?;
    let point = <v1::ResumePoint as prost::Message>::decode(bytes).map_err(|_| invalid)?;
    convert::resume_point(point)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_heartbeat_interval_is_whole_seconds() {
        let parsed = |text: &'static str| {
            heartbeat(&MetadataValue::from_static(text)).ok().map(|interval| interval.as_secs())
        };
        assert_eq!(["1s", "20s", "300s"].map(parsed), [1, 20, 300].map(Some));
        for wrong in ["+2s", "00002s", "0s", "301s", "-1s", "2", "s", "2 s", "2.0s", "99999999999999999999s"]
        {
            assert_eq!(parsed(wrong), None, "{wrong}");
        }
    }
}

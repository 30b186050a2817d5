//! The adapter of the chat service: each method reads its request, makes one domain call, writes its answer.

use std::{net::IpAddr, sync::Arc, time::Duration};

use grpcchatter_proto::v1::{self, chat_service_server::ChatService};
use tokio_stream::{Empty, StreamExt as _};
use tonic::{Request, Response, Status, Streaming, metadata::MetadataValue};

use super::{convert, feed};
use crate::{
    domain::{
        Direction, Rooms,
        chat::{self, Begin, Chat, Seat, Speaker, Telling},
        payer,
        rooms::Key,
    },
    gateway::{ClientAddress, answer_memory::Reservation, connection::Peer, grpc::Legacy, patience::Held},
    model::{ChatIdentity, Error, Result, RoomName, RoomPassword, ShortCode, UserIdentity},
};

/// Request metadata with a serialised `ResumePoint`, on Chat.
const RESUME: &str = "grpcchatter-resume-bin";

/// Request metadata that asks for heartbeats on Chat, and response metadata that grants them.
const HEARTBEAT: &str = "grpcchatter-heartbeat";

/// After how many silent seconds they may be asked for.
const HEARTBEAT_SECONDS: std::ops::RangeInclusive<u64> = 1..=300;

/// Response metadata that says that the resume point could not be continued from.
const RESET: &str = "grpcchatter-reset";

/// A page of rooms has so many unless the caller asks for less or more, and never more than [`MOST_ROOMS`].
const ROOMS: usize = 50;
const MOST_ROOMS: usize = 200;

/// The service as tonic calls it.
#[derive(Clone)]
pub(crate) struct Service {
    rooms: Rooms,
    chat: Chat,
}

impl Service {
    /// Makes an adapter of these.
    pub(crate) fn new(rooms: Rooms, chat: Chat) -> Self {
        Self { rooms, chat }
    }
}

/// What the layers above put into a request's extensions. A method that is not in the access table as the kind
/// that it reads here answers INTERNAL, and no test of it passes.
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

fn seat<T>(request: &Request<T>) -> Result<Seat> {
    let (peer, address): (Peer, _) = (extension(request)?, address(request)?);
    Ok(Seat { shard: peer.shard, connection: peer.connection, address })
}

/// Waits for the memory of an answer, before it is made.
async fn reserve<T>(request: &Request<T>, bytes: usize) -> Result<Reservation> {
    extension::<_, Peer>(request)?.answers.reserve(payer(), bytes).await
}

/// Makes an answer that holds the memory which it needs until it is read.
fn holding<M: prost::Message>(message: M, mut reservation: Reservation) -> Response<M> {
    reservation.shrink(message.encoded_len());
    let mut response = Response::new(message);
    response.extensions_mut().insert(Held::memory(reservation));
    response
}

fn is_legacy<T>(request: &Request<T>) -> bool {
    request.extensions().get::<Legacy>().is_some()
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
        let size = convert::page_size(*page_size, ROOMS, MOST_ROOMS)?;
        let after = convert::room_page(page_token)?;
        let reservation = reserve(&request, size * convert::LARGEST_ROOM).await?;
        let (rooms, next) = self.rooms.list(&caller(&request)?, after, size).await?;
        let next_page_token = next.map(convert::page_token).unwrap_or_default();
        let rooms = rooms.iter().map(convert::room).collect();
        Ok(holding(v1::ListChatRoomsResponse { rooms, next_page_token }, reservation))
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
        self.rooms.remove(&caller(&request)?, &code, user_name, *ban, address(&request)?).await?;
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
        let entered = self.rooms.join(&caller, key(request.into_inner())?, address).await?;
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
        // The original leaves the caller out.
        let is_listed = |user| !is_legacy(&request) || user != member.user;
        let listed = || present.iter().filter(|(user, _)| is_listed(*user)).map(|(_, person)| person);
        // They are in memory already: it is the answer that takes more.
        let reservation = reserve(&request, listed().map(convert::user_bytes).sum()).await?;
        let users = listed().map(convert::user).collect();
        Ok(holding(v1::ListChatRoomUsersResponse { users }, reservation))
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
        let size = convert::page_size(request.get_ref().page_size, chat::LISTED, chat::MOST_LISTED)?;
        let (member, direction) = (member(&request)?, direction(request.get_ref())?);
        let reservation = reserve(&request, chat::PAGE_BYTES).await?;
        let page = self.chat.list_messages(&member, direction, size).await?;
        let answer = v1::ListMessagesResponse {
            messages: page.messages.iter().map(convert::message).collect(),
            more: page.more,
            first_seq: page.first_seq,
            last_seq: page.last_seq,
        };
        Ok(holding(answer, reservation))
    }

    type SubscribeStream = Empty<Result<v1::SubscribeResponse, Status>>;

    async fn subscribe(
        &self,
        request: Request<v1::SubscribeRequest>,
    ) -> Result<Response<Self::SubscribeStream>, Status> {
        let (member, seat) = (member(&request)?, seat(&request)?);
        let begin = begin(request.into_inner())?;
        Ok(feed::hand(self.chat.subscribe(member, begin, seat).await?))
    }

    type ChatStream = Empty<Result<v1::ChatResponse, Status>>;

    async fn chat(
        &self,
        request: Request<Streaming<v1::ChatRequest>>,
    ) -> Result<Response<Self::ChatStream>, Status> {
        let (member, seat, legacy) = (member(&request)?, seat(&request)?, is_legacy(&request));
        let resume = request.metadata().get_bin(RESUME).map(resume).transpose()?;
        let asked = request.metadata().get(HEARTBEAT).cloned();
        let heartbeat = asked.as_ref().map(heartbeat).transpose()?;
        let telling = Telling { resume, heartbeat, legacy };
        let (mut subscription, speaker, reset) = self.chat.chat(member, telling, seat).await?;
        subscription.hold(Box::new(AbortOnDrop(tokio::spawn(listen(request.into_inner(), speaker)))));
        let mut response = feed::hand(subscription);
        if reset {
            response.metadata_mut().insert(RESET, MetadataValue::from_static("true"));
        }
        if let Some(asked) = asked {
            response.metadata_mut().insert(HEARTBEAT, asked);
        }
        Ok(response)
    }
}

/// The task that reads a chat's messages ends with the chat.
struct AbortOnDrop(tokio::task::JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Says what comes in, until the client ends or one message cannot be taken.
async fn listen(mut requests: Streaming<v1::ChatRequest>, speaker: Speaker) {
    while let Some(request) = requests.next().await {
        let said = match request {
            Ok(v1::ChatRequest { body, client_message_id }) => speaker.say(body, &client_message_id),
            Err(status) => Err(super::from_tonic(&status)),
        };
        if let Err(error) = said {
            return speaker.refuse(error);
        }
        // Many come in one frame: what is answered to them must get out in between.
        tokio::task::coop::consume_budget().await;
    }
    speaker.finish();
}

fn key(request: v1::JoinChatRoomRequest) -> Result<Key> {
    let v1::JoinChatRoomRequest { short_code, room_password, room_token } = request;
    if room_token.is_empty() {
        return Ok(Key::Code(ShortCode::parse(&short_code)?, RoomPassword::parse(room_password)?));
    }
    if short_code.is_empty() && room_password.is_empty() {
        return Ok(Key::Invitation(room_token));
    }
    let problem = "a room_token stands in place of short_code and room_password";
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
        (0, None) => Ok(Direction::Before(i64::MAX)),
        (before, None) => Ok(Direction::Before(before)),
        (0, Some(after)) => Ok(Direction::After(after)),
        (_, Some(_)) => Err(Error::InvalidField {
            field: "before_seq",
            problem: "at most one of before_seq and after_seq",
        }),
    }
}

fn begin(request: v1::SubscribeRequest) -> Result<Begin> {
    use v1::subscribe_request::Start;
    match request.start {
        None => Ok(Begin::Now),
        Some(Start::After(point)) => Ok(Begin::Resume(convert::resume_point(point)?)),
        Some(Start::Last(count)) => {
            let negative = Error::InvalidField { field: "last", problem: "last is not negative" };
            convert::at_most(count, chat::MOST_LISTED, negative).map(Begin::Last)
        }
    }
}

fn heartbeat(value: &MetadataValue<tonic::metadata::Ascii>) -> Result<Duration> {
    let digits = value.to_str().ok().and_then(|text| text.strip_suffix('s'));
    // One writing of each number: `parse` takes a sign and zeros before it.
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
    fn a_heartbeat_is_asked_for_in_plain_seconds() {
        let asked = |text: &'static str| {
            heartbeat(&MetadataValue::from_static(text)).ok().map(|every| every.as_secs())
        };
        assert_eq!(["1s", "20s", "300s"].map(asked), [1, 20, 300].map(Some));
        for wrong in ["+2s", "00002s", "0s", "301s", "-1s", "2", "s", "2 s", "2.0s", "99999999999999999999s"]
        {
            assert_eq!(asked(wrong), None, "{wrong}");
        }
    }
}

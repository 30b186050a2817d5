//! The clients of a round: REST for the account, native gRPC, and a hand-written gRPC-web client.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context as _, Result, ensure};
use bytes::{Buf as _, BytesMut};
use grpcchatter_nemesis::Entry;
use grpcchatter_proto::v1::{
    CreateChatRoomRequest, DeleteChatRoomRequest, JoinChatRoomRequest, ListMessagesRequest, Message,
    ResumePoint, SubscribeRequest, SubscribeResponse, chat_service_client::ChatServiceClient,
    subscribe_request::Start,
};
use http::{HeaderName, HeaderValue};
use prost::Message as _;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tonic::{
    Request, Status, Streaming,
    transport::{Channel, Endpoint},
};
use tonic_types::StatusExt as _;

/// Satisfies the rules for passwords.
const PASSWORD: &str = "Nemesis_1_word";

/// A native gRPC client.
pub(crate) type Grpc = ChatServiceClient<Channel>;

/// Returns a client with a connection of its own, opened by the first call. HTTP/2 pings detect a dead connection within
/// 4 s.
pub(crate) fn grpc(address: SocketAddr) -> Result<Grpc> {
    let channel = Endpoint::from_shared(format!("http://{address}"))?
        .connect_timeout(Duration::from_secs(1))
        .http2_keep_alive_interval(Duration::from_secs(2))
        .keep_alive_timeout(Duration::from_secs(2))
        .keep_alive_while_idle(true)
        .tcp_nodelay(true)
        .connect_lazy();
    Ok(ChatServiceClient::new(channel))
}

/// Wraps a message and a token in a request.
pub(crate) fn with_token<T>(token: &str, message: T) -> Result<Request<T>> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("authorization", format!("Bearer {token}").parse()?);
    Ok(request)
}

/// A member of a room, by the room's number and a chat token.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) room: usize,
    pub(crate) token: String,
}

/// Creates the account of the round, and rooms that it owns.
pub(crate) async fn create_rooms(address: SocketAddr, rooms: usize) -> Result<Vec<Member>> {
    let (status, answer) = post(address, "/register", &account()).await?;
    ensure!(status == 200, "the account cannot be created: {answer}");
    let mut members = Vec::new();
    for room in 0..rooms {
        members.push(create_room(address, room).await?.1);
    }
    Ok(members)
}

/// Creates one more room, and returns its short code and its owner.
pub(crate) async fn create_room(address: SocketAddr, room: usize) -> Result<(String, Member)> {
    let (mut grpc, token) = (grpc(address)?, log_in(address).await?);
    let create = CreateChatRoomRequest { room_name: format!("room {room}"), ..Default::default() };
    let short_code = grpc.create_chat_room(with_token(&token, create)?).await?.into_inner().short_code;
    let member = join(address, &short_code, room).await?;
    Ok((short_code, member))
}

/// Joins a room that the account of the round owns.
pub(crate) async fn join(address: SocketAddr, short_code: &str, room: usize) -> Result<Member> {
    let (mut grpc, token) = (grpc(address)?, log_in(address).await?);
    let join = JoinChatRoomRequest { short_code: short_code.to_owned(), ..Default::default() };
    let token = grpc.join_chat_room(with_token(&token, join)?).await?.into_inner().token;
    Ok(Member { room, token })
}

/// Deletes a room.
pub(crate) async fn delete_room(address: SocketAddr, short_code: String) -> Result<()> {
    let (mut grpc, token) = (grpc(address)?, log_in(address).await?);
    grpc.delete_chat_room(with_token(&token, DeleteChatRoomRequest { short_code })?).await?;
    Ok(())
}

fn account() -> Value {
    json!({"user_name": "nemesis1", "password": PASSWORD})
}

async fn log_in(address: SocketAddr) -> Result<String> {
    let (_, answer) = post(address, "/login", &account()).await?;
    Ok(answer["token"].as_str().context("no token in the answer to a login")?.to_owned())
}

/// Reads a room's log, and returns its first seq and its messages.
pub(crate) async fn read_log(address: SocketAddr, member: &Member) -> Result<(i64, Vec<Entry>)> {
    let mut grpc = grpc(address)?;
    let mut log: Vec<Entry> = Vec::new();
    loop {
        let after = log.last().map_or(0, |entry| entry.seq);
        let page = ListMessagesRequest { page_size: 200, after_seq: Some(after), ..Default::default() };
        let page = grpc.list_messages(with_token(&member.token, page)?).await?.into_inner();
        let first = if page.first_seq > 0 { page.first_seq } else { page.last_seq + 1 };
        if first > after + 1 {
            // Retention has removed the pages that were read so far.
            log.clear();
        }
        log.extend(page.messages.into_iter().map(entry));
        if !page.more {
            return Ok((log.first().map_or(first, |entry| entry.seq), log));
        }
    }
}

/// Converts a message into the checker's type.
pub(crate) fn entry(message: Message) -> Entry {
    let Message { seq, message_id, client_message_id, body, .. } = message;
    Entry { seq, message_id, id: client_message_id, body }
}

/// A Subscribe stream over native gRPC or gRPC-web.
pub(crate) enum Subscription {
    Native(Box<Streaming<SubscribeResponse>>),
    Web(Box<Web>),
}

impl Subscription {
    /// Opens a stream after a resume point: by native gRPC with `grpc`, and by gRPC-web without it.
    pub(crate) async fn open(
        address: SocketAddr,
        grpc: Option<&Grpc>,
        token: &str,
        after: ResumePoint,
    ) -> Result<Self, Status> {
        let request = SubscribeRequest { start: Some(Start::After(after)) };
        let Some(grpc) = grpc else {
            return Web::open(address, token, &request)
                .await
                .map(|web| Self::Web(Box::new(web)))
                .map_err(broken);
        };
        let request = with_token(token, request).map_err(broken)?;
        Ok(Self::Native(Box::new(grpc.clone().subscribe(request).await?.into_inner())))
    }

    /// Returns the next event.
    pub(crate) async fn next(&mut self) -> Result<SubscribeResponse, Status> {
        let next = match self {
            Self::Native(stream) => stream.message().await?,
            Self::Web(web) => web.next().await?,
        };
        next.ok_or_else(|| Status::unavailable("the stream ended"))
    }
}

fn broken(error: impl std::fmt::Display) -> Status {
    Status::unavailable(error.to_string())
}

/// A gRPC-web stream over HTTP/1.1.
pub(crate) struct Web {
    socket: TcpStream,
    /// Received bytes after the last complete chunk.
    raw: BytesMut,
    /// Bytes of the body after the last complete frame.
    body: BytesMut,
}

impl Web {
    /// Opens a stream from the log's first message on, and reads only the head of the answer.
    pub(crate) async fn open_from_start(address: SocketAddr, token: &str) -> Result<Self> {
        let start = Some(Start::After(ResumePoint::default()));
        Self::open(address, token, &SubscribeRequest { start }).await
    }

    async fn open(address: SocketAddr, token: &str, request: &SubscribeRequest) -> Result<Self> {
        let mut body = vec![0; 5];
        request.encode(&mut body)?;
        let length = u32::try_from(body.len() - 5)?;
        body[1..5].copy_from_slice(&length.to_be_bytes());
        let head = format!(
            "POST /grpcchatter.v1.ChatService/Subscribe HTTP/1.1\r\nhost: {address}\r\n\
             content-type: application/grpc-web+proto\r\nauthorization: Bearer {token}\r\n\
             content-length: {}\r\n\r\n",
            body.len()
        );
        let mut socket = TcpStream::connect(address).await?;
        socket.set_nodelay(true)?;
        socket.write_all(head.as_bytes()).await?;
        socket.write_all(&body).await?;
        let mut web = Self { socket, raw: BytesMut::new(), body: BytesMut::new() };
        let head = loop {
            if let Some(end) = find(&web.raw, b"\r\n\r\n") {
                break web.raw.split_to(end + 4);
            }
            web.read().await?;
        };
        let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
        ensure!(head.starts_with("http/1.1 200"), "gRPC-web answered {head}");
        ensure!(head.contains("transfer-encoding: chunked"), "gRPC-web refused the call");
        Ok(web)
    }

    async fn next(&mut self) -> Result<Option<SubscribeResponse>, Status> {
        loop {
            if let Some(head) = self.body.first_chunk::<5>() {
                let [flags, length @ ..] = *head;
                let end = 5 + u32::from_be_bytes(length) as usize;
                if self.body.len() >= end {
                    let frame = &self.body.split_to(end)[5..];
                    if flags & 0x80 == 0 {
                        return SubscribeResponse::decode(frame).map(Some).map_err(broken);
                    }
                    return Err(trailers(&String::from_utf8_lossy(frame)));
                }
            }
            if !self.next_chunk().map_err(broken)? {
                self.read().await.map_err(broken)?;
            }
        }
    }

    /// Moves the next HTTP/1.1 chunk to the body; returns whether it had arrived.
    fn next_chunk(&mut self) -> Result<bool> {
        let Some(line) = find(&self.raw, b"\r\n") else { return Ok(false) };
        let size = usize::from_str_radix(std::str::from_utf8(&self.raw[..line])?.trim(), 16)?;
        let end = line + 2 + size + 2;
        if self.raw.len() < end {
            return Ok(false);
        }
        ensure!(size > 0, "the body ended without trailers");
        self.body.extend_from_slice(&self.raw[line + 2..line + 2 + size]);
        self.raw.advance(end);
        Ok(true)
    }

    async fn read(&mut self) -> Result<()> {
        ensure!(self.socket.read_buf(&mut self.raw).await? > 0, "the connection was closed");
        Ok(())
    }
}

/// Parses the status out of gRPC-web trailers.
fn trailers(text: &str) -> Status {
    let headers = text.lines().filter_map(|line| {
        let (name, value) = line.split_once(':')?;
        Some((HeaderName::try_from(name.trim()).ok()?, HeaderValue::try_from(value.trim()).ok()?))
    });
    Status::from_header_map(&headers.collect())
        .unwrap_or_else(|| Status::unknown("trailers without a status"))
}

/// Returns the reason of a refusal (`ErrorInfo`), or the code and message where the server gave none.
pub(crate) fn reason(status: &Status) -> String {
    status.get_details_error_info().map_or_else(
        || format!("{:?} ({})", status.code(), status.message()),
        |information| information.reason,
    )
}

/// Returns the position of `wanted` in `bytes`.
fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

/// Posts JSON, and returns the status and the JSON of the answer.
async fn post(address: SocketAddr, path: &str, body: &Value) -> Result<(u16, Value)> {
    let body = body.to_string();
    let request = format!(
        "POST {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut socket = TcpStream::connect(address).await?;
    socket.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await?;
    let status = answer.split(' ').nth(1).context("no status")?.parse()?;
    let (_, body) = answer.split_once("\r\n\r\n").context("no body")?;
    Ok((status, serde_json::from_str(body).with_context(|| format!("{path} answered {answer}"))?))
}

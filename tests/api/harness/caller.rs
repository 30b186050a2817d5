//! The callers: [`Caller`] with or without a token, [`User`] with an account, [`Member`] of a room. Each dereferences to a caller.

use std::{
    net::SocketAddr,
    ops::Deref,
    sync::atomic::{AtomicU32, Ordering},
};

use grpcchatter_proto::v1::{
    CreateChatRoomRequest, CreateRoomTokenRequest, DeleteChatRoomRequest, JoinChatRoomRequest,
    JoinChatRoomResponse, Message, ResumePoint, SendMessageRequest, SubscribeRequest,
    subscribe_request::Start,
};
use http::uri::PathAndQuery;
use prost::Message as _;
use serde_json::{Value, json};
use tonic::{
    Request, Status, Streaming,
    client::Grpc,
    metadata::AsciiMetadataValue,
    transport::{Channel, Endpoint},
};
use tonic_prost::ProstCodec;

use super::{Answer, Chat, Connection, Dialect, Rpc, Subscription, Version, http::request, log, within};

/// A client of the server, with a token or without, in one dialect.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) address: SocketAddr,
    pub(crate) token: Option<String>,
    pub(crate) dialect: Dialect,
    channel: Channel,
}

impl Caller {
    /// A caller without a token, in native gRPC.
    pub(crate) fn anonymous(address: SocketAddr) -> Self {
        let channel = Endpoint::from_shared(format!("http://{address}")).unwrap().connect_lazy();
        Self { address, token: None, dialect: Dialect::Native, channel }
    }

    /// The same caller with this token.
    pub(crate) fn with_token(&self, token: &str) -> Self {
        Self { token: Some(token.to_owned()), ..self.clone() }
    }

    /// The same caller in another dialect.
    pub(crate) fn with_dialect(&self, dialect: Dialect) -> Self {
        Self { dialect, ..self.clone() }
    }

    /// The same caller on a new connection.
    pub(crate) fn on_new_connection(&self) -> Self {
        Self { channel: Self::anonymous(self.address).channel, ..self.clone() }
    }

    /// The same caller at the address of another server.
    pub(crate) fn at(&self, address: SocketAddr) -> Self {
        Self { token: self.token.clone(), dialect: self.dialect, ..Self::anonymous(address) }
    }

    /// Returns the token.
    ///
    /// # Panics
    /// If there is none.
    pub(crate) fn token(&self) -> &str {
        self.token.as_deref().expect("this caller has a token")
    }

    /// Returns the channel, for generated clients.
    pub(crate) fn channel(&self) -> Channel {
        self.channel.clone()
    }

    /// Calls REST. `Value::Null` sends no body.
    pub(crate) async fn rest(&self, method: &str, path: &str, body: Value) -> Answer {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.rest_bytes(method, path, body.as_bytes()).await
    }

    /// Calls REST with a body of any bytes.
    pub(crate) async fn rest_bytes(&self, method: &str, path: &str, body: &[u8]) -> Answer {
        let bearer = self.token.as_ref().map(|token| format!("Bearer {token}"));
        let mut headers = vec![("content-type", "application/json")];
        headers.extend(bearer.as_ref().map(|bearer| ("authorization", bearer.as_str())));
        let mut connection = Connection::open(self.address, Version::H1).await;
        connection.send(request(method, path, &headers, body.to_vec())).await
    }

    /// Calls a unary method.
    pub(crate) async fn call<R: Rpc>(&self, message: R) -> Result<R::Response, Status> {
        if self.dialect == Dialect::Native {
            let mut grpc = self.ready().await?;
            let path = PathAndQuery::from_static(R::PATH);
            let codec = ProstCodec::<R, R::Response>::default();
            let answer = within(R::PATH, grpc.unary(self.carrying(message), path, codec)).await?;
            return Ok(answer.into_inner());
        }
        let bearer = self.bearer();
        let metadata: Vec<_> =
            bearer.as_ref().map(|bearer| ("authorization", bearer.as_str())).into_iter().collect();
        let mut connection = Connection::try_open(self.address, self.dialect.version()).await?;
        let messages = self.dialect.call(&mut connection, R::PATH, &metadata, &message).await?;
        let [answer] = messages.as_slice() else { panic!("{} answered {} times", R::PATH, messages.len()) };
        Ok(R::Response::decode(answer.as_ref()).unwrap())
    }

    /// Opens a subscription.
    pub(crate) async fn subscribe(&self, start: Option<Start>) -> Result<Subscription, Status> {
        Subscription::open(self, SubscribeRequest { start }).await
    }

    /// Opens a Chat, which only native gRPC supports.
    pub(crate) async fn chat(&self) -> Result<Chat, Status> {
        Chat::open(self, None).await
    }

    /// Opens a Chat that resumes after a message.
    pub(crate) async fn chat_after(&self, point: ResumePoint) -> Result<Chat, Status> {
        Chat::open(self, Some(point)).await
    }

    /// Watches the health of a service over native gRPC. It yields the states as numbers: 1 is SERVING.
    pub(crate) async fn watch(&self, service: &str) -> Result<Streaming<i32>, Status> {
        let mut grpc = self.ready().await?;
        let path = PathAndQuery::from_static("/grpc.health.v1.Health/Watch");
        // Both messages have one field, and are encoded like the bare value.
        let codec = ProstCodec::<String, i32>::default();
        let answer = grpc.server_streaming(self.carrying(service.to_owned()), path, codec);
        Ok(within("the head of Watch", answer).await?.into_inner())
    }

    /// Returns the header that carries the token.
    pub(crate) fn bearer(&self) -> Option<String> {
        self.token.as_ref().map(|token| format!("Bearer {token}"))
    }

    /// Wraps a message with the token.
    pub(crate) fn carrying<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        if let Some(bearer) = self.bearer() {
            let bearer = AsciiMetadataValue::try_from(bearer).unwrap();
            request.metadata_mut().insert("authorization", bearer);
        }
        request
    }

    /// Returns a client that may be called.
    pub(crate) async fn ready(&self) -> Result<Grpc<Channel>, Status> {
        let mut grpc = Grpc::new(self.channel());
        let ready = within("a connection", grpc.ready()).await;
        ready.map_err(|error| Status::unavailable(error.to_string()))?;
        Ok(grpc)
    }
}

/// A password that follows every rule. No log may contain its canary, the word `cAnary`.
pub(crate) const PASSWORD: &str = "cAnary-Passw0rd!";

/// A user with an account and a user token.
#[derive(Clone, Debug)]
pub(crate) struct User {
    pub(crate) name: String,
    pub(crate) refresh_token: String,
    caller: Caller,
}

impl Deref for User {
    type Target = Caller;

    fn deref(&self) -> &Caller {
        &self.caller
    }
}

impl User {
    /// Registers a new user and logs them in.
    pub(crate) async fn register(anonymous: &Caller) -> Self {
        let name = new_name();
        let answer =
            anonymous.rest("POST", "/register", json!({"user_name": name, "password": PASSWORD})).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        Self::log_in(anonymous, &name, PASSWORD).await
    }

    /// Logs a user in. Each call starts a new session.
    pub(crate) async fn log_in(caller: &Caller, name: &str, password: &str) -> Self {
        let answer = caller.rest("POST", "/login", json!({"user_name": name, "password": password})).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let answer = answer.json();
        let text = |key: &str| answer[key].as_str().unwrap().to_owned();
        let refresh_token = text("refresh_token");
        log::hide_refresh_token(&refresh_token);
        Self { name: name.to_owned(), refresh_token, caller: caller.with_token(&text("token")) }
    }

    /// The same user at the address of another server.
    pub(crate) fn at(&self, address: SocketAddr) -> Self {
        Self { caller: self.caller.at(address), ..self.clone() }
    }

    /// The same user in another session.
    pub(crate) async fn log_in_again(&self) -> Self {
        Self::log_in(&self.caller.on_new_connection(), &self.name, PASSWORD).await
    }

    /// Creates a room with a password.
    pub(crate) async fn create_room(&self) -> Room {
        self.create_room_with("cAnary-room").await
    }

    /// Creates a room with this password.
    pub(crate) async fn create_room_with(&self, password: &str) -> Room {
        let (name, password) = ("the lounge".to_owned(), password.to_owned());
        let request = CreateChatRoomRequest { room_name: name.clone(), room_password: password.clone() };
        let short_code = self.call(request).await.unwrap().short_code;
        Room { short_code, name, password }
    }

    /// Joins a room with its code and password.
    pub(crate) async fn join(&self, room: &Room) -> Member {
        let token = self.call(room.join_request()).await.unwrap().token;
        Member { name: self.name.clone(), room: room.clone(), caller: self.caller.with_token(&token) }
    }
}

impl User {
    /// Deletes the user's room.
    pub(crate) async fn delete(&self, room: &Room) {
        self.call(DeleteChatRoomRequest { short_code: room.short_code.clone() }).await.unwrap();
    }

    /// Makes an invitation to the user's room.
    pub(crate) async fn invite(&self, room: &Room) -> String {
        let request = CreateRoomTokenRequest { short_code: room.short_code.clone(), ttl: None };
        self.call(request).await.unwrap().room_token
    }

    /// Joins a room with an invitation.
    pub(crate) async fn join_by(&self, invitation: &str) -> Result<JoinChatRoomResponse, Status> {
        let room_token = invitation.to_owned();
        self.call(JoinChatRoomRequest { room_token, ..JoinChatRoomRequest::default() }).await
    }
}

/// Returns a user name that no other test of this run uses.
pub(crate) fn new_name() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    format!("walker{:05}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A room with its code and password.
#[derive(Clone, Debug)]
pub(crate) struct Room {
    pub(crate) short_code: String,
    pub(crate) name: String,
    pub(crate) password: String,
}

impl Room {
    /// Returns the request that joins it.
    pub(crate) fn join_request(&self) -> JoinChatRoomRequest {
        JoinChatRoomRequest {
            short_code: self.short_code.clone(),
            room_password: self.password.clone(),
            room_token: String::new(),
        }
    }
}

/// A member of a room, with its chat token.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) name: String,
    pub(crate) room: Room,
    caller: Caller,
}

impl Deref for Member {
    type Target = Caller;

    fn deref(&self) -> &Caller {
        &self.caller
    }
}

impl Member {
    /// The same member at the address of another server.
    pub(crate) fn at(&self, address: SocketAddr) -> Self {
        Self { caller: self.caller.at(address), ..self.clone() }
    }

    /// Sends a message and returns it as it was stored.
    pub(crate) async fn say(&self, body: &str) -> Message {
        self.say_as("", body).await
    }

    /// Sends a message with a client message id.
    pub(crate) async fn say_as(&self, client_message_id: &str, body: &str) -> Message {
        let (body, client_message_id) = (body.to_owned(), client_message_id.to_owned());
        self.call(SendMessageRequest { body, client_message_id }).await.unwrap().message.unwrap()
    }
}

//! A server that does what a test tells it: the cases that a real one shows only when it fails.

use std::{
    collections::VecDeque,
    convert::Infallible,
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use grpcchatter_proto::v1::{self, chat_service_server::ChatService, chat_service_server::ChatServiceServer};
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{Notify, watch},
};
use tonic::{Code, Status, body::Body, metadata::MetadataMap};
use tonic_types::{ErrorDetails, StatusExt as _};
use tower::ServiceExt as _;

pub(crate) type Told = v1::subscribe_response::Event;

/// What one `Subscribe` does: says these, then ends with a status, or falls silent.
pub(crate) struct Scene {
    pub(crate) told: Vec<Told>,
    pub(crate) end: Option<Status>,
}

#[derive(Default)]
pub(crate) struct State {
    pub(crate) user_tokens: u32,
    pub(crate) chat_tokens: u32,
    /// Refuses every refresh.
    pub(crate) session_over: bool,
    /// Refuses the user token that is out, until the next refresh.
    pub(crate) spoiled: bool,
    /// Puts every refresh off for so many seconds.
    pub(crate) busy: Option<u32>,
    /// Holds every refresh back until it is told to go on.
    pub(crate) slow_refresh: Option<Arc<Notify>>,
    pub(crate) joins: Vec<v1::JoinChatRoomRequest>,
    pub(crate) subscriptions: Vec<v1::SubscribeRequest>,
    pub(crate) scenes: VecDeque<Scene>,
    /// Refusals of the next sends, before any is stored.
    pub(crate) refusals: VecDeque<Status>,
    /// Answers of sends that are lost after storing.
    pub(crate) lost_answers: u32,
    /// Answers no send at all.
    pub(crate) silent: bool,
    /// What is said right after somebody has joined.
    pub(crate) said_after_join: Vec<v1::Message>,
    pub(crate) log: Vec<v1::Message>,
    pub(crate) refreshes: u32,
}

impl State {
    /// Whether a refresh brings the newest token, which is good for one.
    fn is_good(&self, sent: &[u8]) -> bool {
        let token = format!("refresh-{}", self.user_tokens);
        sent.windows(token.len()).any(|part| part == token.as_bytes())
    }
}

#[derive(Clone)]
pub(crate) struct Fake {
    state: Arc<Mutex<State>>,
    pub(crate) url: String,
    /// Told of each refresh that was put off or held back.
    pub(crate) put_off: Arc<Notify>,
    /// How many streams are open.
    pub(crate) open: watch::Sender<usize>,
    /// How often somebody has logged in.
    pub(crate) logins: watch::Sender<u32>,
}

pub(crate) fn status(code: Code, reason: &str) -> Status {
    Status::with_error_details(code, reason, ErrorDetails::with_error_info(reason, "grpcchatter", []))
}

pub(crate) fn message(seq: i64) -> v1::Message {
    v1::Message {
        user_name: "walker1".to_owned(),
        body: format!("number {seq}"),
        seq,
        message_id: format!("id-{seq}"),
        create_time: Some(SystemTime::UNIX_EPOCH.into()),
        client_message_id: String::new(),
    }
}

fn room(last_seq: i64) -> v1::ChatRoom {
    v1::ChatRoom {
        short_code: "aB3xYz".to_owned(),
        room_name: "Mountains".to_owned(),
        owner_name: "walker1".to_owned(),
        create_time: Some(SystemTime::UNIX_EPOCH.into()),
        last_seq,
    }
}

pub(crate) fn subscribed(last_seq: i64, reset: bool, heartbeat: Duration) -> Told {
    Told::Subscribed(v1::Subscribed {
        room: Some(room(last_seq)),
        reset,
        heartbeat_interval: heartbeat.try_into().ok(),
    })
}

/// A stream that says these messages, as a healthy one does.
pub(crate) fn says(seqs: impl IntoIterator<Item = i64>) -> Vec<Told> {
    let messages = seqs.into_iter().map(|seq| Told::Message(message(seq)));
    std::iter::once(subscribed(9, false, Duration::from_secs(15))).chain(messages).collect()
}

impl Fake {
    pub(crate) async fn start() -> Self {
        Self::listen("http", |socket| async { Ok(socket) }).await
    }

    /// Starts it behind what `wrap` makes of each connection.
    pub(crate) async fn listen<S, Fut>(scheme: &str, wrap: impl Fn(TcpStream) -> Fut + Send + 'static) -> Self
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        Fut: Future<Output = io::Result<S>> + Send + 'static,
    {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("{scheme}://{}", listener.local_addr().unwrap());
        let (open, logins) = (watch::Sender::new(0), watch::Sender::new(0));
        let fake = Self { state: Arc::default(), url, put_off: Arc::default(), open, logins };
        let serving = fake.clone();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (fake, wrapped) = (serving.clone(), wrap(socket));
                tokio::spawn(async move {
                    let Ok(socket) = wrapped.await else { return };
                    let service = hyper::service::service_fn(move |request| fake.clone().answer(request));
                    let server = auto::Builder::new(TokioExecutor::new());
                    let _ = server.serve_connection(TokioIo::new(socket), service).await;
                });
            }
        });
        fake
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(crate) fn scene(&self, told: Vec<Told>, end: Option<Status>) {
        self.state().scenes.push_back(Scene { told, end });
    }

    async fn answer(self, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
        let path = request.uri().path().to_owned();
        if path.starts_with("/grpcchatter.v1.") {
            return ChatServiceServer::new(self).oneshot(request.map(Body::new)).await;
        }
        let sent = request.into_body().collect().await.unwrap().to_bytes();
        let held = self.state().slow_refresh.clone().filter(|_| path == "/refresh");
        if let Some(held) = held {
            self.put_off.notify_one();
            held.notified().await;
        }
        let mut state = self.state();
        let mut retry_after = 1;
        let (code, text) = match path.as_str() {
            "/refresh" if let Some(seconds) = state.busy => {
                self.put_off.notify_one();
                retry_after = seconds;
                (503, r#"{"error":"too many calls","reason":"OVERLOADED"}"#.to_owned())
            }
            "/login" | "/refresh" if !state.session_over && (path == "/login" || state.is_good(&sent)) => {
                match path.as_str() {
                    "/login" => self.logins.send_modify(|logins| *logins += 1),
                    _ => state.refreshes += 1,
                }
                state.spoiled = false;
                state.user_tokens += 1;
                let number = state.user_tokens;
                (200, format!(r#"{{"token":"user-{number}","refresh_token":"refresh-{number}"}}"#))
            }
            _ => (401, r#"{"error":"the token is over","reason":"TOKEN_REVOKED"}"#.to_owned()),
        };
        let body = Body::new(Full::new(Bytes::from(text)));
        Ok(Response::builder().status(code).header("retry-after", retry_after).body(body).unwrap())
    }

    /// Lets the newest token pass.
    fn check(&self, metadata: &MetadataMap, kind: &str) -> Result<(), Status> {
        let state = self.state();
        let number = if kind == "user" { state.user_tokens } else { state.chat_tokens };
        let wanted = format!("Bearer {kind}-{number}");
        let over = kind == "user" && state.spoiled;
        if !over && metadata.get("authorization").is_some_and(|sent| sent.as_bytes() == wanted.as_bytes()) {
            return Ok(());
        }
        Err(status(Code::Unauthenticated, "TOKEN_EXPIRED"))
    }
}

/// Counts a stream for as long as it is open.
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
        let said = std::mem::take(&mut state.said_after_join);
        state.log.extend(said);
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
        if self.state().silent {
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
        if state.lost_answers > 0 {
            state.lost_answers -= 1;
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
        let Some(scene) = state.scenes.pop_front() else {
            return Err(Status::unavailable("there is no scene"));
        };
        self.open.send_modify(|open| *open += 1);
        let counted = Counted(self.open.clone());
        let told = scene.told.into_iter().map(|event| Ok(v1::SubscribeResponse { event: Some(event) }));
        let end = stream::once(async move {
            match scene.end {
                Some(status) => Err(status),
                None => std::future::pending().await,
            }
        });
        let stream = stream::iter(told).chain(end).map(move |told| {
            let _open = &counted;
            told
        });
        Ok(tonic::Response::new(stream.boxed()))
    }

    async fn create_chat_room(
        &self,
        _: tonic::Request<v1::CreateChatRoomRequest>,
    ) -> Answer<v1::CreateChatRoomResponse> {
        Err(Status::unimplemented("not in this play"))
    }

    async fn update_chat_room(
        &self,
        _: tonic::Request<v1::UpdateChatRoomRequest>,
    ) -> Answer<v1::UpdateChatRoomResponse> {
        Err(Status::unimplemented("not in this play"))
    }

    async fn delete_chat_room(
        &self,
        _: tonic::Request<v1::DeleteChatRoomRequest>,
    ) -> Answer<v1::DeleteChatRoomResponse> {
        Err(Status::unimplemented("not in this play"))
    }

    async fn create_room_token(
        &self,
        _: tonic::Request<v1::CreateRoomTokenRequest>,
    ) -> Answer<v1::CreateRoomTokenResponse> {
        Err(Status::unimplemented("not in this play"))
    }

    async fn remove_chat_room_user(
        &self,
        _: tonic::Request<v1::RemoveChatRoomUserRequest>,
    ) -> Answer<v1::RemoveChatRoomUserResponse> {
        Err(Status::unimplemented("not in this play"))
    }

    async fn unban_chat_room_user(
        &self,
        _: tonic::Request<v1::UnbanChatRoomUserRequest>,
    ) -> Answer<v1::UnbanChatRoomUserResponse> {
        Err(Status::unimplemented("not in this play"))
    }

    async fn leave_chat_room(
        &self,
        _: tonic::Request<v1::LeaveChatRoomRequest>,
    ) -> Answer<v1::LeaveChatRoomResponse> {
        Err(Status::unimplemented("not in this play"))
    }

    async fn list_chat_room_users(
        &self,
        _: tonic::Request<v1::ListChatRoomUsersRequest>,
    ) -> Answer<v1::ListChatRoomUsersResponse> {
        Err(Status::unimplemented("not in this play"))
    }

    async fn chat(&self, _: tonic::Request<tonic::Streaming<v1::ChatRequest>>) -> Answer<Self::ChatStream> {
        Err(Status::unimplemented("not in this play"))
    }
}

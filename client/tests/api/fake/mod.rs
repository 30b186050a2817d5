//! A scripted server, for cases that a real one shows only when it fails.

use std::{
    collections::VecDeque,
    convert::Infallible,
    io,
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use grpcchatter_proto::v1::{self, chat_service_server::ChatServiceServer};
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

mod fault;
mod service;

pub(crate) use fault::Fault;

pub(crate) type ServerEvent = v1::subscribe_response::Event;

/// The script of one `Subscribe`: sends these events, then ends with a status or stays open silently.
pub(crate) struct StreamScript {
    pub(crate) events: Vec<ServerEvent>,
    pub(crate) end: Option<Status>,
}

#[derive(Default)]
pub(crate) struct State {
    pub(crate) user_tokens: u32,
    pub(crate) chat_tokens: u32,
    /// Refuses every login and every refresh.
    pub(crate) session_ended: bool,
    /// Refuses every refresh until the next login.
    pub(crate) refresh_token_invalid: bool,
    /// Refuses the current user token until the next refresh.
    pub(crate) user_token_invalid: bool,
    /// Answers every refresh with OVERLOADED and this Retry-After in seconds.
    pub(crate) overloaded_for: Option<u32>,
    /// Delays every refresh until notified.
    pub(crate) refresh_gate: Option<Arc<Notify>>,
    pub(crate) joins: Vec<v1::JoinChatRoomRequest>,
    pub(crate) subscriptions: Vec<v1::SubscribeRequest>,
    pub(crate) stream_scripts: VecDeque<StreamScript>,
    /// Refusals of the next sends, before the message is stored.
    pub(crate) refusals: VecDeque<Status>,
    /// The number of next sends whose response is lost after the message is stored.
    pub(crate) lost_responses: u32,
    /// Leaves every send without a response.
    pub(crate) no_response: bool,
    /// Messages appended to the log right after the next join.
    pub(crate) appended_after_join: Vec<v1::Message>,
    pub(crate) log: Vec<v1::Message>,
    pub(crate) refreshes: u32,
    /// Faults for the next calls whose path ends with the key.
    faults: Vec<(&'static str, Fault)>,
    /// The canonical name of the logged-in user.
    pub(crate) user_name: String,
}

impl State {
    /// Whether the refresh request carries the newest token, which is good for one refresh.
    fn accepts_refresh(&self, sent: &[u8]) -> bool {
        if self.refresh_token_invalid {
            return false;
        }
        let token = format!("refresh-{}", self.user_tokens);
        sent.windows(token.len()).any(|part| part == token.as_bytes())
    }
}

#[derive(Clone)]
pub(crate) struct Fake {
    state: Arc<Mutex<State>>,
    pub(crate) url: String,
    /// Notified at each refresh that is refused or delayed.
    pub(crate) refresh_held: Arc<Notify>,
    /// The number of open streams.
    pub(crate) open: watch::Sender<usize>,
    /// The number of logins.
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

pub(crate) fn subscribed(last_seq: i64, reset: bool, heartbeat: Duration) -> ServerEvent {
    ServerEvent::Subscribed(v1::Subscribed {
        room: Some(room(last_seq)),
        reset,
        heartbeat_interval: heartbeat.try_into().ok(),
    })
}

/// The events of a healthy stream with these messages.
pub(crate) fn with_messages(seqs: impl IntoIterator<Item = i64>) -> Vec<ServerEvent> {
    let messages = seqs.into_iter().map(|seq| ServerEvent::Message(message(seq)));
    std::iter::once(subscribed(9, false, Duration::from_secs(15))).chain(messages).collect()
}

impl Fake {
    pub(crate) async fn start() -> Self {
        Self::listen("http", |socket| async { Ok(socket) }).await
    }

    /// Starts the server behind a transport that `wrap` makes of each connection.
    pub(crate) async fn listen<S, Fut>(scheme: &str, wrap: impl Fn(TcpStream) -> Fut + Send + 'static) -> Self
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        Fut: Future<Output = io::Result<S>> + Send + 'static,
    {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("{scheme}://{}", listener.local_addr().unwrap());
        let (open, logins) = (watch::Sender::new(0), watch::Sender::new(0));
        let fake = Self { state: Arc::default(), url, refresh_held: Arc::default(), open, logins };
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

    pub(crate) fn script_stream(&self, events: Vec<ServerEvent>, end: Option<Status>) {
        self.state().stream_scripts.push_back(StreamScript { events, end });
    }

    /// Injects a fault into the next call whose path ends with `path`.
    pub(crate) fn inject(&self, path: &'static str, fault: Fault) {
        self.state().faults.push((path, fault));
    }

    async fn answer(self, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
        let path = request.uri().path().to_owned();
        let fault = {
            let mut state = self.state();
            let index = state.faults.iter().position(|(end, _)| path.ends_with(end));
            index.map(|index| state.faults.remove(index).1)
        };
        match fault {
            None => self.serve(path, request).await,
            Some(fault) => {
                if fault.reaches_server() {
                    drop(self.serve(path, request).await);
                }
                Ok(fault.answer())
            }
        }
    }

    async fn serve(self, path: String, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
        if path.starts_with("/grpcchatter.v1.") {
            return ChatServiceServer::new(self).oneshot(request.map(Body::new)).await;
        }
        let sent = request.into_body().collect().await.unwrap().to_bytes();
        let held = self.state().refresh_gate.clone().filter(|_| path == "/refresh");
        if let Some(held) = held {
            self.refresh_held.notify_one();
            held.notified().await;
        }
        let mut state = self.state();
        let mut retry_after = 1;
        let (code, text) = match path.as_str() {
            "/refresh" if let Some(seconds) = state.overloaded_for => {
                self.refresh_held.notify_one();
                retry_after = seconds;
                (503, r#"{"error":"too many calls","reason":"OVERLOADED"}"#.to_owned())
            }
            "/login" | "/refresh"
                if !state.session_ended && (path == "/login" || state.accepts_refresh(&sent)) =>
            {
                match path.as_str() {
                    "/login" => self.logins.send_modify(|logins| *logins += 1),
                    _ => state.refreshes += 1,
                }
                state.refresh_token_invalid = false;
                state.user_token_invalid = false;
                state.user_tokens += 1;
                let number = state.user_tokens;
                (200, format!(r#"{{"token":"user-{number}","refresh_token":"refresh-{number}"}}"#))
            }
            "/account" if !state.user_token_invalid => {
                let name = &state.user_name;
                let created = "2026-11-28T12:00:00Z";
                (200, format!(r#"{{"id":1,"created_at":"{created}","user_name":"{name}","role":"USER"}}"#))
            }
            _ => (401, r#"{"error":"the token is invalid","reason":"TOKEN_REVOKED"}"#.to_owned()),
        };
        let body = Body::new(Full::new(Bytes::from(text)));
        Ok(Response::builder().status(code).header("retry-after", retry_after).body(body).unwrap())
    }

    /// Accepts the newest token only.
    fn check(&self, metadata: &MetadataMap, kind: &str) -> Result<(), Status> {
        let state = self.state();
        let number = if kind == "user" { state.user_tokens } else { state.chat_tokens };
        let wanted = format!("Bearer {kind}-{number}");
        let invalid = kind == "user" && state.user_token_invalid;
        if !invalid && metadata.get("authorization").is_some_and(|sent| sent.as_bytes() == wanted.as_bytes())
        {
            return Ok(());
        }
        Err(status(Code::Unauthenticated, "TOKEN_EXPIRED"))
    }
}

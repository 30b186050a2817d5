//! A server that does what a test tells it: the cases that a real one shows only when it fails.

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

mod between;
mod service;

pub(crate) use between::Between;

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
    /// Refuses every log-in and every refresh.
    pub(crate) session_over: bool,
    /// Refuses every refresh, until the next log-in.
    pub(crate) refresh_over: bool,
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
    /// What comes between the next calls whose path ends so.
    between: Vec<(&'static str, Between)>,
    /// How the server writes the name of whoever is logged in.
    pub(crate) user_name: String,
}

impl State {
    /// Whether a refresh brings the newest token, which is good for one.
    fn is_good(&self, sent: &[u8]) -> bool {
        if self.refresh_over {
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

    /// Lets something come between the next call whose path ends so and its answer.
    pub(crate) fn between(&self, path: &'static str, between: Between) {
        self.state().between.push((path, between));
    }

    async fn answer(self, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
        let path = request.uri().path().to_owned();
        let between = {
            let mut state = self.state();
            let place = state.between.iter().position(|(end, _)| path.ends_with(end));
            place.map(|place| state.between.remove(place).1)
        };
        match between {
            None => self.serve(path, request).await,
            Some(between) => {
                if between.lets_pass() {
                    drop(self.serve(path, request).await);
                }
                Ok(between.answer())
            }
        }
    }

    async fn serve(self, path: String, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
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
                state.refresh_over = false;
                state.spoiled = false;
                state.user_tokens += 1;
                let number = state.user_tokens;
                (200, format!(r#"{{"token":"user-{number}","refresh_token":"refresh-{number}"}}"#))
            }
            "/account" if !state.spoiled => {
                let name = &state.user_name;
                let created = "2026-11-28T12:00:00Z";
                (200, format!(r#"{{"id":1,"created_at":"{created}","user_name":"{name}","role":"USER"}}"#))
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

//! A client that keeps a number of calls under way, and sends each refused request again at once.
//!
//! It shares the machine with the server that it attacks, so it parses HTTP/2 frames itself, and little of each. It runs on
//! a thread of its own, so that no measured client waits for it.

use std::{
    cell::{Cell, RefCell},
    net::{Ipv4Addr, SocketAddr},
    rc::Rc,
    time::Duration,
};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use prost::Message;
use serde_json::Value;
use tokio::{
    task::{JoinSet, LocalSet},
    time::{sleep, timeout},
};

use super::{frames, grpc};
use connection::Connection;

mod connection;

/// The pause before a connection is opened again, so that a dead server does not cause a busy loop.
pub(crate) const RECONNECT_PAUSE: Duration = Duration::from_millis(1);

/// An encoded request, which can be sent any number of times.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    head: Bytes,
    body: Bytes,
}

impl Request {
    /// Encodes a unary gRPC call of the chat service.
    pub(crate) fn call(address: SocketAddr, name: &str, token: &str, request: &impl Message) -> Self {
        let path = format!("/grpcchatter.v1.ChatService/{name}");
        Self { head: frames::call(address, &path, token).into(), body: grpc::framed([request]) }
    }

    /// Encodes a GET request that accepts brotli compression.
    pub(crate) fn get(address: SocketAddr, path: &str) -> Self {
        let authority = address.to_string();
        let head = [
            (":method", "GET"),
            (":scheme", "http"),
            (":path", path),
            (":authority", &authority),
            ("accept-encoding", "br"),
        ];
        Self { head: frames::headers(&head).into(), body: Bytes::new() }
    }

    /// Encodes a POST request with JSON.
    pub(crate) fn post(address: SocketAddr, path: &str, body: &Value) -> Self {
        let (authority, body) = (address.to_string(), body.to_string());
        let head = [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", path),
            (":authority", &authority),
            ("content-type", "application/json"),
            ("content-length", &body.len().to_string()),
        ];
        Self { head: frames::headers(&head).into(), body: body.into() }
    }
}

/// Returns the next request, given the number of requests before it, and the message of the answer that it follows, which is
/// empty for a first request.
pub(crate) type Next = Box<dyn Fn(u64, &[u8]) -> Request + Send>;

/// The calls of a flood.
pub(crate) struct Flood {
    /// The source addresses of the connections, used in turn.
    pub(crate) from: Vec<Ipv4Addr>,
    pub(crate) connections: usize,
    /// The concurrent calls of each connection; a lower limit of the server takes precedence.
    pub(crate) calls_each: usize,
    /// Whether the answers are read; otherwise the window of each stream is 0.
    pub(crate) reads: bool,
    /// The time between two requests of a connection; without it a request is sent as soon as a call has ended.
    pub(crate) pace: Option<Duration>,
    /// The number of answers after which the flood ends.
    pub(crate) enough: u64,
    pub(crate) next: Next,
}

/// The number of calls by their result.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    /// Answered with the requested data.
    pub(crate) answered: u64,
    /// All others.
    pub(crate) refused: u64,
}

/// What the connections share.
struct Shared {
    flood: Flood,
    sent: Cell<u64>,
    tally: RefCell<Tally>,
}

impl Flood {
    /// Describes a flood from one address, without a pace or an end, whose answers are read.
    pub(crate) fn new(connections: usize, calls_each: usize, next: Next) -> Self {
        let from = vec![ATTACK_ADDRESS];
        Self { from, connections, calls_each, reads: true, pace: None, enough: u64::MAX, next }
    }

    /// Runs the flood on this thread for at most `time`.
    ///
    /// # Errors
    /// If no runtime can be made.
    pub(crate) fn run(self, address: SocketAddr, time: Duration) -> Result<Tally> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let shared = Rc::new(Shared { flood: self, sent: Cell::default(), tally: RefCell::default() });
        let own = Rc::clone(&shared);
        let connections = async move {
            let mut connections = JoinSet::new();
            for from in own.flood.from.iter().cycle().take(own.flood.connections) {
                connections.spawn_local(keep_connected(*from, address, Rc::clone(&own)));
            }
            // At the end of the time, the calls under way are dropped.
            let _ = timeout(time, connections.join_all()).await;
        };
        runtime.block_on(LocalSet::new().run_until(connections));
        let tally = *shared.tally.borrow();
        Ok(tally)
    }
}

/// The source address of attacks; the other clients have 127.0.0.1.
pub(crate) const ATTACK_ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

impl Shared {
    fn over(&self) -> bool {
        self.tally.borrow().answered >= self.flood.enough
    }

    fn next(&self, answer: &[u8]) -> Request {
        let sent = self.sent.get();
        self.sent.set(sent + 1);
        (self.flood.next)(sent, answer)
    }

    fn count(&self, answered: bool) {
        let mut tally = self.tally.borrow_mut();
        tally.answered += u64::from(answered);
        tally.refused += u64::from(!answered);
    }
}

/// Connects, and connects again whenever the connection ends.
async fn keep_connected(from: Ipv4Addr, address: SocketAddr, shared: Rc<Shared>) {
    while !shared.over() {
        if let Ok(socket) = grpc::connect_from(from, address).await {
            // Its error does not matter: the next connection is opened.
            drop(Connection::new(socket, Rc::clone(&shared)).run().await);
        }
        sleep(RECONNECT_PAUSE).await;
    }
}

/// Returns a source of requests that repeats the given ones in turn.
///
/// # Errors
/// If `requests` is empty.
pub(crate) fn by_turns(requests: Vec<Request>) -> Result<Next> {
    let last = requests.last().context("no request to send")?.clone();
    Ok(Box::new(move |sent, _| {
        let index = sent % requests.len() as u64;
        requests.get(index as usize).unwrap_or(&last).clone()
    }))
}

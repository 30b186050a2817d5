//! A client that keeps a number of calls under way, whatever becomes of them: what is refused is sent again at once.
//!
//! It shares the machine with the server that it presses, so it reads HTTP/2 frames itself and looks at little of
//! what comes. It has a thread of its own; so nobody who is measured waits for it.

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

/// Between two attempts to connect again, so that a server that is gone costs nobody the processor.
pub(crate) const AGAIN: Duration = Duration::from_millis(1);

/// A request, ready to be sent any number of times.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    head: Bytes,
    body: Bytes,
}

impl Request {
    /// A unary gRPC call of the chat service.
    pub(crate) fn call(address: SocketAddr, name: &str, token: &str, request: &impl Message) -> Self {
        let path = format!("/grpcchatter.v1.ChatService/{name}");
        Self { head: frames::call(address, &path, token).into(), body: grpc::framed([request]) }
    }

    /// A GET request of what may come compressed by brotli.
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

    /// A POST request of JSON.
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

/// Returns the next request: it is told how many were sent before, and the message of the answer that made room for it.
pub(crate) type Next = Box<dyn Fn(u64, &[u8]) -> Request + Send>;

/// What is kept up.
pub(crate) struct Flood {
    /// Where the connections come from, by turns.
    pub(crate) from: Vec<Ipv4Addr>,
    pub(crate) connections: usize,
    /// On each connection; the server's own limit counts where it is lower.
    pub(crate) under_way: usize,
    /// Whether the answers are read; else no stream opens a window.
    pub(crate) reads: bool,
    /// The time from one request to the next on each connection; none waits only for room.
    pub(crate) pace: Option<Duration>,
    /// It is over once so many were answered.
    pub(crate) enough: u64,
    pub(crate) next: Next,
}

/// What became of a flood.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    /// With what was asked for.
    pub(crate) answered: u64,
    /// With anything else.
    pub(crate) refused: u64,
}

/// What the connections share.
struct Shared {
    flood: Flood,
    sent: Cell<u64>,
    tally: RefCell<Tally>,
}

impl Flood {
    /// Keeps so many calls under way on each of so many connections from one address, without a pace or an end.
    pub(crate) fn new(connections: usize, under_way: usize, next: Next) -> Self {
        let from = vec![ELSEWHERE];
        Self { from, connections, under_way, reads: true, pace: None, enough: u64::MAX, next }
    }

    /// Keeps it up for so long, on this thread.
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
                connections.spawn_local(keep_up(*from, address, Rc::clone(&own)));
            }
            // Once the time has passed, what is under way is given up: that is the end of an attack.
            let _ = timeout(time, connections.join_all()).await;
        };
        runtime.block_on(LocalSet::new().run_until(connections));
        let tally = *shared.tally.borrow();
        Ok(tally)
    }
}

/// Where attacks come from: not from where the others are.
pub(crate) const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

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

/// Connects, and again whenever the server has had enough.
async fn keep_up(from: Ipv4Addr, address: SocketAddr, shared: Rc<Shared>) {
    while !shared.over() {
        if let Ok(socket) = grpc::connect_from(from, address).await {
            // Whatever ends a connection, the next one is opened.
            drop(Connection::new(socket, Rc::clone(&shared)).run().await);
        }
        sleep(AGAIN).await;
    }
}

/// Returns the requests by turns.
///
/// # Errors
/// If there are none.
pub(crate) fn by_turns(requests: Vec<Request>) -> Result<Next> {
    let last = requests.last().context("no request to send")?.clone();
    Ok(Box::new(move |sent, _| {
        let place = sent % requests.len() as u64;
        requests.get(place as usize).unwrap_or(&last).clone()
    }))
}

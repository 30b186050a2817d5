//! Thousands of Subscribe streams that only count messages, in one pass over the bytes from the socket.
//!
//! A general HTTP/2 client would cost more than the server under test. Here the windows are as large as HTTP/2 allows, and
//! only the length of each message is parsed.

use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    net::SocketAddr,
    pin::Pin,
    rc::Rc,
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use tokio::{
    io::{AsyncRead as _, AsyncWriteExt as _, ReadBuf},
    net::TcpStream,
    sync::Notify,
    task::JoinSet,
};

use super::{
    frames::{self, FIRST_WINDOW, Frame, LARGEST_WINDOW, PREFACE, REFILL, flag, frame, kind, setting},
    stamp,
    wire::{self, Messages},
};
use crate::latencies::Latencies;

const SCRATCH: usize = 256 * 1024;
/// The key on the wire of the field `message` of `SubscribeResponse`.
const MESSAGE: u8 = 0x12;
/// The most messages by which the fastest stream may be ahead of the slowest.
const MAX_SPREAD: usize = 4096;
const WAIT_TIMEOUT: Duration = Duration::from_secs(60);

/// Streams over several connections; dropping it closes them.
#[derive(Debug)]
pub(crate) struct Subscribers {
    shared: Rc<Shared>,
    connections: JoinSet<Result<()>>,
}

/// The counters of all streams together.
#[derive(Debug)]
struct Shared {
    streams: u32,
    /// The latency is measured on every `sample_every`th stream.
    sample_every: usize,
    /// The number of streams that have received their first event.
    opened: Cell<u32>,
    deliveries: Cell<u64>,
    /// The number of messages that every stream has received, each from its own room.
    complete: Cell<u64>,
    /// A ring with the number of streams that have received each message.
    arrived: RefCell<Vec<u32>>,
    latencies: RefCell<Latencies>,
    /// Notified when `opened` or `complete` increases.
    increased: Notify,
    /// The read buffer of all connections: a buffer for each of thousands would not fit in any cache.
    scratch: RefCell<Vec<u8>>,
}

impl Subscribers {
    /// Opens `each` streams on each of `connections`, with the tokens in turn, and returns when all have received their first
    /// event. Latencies are measured on every `sample_every`th stream of a connection.
    ///
    /// # Errors
    /// If a stream or a connection ends instead.
    pub(crate) async fn open(
        address: SocketAddr,
        tokens: &[impl AsRef<str>],
        connections: u32,
        each: u32,
        sample_every: usize,
    ) -> Result<Self> {
        let shared = Rc::new(Shared {
            streams: connections * each,
            sample_every,
            opened: Cell::default(),
            deliveries: Cell::default(),
            complete: Cell::default(),
            arrived: RefCell::new(vec![0; MAX_SPREAD]),
            latencies: RefCell::default(),
            increased: Notify::new(),
            scratch: RefCell::new(vec![0; SCRATCH]),
        });
        let mut subscribers = Self { shared, connections: JoinSet::new() };
        let mut tokens = tokens.iter().map(AsRef::as_ref).cycle();
        for number in 1..=connections {
            let tokens = tokens.by_ref().take(each as usize);
            let connection = Connection::open(address, tokens, Rc::clone(&subscribers.shared)).await?;
            subscribers.connections.spawn_local(connection.run());
            // One connection after the other: a burst of handshakes would distort what the streams cost.
            subscribers.wait_until(|shared| shared.opened.get() == number * each).await?;
        }
        Ok(subscribers)
    }

    /// Returns the number of deliveries so far, which is messages times streams.
    pub(crate) fn deliveries(&self) -> u64 {
        self.shared.deliveries.get()
    }

    /// Returns the number of messages that every stream has received.
    pub(crate) fn complete(&self) -> u64 {
        self.shared.complete.get()
    }

    /// Waits until every stream has received more than `count` messages.
    ///
    /// # Errors
    /// If a stream ends, or the wait takes a minute.
    pub(crate) async fn wait_beyond(&mut self, count: u64) -> Result<()> {
        self.wait_until(|shared| shared.complete.get() > count).await
    }

    /// Returns the latencies since the last call, from the time in the body to the read.
    pub(crate) fn take_latencies(&self) -> Latencies {
        self.shared.latencies.take()
    }

    async fn wait_until(&mut self, done: impl Fn(&Shared) -> bool) -> Result<()> {
        let waiting = tokio::time::sleep(WAIT_TIMEOUT);
        tokio::pin!(waiting);
        while !done(&self.shared) {
            tokio::select! {
                () = self.shared.increased.notified() => {}
                Some(ended) = self.connections.join_next() => {
                    ended.context("a connection's task failed")??;
                    bail!("a connection of streams was closed");
                }
                () = &mut waiting => bail!(
                    "waited a minute: {} of {} streams are open, and each has at least {} messages",
                    self.shared.opened.get(), self.shared.streams, self.shared.complete.get(),
                ),
            }
        }
        Ok(())
    }
}

impl Shared {
    fn count(&self, stream: &mut Subscription, sampled: bool, now: Duration, event: &[u8]) {
        if event.first() == Some(&MESSAGE) {
            let mut arrived = self.arrived.borrow_mut();
            let streams = &mut arrived[stream.messages % MAX_SPREAD];
            stream.messages += 1;
            *streams += 1;
            self.deliveries.set(self.deliveries.get() + 1);
            if *streams == self.streams {
                *streams = 0;
                self.complete.set(self.complete.get() + 1);
                self.increased.notify_one();
            }
            if sampled {
                let body = wire::field(event, 2).and_then(|message| wire::field(message, 2));
                if let Some(sent) = body.and_then(stamp::sent) {
                    self.latencies.borrow_mut().add(now.saturating_sub(sent));
                }
            }
        } else if !stream.open {
            stream.open = true;
            self.opened.set(self.opened.get() + 1);
            self.increased.notify_one();
        }
    }
}

#[derive(Debug, Default)]
struct Subscription {
    open: bool,
    messages: usize,
    pieces: Messages,
}

#[derive(Debug)]
struct Connection {
    socket: TcpStream,
    streams: Vec<Subscription>,
    shared: Rc<Shared>,
    /// An incomplete frame.
    rest: Vec<u8>,
    /// The received bytes since the connection's window was last refilled.
    received: u32,
    /// Frames to send.
    answer: Vec<u8>,
}

impl Connection {
    async fn open<'t>(
        address: SocketAddr,
        tokens: impl Iterator<Item = &'t str>,
        shared: Rc<Shared>,
    ) -> Result<Self> {
        let mut socket = TcpStream::connect(address).await?;
        socket.set_nodelay(true)?;
        let mut out = PREFACE.to_vec();
        frames::settings(&mut out, &[(setting::INITIAL_WINDOW_SIZE, LARGEST_WINDOW)]);
        frame(&mut out, kind::WINDOW_UPDATE, 0, 0, &(LARGEST_WINDOW - FIRST_WINDOW).to_be_bytes());
        let mut streams = Vec::new();
        for (stream, token) in (1..).step_by(2).zip(tokens) {
            let headers = frames::call(address, "/grpcchatter.v1.ChatService/Subscribe", token);
            frame(&mut out, kind::HEADERS, flag::END_HEADERS, stream, &headers);
            // An empty SubscribeRequest: the stream begins with the next message.
            frame(&mut out, kind::DATA, flag::END_STREAM, stream, &[0; wire::PREFIX]);
            streams.push(Subscription::default());
        }
        socket.write_all(&out).await?;
        Ok(Self { socket, streams, shared, rest: Vec::new(), received: 0, answer: Vec::new() })
    }

    async fn run(mut self) -> Result<()> {
        let shared = Rc::clone(&self.shared);
        loop {
            let kept = self.rest.len();
            let read = poll_fn(|context| {
                let mut scratch = shared.scratch.borrow_mut();
                scratch[..kept].copy_from_slice(&self.rest);
                let mut buffer = ReadBuf::new(&mut scratch[kept..]);
                let read = Pin::new(&mut self.socket).poll_read(context, &mut buffer);
                read.map_ok(|()| buffer.filled().len())
            })
            .await?;
            ensure!(read > 0, "the server closed the connection");
            self.frames(&shared.scratch.borrow()[..kept + read])?;
            if !self.answer.is_empty() {
                self.socket.write_all(&self.answer).await?;
                self.answer.clear();
            }
        }
    }

    fn frames(&mut self, mut bytes: &[u8]) -> Result<()> {
        let now = stamp::now();
        while let Some((received @ Frame { kind, flags, stream, payload }, rest)) = Frame::first(bytes) {
            match kind {
                kind::DATA => self.data(stream, payload, now)?,
                kind::SETTINGS if flags & flag::ACK == 0 => {
                    frame(&mut self.answer, kind::SETTINGS, flag::ACK, 0, &[]);
                }
                kind::PING if flags & flag::ACK == 0 => {
                    frame(&mut self.answer, kind::PING, flag::ACK, 0, payload);
                }
                kind::RST_STREAM | kind::GOAWAY => bail!("the server ended stream {stream}: {payload:?}"),
                _ => {}
            }
            ensure!(!received.ends(), "stream {stream} ended with a status");
            bytes = rest;
        }
        self.rest.clear();
        self.rest.extend_from_slice(bytes);
        Ok(())
    }

    fn data(&mut self, stream: u32, payload: &[u8], now: Duration) -> Result<()> {
        let index = (stream as usize) / 2;
        let sampled = index.is_multiple_of(self.shared.sample_every);
        let stream = self.streams.get_mut(index).context("data on a stream that was never opened")?;
        let mut pieces = std::mem::take(&mut stream.pieces);
        pieces.feed(payload, |event| self.shared.count(stream, sampled, now, event));
        stream.pieces = pieces;
        self.received += u32::try_from(payload.len())?;
        if self.received > REFILL {
            frame(&mut self.answer, kind::WINDOW_UPDATE, 0, 0, &self.received.to_be_bytes());
            self.received = 0;
        }
        Ok(())
    }
}

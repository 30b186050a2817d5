//! Thousands of Subscribe streams that only count, with one pass over the bytes as they come from the socket.
//!
//! A general HTTP/2 client would cost more than the server under test. Here the windows are as large as HTTP/2 allows, and
//! of what comes only the length of each message is read.

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
use crate::quantiles::Quantiles;

const SCRATCH: usize = 256 * 1024;
/// The field of `SubscribeResponse` that holds a message, as its key on the wire.
const MESSAGE: u8 = 0x12;
/// How far the fastest stream may be ahead of the slowest, in messages.
const SPREAD: usize = 4096;
const PATIENCE: Duration = Duration::from_secs(60);

/// Streams in one room, over several connections; dropping it closes them.
#[derive(Debug)]
pub(crate) struct Swarm {
    tally: Rc<Tally>,
    connections: JoinSet<Result<()>>,
}

/// What all streams together have seen.
#[derive(Debug)]
struct Tally {
    streams: u32,
    /// The latency is taken on every so many streams.
    every: usize,
    /// Streams that have had their first event.
    opened: Cell<u32>,
    deliveries: Cell<u64>,
    /// Messages that every stream has.
    complete: Cell<u64>,
    /// How many streams have the message of each place, in a ring.
    arrived: RefCell<Vec<u32>>,
    latencies: RefCell<Quantiles>,
    /// Told when `opened` or `complete` has risen.
    risen: Notify,
    /// Read into by every connection in turn: thousands of own buffers would not fit in any cache.
    scratch: RefCell<Vec<u8>>,
}

impl Swarm {
    /// Opens `each` streams on each of `connections`, and returns when all have had their first event.
    ///
    /// # Errors
    /// If a stream or a connection ends instead.
    pub(crate) async fn open(
        address: SocketAddr,
        token: &str,
        connections: u32,
        each: u32,
        every: usize,
    ) -> Result<Self> {
        let tally = Rc::new(Tally {
            streams: connections * each,
            every,
            opened: Cell::default(),
            deliveries: Cell::default(),
            complete: Cell::default(),
            arrived: RefCell::new(vec![0; SPREAD]),
            latencies: RefCell::default(),
            risen: Notify::new(),
            scratch: RefCell::new(vec![0; SCRATCH]),
        });
        let mut swarm = Self { tally, connections: JoinSet::new() };
        for number in 1..=connections {
            let connection = Connection::open(address, token, each, Rc::clone(&swarm.tally)).await?;
            swarm.connections.spawn_local(connection.run());
            // One connection after the other: a burst of all would show what opening takes, not what a stream does.
            swarm.until(|tally| tally.opened.get() == number * each).await?;
        }
        Ok(swarm)
    }

    /// Returns the deliveries so far: messages times streams.
    pub(crate) fn deliveries(&self) -> u64 {
        self.tally.deliveries.get()
    }

    /// Returns how many messages every stream has.
    pub(crate) fn complete(&self) -> u64 {
        self.tally.complete.get()
    }

    /// Returns when every stream has more than `count` messages.
    ///
    /// # Errors
    /// If a stream ends, or nothing comes for a minute.
    pub(crate) async fn beyond(&mut self, count: u64) -> Result<()> {
        self.until(|tally| tally.complete.get() > count).await
    }

    /// Returns the latencies since the last call, from the body's stamp to the read.
    pub(crate) fn take_latencies(&self) -> Quantiles {
        self.tally.latencies.take()
    }

    async fn until(&mut self, done: impl Fn(&Tally) -> bool) -> Result<()> {
        let waiting = tokio::time::sleep(PATIENCE);
        tokio::pin!(waiting);
        while !done(&self.tally) {
            tokio::select! {
                () = self.tally.risen.notified() => {}
                Some(ended) = self.connections.join_next() => {
                    ended.context("a connection's task failed")??;
                    bail!("a connection of streams was closed");
                }
                () = &mut waiting => bail!(
                    "waited a minute: {} of {} streams are open, and all of them have {} messages",
                    self.tally.opened.get(), self.tally.streams, self.tally.complete.get(),
                ),
            }
        }
        Ok(())
    }
}

impl Tally {
    fn event(&self, stream: &mut Subscription, sampled: bool, now: Duration, event: &[u8]) {
        if event.first() == Some(&MESSAGE) {
            let mut arrived = self.arrived.borrow_mut();
            let place = &mut arrived[stream.messages % SPREAD];
            stream.messages += 1;
            *place += 1;
            self.deliveries.set(self.deliveries.get() + 1);
            if *place == self.streams {
                *place = 0;
                self.complete.set(self.complete.get() + 1);
                self.risen.notify_one();
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
            self.risen.notify_one();
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
    tally: Rc<Tally>,
    /// The beginning of a frame whose end has not come.
    rest: Vec<u8>,
    /// Taken from the connection's window since it was last refilled.
    taken: u32,
    answer: Vec<u8>,
}

impl Connection {
    async fn open(address: SocketAddr, token: &str, streams: u32, tally: Rc<Tally>) -> Result<Self> {
        let mut socket = TcpStream::connect(address).await?;
        socket.set_nodelay(true)?;
        let mut out = PREFACE.to_vec();
        frames::settings(&mut out, &[(setting::INITIAL_WINDOW_SIZE, LARGEST_WINDOW)]);
        frame(&mut out, kind::WINDOW_UPDATE, 0, 0, &(LARGEST_WINDOW - FIRST_WINDOW).to_be_bytes());
        let headers = frames::call(address, "/grpcchatter.v1.ChatService/Subscribe", token);
        for stream in 0..streams {
            frame(&mut out, kind::HEADERS, flag::END_HEADERS, 2 * stream + 1, &headers);
            // One empty SubscribeRequest: from now on.
            frame(&mut out, kind::DATA, flag::END_STREAM, 2 * stream + 1, &[0; wire::PREFIX]);
        }
        socket.write_all(&out).await?;
        let streams = (0..streams).map(|_| Subscription::default()).collect();
        Ok(Self { socket, streams, tally, rest: Vec::new(), taken: 0, answer: Vec::new() })
    }

    async fn run(mut self) -> Result<()> {
        let tally = Rc::clone(&self.tally);
        loop {
            let kept = self.rest.len();
            let read = poll_fn(|context| {
                let mut scratch = tally.scratch.borrow_mut();
                scratch[..kept].copy_from_slice(&self.rest);
                let mut buffer = ReadBuf::new(&mut scratch[kept..]);
                let read = Pin::new(&mut self.socket).poll_read(context, &mut buffer);
                read.map_ok(|()| buffer.filled().len())
            })
            .await?;
            ensure!(read > 0, "the server closed the connection");
            self.frames(&tally.scratch.borrow()[..kept + read])?;
            if !self.answer.is_empty() {
                self.socket.write_all(&self.answer).await?;
                self.answer.clear();
            }
        }
    }

    fn frames(&mut self, mut bytes: &[u8]) -> Result<()> {
        let now = stamp::now();
        while let Some((came @ Frame { kind, flags, stream, payload }, rest)) = Frame::first(bytes) {
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
            ensure!(!came.ends(), "stream {stream} ended with a status");
            bytes = rest;
        }
        self.rest.clear();
        self.rest.extend_from_slice(bytes);
        Ok(())
    }

    fn data(&mut self, stream: u32, payload: &[u8], now: Duration) -> Result<()> {
        let index = (stream as usize) / 2;
        let sampled = index.is_multiple_of(self.tally.every);
        let stream = self.streams.get_mut(index).context("data on a stream that was never opened")?;
        let mut pieces = std::mem::take(&mut stream.pieces);
        pieces.feed(payload, |event| self.tally.event(stream, sampled, now, event));
        stream.pieces = pieces;
        self.taken += u32::try_from(payload.len())?;
        if self.taken > REFILL {
            frame(&mut self.answer, kind::WINDOW_UPDATE, 0, 0, &self.taken.to_be_bytes());
            self.taken = 0;
        }
        Ok(())
    }
}

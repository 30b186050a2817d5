//! A connection of a flood.

use std::{collections::HashMap, io, pin::pin, rc::Rc};

use anyhow::{Result, bail, ensure};
use tokio::{
    io::Interest,
    net::TcpStream,
    time::{Instant, sleep_until},
};

use super::Shared;
use crate::load::{
    frames::{self, FIRST_WINDOW, Frame, LARGEST_WINDOW, PREFACE, REFILL, flag, frame, kind, setting},
    wire,
};

const BUFFER: usize = 64 * 1024;
/// The first bytes of an answer that are kept.
const KEPT: usize = 1024;
/// `:status 200` in HPACK's static table (RFC 7541, appendix A).
const OK: u8 = 0x88;
/// The three highest bits of a change of the HPACK table's size (RFC 7541, 6.3).
const TABLE_SIZE: u8 = 0x20;

/// A call under way.
#[derive(Debug, Default)]
struct Call {
    /// Whether the status is 200.
    ok: bool,
    body: Vec<u8>,
}

pub(super) struct Connection {
    socket: TcpStream,
    shared: Rc<Shared>,
    calls: HashMap<u32, Call>,
    /// The most calls under way.
    max_calls: usize,
    /// The next stream's id.
    stream: u32,
    /// The bytes that may be sent before the server refills the connection's window.
    window: usize,
    /// The received bytes since the client refilled its window.
    received: u32,
    /// The time of the next request, if the flood has a pace.
    next: Instant,
    /// An incomplete frame.
    rest: Vec<u8>,
    /// Frames to send.
    out: Vec<u8>,
}

impl Connection {
    pub(super) fn new(socket: TcpStream, shared: Rc<Shared>) -> Self {
        let max_calls = shared.flood.calls_each;
        Self {
            socket,
            shared,
            calls: HashMap::with_capacity(max_calls),
            max_calls,
            stream: 1,
            window: FIRST_WINDOW as usize,
            received: 0,
            next: Instant::now(),
            rest: Vec::new(),
            out: Vec::new(),
        }
    }

    /// Keeps the calls under way until the flood is over.
    ///
    /// # Errors
    /// If the server ends the connection.
    pub(super) async fn run(mut self) -> Result<()> {
        self.socket.set_nodelay(true)?;
        let window = if self.shared.flood.reads { LARGEST_WINDOW } else { 0 };
        self.out.extend_from_slice(PREFACE);
        // Without a dynamic table, each answer's headers can be decoded by themselves.
        let settings = [(setting::HEADER_TABLE_SIZE, 0), (setting::INITIAL_WINDOW_SIZE, window)];
        frames::settings(&mut self.out, &settings);
        frame(&mut self.out, kind::WINDOW_UPDATE, 0, 0, &(LARGEST_WINDOW - FIRST_WINDOW).to_be_bytes());
        let mut buffer = vec![0; BUFFER];
        while !self.shared.over() {
            while self.calls.len() < self.max_calls && self.is_due() && self.send(&[]) {}
            let interest = match self.out.is_empty() {
                true => Interest::READABLE,
                false => Interest::READABLE | Interest::WRITABLE,
            };
            let paced = self.shared.flood.pace.is_some() && self.calls.len() < self.max_calls;
            let ready = {
                let pause = pin!(sleep_until(self.next));
                tokio::select! {
                    ready = self.socket.ready(interest) => ready?,
                    () = pause, if paced => continue,
                }
            };
            if ready.is_writable()
                && let Some(written) = unless_blocked(self.socket.try_write(&self.out))?
            {
                self.out.drain(..written);
            }
            if ready.is_readable()
                && let Some(read) = unless_blocked(self.socket.try_read(&mut buffer))?
            {
                ensure!(read > 0, "the server closed the connection");
                self.rest.extend_from_slice(&buffer[..read]);
                let bytes = std::mem::take(&mut self.rest);
                let rest = self.frames(&bytes)?;
                self.rest = bytes[bytes.len() - rest..].to_vec();
            }
        }
        Ok(())
    }

    fn is_due(&self) -> bool {
        self.shared.flood.pace.is_none() || self.next <= Instant::now()
    }

    /// Appends the next call to the output, and returns true; does nothing and returns false if the window is nearly full.
    fn send(&mut self, answer: &[u8]) -> bool {
        // The next WINDOW_UPDATE of the server lets the call be sent.
        if self.window < KEPT {
            return false;
        }
        if let Some(pace) = self.shared.flood.pace {
            self.next += pace;
        }
        let request = self.shared.next(answer);
        let flags = flag::END_HEADERS | if request.body.is_empty() { flag::END_STREAM } else { 0 };
        frame(&mut self.out, kind::HEADERS, flags, self.stream, &request.head);
        if !request.body.is_empty() {
            frame(&mut self.out, kind::DATA, flag::END_STREAM, self.stream, &request.body);
        }
        self.window = self.window.saturating_sub(request.body.len());
        self.calls.insert(self.stream, Call::default());
        self.stream += 2;
        true
    }

    /// Handles the complete frames in `bytes`, and returns the length of the incomplete one after them.
    fn frames(&mut self, mut bytes: &[u8]) -> Result<usize> {
        while let Some((received, rest)) = Frame::first(bytes) {
            self.receive(received)?;
            bytes = rest;
        }
        Ok(bytes.len())
    }

    fn receive(&mut self, received: Frame<'_>) -> Result<()> {
        match received.kind {
            kind::HEADERS => {
                if let Some(call) = self.calls.get_mut(&received.stream) {
                    let first = received.payload.iter().find(|&&byte| byte >> 5 != TABLE_SIZE >> 5);
                    call.ok |= first == Some(&OK);
                }
            }
            kind::DATA => {
                if let Some(call) = self.calls.get_mut(&received.stream) {
                    let kept = received.payload.len().min(KEPT.saturating_sub(call.body.len()));
                    call.body.extend_from_slice(&received.payload[..kept]);
                }
                self.received += u32::try_from(received.payload.len())?;
                if self.received > REFILL {
                    frame(&mut self.out, kind::WINDOW_UPDATE, 0, 0, &self.received.to_be_bytes());
                    self.received = 0;
                }
            }
            kind::SETTINGS if received.flags & flag::ACK == 0 => {
                for pair in received.payload.as_chunks::<6>().0 {
                    let &[a, b, w, x, y, z] = pair;
                    if u16::from_be_bytes([a, b]) == setting::MAX_CONCURRENT_STREAMS {
                        let theirs = u32::from_be_bytes([w, x, y, z]) as usize;
                        self.max_calls = self.shared.flood.calls_each.min(theirs);
                    }
                }
                frame(&mut self.out, kind::SETTINGS, flag::ACK, 0, &[]);
            }
            kind::PING if received.flags & flag::ACK == 0 => {
                frame(&mut self.out, kind::PING, flag::ACK, 0, received.payload);
            }
            kind::WINDOW_UPDATE if received.stream == 0 => {
                let more = received.payload.first_chunk().map_or(0, |more| u32::from_be_bytes(*more));
                self.window += more as usize;
            }
            kind::RST_STREAM if self.calls.remove(&received.stream).is_some() => self.shared.count(false),
            kind::GOAWAY => bail!("the server ends the connection"),
            _ => {}
        }
        if received.ends()
            && let Some(call) = self.calls.remove(&received.stream)
        {
            self.ended(&call);
        }
        Ok(())
    }

    fn ended(&mut self, call: &Call) {
        // A refused gRPC call has no body, and another refused request has another status.
        let answered = call.ok && !call.body.is_empty();
        self.shared.count(answered);
        if !self.shared.over() && self.calls.len() < self.max_calls && self.is_due() {
            self.send(call.body.get(wire::PREFIX..).unwrap_or_default());
        }
    }
}

/// Returns nothing if the socket was not ready.
fn unless_blocked(done: io::Result<usize>) -> io::Result<Option<usize>> {
    match done {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        done => done.map(Some),
    }
}

//! One connection of a flood.

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
/// So much of an answer is kept.
const KEPT: usize = 1024;
/// `:status 200` in HPACK's static table (RFC 7541, appendix A).
const OK: u8 = 0x88;
/// What a change of the table's size begins with, in the three highest bits.
const TABLE_SIZE: u8 = 0x20;

/// A call that is under way.
#[derive(Debug, Default)]
struct Call {
    /// Whether the headers said 200.
    ok: bool,
    body: Vec<u8>,
}

pub(super) struct Connection {
    socket: TcpStream,
    shared: Rc<Shared>,
    calls: HashMap<u32, Call>,
    /// How many may be under way.
    room: usize,
    stream: u32,
    /// What may still be sent before the server opens the connection's window further.
    window: usize,
    /// Taken from our own window since it was last refilled.
    taken: u32,
    next: Instant,
    came: Vec<u8>,
    out: Vec<u8>,
}

impl Connection {
    pub(super) fn new(socket: TcpStream, shared: Rc<Shared>) -> Self {
        let room = shared.flood.under_way;
        Self {
            socket,
            shared,
            calls: HashMap::with_capacity(room),
            room,
            stream: 1,
            window: FIRST_WINDOW as usize,
            taken: 0,
            next: Instant::now(),
            came: Vec::new(),
            out: Vec::new(),
        }
    }

    /// Keeps the calls under way until the flood is over.
    ///
    /// # Errors
    /// When the server ends the connection.
    pub(super) async fn run(mut self) -> Result<()> {
        self.socket.set_nodelay(true)?;
        let window = if self.shared.flood.reads { LARGEST_WINDOW } else { 0 };
        self.out.extend_from_slice(PREFACE);
        // Without a table, each answer's headers can be looked at by themselves.
        let settings = [(setting::HEADER_TABLE_SIZE, 0), (setting::INITIAL_WINDOW_SIZE, window)];
        frames::settings(&mut self.out, &settings);
        frame(&mut self.out, kind::WINDOW_UPDATE, 0, 0, &(LARGEST_WINDOW - FIRST_WINDOW).to_be_bytes());
        let mut buffer = vec![0; BUFFER];
        while !self.shared.over() {
            while self.calls.len() < self.room && self.is_time() && self.send(&[]) {}
            let interest = match self.out.is_empty() {
                true => Interest::READABLE,
                false => Interest::READABLE | Interest::WRITABLE,
            };
            let paced = self.shared.flood.pace.is_some() && self.calls.len() < self.room;
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
                self.came.extend_from_slice(&buffer[..read]);
                let came = std::mem::take(&mut self.came);
                let rest = self.frames(&came)?;
                self.came = came[came.len() - rest..].to_vec();
            }
        }
        Ok(())
    }

    fn is_time(&self) -> bool {
        self.shared.flood.pace.is_none() || self.next <= Instant::now()
    }

    /// Puts the next call behind what is to be written, unless the window is closed.
    fn send(&mut self, answer: &[u8]) -> bool {
        // Beyond this the server takes no more for the moment: what is written later is as good.
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

    /// Takes the frames that came, and returns how many bytes behind them are the beginning of another.
    fn frames(&mut self, mut bytes: &[u8]) -> Result<usize> {
        while let Some((came, rest)) = Frame::first(bytes) {
            self.take(came)?;
            bytes = rest;
        }
        Ok(bytes.len())
    }

    fn take(&mut self, came: Frame<'_>) -> Result<()> {
        match came.kind {
            kind::HEADERS => {
                if let Some(call) = self.calls.get_mut(&came.stream) {
                    let first = came.payload.iter().find(|&&byte| byte >> 5 != TABLE_SIZE >> 5);
                    call.ok |= first == Some(&OK);
                }
            }
            kind::DATA => {
                if let Some(call) = self.calls.get_mut(&came.stream) {
                    let kept = came.payload.len().min(KEPT.saturating_sub(call.body.len()));
                    call.body.extend_from_slice(&came.payload[..kept]);
                }
                self.taken += u32::try_from(came.payload.len())?;
                if self.taken > REFILL {
                    frame(&mut self.out, kind::WINDOW_UPDATE, 0, 0, &self.taken.to_be_bytes());
                    self.taken = 0;
                }
            }
            kind::SETTINGS if came.flags & flag::ACK == 0 => {
                for pair in came.payload.as_chunks::<6>().0 {
                    let &[a, b, w, x, y, z] = pair;
                    if u16::from_be_bytes([a, b]) == setting::MAX_CONCURRENT_STREAMS {
                        let theirs = u32::from_be_bytes([w, x, y, z]) as usize;
                        self.room = self.shared.flood.under_way.min(theirs);
                    }
                }
                frame(&mut self.out, kind::SETTINGS, flag::ACK, 0, &[]);
            }
            kind::PING if came.flags & flag::ACK == 0 => {
                frame(&mut self.out, kind::PING, flag::ACK, 0, came.payload);
            }
            kind::WINDOW_UPDATE if came.stream == 0 => {
                let more = came.payload.first_chunk().map_or(0, |more| u32::from_be_bytes(*more));
                self.window += more as usize;
            }
            kind::RST_STREAM if self.calls.remove(&came.stream).is_some() => self.shared.count(false),
            kind::GOAWAY => bail!("the server ends the connection"),
            _ => {}
        }
        if came.ends()
            && let Some(call) = self.calls.remove(&came.stream)
        {
            self.ended(&call);
        }
        Ok(())
    }

    fn ended(&mut self, call: &Call) {
        // A call that is refused has an answer of headers alone; of other requests it has another status.
        let answered = call.ok && !call.body.is_empty();
        self.shared.count(answered);
        if !self.shared.over() && self.calls.len() < self.room && self.is_time() {
            self.send(call.body.get(wire::PREFIX..).unwrap_or_default());
        }
    }
}

/// Returns nothing where the socket was not ready after all.
fn unless_blocked(done: io::Result<usize>) -> io::Result<Option<usize>> {
    match done {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        done => done.map(Some),
    }
}

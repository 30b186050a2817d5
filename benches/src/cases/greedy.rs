//! Whether somebody who chats notices greedy clients: one that sends a byte a second, one that opens a thousand
//! connections, one that opens and resets 100,000 streams.

use std::{
    io::Write as _,
    net::{SocketAddr, TcpStream},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};

use super::Scale;
use crate::{
    load::{grpc::Connection, talker::Talker},
    process::Process,
    quantiles::Quantiles,
    report::Row,
    server::Gateway,
};

/// How often the victim says something, once the last was answered.
const PACE: Duration = Duration::from_millis(5);
const CONNECTIONS: usize = 1_000;
const RESETS: u32 = 100_000;

/// HTTP/2's preface, and settings with nothing in them.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// What a greedy client does to a server for some time; returns how much of it.
type Greed = fn(SocketAddr, Duration) -> Result<u32>;

pub(super) async fn run(gateway: &Gateway, scale: Scale) -> Result<Vec<Row>> {
    let token = gateway.senders.first().context("no room was made")?;
    let mut rows = Vec::new();
    let cases: [(&str, Greed); 3] =
        [("a byte a second", drip), ("1,000 connections", crowd), ("100,000 resets", reset)];
    for (name, greed) in cases {
        let process = gateway.start()?;
        let mut quiet = chat(&process, token, |elapsed| elapsed >= scale.round).await?;
        let (address, round) = (process.address, scale.round);
        let greedy = thread::spawn(move || greed(address, round));
        let mut pressed = chat(&process, token, |_| greedy.is_finished()).await?;
        let count = greedy.join().ok().context("a greedy client panicked")??;
        process.stop()?;
        let (before, during) = (quiet.at(0.99), pressed.at(0.99));
        rows.push(Row::new(format!("beside {name}: answer p50, ms"), pressed.at(0.5)).beside(quiet.at(0.5)));
        rows.push(
            Row::new(format!("beside {name} ({count}): answer p99, ms"), during)
                .beside(before)
                .at_most(f64::max(2.0 * before, 50.0), before),
        );
    }
    Ok(rows)
}

/// Chats until `enough` of the time that passed, and returns how long each answer took.
async fn chat(process: &Process, token: &str, enough: impl Fn(Duration) -> bool) -> Result<Quantiles> {
    let connection = Connection::open(process.address).await?;
    let mut talker = Talker::open(&connection, token).await?;
    let mut pace = tokio::time::interval(PACE);
    let start = Instant::now();
    while !enough(start.elapsed()) {
        pace.tick().await;
        talker.send(1)?;
        talker.until_waiting(0).await?;
    }
    Ok(talker.take_latencies())
}

/// Sends a byte a second, as HTTP/1.1 and as HTTP/2.
fn drip(address: SocketAddr, time: Duration) -> Result<u32> {
    let mut sockets = [TcpStream::connect(address)?, TcpStream::connect(address)?];
    let said: [&[u8]; 2] = [b"GET /livez HTTP/1.1\r\nx: a header that takes its time", PREFACE];
    let start = Instant::now();
    let mut sent = 0;
    while start.elapsed() < time {
        for (socket, said) in sockets.iter_mut().zip(said) {
            // Once it is closed, there is nothing left to be greedy with.
            drop(socket.write_all(&said[sent as usize % said.len()..][..1]));
        }
        sent += 1;
        thread::sleep(Duration::from_secs(1));
    }
    Ok(sent)
}

/// Opens many connections, each with half a request, and holds them.
fn crowd(address: SocketAddr, time: Duration) -> Result<u32> {
    let start = Instant::now();
    let mut sockets = Vec::with_capacity(CONNECTIONS);
    for _ in 0..CONNECTIONS {
        let mut socket = TcpStream::connect(address)?;
        drop(socket.write_all(b"GET /livez HTTP/1.1\r\n"));
        sockets.push(socket);
    }
    thread::sleep(time.saturating_sub(start.elapsed()));
    Ok(u32::try_from(sockets.len())?)
}

/// Opens streams and resets them, on a new connection each time that the server has had enough.
fn reset(address: SocketAddr, time: Duration) -> Result<u32> {
    let start = Instant::now();
    let mut sent = 0;
    while sent < RESETS || start.elapsed() < time {
        let mut socket = TcpStream::connect(address)?;
        if socket.write_all(PREFACE).is_err() {
            continue;
        }
        let mut stream = 1_u32;
        while socket.write_all(&resets(stream)).is_ok() {
            sent += BURST;
            stream += 2 * BURST;
        }
    }
    Ok(sent)
}

const BURST: u32 = 100;

/// Returns the frames that open and reset so many streams.
fn resets(first: u32) -> Vec<u8> {
    // `:method POST`, `:scheme http`, `:path /`, `:authority x` (RFC 7541, appendix A).
    let head = [0x83, 0x86, 0x84, 0x01, 1, b'x'];
    let mut frames = Vec::new();
    for stream in (first..).step_by(2).take(BURST as usize) {
        frames.extend([0, 0, 6, 1, 4]);
        frames.extend(stream.to_be_bytes());
        frames.extend(head);
        frames.extend([0, 0, 4, 3, 0]);
        frames.extend(stream.to_be_bytes());
        frames.extend(8_u32.to_be_bytes());
    }
    frames
}

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
use crate::{load::victim, report::Row, server::Gateway};

const DRIPPING: usize = 100;
/// For longer than any of the deadlines that it must run into.
const DRIPPING_FOR: Duration = Duration::from_secs(30);
const CONNECTIONS: usize = 1_000;
const RESETS: u32 = 100_000;

/// HTTP/2's preface, and settings with nothing in them.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// What a greedy client does to a server for some time; returns how much of it.
type Greed = fn(SocketAddr, Duration) -> Result<u32>;

pub(super) async fn run(gateway: &Gateway, scale: Scale) -> Result<Vec<Row>> {
    let token = gateway.senders.first().context("no room was made")?;
    let mut rows = Vec::new();
    let dripping = if scale.quick { scale.round } else { DRIPPING_FOR };
    let cases: [(&str, Greed, Duration); 3] = [
        ("a byte a second on 100 sockets", drip, dripping),
        ("1,000 connections", crowd, scale.round),
        ("100,000 resets", reset, scale.round),
    ];
    for (name, greed, time) in cases {
        let process = gateway.start()?;
        let mut quiet = victim::chat(process.address, token, |elapsed| elapsed >= scale.round).await?;
        let address = process.address;
        let greedy = thread::spawn(move || greed(address, time));
        let mut pressed = victim::chat(process.address, token, |_| greedy.is_finished()).await?;
        let count = greedy.join().ok().context("a greedy client panicked")??;
        process.stop()?;
        let (before, during) = (quiet.at(0.99), pressed.at(0.99));
        rows.push(Row::new(format!("{name}: how many"), f64::from(count)));
        rows.push(
            Row::new(format!("{name}: p50 of an answer on Chat, ms (before)"), pressed.at(0.5))
                .beside(quiet.at(0.5)),
        );
        rows.push(
            Row::new(format!("{name}: p99 of an answer on Chat, ms (before)"), during)
                .beside(before)
                .at_most(f64::max(2.0 * before, 50.0), before),
        );
    }
    Ok(rows)
}

/// Sends a byte a second on each of a hundred sockets, as what [`slowly`] says by turns.
fn drip(address: SocketAddr, time: Duration) -> Result<u32> {
    let said = slowly();
    let mut sockets = (0..DRIPPING).map(|_| TcpStream::connect(address)).collect::<Result<Vec<_>, _>>()?;
    for (socket, (at_once, _)) in sockets.iter_mut().zip(said.iter().cycle()) {
        socket.write_all(at_once)?;
    }
    let start = Instant::now();
    for second in 0_usize.. {
        if start.elapsed() >= time {
            break;
        }
        for (socket, (_, slowly)) in sockets.iter_mut().zip(said.iter().cycle()) {
            // Once it is closed, there is nothing left to be greedy with.
            drop(socket.write_all(&slowly[second % slowly.len()..][..1]));
        }
        thread::sleep(Duration::from_secs(1));
    }
    Ok(u32::try_from(sockets.len())?)
}

/// Returns what is sent at once, and then byte by byte: a head and a body, of HTTP/1.1 and of HTTP/2.
fn slowly() -> [(Vec<u8>, Vec<u8>); 4] {
    let body =
        b"POST /login HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n";
    let mut stream = PREFACE.to_vec();
    // `:method POST`, `:scheme http`, `:path /login`, `:authority x` (RFC 7541, appendix A and 6.2.2), then a DATA frame
    // whose 1,000 bytes never all come.
    stream.extend(b"\0\0\x0d\x01\x04\0\0\0\x01\x83\x86\x04\x06/login\x01\x01x");
    stream.extend(b"\0\x03\xe8\0\0\0\0\0\x01");
    [
        (Vec::new(), b"GET /livez HTTP/1.1\r\nx: a header that takes its time".to_vec()),
        (body.to_vec(), b"{".to_vec()),
        (Vec::new(), PREFACE.to_vec()),
        (stream, b"{".to_vec()),
    ]
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

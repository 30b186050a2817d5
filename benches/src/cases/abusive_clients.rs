//! Delays of a Chat stream beside an abusive client: one that sends a byte a second on many sockets, one that holds a
//! thousand connections, and one that opens and resets 100,000 streams.

use std::{
    io::Write as _,
    net::{SocketAddr, TcpStream},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};

use super::Scale;
use crate::{load::bystander, report::Row, server::Gateway};

const SLOW_SOCKETS: usize = 100;
/// Longer than every deadline of the server that applies.
const SLOW_TIME: Duration = Duration::from_secs(30);
const CONNECTIONS: usize = 1_000;
const RESETS: u32 = 100_000;
const RESETS_PER_WRITE: u32 = 100;

/// The HTTP/2 preface with an empty SETTINGS frame.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// Abuses a server for some time; returns the number of sockets or resets.
type Abuse = fn(SocketAddr, Duration) -> Result<u32>;

pub(super) async fn run(gateway: &Gateway, scale: Scale) -> Result<Vec<Row>> {
    let token = gateway.senders.first().context("no room was made")?;
    let mut rows = Vec::new();
    let slow_time = if scale.quick { scale.round } else { SLOW_TIME };
    let cases: [(&str, Abuse, Duration); 3] = [
        ("a byte a second on 100 sockets", send_slowly, slow_time),
        ("1,000 connections", hold_connections, scale.round),
        ("100,000 resets", reset_streams, scale.round),
    ];
    for (name, abuse, time) in cases {
        let process = gateway.start().await?;
        let address = process.address;
        let mut quiet = bystander::chat(address, token, |elapsed| elapsed >= scale.round).await?;
        let abuser = thread::spawn(move || abuse(address, time));
        let mut disturbed = bystander::chat(address, token, |_| abuser.is_finished()).await?;
        let count = abuser.join().ok().context("an abusive client panicked")??;
        process.stop().await?;
        let (before, during) = (quiet.quantile(0.99), disturbed.quantile(0.99));
        rows.push(Row::new(format!("{name}: count"), f64::from(count)));
        rows.push(
            Row::new(format!("{name}: p50 of an answer on Chat, ms (before)"), disturbed.quantile(0.5))
                .beside(quiet.quantile(0.5)),
        );
        rows.push(
            Row::new(format!("{name}: p99 of an answer on Chat, ms (before)"), during)
                .beside(before)
                .at_most(f64::max(2.0 * before, 50.0), before),
        );
    }
    Ok(rows)
}

/// Sends a byte a second on each of a hundred sockets, which use the [`slow_requests`] in turn.
fn send_slowly(address: SocketAddr, time: Duration) -> Result<u32> {
    let requests = slow_requests();
    let mut sockets =
        (0..SLOW_SOCKETS).map(|_| TcpStream::connect(address)).collect::<Result<Vec<_>, _>>()?;
    for (socket, (start, _)) in sockets.iter_mut().zip(requests.iter().cycle()) {
        socket.write_all(start)?;
    }
    let start = Instant::now();
    for second in 0_usize.. {
        if start.elapsed() >= time {
            break;
        }
        for (socket, (_, rest)) in sockets.iter_mut().zip(requests.iter().cycle()) {
            // It fails once the server has closed the socket.
            drop(socket.write_all(&rest[second % rest.len()..][..1]));
        }
        thread::sleep(Duration::from_secs(1));
    }
    Ok(u32::try_from(sockets.len())?)
}

/// Returns requests, each as the bytes that are sent at once, and the bytes that follow one by one and then repeat: a head
/// and a body, of HTTP/1.1 and of HTTP/2.
fn slow_requests() -> [(Vec<u8>, Vec<u8>); 4] {
    let body =
        b"POST /login HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n";
    let mut stream = PREFACE.to_vec();
    // `:method POST`, `:scheme http`, `:path /login`, `:authority x` (RFC 7541, appendix A and 6.2.2), then a DATA frame
    // of 1,000 bytes that never arrive completely.
    stream.extend(b"\0\0\x0d\x01\x04\0\0\0\x01\x83\x86\x04\x06/login\x01\x01x");
    stream.extend(b"\0\x03\xe8\0\0\0\0\0\x01");
    [
        (Vec::new(), b"GET /livez HTTP/1.1\r\nx: a header that takes its time".to_vec()),
        (body.to_vec(), b"{".to_vec()),
        (Vec::new(), PREFACE.to_vec()),
        (stream, b"{".to_vec()),
    ]
}

/// Opens many connections, sends half a request on each, and holds them.
fn hold_connections(address: SocketAddr, time: Duration) -> Result<u32> {
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

/// Opens and resets streams, on a new connection whenever the server closes the old one.
fn reset_streams(address: SocketAddr, time: Duration) -> Result<u32> {
    let start = Instant::now();
    let mut sent = 0;
    while sent < RESETS || start.elapsed() < time {
        let mut socket = TcpStream::connect(address)?;
        if socket.write_all(PREFACE).is_err() {
            continue;
        }
        let mut stream = 1_u32;
        while socket.write_all(&resets(stream)).is_ok() {
            sent += RESETS_PER_WRITE;
            stream += 2 * RESETS_PER_WRITE;
        }
    }
    Ok(sent)
}

/// Returns the frames that open and reset [`RESETS_PER_WRITE`] streams, from the id `first` on.
fn resets(first: u32) -> Vec<u8> {
    // `:method POST`, `:scheme http`, `:path /`, `:authority x` (RFC 7541, appendix A).
    let head = [0x83, 0x86, 0x84, 0x01, 1, b'x'];
    let mut frames = Vec::new();
    for stream in (first..).step_by(2).take(RESETS_PER_WRITE as usize) {
        frames.extend([0, 0, 6, 1, 4]);
        frames.extend(stream.to_be_bytes());
        frames.extend(head);
        frames.extend([0, 0, 4, 3, 0]);
        frames.extend(stream.to_be_bytes());
        frames.extend(8_u32.to_be_bytes());
    }
    frames
}

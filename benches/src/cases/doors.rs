//! Five hundred log-ins at once: how soon the excess is refused, and whether somebody who chats notices.

use std::{net::SocketAddr, thread, time::Duration};

use anyhow::{Context as _, Result, ensure};
use futures_util::future::try_join_all;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::Instant,
};

use super::Scale;
use crate::{load::victim, quantiles::Quantiles, report::Row, server::Gateway};

const LOG_INS: usize = 500;
/// Between two bursts, what the first has queued is answered.
const BURSTS: u32 = 3;

/// What became of bursts of log-ins.
#[derive(Debug, Default)]
struct Answers {
    refused: Quantiles,
    served: Quantiles,
}

pub(super) async fn run(gateway: &Gateway, scale: Scale) -> Result<Vec<Row>> {
    let token = gateway.senders.first().context("no room was made")?;
    let server = gateway.start()?;
    let mut quiet = victim::chat(server.address, token, |elapsed| elapsed >= scale.round).await?;
    let address = server.address;
    let doors = thread::spawn(move || bursts(address));
    let mut pressed = victim::chat(server.address, token, |_| doors.is_finished()).await?;
    let Answers { mut refused, mut served } = doors.join().ok().context("the log-ins panicked")??;
    server.stop()?;
    let (before, during) = (quiet.at(0.99), pressed.at(0.99));
    let (count, all) = (refused.len(), BURSTS as usize * LOG_INS);
    let of = format!("{LOG_INS} log-ins at once");
    Ok(vec![
        Row::new(format!("{of}: refused, of {all}"), count as f64),
        Row::new(format!("{of}: p50 of a refusal, ms"), refused.at(0.5)),
        Row::new(format!("{of}: p99 of a refusal, ms"), refused.at(0.99)),
        Row::new(format!("{of}: the slowest refusal, ms"), refused.at(1.0)).at_most(50.0, 10.0),
        Row::new(format!("{of}: p99 of a log-in that is served, ms"), served.at(0.99)),
        Row::new(format!("{of}: p50 of an answer on Chat, ms (before)"), pressed.at(0.5))
            .beside(quiet.at(0.5)),
        Row::new(format!("{of}: p99 of an answer on Chat, ms (before)"), during)
            .beside(before)
            .at_most(2.0 * before, before),
    ])
}

/// Sends the bursts, one after the other, from a thread of their own.
fn bursts(address: SocketAddr) -> Result<Answers> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut answers = Answers::default();
        for _ in 0..BURSTS {
            // They are there before: what is measured is the door, not the accept loop.
            let sockets = try_join_all((0..LOG_INS).map(|_| TcpStream::connect(address))).await?;
            let logins = sockets.into_iter().enumerate().map(|(number, socket)| log_in(socket, number));
            for (status, took) in try_join_all(logins).await? {
                match status {
                    503 => answers.refused.add(took),
                    _ => answers.served.add(took),
                }
            }
        }
        Ok(answers)
    })
}

/// Returns the status and the time to it.
async fn log_in(mut socket: TcpStream, number: usize) -> Result<(u16, Duration)> {
    let body =
        json!({ "user_name": format!("other{number:03}"), "password": "Benchmark_2_word" }).to_string();
    let request = format!(
        "POST /login HTTP/1.1\r\nhost: bench\r\nconnection: close\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len(),
    );
    let began = Instant::now();
    socket.write_all(request.as_bytes()).await?;
    let mut answer = [0; 12];
    socket.read_exact(&mut answer).await?;
    let took = began.elapsed();
    let status = str::from_utf8(&answer[9..])?.parse()?;
    ensure!([401, 503].contains(&status), "a login was answered by {status}");
    Ok((status, took))
}

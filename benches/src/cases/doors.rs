//! Five hundred log-ins at once: how soon the excess is refused, and whether somebody who chats notices.

use std::{
    net::{Ipv4Addr, SocketAddr},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result};
use futures_util::future::{join_all, try_join_all};
use tokio::{net::TcpStream, time::Instant};

use super::Scale;
use crate::{
    load::{grpc::connect_from, log_in::log_in, victim},
    quantiles::Quantiles,
    report::Row,
    server::Gateway,
};

pub(super) const LOG_INS: usize = 500;
/// Between two bursts, what the first has queued is answered.
pub(super) const BURSTS: u32 = 3;

/// What became of bursts of log-ins.
#[derive(Debug, Default)]
pub(super) struct Answers {
    pub(super) refused: Quantiles,
    served: Quantiles,
}

pub(super) async fn run(gateway: &Gateway, scale: Scale) -> Result<Vec<Row>> {
    let token = gateway.senders.first().context("no room was made")?;
    let server = gateway.start()?;
    let mut quiet = victim::chat(server.address, token, |elapsed| elapsed >= scale.round).await?;
    let address = server.address;
    let doors = thread::spawn(move || bursts(address, |_, _| Ipv4Addr::LOCALHOST));
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

/// Sends the bursts, one after the other, on a runtime of their own; `from` says where each log-in of each burst comes from.
pub(super) fn bursts(address: SocketAddr, from: impl Fn(u32, usize) -> Ipv4Addr) -> Result<Answers> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut answers = Answers::default();
        for burst in 0..BURSTS {
            // They are there before: what is measured is the door, not the accept loop.
            let sockets = (0..LOG_INS).map(|number| connect_from(from(burst, number), address));
            let sockets = try_join_all(sockets).await?;
            let logins = sockets.into_iter().enumerate().map(|(number, socket)| wrong(socket, number));
            for (served, took) in join_all(logins).await {
                match served {
                    true => answers.served.add(took),
                    false => answers.refused.add(took),
                }
            }
        }
        Ok(answers)
    })
}

/// Logs in with a name that nobody has; returns whether its password was looked at, and the time to the answer.
async fn wrong(socket: TcpStream, number: usize) -> (bool, Duration) {
    let began = Instant::now();
    let answer = log_in(socket, &format!("other{number:03}"), "Benchmark_2_word").await;
    // Whoever is cut off is refused too.
    answer.map_or_else(|_| (false, began.elapsed()), |(status, took)| (status == 401, took))
}

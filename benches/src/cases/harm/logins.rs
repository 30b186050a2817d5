//! Logins: five hundred at once, wrong passwords that try to lock an account's owner out, and correct logins that fill the
//! queue.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use anyhow::Result;
use futures_util::future::{join_all, try_join_all};
use serde_json::json;
use tokio::{net::TcpStream, time::Instant};

use super::{
    activity::Activity,
    attack::{Context, tally_row, twice},
    fixture::{ATTACKER, BYSTANDER},
};
use crate::{
    latencies::Latencies,
    load::{
        flood::{Flood, Next, Request, by_turns},
        grpc::connect_from,
        login,
    },
    report::Row,
    server::PASSWORD,
};

const LOGINS_AT_ONCE: usize = 500;
/// The bursts follow each other; each begins once the one before it is answered.
const BURSTS: u32 = 3;
/// The logins of a burst that come from one address: fewer than the wrong passwords that an address may try.
const LOGINS_PER_ADDRESS: usize = 25;
const WRONG_PASSWORD: &str = "Benchmark_2_word";
/// Concurrent logins with a wrong password.
const GUESSES_AT_ONCE: usize = 8;
/// The duration of an attack beside logins, which are rare: the bystander makes two a second.
const LONG_ROUND: Duration = Duration::from_secs(10);
/// The connections that fill the queue.
const QUEUED: usize = 128;

/// The latencies of a burst's logins.
#[derive(Debug, Default)]
struct Answers {
    refused: Latencies,
    /// Of logins whose password was verified.
    verified: Latencies,
}

/// Logins at once, with names that do not exist. All reach the queue, because they come from many addresses.
pub(super) async fn burst(context: Context<'_>) -> Result<Vec<Row>> {
    let name = format!("{LOGINS_AT_ONCE} logins at once");
    let (mut answers, rest) = context.run(&name, Activity::Chat, [Some(twice), Some(twice)], bursts).await?;
    let all = f64::from(BURSTS) * LOGINS_AT_ONCE as f64;
    let refused = answers.refused.len() as f64;
    let mut rows = vec![
        Row::new(format!("{name}: refused (of)"), refused).beside(all),
        Row::new(format!("{name}: p99 of a refusal, ms"), answers.refused.quantile(0.99)),
        Row::new(format!("{name}: slowest refusal, ms"), answers.refused.quantile(1.0)).at_most(50.0, 10.0),
        Row::new(format!("{name}: p99 of a verified login, ms"), answers.verified.quantile(0.99)),
    ];
    rows.extend(rest);
    Ok(rows)
}

/// Sends the bursts, one after the other, on a runtime of their own.
fn bursts(address: SocketAddr) -> Result<Answers> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut answers = Answers::default();
        for burst in 0..BURSTS {
            // The connections are open before the burst, so that the accept loop is not measured.
            let sockets = (0..LOGINS_AT_ONCE).map(|number| connect_from(source(burst, number), address));
            let sockets = try_join_all(sockets).await?;
            let logins = sockets.into_iter().enumerate().map(|(number, socket)| log_in(socket, number));
            for (verified, took) in join_all(logins).await {
                match verified {
                    true => answers.verified.add(took),
                    false => answers.refused.add(took),
                }
            }
        }
        Ok(answers)
    })
}

/// Logs in with a name that does not exist; returns whether the password was verified, and the time to the answer. A closed
/// connection counts as a refusal.
async fn log_in(socket: TcpStream, number: usize) -> (bool, Duration) {
    let began = Instant::now();
    let answer = login::log_in(socket, &format!("other{number:03}"), WRONG_PASSWORD).await;
    answer.map_or_else(|_| (false, began.elapsed()), |(status, took)| (status == 401, took))
}

/// Returns the source address of a login; each burst has addresses of its own.
fn source(burst: u32, number: usize) -> Ipv4Addr {
    let third = u8::try_from(burst + 1).unwrap_or(u8::MAX);
    let fourth = u8::try_from(number / LOGINS_PER_ADDRESS + 2).unwrap_or(u8::MAX);
    Ipv4Addr::new(127, 0, third, fourth)
}

/// Wrong passwords for the bystander's account from another address, while the bystander logs in.
pub(super) async fn wrong_passwords(context: Context<'_>) -> Result<Vec<Row>> {
    let next = |address| login_request(address, BYSTANDER, WRONG_PASSWORD);
    beside_logins(context, "wrong passwords of an owner", (1, GUESSES_AT_ONCE), next).await
}

/// Correct logins from one address, on enough connections to fill the queue, while the bystander logs in.
pub(super) async fn full_queue(context: Context<'_>) -> Result<Vec<Row>> {
    let next = |address| login_request(address, ATTACKER, PASSWORD);
    beside_logins(context, "128 connections logging in", (QUEUED, 1), next).await
}

async fn beside_logins(
    context: Context<'_>,
    name: &str,
    (connections, calls_each): (usize, usize),
    next: impl FnOnce(SocketAddr) -> Result<Next> + Send + 'static,
) -> Result<Vec<Row>> {
    let time = if context.scale.quick { context.scale.round } else { LONG_ROUND };
    let attack = move |address| Flood::new(connections, calls_each, next(address)?).run(address, time);
    let (tally, mut rows) = context.run(name, Activity::Login, [None, None], attack).await?;
    rows.insert(0, tally_row(name, tally));
    Ok(rows)
}

fn login_request(address: SocketAddr, name: &str, password: &str) -> Result<Next> {
    let account = json!({ "user_name": name, "password": password });
    by_turns(vec![Request::post(address, "/login", &account)])
}

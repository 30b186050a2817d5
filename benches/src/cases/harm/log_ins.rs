//! Log-ins: five hundred at once, wrong ones that try to keep an account's owner out, right ones that fill the queue.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use anyhow::Result;
use serde_json::json;

use super::{
    cast::{ATTACKER, Cast, VICTIM},
    scene::{self, Bound, Deed, twice},
};
use crate::{
    cases::{
        Scale,
        doors::{BURSTS, LOG_INS, bursts},
    },
    load::flood::{Flood, Next, Request, by_turns},
    report::Row,
    server::{Gateway, PASSWORD},
};

/// As many log-ins of a burst come from one address: fewer than it has guesses.
const FROM_ONE: usize = 25;
/// Wrong passwords that are under way.
const GUESSES: usize = 8;
/// A person logs in seldom: it takes longer to see whether they can.
const LONG: Duration = Duration::from_secs(10);
/// Connections of whoever fills the queue.
const QUEUED: usize = 128;

/// Log-ins at once, with names that nobody has: each reaches the queue, as they come from many addresses.
pub(super) async fn burst(gateway: &Gateway, cast: &Cast, scale: Scale) -> Result<Vec<Row>> {
    let process = gateway.start_limited(&[])?;
    let address = process.address;
    let mut before = Deed::Chat.quiet(address, cast, scale).await;
    let attack = move || bursts(address, source);
    let (mut answers, seen, memory) = scene::beside(&process, cast, &[Deed::Chat], attack).await?;
    drop(process);
    let name = format!("{LOG_INS} log-ins at once");
    let all = f64::from(BURSTS) * LOG_INS as f64;
    let refused = answers.refused.len() as f64;
    let mut rows = vec![
        Row::new(format!("{name}: refused (of)"), refused).beside(all),
        Row::new(format!("{name}: the slowest refusal, ms"), answers.refused.at(1.0)).at_most(50.0, 10.0),
    ];
    for mut during in seen {
        let bounds: [Option<Bound>; 2] = [Some(twice), Some(twice)];
        rows.extend(scene::deed_rows(&name, Deed::Chat, &mut before, &mut during, bounds));
    }
    rows.push(scene::memory_row(&name, memory));
    Ok(rows)
}

/// Returns where a log-in of a burst comes from; each burst has addresses of its own.
fn source(burst: u32, number: usize) -> Ipv4Addr {
    let third = u8::try_from(burst + 1).unwrap_or(u8::MAX);
    let fourth = u8::try_from(number / FROM_ONE + 2).unwrap_or(u8::MAX);
    Ipv4Addr::new(127, 0, third, fourth)
}

/// Wrong passwords of somebody's account from elsewhere, while they log in.
pub(super) async fn owner(gateway: &Gateway, cast: &Cast, scale: Scale) -> Result<Vec<Row>> {
    let wrong = |address| log_in(address, VICTIM, "Benchmark_2_word");
    beside_log_ins(gateway, cast, scale, "wrong passwords of an owner", (1, GUESSES), wrong).await
}

/// Right log-ins from one address, on as many connections as fill the queue, while somebody else logs in.
pub(super) async fn queue(gateway: &Gateway, cast: &Cast, scale: Scale) -> Result<Vec<Row>> {
    let right = |address| log_in(address, ATTACKER, PASSWORD);
    beside_log_ins(gateway, cast, scale, "128 connections logging in", (QUEUED, 1), right).await
}

async fn beside_log_ins(
    gateway: &Gateway,
    cast: &Cast,
    scale: Scale,
    name: &str,
    (connections, under_way): (usize, usize),
    next: impl Fn(SocketAddr) -> Result<Next>,
) -> Result<Vec<Row>> {
    let process = gateway.start_limited(&[])?;
    let address = process.address;
    let mut before = Deed::LogIn.quiet(address, cast, scale).await;
    let flood = Flood::new(connections, under_way, next(address)?);
    let time = if scale.quick { scale.round } else { LONG };
    let attack = move || flood.run(address, time);
    let (tally, seen, memory) = scene::beside(&process, cast, &[Deed::LogIn], attack).await?;
    drop(process);
    let mut rows = vec![scene::tally_row(name, tally)];
    for mut during in seen {
        rows.extend(scene::deed_rows(name, Deed::LogIn, &mut before, &mut during, [None, None]));
    }
    rows.push(scene::memory_row(name, memory));
    Ok(rows)
}

fn log_in(address: SocketAddr, name: &str, password: &str) -> Result<Next> {
    let account = json!({ "user_name": name, "password": password });
    by_turns(vec![Request::post(address, "/login", &account)])
}

//! The memory that password hashing leaves behind: registrations at once, then correct logins, from enough addresses that
//! no limit applies.

use std::net::Ipv4Addr;

use anyhow::Result;
use serde_json::json;

use super::{
    attack::Context,
    fixture::ATTACKER,
    little_memory::{self, Limits},
};
use crate::{
    load::flood::{Flood, Request, Tally, by_turns},
    process::Process,
    report::Row,
    server::PASSWORD,
};

const LIMITS: Limits = Limits { mebibytes: 128, highest: |_| [80.0, 60.0], after: |_| [80.0, 60.0] };
/// Concurrent registrations, each from an address of its own: the limit is ten an hour from one address.
const REGISTRATIONS_AT_ONCE: u8 = 30;
/// Concurrent logins.
const LOGINS_AT_ONCE: u8 = 8;

pub(super) async fn run(context: Context<'_>) -> Result<Vec<Row>> {
    let (registrations, logins) = if context.scale.quick { (30, 60) } else { (90, 480) };
    // Both floods end once enough calls are answered; this is the most for a server that answers fewer.
    let time = 5 * context.scale.round;
    let prepare = |process: &Process| {
        // The attack may run on two processes with the same database, and each name is registered once.
        let (address, run) = (process.address, process.pid()?.as_raw_nonzero());
        let register = move |sent: u64, _: &[u8]| {
            let account = json!({ "user_name": format!("crowd{run}x{sent}"), "password": PASSWORD });
            Request::post(address, "/register", &account)
        };
        let registering = Flood {
            from: sources(REGISTRATIONS_AT_ONCE),
            enough: registrations,
            ..Flood::new(usize::from(REGISTRATIONS_AT_ONCE), 1, Box::new(register))
        };
        let account = json!({ "user_name": ATTACKER, "password": PASSWORD });
        let log_in = by_turns(vec![Request::post(address, "/login", &account)])?;
        let logging_in = Flood {
            from: sources(LOGINS_AT_ONCE),
            enough: logins,
            ..Flood::new(usize::from(LOGINS_AT_ONCE), 1, log_in)
        };
        Ok(move |address| {
            let first = registering.run(address, time)?;
            let second = logging_in.run(address, time)?;
            let answered = first.answered + second.answered;
            Ok(Tally { answered, refused: first.refused + second.refused })
        })
    };
    little_memory::run(context, "90 registrations, 480 logins", LIMITS, prepare).await
}

/// Returns `count` loopback addresses.
fn sources(count: u8) -> Vec<Ipv4Addr> {
    (2..).take(usize::from(count)).map(|last| Ipv4Addr::new(127, 0, 0, last)).collect()
}

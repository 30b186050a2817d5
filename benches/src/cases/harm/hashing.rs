//! What hashing leaves in memory: registrations at once, then right log-ins, from so many addresses that no limit stops
//! them.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::Result;
use serde_json::json;

use super::{
    cast::{ATTACKER, Cast},
    scene::{self, Deed, Limits, Memory},
};
use crate::{
    cases::Scale,
    load::{
        bystander::Seen,
        flood::{Flood, Request, Tally, by_turns},
    },
    process::Process,
    report::Row,
    server::{Gateway, PASSWORD},
};

const NAME: &str = "90 registrations, 480 log-ins";
const LIMITS: Limits = Limits { mebibytes: 128, highest: |_| [80.0, 60.0], after: |_| [80.0, 60.0] };
const DEED: Deed = Deed::SendMessage;
/// Registrations at once, each from an address of its own: ten an hour are allowed from one.
const REGISTERING: u8 = 30;
/// Log-ins at once.
const LOGGING_IN: u8 = 8;

pub(super) async fn run(gateway: &Gateway, cast: &Cast, scale: Scale) -> Result<Vec<Row>> {
    let attack = async |process: &Process| attack(process, cast, scale).await;
    scene::on_memory(gateway, cast, scale, NAME, LIMITS, attack).await
}

async fn attack(process: &Process, cast: &Cast, scale: Scale) -> Result<(Tally, Vec<Seen>, Memory)> {
    let address = process.address;
    let (registrations, log_ins) = if scale.quick { (30, 60) } else { (90, 480) };
    // Names are given once: not by the gateway that was killed, and not by the one that is measured after it.
    let run = process.id();
    let register = move |sent: u64, _: &[u8]| {
        let account = json!({ "user_name": format!("crowd{run}x{sent}"), "password": PASSWORD });
        Request::post(address, "/register", &account)
    };
    let registering = Flood {
        from: sources(REGISTERING),
        enough: registrations,
        ..Flood::new(usize::from(REGISTERING), 1, Box::new(register))
    };
    let logging_in = Flood {
        from: sources(LOGGING_IN),
        enough: log_ins,
        ..Flood::new(usize::from(LOGGING_IN), 1, log_in(address)?)
    };
    // Both end when enough were answered; a server that answers fewer is let go on later.
    let time = 5 * scale.round;
    let attack = move || {
        let first = registering.run(address, time)?;
        let second = logging_in.run(address, time)?;
        let answered = first.answered + second.answered;
        Ok(Tally { answered, refused: first.refused + second.refused })
    };
    scene::beside(process, cast, &[DEED], attack).await
}

fn log_in(address: SocketAddr) -> Result<crate::load::flood::Next> {
    let account = json!({ "user_name": ATTACKER, "password": PASSWORD });
    by_turns(vec![Request::post(address, "/login", &account)])
}

/// Returns so many addresses.
fn sources(count: u8) -> Vec<Ipv4Addr> {
    (2..).take(usize::from(count)).map(|last| Ipv4Addr::new(127, 0, 0, last)).collect()
}

//! The page's script, asked for compressed by brotli as often as was enough to harm: by whoever has no account.

use std::time::Duration;

use anyhow::Result;

use super::{
    cast::Cast,
    scene::{self, Deed, noticed, twice},
};
use crate::{
    cases::Scale,
    load::flood::{Flood, Request, by_turns},
    report::Row,
    server::Gateway,
};

const CONNECTIONS: u32 = 64;
const A_SECOND: u32 = 360;
const DEED: Deed = Deed::SendMessage;

pub(super) async fn run(gateway: &Gateway, cast: &Cast, scale: Scale) -> Result<Vec<Row>> {
    let process = gateway.start_limited(&[])?;
    let address = process.address;
    let mut before = DEED.quiet(address, cast, scale).await;
    let script = by_turns(vec![Request::get(address, "/app.js")])?;
    let pace = Some(Duration::from_secs(1) * CONNECTIONS / A_SECOND);
    let flood = Flood { pace, ..Flood::new(CONNECTIONS as usize, 1, script) };
    let attack = move || flood.run(address, scale.round);
    let (tally, seen, memory) = scene::beside(&process, cast, &[DEED], attack).await?;
    drop(process);
    let name = "/app.js by brotli, 360 a second";
    let mut rows = vec![scene::tally_row(name, tally)];
    for mut during in seen {
        let bounds: [Option<scene::Bound>; 2] = [Some(twice), Some(noticed)];
        rows.extend(scene::deed_rows(name, DEED, &mut before, &mut during, bounds));
    }
    rows.push(scene::memory_row(name, memory));
    Ok(rows)
}

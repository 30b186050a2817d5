//! The page's script is requested with brotli compression by clients without an account, at a rate that was harmful once.

use std::time::Duration;

use anyhow::Result;

use super::{
    activity::Activity,
    attack::{Context, noticeable, tally_row, twice},
};
use crate::{
    load::flood::{Flood, Request, by_turns},
    report::Row,
};

const CONNECTIONS: u32 = 64;
const PER_SECOND: u32 = 360;

pub(super) async fn run(context: Context<'_>) -> Result<Vec<Row>> {
    let name = "/app.js by brotli, 360 a second";
    let round = context.scale.round;
    let attack = move |address| {
        let script = by_turns(vec![Request::get(address, "/app.js")])?;
        let pace = Some(Duration::from_secs(1) * CONNECTIONS / PER_SECOND);
        Flood { pace, ..Flood::new(CONNECTIONS as usize, 1, script) }.run(address, round)
    };
    let (tally, mut rows) =
        context.run(name, Activity::SendMessage, [Some(twice), Some(noticeable)], attack).await?;
    rows.insert(0, tally_row(name, tally));
    Ok(rows)
}

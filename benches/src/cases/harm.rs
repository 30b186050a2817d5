//! One client against all others: each known attack beside somebody who does what people do.
//!
//! The gateway has its default limits; what an attack needs is made before, without any. Attacks come from other addresses
//! than the one they harm, on a thread of their own, and send again at once whatever is refused. Each has a process of the
//! gateway for itself, which is killed after it: what an attack has left waiting is nothing to wait for.

use std::time::Duration;

use anyhow::Result;

use super::Scale;
use crate::{report::Row, server::Gateway};
use cast::Cast;

mod cast;
mod codes;
mod hashing;
mod log_ins;
mod page;
mod scene;
mod unread;
mod writes;

/// How long an attack lasts at most.
const ROUND: Duration = Duration::from_secs(3);

pub(super) async fn run(gateway: &Gateway, scale: Scale) -> Result<Vec<Row>> {
    // There are many attacks: each needs no more to show what it does.
    let scale = Scale { round: scale.round.min(ROUND), ..scale };
    let cast = Cast::prepare(gateway).await?;
    let mut rows = writes::run(gateway, &cast, scale).await?;
    rows.extend(unread::run(gateway, &cast, scale).await?);
    rows.extend(page::run(gateway, &cast, scale).await?);
    // It comes before the log-ins: a hundred of them end the session whose token it uses.
    rows.extend(codes::run(gateway, &cast, scale).await?);
    rows.extend(log_ins::burst(gateway, &cast, scale).await?);
    rows.extend(log_ins::owner(gateway, &cast, scale).await?);
    rows.extend(log_ins::queue(gateway, &cast, scale).await?);
    rows.extend(hashing::run(gateway, &cast, scale).await?);
    Ok(rows)
}

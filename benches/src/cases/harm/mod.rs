//! Known attacks of one client, each beside a bystander who uses the gateway as people do.
//!
//! The gateway has its default limits; accounts, rooms and messages are made before, without limits. An attack comes from
//! other addresses than the bystander and sends each refused request again at once. Each attack has a gateway process of
//! its own, which is killed after it: its queues need not drain.

use std::time::Duration;

use anyhow::Result;

use super::Scale;
use crate::{report::Row, server::Gateway};
use attack::Context;
use fixture::Fixture;

mod activity;
mod attack;
mod fixture;
mod hashing;
mod little_memory;
mod logins;
mod page_script;
mod short_codes;
mod unread_answers;
mod writes;

/// The longest duration of an attack: there are many of them.
const MAX_ROUND: Duration = Duration::from_secs(3);

pub(super) async fn run(gateway: &Gateway, scale: Scale) -> Result<Vec<Row>> {
    let scale = Scale { round: scale.round.min(MAX_ROUND), ..scale };
    let fixture = Fixture::prepare(gateway).await?;
    let context = Context { gateway, fixture: &fixture, scale };
    let mut rows = writes::run(context).await?;
    rows.extend(unread_answers::run(context).await?);
    rows.extend(page_script::run(context).await?);
    // This comes before the logins: a hundred of them end the session of the token that it uses.
    rows.extend(short_codes::run(context).await?);
    rows.extend(logins::burst(context).await?);
    rows.extend(logins::wrong_passwords(context).await?);
    rows.extend(logins::full_queue(context).await?);
    rows.extend(hashing::run(context).await?);
    Ok(rows)
}

//! Somebody who chats while others press the server.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::Result;

use super::{grpc::Connection, talker::Talker};
use crate::quantiles::Quantiles;

/// How often something is said, once the last was answered.
const PACE: Duration = Duration::from_millis(5);

/// Chats until `enough` of the time that passed, and returns how long each answer took.
///
/// # Errors
/// If the stream ends, or a message is refused.
pub(crate) async fn chat(
    address: SocketAddr,
    token: &str,
    enough: impl Fn(Duration) -> bool,
) -> Result<Quantiles> {
    let connection = Connection::open(address).await?;
    let mut talker = Talker::open(&connection, token).await?;
    let mut pace = tokio::time::interval(PACE);
    let start = Instant::now();
    while !enough(start.elapsed()) {
        pace.tick().await;
        talker.send(1)?;
        talker.until_waiting(0).await?;
    }
    Ok(talker.take_latencies())
}

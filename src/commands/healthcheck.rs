//! `healthcheck`: asks the server on this machine whether it is ready, for containers and scripts. It reads only the
//! settings that lead to the server: a running server is healthy even if its certificate file has become unreadable.

use std::{net::SocketAddr, time::Duration};

use grpcchatter::app::is_ready;
use tokio::time::timeout;

use super::{Failed, serve::reachable, settings::HealthcheckArgs};

/// Time for the answer.
const HEALTHCHECK_TIMEOUT: Duration = Duration::from_secs(5);

/// The exit code if the server is not ready (`EX_UNAVAILABLE` of sysexits.h).
const NOT_READY: u8 = 69;

pub(super) fn healthcheck(args: HealthcheckArgs) -> Result<(), Failed> {
    let target = args.load()?;
    let address: SocketAddr = reachable(target.listen[0]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failed::new(error, NOT_READY))?;
    let answer =
        runtime.block_on(async { timeout(HEALTHCHECK_TIMEOUT, is_ready(address, target.tls)).await });
    match answer {
        Ok(Ok(())) => Ok(()),
        Ok(Err(problem)) => Err(Failed::new(format!("{address} is not ready: {problem}"), NOT_READY)),
        Err(_) => Err(Failed::new(format!("{address} did not answer in {HEALTHCHECK_TIMEOUT:?}"), NOT_READY)),
    }
}

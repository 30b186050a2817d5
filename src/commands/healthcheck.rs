//! `healthcheck`: asks the server on this machine whether it is ready, for containers and scripts. It reads where the server
//! is called and nothing else: a certificate that was spoiled since the server read it is none of its business.

use std::{net::SocketAddr, time::Duration};

use grpcchatter::app::is_ready;
use tokio::time::timeout;

use super::{Failed, serve::reachable, settings::ReachArgs};

/// How long an answer may take.
const DEADLINE: Duration = Duration::from_secs(5);

/// The exit code where the server is not ready (`EX_UNAVAILABLE` of sysexits.h).
const NOT_READY: u8 = 69;

pub(super) fn healthcheck(args: ReachArgs) -> Result<(), Failed> {
    let reach = args.load()?;
    let address: SocketAddr = reachable(reach.listen[0]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failed::new(error, NOT_READY))?;
    let asked = runtime.block_on(async { timeout(DEADLINE, is_ready(address, reach.tls)).await });
    match asked {
        Ok(Ok(())) => Ok(()),
        Ok(Err(problem)) => Err(Failed::new(format!("{address} is not ready: {problem}"), NOT_READY)),
        Err(_) => Err(Failed::new(format!("{address} did not answer in {DEADLINE:?}"), NOT_READY)),
    }
}

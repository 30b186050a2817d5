//! Counts the instructions of a server in user mode, from its start to its end, with valgrind.

use std::{fs, net::SocketAddr};

use anyhow::{Context as _, Result};
use grpcchatter_testbed::find_program;
use tokio::process::Command;

use crate::process::Process;

/// The tool that wraps a server's command: the least that counts.
pub(crate) const VALGRIND: [&str; 4] =
    ["valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"];

/// Returns whether valgrind is installed.
pub(crate) fn is_installed() -> bool {
    find_program("valgrind").is_some()
}

/// Returns the first core that this process may use. A server on one core has one shard, whatever the machine.
///
/// # Errors
/// If the system does not say it.
pub(super) fn first_core() -> Result<String> {
    let status = fs::read_to_string("/proc/self/status")?;
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    let list = list.context("the system does not list the cores")?.trim();
    let end = list.find(|c: char| !c.is_ascii_digit()).unwrap_or(list.len());
    Ok(list[..end].to_owned())
}

/// Starts a server under [`VALGRIND`], loads it, ends it, and returns the number of its instructions.
///
/// # Errors
/// If the server does not start or end, the load fails, or valgrind does not count.
pub(crate) async fn total(command: Command, load: impl AsyncFnOnce(SocketAddr) -> Result<()>) -> Result<f64> {
    let server = Process::start(command).await?;
    load(server.address).await?;
    let output = server.stop().await?;
    // "==123== I   refs:      1,234,567"
    let line = output.lines().find(|line| line.contains("refs:")).context("valgrind did not count")?;
    let (_, number) = line.rsplit_once(':').context("no number")?;
    Ok(number.trim().replace(',', "").parse()?)
}

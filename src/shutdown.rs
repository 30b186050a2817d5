//! The signals that end the server, and the one that reloads its certificate.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The exit code of a process that did not finish its drain: the code of one killed by SIGINT.
const INTERRUPTED: i32 = 130;

/// Handles SIGTERM, SIGINT and SIGHUP from the moment it is created. Before, each of them ends the process.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    /// Installs the handlers. Must be called on a runtime.
    ///
    /// # Errors
    /// Where the system does not allow it.
    pub fn listen() -> io::Result<Self> {
        let terminate = signal(SignalKind::terminate())?;
        let interrupt = signal(SignalKind::interrupt())?;
        let hang_up = signal(SignalKind::hangup())?;
        Ok(Self { terminate, interrupt, hang_up })
    }

    /// Waits for the first SIGTERM or SIGINT, which requests a drain. Until then each SIGHUP calls `reload`. A second
    /// SIGTERM or SIGINT ends the process at once, without losing an acknowledged message, since those are in the
    /// database.
    pub async fn requested(mut self, reload: impl Fn()) {
        let name = loop {
            tokio::select! {
                name = next(&mut self.terminate, &mut self.interrupt) => break name,
                _ = self.hang_up.recv() => reload(),
            }
        };
        tracing::info!("{name} received: draining; once more ends at once");
        tokio::spawn(async move {
            let name = next(&mut self.terminate, &mut self.interrupt).await;
            tracing::warn!("{name} received again: ending at once");
            std::process::exit(INTERRUPTED);
        });
    }
}

async fn next(terminate: &mut Signal, interrupt: &mut Signal) -> &'static str {
    tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    }
}

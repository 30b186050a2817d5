//! The signals that end the program, and the one that has it read its certificate again.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The exit code of a process that did not finish its drain: what a shell shows for one killed by SIGINT.
const EXIT_AT_ONCE: i32 = 130;

/// SIGTERM, SIGINT and SIGHUP, heard from the moment this is made: before, the system would end the process.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    /// Begins to hear the signals. To be called on a runtime.
    ///
    /// # Errors
    /// Where the system does not allow it.
    pub fn listen() -> io::Result<Self> {
        let terminate = signal(SignalKind::terminate())?;
        let interrupt = signal(SignalKind::interrupt())?;
        let hang_up = signal(SignalKind::hangup())?;
        Ok(Self { terminate, interrupt, hang_up })
    }

    /// Waits for the first signal to end, which asks for a drain; from then on a second one ends the process at once.
    /// That loses nothing which was acknowledged: it is in the database. Until then each SIGHUP calls `reload`.
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
            std::process::exit(EXIT_AT_ONCE);
        });
    }
}

async fn next(terminate: &mut Signal, interrupt: &mut Signal) -> &'static str {
    tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    }
}

//! The signals that end the program.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The exit code of a process that did not finish its drain: what a shell shows for one killed by SIGINT.
const EXIT_AT_ONCE: i32 = 130;

/// SIGTERM and SIGINT, heard from the moment this is made: before, the system would end the process.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Begins to hear the signals. To be called on a runtime.
    ///
    /// # Errors
    /// Where the system does not allow it.
    pub fn listen() -> io::Result<Self> {
        let terminate = signal(SignalKind::terminate())?;
        let interrupt = signal(SignalKind::interrupt())?;
        Ok(Self { terminate, interrupt })
    }

    /// Waits for the first signal, which asks for a drain; from then on a second one ends the process at once.
    /// That loses nothing which was acknowledged: it is in the database.
    pub async fn requested(mut self) {
        let name = self.next().await;
        tracing::info!("{name} received: draining; once more ends at once");
        tokio::spawn(async move {
            let name = self.next().await;
            tracing::warn!("{name} received again: ending at once");
            std::process::exit(EXIT_AT_ONCE);
        });
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

//! Tasks that no caller awaits.

use tokio::runtime::Handle;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Runs tasks on the core runtime, and ends them when the server stops. Clones share the tasks.
#[derive(Clone)]
pub struct Tasks {
    core: Handle,
    tracker: TaskTracker,
    stop: CancellationToken,
}

impl Tasks {
    /// Runs tasks on this runtime.
    pub fn new(core: Handle) -> Self {
        Self { core, tracker: TaskTracker::new(), stop: CancellationToken::new() }
    }

    /// Starts a task. [`Self::stop`] drops it at its next await.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        self.tracker.spawn_on(
            async move {
                stop.run_until_cancelled(task).await;
            },
            &self.core,
        );
    }

    /// Stops every task, and returns once all have ended.
    pub async fn stop(&self) {
        self.stop.cancel();
        self.tracker.close();
        self.tracker.wait().await;
    }
}

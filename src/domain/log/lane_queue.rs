//! The queue of a lane, and the replies of the batch that is being written.
//!
//! SQLite's lane writes in a thread of its own, which a slow disk blocks for as long as it takes. A task on the core runtime
//! then refuses what is overdue, in the batch and in the queue behind it. The messages of that batch may be stored all the
//! same: they are published once the thread goes on, and their authors send them again with the same ids.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::{
    sync::mpsc,
    time::{Instant, MissedTickBehavior, interval},
};

use super::batch::{APPEND_TIMEOUT, DrainDeadline, Job, OutcomeSink, PendingReply};
use crate::model::Error;

/// How often overdue replies are looked for.
const INTERVAL: Duration = Duration::from_millis(100);

/// The receiving end of a lane's queue. Clones share it.
#[derive(Clone)]
pub(super) struct LaneQueue {
    running: Arc<Mutex<Option<Running>>>,
    queue: Arc<tokio::sync::Mutex<Queue>>,
}

struct Running {
    deadline: Instant,
    replies: Vec<PendingReply>,
}

struct Queue {
    jobs: mpsc::Receiver<Job>,
    /// The oldest job, if it was looked at and is not overdue.
    oldest: Option<Job>,
}

impl LaneQueue {
    pub(super) fn new(jobs: mpsc::Receiver<Job>) -> Self {
        let queue = Queue { jobs, oldest: None };
        Self { running: Arc::default(), queue: Arc::new(tokio::sync::Mutex::new(queue)) }
    }

    /// Adds up to `limit` jobs to `batch`, after waiting for the first. Returns how many; 0 once the queue is closed and empty.
    pub(super) async fn next(&self, batch: &mut Vec<Job>, limit: usize) -> usize {
        let Queue { jobs, oldest } = &mut *self.queue.lock().await;
        match oldest.take() {
            Some(job) => {
                batch.push(job);
                while batch.len() < limit
                    && let Ok(job) = jobs.try_recv()
                {
                    batch.push(job);
                }
                batch.len()
            }
            None => jobs.recv_many(batch, limit).await,
        }
    }

    /// Closes the queue: it takes no more jobs, and what is in it is still appended.
    pub(super) async fn close(&self) {
        self.queue.lock().await.jobs.close();
    }

    /// Keeps the replies of a batch while it is written.
    pub(super) fn begin(&self, replies: Vec<PendingReply>, deadline: Instant) {
        *self.running.lock() = Some(Running { deadline, replies });
    }

    /// Returns the replies of the batch; none if they were overdue.
    pub(super) fn end(&self) -> Vec<PendingReply> {
        self.running.lock().take().map(|running| running.replies).unwrap_or_default()
    }

    /// Refuses what is overdue, until it is dropped. After the drain's deadline everything is.
    pub(super) async fn watch(self, outcomes: OutcomeSink, drain_deadline: DrainDeadline) {
        let mut ticks = interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.refuse_overdue(&outcomes, drain_deadline.get().copied());
        }
    }

    fn refuse_overdue(&self, outcomes: &OutcomeSink, drain_deadline: Option<Instant>) {
        let now = Instant::now();
        let is_drained = drain_deadline.is_some_and(|deadline| deadline <= now);
        let overdue = {
            let mut running = self.running.lock();
            if running.as_ref().is_none_or(|running| running.deadline > now) {
                return;
            }
            let replies = running.as_mut().map(|running| std::mem::take(&mut running.replies));
            replies.unwrap_or_default()
        };
        if !overdue.is_empty() {
            tracing::warn!(
                messages = overdue.len(),
                "the disk does not answer: its batch is answered as not stored yet"
            );
        }
        for reply in overdue {
            outcomes.reply(reply, Err(Error::DatabaseUnavailable));
        }
        // The thread holds it only while nothing runs.
        let Ok(mut queue) = self.queue.try_lock() else { return };
        let Queue { jobs, oldest } = &mut *queue;
        if is_drained {
            jobs.close();
        }
        while let Some(job) = oldest.take().or_else(|| jobs.try_recv().ok()) {
            if job.reply.queued + APPEND_TIMEOUT > now && !is_drained {
                *oldest = Some(job);
                return;
            }
            outcomes.reply(job.reply, Err(Error::DatabaseUnavailable));
        }
    }
}

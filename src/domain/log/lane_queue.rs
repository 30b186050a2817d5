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
            for (reply, error) in self.take_overdue(drain_deadline.get().copied()) {
                outcomes.reply(reply, Err(error));
            }
        }
    }

    /// Takes the overdue replies of the batch, and then those of the queue behind it.
    fn take_overdue(&self, drain_deadline: Option<Instant>) -> Vec<(PendingReply, Error)> {
        let now = Instant::now();
        let mut overdue: Vec<(PendingReply, Error)> = match &mut *self.running.lock() {
            Some(running) if running.deadline <= now => {
                running.replies.drain(..).map(|reply| (reply, Error::DatabaseUnavailable)).collect()
            }
            _ => return Vec::new(),
        };
        if !overdue.is_empty() {
            tracing::warn!(
                messages = overdue.len(),
                "the disk does not answer: its batch is answered as not stored yet"
            );
        }
        // The thread holds it only while nothing runs.
        let Ok(mut queue) = self.queue.try_lock() else { return overdue };
        let Queue { jobs, oldest } = &mut *queue;
        let is_drained = drain_deadline.is_some_and(|deadline| deadline <= now);
        if is_drained {
            jobs.close();
        }
        while let Some(job) = oldest.take().or_else(|| jobs.try_recv().ok()) {
            if is_drained {
                overdue.push((job.reply, Error::Draining));
            } else if job.reply.queued + APPEND_TIMEOUT <= now {
                overdue.push((job.reply, Error::DatabaseUnavailable));
            } else {
                *oldest = Some(job);
                break;
            }
        }
        overdue
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;
    use uuid::Uuid;

    use super::*;
    use crate::{
        clock::Clock,
        model::{ChatIdentity, MessageBody, RoomId, SessionId, ShortCode, Timestamp, UserId, UserName},
        store::Draft,
    };

    const SECOND: Duration = Duration::from_secs(1);

    fn job(body: &str) -> Job {
        let identity = ChatIdentity {
            user: UserId(1),
            user_name: UserName::trusted("walker1"),
            session: SessionId(Uuid::nil()),
            room: RoomId(1),
            short_code: ShortCode::trusted("aaaaaa"),
            room_epoch: 0,
            member_epoch: 0,
            expires_at: Timestamp::from_seconds(2_000),
        };
        let body = MessageBody::parse(body.to_owned(), 100, None).unwrap();
        let message_id = Clock::system().uuid();
        let draft = Draft { identity: Arc::new(identity), body, client_message_id: None, message_id };
        Job::new(draft, Box::new(|_| {}))
    }

    /// Returns a queue whose batch of one began just now, with three jobs behind it, each queued a second later.
    async fn queue_behind_a_batch() -> (LaneQueue, mpsc::Sender<Job>) {
        let (sender, jobs) = mpsc::channel(10);
        let queue = LaneQueue::new(jobs);
        queue.begin(vec![job("written").reply], Instant::now() + APPEND_TIMEOUT);
        for body in ["first", "second", "third"] {
            sender.try_send(job(body)).map_err(drop).unwrap();
            advance(SECOND).await;
        }
        (queue, sender)
    }

    /// Says of each reply whether the server is draining.
    fn is_draining(overdue: Vec<(PendingReply, Error)>) -> Vec<bool> {
        let is_draining = |error| match error {
            Error::Draining => true,
            Error::DatabaseUnavailable => false,
            other => panic!("{other:?}"),
        };
        overdue.into_iter().map(|(_, error)| is_draining(error)).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_overdue_is_taken_and_what_is_not_keeps_its_order() {
        let (queue, sender) = queue_behind_a_batch().await;
        let overdue = is_draining(queue.take_overdue(None));
        assert_eq!(overdue, [false, false], "the batch and the first");
        assert!(queue.take_overdue(None).is_empty());
        assert!(queue.end().is_empty(), "the batch has its replies");
        sender.try_send(job("fourth")).map_err(drop).unwrap();
        let mut batch = Vec::new();
        assert_eq!(queue.next(&mut batch, 10).await, 3);
        let bodies: Vec<_> = batch.iter().map(|job| job.draft.body.as_str()).collect();
        assert_eq!(bodies, ["second", "third", "fourth"]);
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_taken_while_the_batch_has_time() {
        let (queue, _sender) = queue_behind_a_batch().await;
        queue.begin(vec![job("another").reply], Instant::now() + SECOND);
        assert!(queue.take_overdue(None).is_empty());
        assert_eq!(queue.end().len(), 1);
        assert!(queue.take_overdue(None).is_empty(), "nothing is written");
    }

    #[tokio::test(start_paused = true)]
    async fn after_the_drain_everything_is_taken_and_the_queue_is_closed() {
        let (queue, sender) = queue_behind_a_batch().await;
        let overdue = is_draining(queue.take_overdue(Some(Instant::now())));
        assert_eq!(overdue, [false, true, true, true]);
        assert!(sender.is_closed());
        assert_eq!(queue.next(&mut Vec::new(), 10).await, 0);
    }
}

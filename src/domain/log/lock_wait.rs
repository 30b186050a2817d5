//! The queue of messages whose rows another transaction holds: a room, locked by an operator or a frozen server; or the
//! author's session, while it is ended or renewed.
//!
//! A lane skips such messages, so its other rooms go on. They move to the one writer that waits for locks. Later messages
//! for the same room follow them there, so the room's order is kept.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use parking_lot::Mutex;
use tokio::{sync::mpsc, time::Instant};

use super::batch::{Job, MAX_BATCH, OutcomeSink, QUEUE_MESSAGES, append};
use crate::{
    model::{Error, RoomId},
    store::Lane,
};

/// How many messages of each blocked room are queued here. The lanes write all other rooms.
type BlockedRooms = Arc<Mutex<HashMap<RoomId, usize>>>;

/// A queued message and the deadline of its reply.
type Waiting = (Job, Instant);

/// The sending end of the queue. Clones share the queue.
#[derive(Clone)]
pub(super) struct LockWaitQueue {
    jobs: mpsc::Sender<Waiting>,
    blocked: BlockedRooms,
}

/// The writer at the receiving end.
pub(super) struct LockWaitWriter {
    lane: Lane,
    jobs: mpsc::Receiver<Waiting>,
    blocked: BlockedRooms,
    outcomes: OutcomeSink,
}

/// Creates a queue whose writer uses `lane`, which waits for locks.
pub(super) fn channel(lane: Lane, outcomes: OutcomeSink) -> (LockWaitQueue, LockWaitWriter) {
    let (sender, jobs) = mpsc::channel(QUEUE_MESSAGES);
    let blocked = BlockedRooms::default();
    let queue = LockWaitQueue { jobs: sender, blocked: Arc::clone(&blocked) };
    (queue, LockWaitWriter { lane, jobs, blocked, outcomes })
}

impl LockWaitQueue {
    /// Queues the messages for blocked rooms, and returns the others.
    pub(super) fn take_blocked(
        &self,
        batch: Vec<Job>,
        deadline: Instant,
        outcomes: &OutcomeSink,
    ) -> Vec<Job> {
        let (behind, others): (Vec<Job>, Vec<Job>) = {
            let blocked = self.blocked.lock();
            if blocked.is_empty() {
                return batch;
            }
            batch.into_iter().partition(|job| blocked.contains_key(&job.draft.identity.room))
        };
        self.enqueue(behind, deadline, outcomes);
        others
    }

    /// Queues messages whose room or session is locked. A full queue refuses them.
    pub(super) fn enqueue(&self, jobs: Vec<Job>, deadline: Instant, outcomes: &OutcomeSink) {
        for job in jobs {
            let room = job.draft.identity.room;
            // Counted first: the writer may be done with it before `try_send` returns.
            *self.blocked.lock().entry(room).or_default() += 1;
            if let Err(error) = self.jobs.try_send((job, deadline)) {
                release(&self.blocked, room, 1);
                outcomes.reply(error.into_inner().0.reply, Err(Error::Overloaded));
            }
        }
    }
}

/// Subtracts messages from a room's count. At zero the room goes back to its lane.
fn release(blocked: &BlockedRooms, room: RoomId, count: usize) {
    let mut blocked = blocked.lock();
    if let Some(waiting) = blocked.get_mut(&room) {
        *waiting -= count;
        if *waiting == 0 {
            blocked.remove(&room);
        }
    }
}

impl LockWaitWriter {
    /// Appends room by room, in the order of arrival, until every lane has ended.
    pub(super) async fn run(mut self) {
        let mut waiting = VecDeque::new();
        loop {
            if waiting.is_empty() {
                let Some(job) = self.jobs.recv().await else { return };
                waiting.push_back(job);
            }
            // The rest stays in the channel, so that it fills up and refuses more.
            while waiting.len() < QUEUE_MESSAGES
                && let Ok(job) = self.jobs.try_recv()
            {
                waiting.push_back(job);
            }
            self.append_first(&mut waiting).await;
        }
    }

    /// Appends the messages of the room that has waited longest. If its lock does not come in time, they are refused, and
    /// a retry queues behind the other rooms.
    async fn append_first(&mut self, waiting: &mut VecDeque<Waiting>) {
        let Some(room) = waiting.front().map(|(job, _)| job.draft.identity.room) else { return };
        let (mut batch, mut late, mut first_deadline, now) = (Vec::new(), Vec::new(), None, Instant::now());
        for (job, deadline) in std::mem::take(waiting) {
            if job.draft.identity.room != room || batch.len() == MAX_BATCH {
                waiting.push_back((job, deadline));
            } else if deadline <= now {
                late.push(job.reply);
            } else {
                first_deadline.get_or_insert(deadline);
                batch.push(job);
            }
        }
        let count = batch.len() + late.len();
        for reply in late {
            self.outcomes.reply(reply, Err(Error::DatabaseUnavailable));
        }
        if let Some(deadline) = first_deadline {
            // This lane waits for locks, so it returns no message without a reply.
            append(&mut self.lane, batch, deadline, &self.outcomes).await;
        }
        release(&self.blocked, room, count);
    }
}

//! The log's writers, and the handle to them.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use tokio::{runtime::Handle, sync::mpsc, time::Instant};
use tokio_util::{
    sync::CancellationToken,
    task::{AbortOnDropHandle, TaskTracker, task_tracker::TaskTrackerToken},
};

use super::{
    batch::{
        APPEND_TIMEOUT, DrainDeadline, Job, MAX_BATCH, OutcomeSink, QUEUE_BYTES, QUEUE_MESSAGES, Reply, take,
        write,
    },
    lane_queue::LaneQueue,
    lock_wait::{self, LockWaitQueue},
};
use crate::{
    domain::publisher::Publisher,
    faults::{self, Fault},
    model::{Error, Result, RoomId},
    store::{Draft, Lane, Lanes},
};

/// Minimum time left for a message to join a batch: the batch's deadline is its oldest message's.
const MIN_TIME_LEFT: Duration = Duration::from_millis(500);

/// A handle to the writers. Clones share them.
#[derive(Clone)]
pub struct Log {
    lanes: Arc<[mpsc::Sender<Job>]>,
    waiting_bytes: Arc<AtomicUsize>,
    closing: CancellationToken,
    drain_deadline: DrainDeadline,
    tasks: TaskTracker,
}

impl Log {
    /// Starts a writer for each lane: on the core runtime, or in a thread if the lane blocks.
    ///
    /// # Errors
    /// If a thread cannot be started.
    pub fn start(core: &Handle, lanes: Lanes, publisher: &Publisher) -> io::Result<Self> {
        let (closing, drain_deadline) = (CancellationToken::new(), DrainDeadline::default());
        let tasks = TaskTracker::new();
        let waiting_bytes = Arc::new(AtomicUsize::new(0));
        let outcomes =
            OutcomeSink { publisher: publisher.clone(), waiting_bytes: Arc::clone(&waiting_bytes) };
        let lock_wait = lanes.lock_wait.map(|lane| {
            let (queue, writer) = lock_wait::channel(lane, outcomes.clone());
            tasks.spawn_on(writer.run(), core);
            queue
        });
        let lanes = lanes
            .lanes
            .into_iter()
            .map(|lane| {
                let (sender, jobs) = mpsc::channel(QUEUE_MESSAGES);
                let (outcomes, lock_wait) = (outcomes.clone(), lock_wait.clone());
                let (closing, drain_deadline) = (closing.clone(), Arc::clone(&drain_deadline));
                let queue = LaneQueue::new(jobs);
                let writer = Writer { lane, queue, outcomes, lock_wait, closing, drain_deadline };
                if writer.lane.blocks() {
                    writer.run_in_thread(core.clone(), tasks.token())?;
                } else {
                    tasks.spawn_on(writer.run(), core);
                }
                Ok(sender)
            })
            .collect::<io::Result<_>>()?;
        tasks.close();
        Ok(Self { lanes, waiting_bytes, closing, drain_deadline, tasks })
    }

    /// Submits a draft to its room's writer, which calls `reply` with the outcome.
    ///
    /// # Errors
    /// [`Error::Overloaded`] where the queue is full, [`Error::Draining`] where the server drains. `reply` is then
    /// dropped.
    pub fn submit(&self, draft: Draft, reply: Reply) -> Result<()> {
        let bytes = draft.body.len();
        if self.waiting_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes > QUEUE_BYTES {
            self.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
            return Err(Error::Overloaded);
        }
        let lane = lane_of(draft.identity.room, self.lanes.len());
        self.lanes[lane].try_send(Job::new(draft, reply)).map_err(|error| {
            self.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
            match error {
                mpsc::error::TrySendError::Full(_) => Error::Overloaded,
                mpsc::error::TrySendError::Closed(_) => Error::Draining,
            }
        })
    }

    /// Returns how many messages wait for a batch.
    pub fn waiting(&self) -> usize {
        self.lanes.iter().map(|lane| lane.max_capacity() - lane.capacity()).sum()
    }

    /// Sets the time by which every submitted message has a reply, even if the database does not answer: what is not
    /// stored by then is refused, and its authors send it again to another server. Only the first call has an effect.
    pub fn end_by(&self, deadline: Instant) {
        self.drain_deadline.get_or_init(|| deadline);
    }

    /// Accepts no more messages, and returns once every submitted one has a reply.
    pub async fn close(&self) {
        self.closing.cancel();
        self.tasks.wait().await;
    }
}

fn lane_of(room: RoomId, lanes: usize) -> usize {
    usize::try_from(room.0.unsigned_abs()).unwrap_or(0) % lanes
}

/// The writer of one lane.
struct Writer {
    lane: Lane,
    queue: LaneQueue,
    outcomes: OutcomeSink,
    lock_wait: Option<LockWaitQueue>,
    closing: CancellationToken,
    drain_deadline: DrainDeadline,
}

impl Writer {
    /// Runs in a thread of its own, while a task on the core runtime refuses what is overdue.
    fn run_in_thread(self, core: Handle, token: TaskTrackerToken) -> io::Result<()> {
        let watch = self.queue.clone().watch(self.outcomes.clone(), Arc::clone(&self.drain_deadline));
        // It ends with the thread, even by a panic, so that the queue is closed then.
        let watch = AbortOnDropHandle::new(core.spawn(watch));
        let run = move || {
            core.block_on(self.run());
            drop((watch, token));
        };
        thread::Builder::new().name("log".to_owned()).spawn(run)?;
        Ok(())
    }

    async fn run(mut self) {
        let (mut batch, mut is_closing) = (Vec::new(), false);
        loop {
            tokio::select! {
                biased;
                count = self.queue.next(&mut batch, MAX_BATCH) => {
                    if count == 0 {
                        return self.lane.close().await;
                    }
                    self.append(std::mem::take(&mut batch)).await;
                }
                () = self.closing.cancelled(), if !is_closing => {
                    self.queue.close().await;
                    is_closing = true;
                }
            }
        }
    }

    async fn append(&mut self, mut batch: Vec<Job>) {
        if faults::is(Fault::BatchReversed) {
            batch.reverse();
        }
        let now = Instant::now();
        if self.drain_deadline.get().is_some_and(|deadline| *deadline <= now) {
            batch.into_iter().for_each(|job| self.outcomes.reply(job.reply, Err(Error::Draining)));
            return;
        }
        // The database held up the batch before: these messages have used up their time.
        for late in batch.extract_if(.., |job| job.reply.queued + APPEND_TIMEOUT < now + MIN_TIME_LEFT) {
            self.outcomes.reply(late.reply, Err(Error::DatabaseUnavailable));
        }
        let Some(oldest) = batch.iter().map(|job| job.reply.queued).min() else { return };
        let deadline = oldest + APPEND_TIMEOUT;
        let deadline = self.drain_deadline.get().map_or(deadline, |drain| deadline.min(*drain));
        if let Some(queue) = &self.lock_wait {
            batch = queue.take_blocked(batch, deadline, &self.outcomes);
        }
        if batch.is_empty() {
            return;
        }
        let (drafts, replies) = take(batch);
        self.queue.begin(replies, deadline);
        let appended = write(&mut self.lane, &drafts, deadline).await;
        let blocked = self.outcomes.finish(drafts, self.queue.end(), appended).await;
        if let Some(queue) = &self.lock_wait {
            queue.enqueue(blocked, deadline, &self.outcomes);
        }
    }
}

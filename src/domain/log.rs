//! The log's writers and its publisher.
//!
//! A handler never writes: it hands a draft to the writer of its room's lane and awaits the answer, so that a
//! handler that is dropped takes no transaction with it. A batch is what queued during the last commit. What is
//! committed is told to the hub by the writer itself, in the order of commits. What
//! another transaction holds goes a way of its own: see [`detour`].

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{runtime::Handle, sync::mpsc, time::Instant};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::detour::Detour;
use super::publisher::Publisher;
use crate::{
    faults::{self, Fault},
    metrics::{BATCH_MESSAGES, BATCH_SECONDS, MESSAGES_STORED, QUEUE_SECONDS},
    model::{Error, Result, RoomId},
    store::{Appended, Draft, Lane, Lanes, Receipt},
};

mod detour;

/// So many messages wait for a lane, at most: beyond, the caller is told to try again.
const QUEUE_MESSAGES: usize = 8_192;

/// So many bytes of bodies wait for all lanes, at most.
const QUEUE_BYTES: usize = 16 * 1024 * 1024;

/// A batch has at most so many messages: seven parameters each stay below every database's limit.
const BATCH: usize = 2_000;

/// How long a message may take in all, from when it was handed in to its answer.
pub(super) const DEADLINE: Duration = Duration::from_millis(2_500);

/// What of that a message must have left for a batch to take it: with less, all of its batch would have less.
const LEAST: Duration = Duration::from_millis(500);

/// What is called with the answer, on the writer's thread: it must not block.
pub(super) type Reply = Box<dyn FnOnce(Result<Receipt>) + Send>;

/// A handle to the writers. Clones share them.
#[derive(Clone)]
pub struct Log {
    lanes: Arc<[mpsc::Sender<Job>]>,
    waiting_bytes: Arc<AtomicUsize>,
    closing: CancellationToken,
    end: End,
    tasks: TaskTracker,
}

/// When everything must be answered, once the server ends.
type End = Arc<OnceLock<Instant>>;

struct Job {
    draft: Draft,
    reply: Reply,
    queued: Instant,
}

/// Where the outcome of a batch is told. Clones tell the same.
#[derive(Clone)]
struct Told {
    publisher: Publisher,
    waiting_bytes: Arc<AtomicUsize>,
}

impl Log {
    /// Starts a writer for each lane on the core runtime.
    pub fn start(core: &Handle, lanes: Lanes, publisher: &Publisher) -> Self {
        let (closing, end, tasks) = (CancellationToken::new(), End::default(), TaskTracker::new());
        let waiting_bytes = Arc::new(AtomicUsize::new(0));
        let told = Told { publisher: publisher.clone(), waiting_bytes: Arc::clone(&waiting_bytes) };
        let detour = lanes.spare.map(|spare| {
            let (detour, waiter) = detour::around(spare, told.clone());
            tasks.spawn_on(waiter.run(), core);
            detour
        });
        let lanes = lanes
            .lanes
            .into_iter()
            .map(|lane| {
                let (sender, jobs) = mpsc::channel(QUEUE_MESSAGES);
                let (told, detour) = (told.clone(), detour.clone());
                let (closing, end) = (closing.clone(), Arc::clone(&end));
                tasks.spawn_on(Writer { lane, jobs, told, detour, closing, end }.run(), core);
                sender
            })
            .collect();
        tasks.close();
        Self { lanes, waiting_bytes, closing, end, tasks }
    }

    /// Hands a draft to its room's writer, which answers once it is stored, or was not.
    ///
    /// # Errors
    /// [`Error::Overloaded`] where too much waits, [`Error::Draining`] where the server ends; `reply` is dropped
    /// then.
    pub fn submit(&self, draft: Draft, reply: Reply) -> Result<()> {
        let bytes = draft.body.len();
        if self.waiting_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes > QUEUE_BYTES {
            self.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
            return Err(Error::Overloaded);
        }
        let lane = lane_of(draft.identity.room, self.lanes.len());
        self.lanes[lane].try_send(Job { draft, reply, queued: Instant::now() }).map_err(|error| {
            self.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
            match error {
                mpsc::error::TrySendError::Full(_) => Error::Overloaded,
                mpsc::error::TrySendError::Closed(_) => Error::Draining,
            }
        })
    }

    /// Returns how many messages wait for their batch.
    pub fn waiting(&self) -> usize {
        self.lanes.iter().map(|lane| lane.max_capacity() - lane.capacity()).sum()
    }

    /// Has all that was taken answered by `end`, however the database is: what is not stored by then is refused, and its
    /// authors send it again elsewhere. The first call counts.
    pub fn end_by(&self, end: Instant) {
        self.end.get_or_init(|| end);
    }

    /// Takes no more, and returns once all that was taken is answered.
    pub async fn close(&self) {
        self.closing.cancel();
        self.tasks.wait().await;
    }
}

fn lane_of(room: RoomId, lanes: usize) -> usize {
    usize::try_from(room.0.unsigned_abs()).unwrap_or(0) % lanes
}

struct Writer {
    lane: Lane,
    jobs: mpsc::Receiver<Job>,
    told: Told,
    detour: Option<Detour>,
    closing: CancellationToken,
    end: End,
}

impl Writer {
    async fn run(mut self) {
        let mut batch = Vec::new();
        loop {
            tokio::select! {
                biased;
                count = self.jobs.recv_many(&mut batch, BATCH) => {
                    if count == 0 {
                        return;
                    }
                    self.append(std::mem::take(&mut batch)).await;
                }
                () = self.closing.cancelled(), if !self.jobs.is_closed() => self.jobs.close(),
            }
        }
    }

    async fn append(&mut self, mut batch: Vec<Job>) {
        if faults::is(Fault::BatchReversed) {
            batch.reverse();
        }
        let now = Instant::now();
        if self.end.get().is_some_and(|end| *end <= now) {
            batch.into_iter().for_each(|job| self.told.answer(job, Err(Error::Draining)));
            return;
        }
        // What waited behind a batch that the database held up has had its time.
        for late in batch.extract_if(.., |job| job.queued + DEADLINE < now + LEAST) {
            self.told.answer(late, Err(Error::DatabaseUnavailable));
        }
        let Some(oldest) = batch.iter().map(|job| job.queued).min() else { return };
        let deadline = self.end.get().map_or(oldest + DEADLINE, |end| (oldest + DEADLINE).min(*end));
        if let Some(detour) = &self.detour {
            batch = detour.divert(batch, deadline, &self.told);
        }
        if batch.is_empty() {
            return;
        }
        let busy = append(&mut self.lane, batch, deadline, &self.told).await;
        if let Some(detour) = &self.detour {
            detour.take(busy, deadline, &self.told);
        }
    }
}

/// Appends a batch and tells its outcome. Returns what is not answered yet, since another
/// transaction holds its room or session.
async fn append(lane: &mut Lane, batch: Vec<Job>, deadline: Instant, told: &Told) -> Vec<Job> {
    let begun = Instant::now();
    BATCH_MESSAGES.observe(batch.len() as u64);
    for job in &batch {
        QUEUE_SECONDS.observe_duration(begun - job.queued);
    }
    let (drafts, replies): (Vec<Draft>, Vec<(Reply, Instant)>) =
        batch.into_iter().map(|job| (job.draft, (job.reply, job.queued))).unzip();
    let Appended { receipts, mut rooms } = lane.append(&drafts, deadline).await;
    BATCH_SECONDS.observe_duration(begun.elapsed());
    if faults::is(Fault::PublishBeforeCommit) {
        rooms.drain(..).for_each(|(room, passage)| told.publisher.publish(room, passage));
        faults::later(faults::later(async {})).await;
    }
    let mut busy = Vec::new();
    for ((draft, (reply, queued)), receipt) in drafts.into_iter().zip(replies).zip(receipts) {
        let job = Job { draft, reply, queued };
        match receipt {
            Some(receipt) => told.answer(job, receipt),
            None => busy.push(job),
        }
    }
    for (room, passage) in rooms {
        MESSAGES_STORED.add(passage.messages.len() as u64);
        told.publisher.publish(room, passage);
    }
    told.publisher.reclaim();
    busy
}

impl Told {
    fn answer(&self, job: Job, receipt: Result<Receipt>) {
        self.waiting_bytes.fetch_sub(job.draft.body.len(), Ordering::Relaxed);
        (job.reply)(receipt);
    }
}

/// How often the rooms' heads are compared with the database.
pub(super) const POLL_INTERVAL: Duration = Duration::from_secs(1);

//! A batch: appended, answered and published.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    domain::{publisher::Publisher, tasks::Tasks},
    faults::{self, Fault},
    metrics::{BATCH_MESSAGES, BATCH_SECONDS, MESSAGES_STORED, QUEUE_SECONDS},
    model::Result,
    store::{Appended, Draft, Lane, Receipt},
};

/// How many messages may wait for one lane. A message beyond that is refused as overload.
pub(super) const QUEUE_MESSAGES: usize = 8_192;

/// How many bytes of bodies may wait for all lanes.
pub(super) const QUEUE_BYTES: usize = 16 * 1024 * 1024;

/// The most messages in a batch: with seven parameters each, it stays below every database's limit.
pub(super) const MAX_BATCH: usize = 2_000;

/// The time from submitting a message to its reply. On SQLite it is up to 100 ms more where the disk does not answer.
pub(super) const APPEND_TIMEOUT: Duration = Duration::from_millis(2_500);

/// The time by which every message must have a reply, set when the server drains.
pub(super) type DrainDeadline = Arc<OnceLock<Instant>>;

/// Called with the outcome, on a thread of the server's own: it must not block.
pub(in crate::domain) type Reply = Box<dyn FnOnce(Result<Receipt>) + Send>;

/// A message that waits to be appended.
pub(super) struct Job {
    pub(super) draft: Draft,
    pub(super) reply: PendingReply,
}

/// The reply to a message that is not given yet.
pub(super) struct PendingReply {
    reply: Reply,
    pub(super) queued: Instant,
    /// Length of the message's body.
    bytes: usize,
}

impl Job {
    /// Makes a job of a message that is queued now.
    pub(super) fn new(draft: Draft, reply: Reply) -> Self {
        let bytes = draft.body.len();
        Self { draft, reply: PendingReply { reply, queued: Instant::now(), bytes } }
    }
}

/// Where the outcome of a batch goes: to its senders and to the publisher. Clones share both.
#[derive(Clone)]
pub(super) struct OutcomeSink {
    pub(super) publisher: Publisher,
    pub(super) waiting_bytes: Arc<AtomicUsize>,
}

/// Runs `act` after [`APPEND_TIMEOUT`], when the messages that are being written now have been published. A message whose
/// commit stays in doubt may be published later.
pub(in crate::domain) fn after_append_timeout(tasks: &Tasks, act: impl FnOnce() + Send + 'static) {
    tasks.spawn(async move {
        tokio::time::sleep(APPEND_TIMEOUT).await;
        act();
    });
}

/// Appends a batch, replies to its senders and publishes it. Returns the messages without a reply: another transaction
/// holds their room or session.
pub(super) async fn append(
    lane: &mut Lane,
    batch: Vec<Job>,
    deadline: Instant,
    outcomes: &OutcomeSink,
) -> Vec<Job> {
    let (drafts, replies) = take(batch);
    let appended = write(lane, &drafts, deadline).await;
    outcomes.finish(drafts, replies, appended).await
}

/// Takes a batch from the queue, as drafts and their replies.
pub(super) fn take(batch: Vec<Job>) -> (Vec<Draft>, Vec<PendingReply>) {
    BATCH_MESSAGES.observe(batch.len() as u64);
    let now = Instant::now();
    for job in &batch {
        QUEUE_SECONDS.observe_duration(now - job.reply.queued);
    }
    batch.into_iter().map(|job| (job.draft, job.reply)).unzip()
}

/// Appends drafts to the log.
pub(super) async fn write(lane: &mut Lane, drafts: &[Draft], deadline: Instant) -> Appended {
    let begun = Instant::now();
    let appended = lane.append(drafts, deadline).await;
    BATCH_SECONDS.observe_duration(begun.elapsed());
    appended
}

impl OutcomeSink {
    /// Replies to the senders of a batch and publishes it. Returns the messages without a reply.
    pub(super) async fn finish(
        &self,
        drafts: Vec<Draft>,
        replies: Vec<PendingReply>,
        appended: Appended,
    ) -> Vec<Job> {
        let Appended { receipts, mut slices } = appended;
        if faults::is(Fault::PublishBeforeCommit) {
            slices.drain(..).for_each(|(room, slice)| self.publisher.publish(room, slice));
            faults::later(faults::later(async {})).await;
        }
        let mut blocked = Vec::new();
        for ((draft, reply), receipt) in drafts.into_iter().zip(replies).zip(receipts) {
            match receipt {
                Some(receipt) => self.reply(reply, receipt),
                None => blocked.push(Job { draft, reply }),
            }
        }
        for (room, slice) in slices {
            MESSAGES_STORED.add(slice.messages.len() as u64);
            self.publisher.publish(room, slice);
        }
        self.publisher.reclaim();
        blocked
    }

    /// Replies to a message's sender.
    pub(super) fn reply(&self, pending: PendingReply, receipt: Result<Receipt>) {
        self.waiting_bytes.fetch_sub(pending.bytes, Ordering::Relaxed);
        (pending.reply)(receipt);
    }
}

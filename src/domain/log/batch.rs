//! A batch: appended in one transaction, answered and published.

use std::{
    sync::{
        Arc,
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

/// The time from submitting a message to its reply.
pub(super) const APPEND_TIMEOUT: Duration = Duration::from_millis(2_500);

/// Called with the outcome, on the writer's thread: it must not block.
pub(in crate::domain) type Reply = Box<dyn FnOnce(Result<Receipt>) + Send>;

/// A message that waits to be appended.
pub(super) struct Job {
    pub(super) draft: Draft,
    pub(super) reply: Reply,
    pub(super) queued: Instant,
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
    let begun = Instant::now();
    BATCH_MESSAGES.observe(batch.len() as u64);
    for job in &batch {
        QUEUE_SECONDS.observe_duration(begun - job.queued);
    }
    let (drafts, replies): (Vec<Draft>, Vec<(Reply, Instant)>) =
        batch.into_iter().map(|job| (job.draft, (job.reply, job.queued))).unzip();
    let Appended { receipts, mut slices } = lane.append(&drafts, deadline).await;
    BATCH_SECONDS.observe_duration(begun.elapsed());
    if faults::is(Fault::PublishBeforeCommit) {
        slices.drain(..).for_each(|(room, slice)| outcomes.publisher.publish(room, slice));
        faults::later(faults::later(async {})).await;
    }
    let mut blocked = Vec::new();
    for ((draft, (reply, queued)), receipt) in drafts.into_iter().zip(replies).zip(receipts) {
        let job = Job { draft, reply, queued };
        match receipt {
            Some(receipt) => outcomes.reply(job, receipt),
            None => blocked.push(job),
        }
    }
    for (room, slice) in slices {
        MESSAGES_STORED.add(slice.messages.len() as u64);
        outcomes.publisher.publish(room, slice);
    }
    outcomes.publisher.reclaim();
    blocked
}

impl OutcomeSink {
    /// Replies to a message's sender.
    pub(super) fn reply(&self, job: Job, receipt: Result<Receipt>) {
        self.waiting_bytes.fetch_sub(job.draft.body.len(), Ordering::Relaxed);
        (job.reply)(receipt);
    }
}

//! Deliberate faults, which prove that the checker of the promise (`nemesis/`) catches a server that breaks it.
//!
//! Each fault is one line where the code that it breaks is. `GRPCCHATTER_FAULT` names the one that is on. Without the
//! feature `deliberate-faults` the functions below are constant, and the program contains neither the faults nor their
//! names.

use std::time::Duration;

/// The delay of work that a fault does too late.
pub const DELAY: Duration = Duration::from_millis(50);

/// A way to break the promise.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// A message is acknowledged before its commit.
    AckBeforeCommit,
    /// A message is published before its commit, and acknowledged after it.
    PublishBeforeCommit,
    /// A message that is sent again is stored again.
    NoDeduplication,
    /// Ids are looked up in the snapshot of the moment at which the room is locked.
    DeduplicationUnderLock,
    /// A start of the server forgets the ids of all messages.
    IdsForgotten,
    /// A message of a batch is not stored.
    RowNotStored,
    /// A message is stored with the body of another.
    BodyMixedUp,
    /// The first message after a start leaves a seq unused.
    GapAfterRestart,
    /// The messages of a batch are stored in reverse order.
    BatchReversed,
    /// A repeated id is answered with another seq than the first time.
    RetryGivesNewSeq,
    /// Chunks are left out of streams.
    DeliveryDropped,
    /// Chunks are delivered twice.
    DeliveredTwice,
    /// Two messages are published in the wrong order.
    TwoSwapped,
    /// A gap between two published batches is not filled from the log.
    GapFillSkipped,
    /// Messages at the end of the log that were not published are never looked for.
    TailForgotten,
    /// A stream that resumes misses a message.
    ResumeSkipsOne,
    /// A stream that resumes receives its last message again.
    ResumeRepeatsOne,
    /// A stream that resumes begins with the next new message.
    CatchUpSkipped,
    /// The message id in a resume point is not compared with the log.
    ResumePointTrusted,
    /// Cached pages of the log are used although the log has grown.
    StalePage,
    /// Messages are delivered without their authors' ids.
    EchoWithoutId,
    /// Streams continue although the log has forked.
    ForkUndetected,
    /// A message that is visible but perhaps on no standby is acknowledged, without a commit that waits for the standby.
    InDoubtRolledBack,
    /// Seqs come from a counter that a rollback does not reset, as in a database sequence.
    SeqFromASequence,
    /// The log's fast path uses memberships although the room's epochs have risen.
    EpochIgnored,
    /// The log's fast path acknowledges messages before their commit.
    FastPathAcksBeforeCommit,
    /// A part of a batch that the fast path's transaction refuses is committed.
    RefusalLeavesHalf,
}

/// Says whether the fault that is on concerns the lanes' own transactions, so that the fast path must leave all to them.
pub fn concerns_own_transaction() -> bool {
    [
        Fault::AckBeforeCommit,
        Fault::PublishBeforeCommit,
        Fault::DeduplicationUnderLock,
        Fault::InDoubtRolledBack,
        Fault::GapAfterRestart,
        Fault::SeqFromASequence,
    ]
    .into_iter()
    .any(is)
}

/// Says whether a fault is on.
#[cfg(not(feature = "deliberate-faults"))]
pub const fn is(_: Fault) -> bool {
    false
}

/// Says whether a fault is on, for every `nth` call.
#[cfg(not(feature = "deliberate-faults"))]
pub const fn is_nth(_: Fault, _: usize) -> bool {
    false
}

/// Does something too late.
pub async fn later<T>(work: impl Future<Output = T>) -> T {
    tokio::time::sleep(DELAY).await;
    work.await
}

/// Says whether a fault is on, for the first call only.
#[cfg(not(feature = "deliberate-faults"))]
pub const fn is_first(_: Fault) -> bool {
    false
}

/// Returns the next seq of the room's counter if [`Fault::SeqFromASequence`] is on, and else `seq`.
#[cfg(not(feature = "deliberate-faults"))]
pub const fn sequence(_room: i64, seq: crate::model::Seq) -> crate::model::Seq {
    seq
}

#[cfg(feature = "deliberate-faults")]
pub use chosen::{is, is_first, is_nth, sequence};

#[cfg(feature = "deliberate-faults")]
mod chosen {
    use std::{
        collections::BTreeMap,
        sync::{
            OnceLock,
            atomic::{AtomicUsize, Ordering},
        },
    };

    use parking_lot::Mutex;

    use super::Fault;
    use crate::model::Seq;

    /// The environment variable that names the fault.
    const VARIABLE: &str = "GRPCCHATTER_FAULT";

    const NAMES: &[(&str, Fault)] = &[
        ("ack-before-commit", Fault::AckBeforeCommit),
        ("publish-before-commit", Fault::PublishBeforeCommit),
        ("no-deduplication", Fault::NoDeduplication),
        ("deduplication-under-lock", Fault::DeduplicationUnderLock),
        ("ids-forgotten", Fault::IdsForgotten),
        ("row-not-stored", Fault::RowNotStored),
        ("body-mixed-up", Fault::BodyMixedUp),
        ("gap-after-restart", Fault::GapAfterRestart),
        ("batch-reversed", Fault::BatchReversed),
        ("retry-gives-new-seq", Fault::RetryGivesNewSeq),
        ("delivery-dropped", Fault::DeliveryDropped),
        ("delivered-twice", Fault::DeliveredTwice),
        ("two-swapped", Fault::TwoSwapped),
        ("gap-fill-skipped", Fault::GapFillSkipped),
        ("tail-forgotten", Fault::TailForgotten),
        ("resume-skips-one", Fault::ResumeSkipsOne),
        ("resume-repeats-one", Fault::ResumeRepeatsOne),
        ("catch-up-skipped", Fault::CatchUpSkipped),
        ("resume-point-trusted", Fault::ResumePointTrusted),
        ("stale-page", Fault::StalePage),
        ("echo-without-id", Fault::EchoWithoutId),
        ("fork-undetected", Fault::ForkUndetected),
        ("in-doubt-rolled-back", Fault::InDoubtRolledBack),
        ("seq-from-a-sequence", Fault::SeqFromASequence),
        ("epoch-ignored", Fault::EpochIgnored),
        ("fast-path-acks-before-commit", Fault::FastPathAcksBeforeCommit),
        ("refusal-leaves-half", Fault::RefusalLeavesHalf),
    ];

    /// Says whether a fault is on.
    ///
    /// # Panics
    /// If the variable names no fault: a mutant without a fault would pass as not caught.
    pub fn is(fault: Fault) -> bool {
        static CHOSEN: OnceLock<Option<Fault>> = OnceLock::new();
        let chosen = CHOSEN.get_or_init(|| {
            let name = std::env::var(VARIABLE).ok().filter(|name| !name.is_empty())?;
            let found = NAMES.iter().find(|(known, _)| *known == name);
            Some(found.unwrap_or_else(|| panic!("{VARIABLE}: there is no fault {name}")).1)
        });
        *chosen == Some(fault)
    }

    /// The number of calls of [`is_nth`] and [`is_first`] with the fault that is on.
    static CALLS: AtomicUsize = AtomicUsize::new(0);

    /// Says whether a fault is on, for every `nth` call.
    pub fn is_nth(fault: Fault, nth: usize) -> bool {
        is(fault) && (CALLS.fetch_add(1, Ordering::Relaxed) + 1).is_multiple_of(nth)
    }

    /// Says whether a fault is on, for the first call only.
    pub fn is_first(fault: Fault) -> bool {
        is(fault) && CALLS.fetch_add(1, Ordering::Relaxed) == 0
    }

    /// Returns the next seq of the room's counter if [`Fault::SeqFromASequence`] is on, and else `seq`.
    pub fn sequence(room: i64, seq: Seq) -> Seq {
        static LAST: Mutex<BTreeMap<i64, Seq>> = Mutex::new(BTreeMap::new());
        if !is(Fault::SeqFromASequence) {
            return seq;
        }
        let mut all = LAST.lock();
        let last = all.entry(room).or_insert(seq.previous());
        *last = last.next();
        *last
    }
}

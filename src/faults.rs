//! Faults on purpose, so that the checker of the promise (`nemesis/`) can be seen to catch them.
//!
//! Each is one line at the place that it concerns, and at most one is on: the one that the variable names. Without
//! the feature `deliberate-faults` the answer is a constant no, and neither the lines nor the names are in the program.

use std::time::Duration;

/// How much later something is done that comes too late.
const LATER: Duration = Duration::from_millis(50);

/// Where the promise is broken.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// A message is acknowledged before its commit.
    AckBeforeCommit,
    /// A message is told to the streams before its commit, and acknowledged after it.
    PublishBeforeCommit,
    /// A message that comes again is stored again.
    NoDeduplication,
    /// Ids are looked up as of the moment at which the room was locked.
    DeduplicationUnderLock,
    /// Ids are forgotten when the server starts.
    IdsForgotten,
    /// A row is left out of its batch.
    RowNotStored,
    /// A message is stored with the body of another.
    BodyMixedUp,
    /// The first message after a start leaves a place free before it.
    GapAfterRestart,
    /// What queued is stored in another order.
    BatchReversed,
    /// A repeated id is answered with a place of its own.
    RetryAnsweredAnew,
    /// Chunks are left out of streams.
    DeliveryDropped,
    /// Chunks are sent on a stream twice.
    DeliveredTwice,
    /// Two messages are told in the wrong order.
    TwoSwapped,
    /// What is missing between two tellings is passed over.
    GapFillSkipped,
    /// What is missing at the end of the log is never looked for.
    TailForgotten,
    /// A stream that comes back misses a message.
    ResumeSkipsOne,
    /// A stream that comes back is told its last message again.
    ResumeRepeatsOne,
    /// A stream that comes back begins with what is said from then on.
    CatchUpSkipped,
    /// The message that a stream says it has is not compared with the log.
    ResumePointTrusted,
    /// Pages of the log are kept though the log has grown.
    StalePage,
    /// Messages are told without what their authors call them.
    EchoWithoutId,
    /// What comes next is told whatever was told before it.
    SeamUnchecked,
    /// What was committed by others is acknowledged as soon as it is seen, on whichever server it is.
    DoubtRolledBack,
    /// Places come from a counter that a rollback does not turn back, as a database's sequence does.
    SeqFromASequence,
}

/// Says whether a fault is on.
#[cfg(not(feature = "deliberate-faults"))]
pub const fn is(_: Fault) -> bool {
    false
}

/// Says whether a fault is on, at every `nth` asking.
#[cfg(not(feature = "deliberate-faults"))]
pub const fn is_nth(_: Fault, _: usize) -> bool {
    false
}

/// Does something later than it should be done.
pub async fn later<T>(work: impl Future<Output = T>) -> T {
    tokio::time::sleep(LATER).await;
    work.await
}

/// Says whether a fault is on, at the first asking.
#[cfg(not(feature = "deliberate-faults"))]
pub const fn is_first(_: Fault) -> bool {
    false
}

/// Returns the place that a room's sequence gives, where that fault is on, and `seq` otherwise.
#[cfg(not(feature = "deliberate-faults"))]
pub const fn sequence(_room: i64, seq: i64) -> i64 {
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

    /// The variable that names the fault.
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
        ("retry-answered-anew", Fault::RetryAnsweredAnew),
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
        ("seam-unchecked", Fault::SeamUnchecked),
        ("doubt-rolled-back", Fault::DoubtRolledBack),
        ("seq-from-a-sequence", Fault::SeqFromASequence),
    ];

    /// Says whether a fault is on.
    ///
    /// # Panics
    /// Where the variable holds a name that no fault has: what is not broken would not be caught either.
    pub fn is(fault: Fault) -> bool {
        static CHOSEN: OnceLock<Option<Fault>> = OnceLock::new();
        let chosen = CHOSEN.get_or_init(|| {
            let name = std::env::var(VARIABLE).ok().filter(|name| !name.is_empty())?;
            let found = NAMES.iter().find(|(known, _)| *known == name);
            Some(found.unwrap_or_else(|| panic!("{VARIABLE}: there is no fault {name}")).1)
        });
        *chosen == Some(fault)
    }

    /// How often a fault was asked for that is on.
    static ASKED: AtomicUsize = AtomicUsize::new(0);

    /// Says whether a fault is on, at every `nth` asking.
    pub fn is_nth(fault: Fault, nth: usize) -> bool {
        is(fault) && (ASKED.fetch_add(1, Ordering::Relaxed) + 1).is_multiple_of(nth)
    }

    /// Says whether a fault is on, at the first asking.
    pub fn is_first(fault: Fault) -> bool {
        is(fault) && ASKED.fetch_add(1, Ordering::Relaxed) == 0
    }

    /// Returns the place that a room's sequence gives, where that fault is on, and `seq` otherwise.
    pub fn sequence(room: i64, seq: i64) -> i64 {
        static LAST: Mutex<BTreeMap<i64, i64>> = Mutex::new(BTreeMap::new());
        if !is(Fault::SeqFromASequence) {
            return seq;
        }
        let mut all = LAST.lock();
        let last = all.entry(room).or_insert(seq - 1);
        *last += 1;
        *last
    }
}

//! Returns freed memory to the system.
//!
//! glibc only returns the free memory at the end of a heap, so one block in use retains all free memory before it.
//! Memory of a burst of calls would stay with the process for good. So the heaps are trimmed after a burst, and from
//! time to time while the process uses more memory than its lowest. Other C libraries return memory by themselves.

use std::time::Duration;

use tokio::{task::spawn_blocking, time::sleep};

use crate::metrics::resident_bytes;

/// How often memory use is sampled.
const SAMPLE_INTERVAL: Duration = Duration::from_secs(5);

/// How far memory use must be above its lowest for a trim, which locks the heaps for some milliseconds.
const MIN_EXCESS: u64 = 8 * 1024 * 1024;

/// A burst is over when memory use grows by less than this between two samples.
const STEADY_GROWTH: u64 = 1024 * 1024;

/// After a trim that freed at least this much, the next sample trims again.
const EFFECTIVE: u64 = 1024 * 1024;

/// The heaps are trimmed again after at most this number of samples, since the size of free memory cannot be observed.
const MAX_PAUSE: u32 = 12;

/// Samples and trims until it is dropped. Ends if the system does not report memory use.
pub(super) async fn run() {
    let Some(resident) = resident_bytes() else { return };
    let mut history = MemoryHistory::new(resident);
    loop {
        sleep(SAMPLE_INTERVAL).await;
        let Some(before) = resident_bytes() else { return };
        if !history.is_time(before) {
            continue;
        }
        if spawn_blocking(trim).await.is_err() {
            return;
        }
        let after = resident_bytes().unwrap_or(before);
        tracing::debug!(before, after, "memory was returned to the system");
        history.trimmed(before, after);
    }
}

/// Samples of the process' memory use, in bytes.
struct MemoryHistory {
    lowest: u64,
    /// The last sample, or the use after the last trim.
    last: u64,
    /// How many samples to skip before the next trim.
    skip: u32,
    /// How many samples were skipped before the last trim.
    pause: u32,
}

impl MemoryHistory {
    const fn new(resident: u64) -> Self {
        Self { lowest: resident, last: resident, skip: 0, pause: 0 }
    }

    /// Returns whether to trim the heaps: memory use is above its lowest and does not grow.
    fn is_time(&mut self, resident: u64) -> bool {
        let grows = resident > self.last + STEADY_GROWTH;
        self.last = resident;
        self.lowest = self.lowest.min(resident);
        if grows {
            (self.skip, self.pause) = (0, 0);
            return false;
        }
        if resident < self.lowest + MIN_EXCESS {
            return false;
        }
        let is_time = self.skip == 0;
        self.skip = self.skip.saturating_sub(1);
        is_time
    }

    /// Records a trim. After an ineffective one, the next is later.
    fn trimmed(&mut self, before: u64, after: u64) {
        self.last = after;
        self.lowest = self.lowest.min(after);
        let effective = before.saturating_sub(after) >= EFFECTIVE;
        self.pause = if effective { 0 } else { (2 * self.pause + 1).min(MAX_PAUSE - 1) };
        self.skip = self.pause;
    }
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "only the C library can do this, and no crate wraps it")]
fn trim() {
    // SAFETY: malloc_trim takes no pointer and may be called from any thread at any time (malloc_trim(3)).
    unsafe { libc::malloc_trim(0) };
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
const fn trim() {}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1024 * 1024;

    #[test]
    fn heaps_are_trimmed_after_a_burst_and_periodically_while_much_memory_is_in_use() {
        let mut history = MemoryHistory::new(20 * MIB);
        // It grows, and then stops growing.
        for (resident, is_time) in [(21, false), (60, false), (90, false), (90, true)] {
            assert_eq!(history.is_time(resident * MIB), is_time, "{resident} MiB");
        }
        // All of it is in use: the trims become less frequent.
        let mut samples = Vec::new();
        for _ in 0..6 {
            history.trimmed(90 * MIB, 90 * MIB);
            samples.push((1..).find(|_| history.is_time(90 * MIB)).unwrap());
        }
        assert_eq!(samples, [2, 4, 8, 12, 12, 12]);
        // Memory was freed meanwhile.
        history.trimmed(90 * MIB, 40 * MIB);
        assert!(history.is_time(40 * MIB), "more may be free");
        history.trimmed(40 * MIB, 22 * MIB);
        assert!(!history.is_time(22 * MIB), "the excess is too small");
        // The next burst is trimmed without a pause.
        assert!(!history.is_time(70 * MIB));
        assert!(history.is_time(70 * MIB));
    }

    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    #[test]
    fn free_memory_below_a_block_in_use_is_returned() {
        const BLOCKS: usize = 64 * 1024;
        // Writing makes each of them resident.
        let mut blocks: Vec<Vec<u8>> = (0..BLOCKS).map(|nth| vec![nth as u8 | 1; 1024]).collect();
        // One in a thousand stays.
        let stay: Vec<Vec<u8>> = blocks.iter_mut().step_by(1_000).map(std::mem::take).collect();
        drop(blocks);
        let before = resident_bytes().unwrap();
        trim();
        let after = resident_bytes().unwrap();
        assert_eq!(stay.len(), BLOCKS.div_ceil(1_000));
        assert!(after + 32 * MIB <= before, "{before} bytes, then {after}");
    }
}

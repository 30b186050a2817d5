//! Memory that was freed goes back to the system.
//!
//! glibc gives back what lies at the end of a heap, so that one block that stays keeps all that was freed before it. What a
//! burst of calls has taken would stay with the process for good. So the heaps are trimmed when a burst is over, and now and
//! then for as long as more is in use than there once was. Other C libraries give memory back by themselves.

use std::time::Duration;

use tokio::{task::spawn_blocking, time::sleep};

use crate::metrics::resident_bytes;

/// How often the memory is looked at.
const LOOK: Duration = Duration::from_secs(5);

/// How far the memory has to be above its lowest: trimming locks the heaps for some milliseconds.
const WORTH_IT: u64 = 8 * 1024 * 1024;

/// A process whose memory grows by less between two looks is not in the middle of a burst.
const STEADY: u64 = 1024 * 1024;

/// Where at least this much was given back, the next look trims again.
const GAVE: u64 = 1024 * 1024;

/// After how many looks the heaps are trimmed again at the latest. Memory in use cannot be given back, and from outside
/// nobody sees when it is freed.
const MOST_LOOKS: u32 = 12;

/// Trims the heaps while there is something to give back, until it is dropped. Ends where the system does not tell how much
/// memory is in use.
pub(super) async fn give_back() {
    let Some(resident) = resident_bytes() else { return };
    let mut seen = Seen::new(resident);
    loop {
        sleep(LOOK).await;
        let Some(before) = resident_bytes() else { return };
        if !seen.is_time(before) {
            continue;
        }
        if spawn_blocking(trim).await.is_err() {
            return;
        }
        let after = resident_bytes().unwrap_or(before);
        tracing::debug!(before, after, "memory was given back");
        seen.trimmed(before, after);
    }
}

/// What was seen of the process' memory, in bytes.
struct Seen {
    /// The least there was.
    least: u64,
    /// At the last look, or when the heaps had been trimmed.
    last: u64,
    /// How many looks are to pass before the heaps are trimmed again, and how many were to pass the last time.
    pass: u32,
    pause: u32,
}

impl Seen {
    const fn new(resident: u64) -> Self {
        Self { least: resident, last: resident, pass: 0, pause: 0 }
    }

    /// Says whether to trim the heaps: there is more in use than there once was, and it does not grow.
    fn is_time(&mut self, resident: u64) -> bool {
        let grows = resident > self.last + STEADY;
        self.last = resident;
        self.least = self.least.min(resident);
        if grows {
            (self.pass, self.pause) = (0, 0);
            return false;
        }
        if resident < self.least + WORTH_IT {
            return false;
        }
        let is_time = self.pass == 0;
        self.pass = self.pass.saturating_sub(1);
        is_time
    }

    /// Notes what came of it: the less was given back, the later is the next time.
    fn trimmed(&mut self, before: u64, after: u64) {
        self.last = after;
        self.least = self.least.min(after);
        let gave = before.saturating_sub(after) >= GAVE;
        self.pause = if gave { 0 } else { (2 * self.pause + 1).min(MOST_LOOKS - 1) };
        self.pass = self.pause;
    }
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "the C library is the only one that can do it, and no crate wraps it")]
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
    fn heaps_are_trimmed_after_a_burst_and_now_and_then_while_much_is_in_use() {
        let mut seen = Seen::new(20 * MIB);
        // It grows, and no more.
        for (resident, is_time) in [(21, false), (60, false), (90, false), (90, true)] {
            assert_eq!(seen.is_time(resident * MIB), is_time, "{resident} MiB");
        }
        // All of it is in use: the next times are further and further apart.
        let mut looks = Vec::new();
        for _ in 0..6 {
            seen.trimmed(90 * MIB, 90 * MIB);
            looks.push((1..).find(|_| seen.is_time(90 * MIB)).unwrap());
        }
        assert_eq!(looks, [2, 4, 8, 12, 12, 12]);
        // It was freed meanwhile.
        seen.trimmed(90 * MIB, 40 * MIB);
        assert!(seen.is_time(40 * MIB), "there may be more");
        seen.trimmed(40 * MIB, 22 * MIB);
        assert!(!seen.is_time(22 * MIB), "it is not worth it");
        // The next burst is not waited with.
        assert!(!seen.is_time(70 * MIB));
        assert!(seen.is_time(70 * MIB));
    }

    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    #[test]
    fn what_lies_below_a_block_in_use_goes_back() {
        const BLOCKS: usize = 64 * 1024;
        // Each is written to, so that it is resident.
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

//! Memory that was freed goes back to the system.
//!
//! glibc gives back what lies at the end of a heap, so that one block that stays keeps all that was freed before it. What a
//! burst of calls has taken would stay with the process for good. So the heaps are trimmed when a burst is over. Other C
//! libraries give memory back by themselves.

use std::time::Duration;

use tokio::{task::spawn_blocking, time::sleep};

use crate::metrics::resident_bytes;

/// How often it is looked at.
const LOOK: Duration = Duration::from_secs(5);

/// So much is worth the milliseconds for which the heaps are locked.
const WORTH_IT: u64 = 8 * 1024 * 1024;

/// A process whose memory grows by less between two looks is not in the middle of a burst.
const STEADY: u64 = 1024 * 1024;

/// Trims the heaps after each burst, until it is dropped. Ends where the system does not tell how much memory is in use.
pub(super) async fn give_back() {
    let Some(resident) = resident_bytes() else { return };
    let mut seen = Seen { left: resident, last: resident };
    loop {
        sleep(LOOK).await;
        let Some(resident) = resident_bytes() else { return };
        if !seen.is_burst_over(resident) {
            continue;
        }
        if spawn_blocking(trim).await.is_err() {
            return;
        }
        let left = resident_bytes().unwrap_or(resident);
        tracing::debug!(before = resident, after = left, "memory was given back");
        seen = Seen { left, last: left };
    }
}

/// What was seen of the process' memory, in bytes.
struct Seen {
    /// What was left when the heaps were trimmed last, or since.
    left: u64,
    /// At the last look.
    last: u64,
}

impl Seen {
    /// Says whether the memory has grown enough, and grows no more.
    fn is_burst_over(&mut self, resident: u64) -> bool {
        let is_steady = resident <= self.last + STEADY;
        self.last = resident;
        self.left = self.left.min(resident);
        is_steady && resident >= self.left + WORTH_IT
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
    fn heaps_are_trimmed_once_after_a_burst() {
        let mut seen = Seen { left: 20 * MIB, last: 20 * MIB };
        for (resident, is_over) in [
            (21, false),
            // It grows.
            (60, false),
            (90, false),
            (90, true),
        ] {
            assert_eq!(seen.is_burst_over(resident * MIB), is_over, "{resident} MiB");
        }
        // What is left is in use: it is nothing to give back.
        seen = Seen { left: 85 * MIB, last: 85 * MIB };
        assert!(!seen.is_burst_over(86 * MIB));
        // Less than it was: growth counts from there.
        assert!(!seen.is_burst_over(30 * MIB));
        assert!(!seen.is_burst_over(40 * MIB));
        assert!(seen.is_burst_over(40 * MIB));
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

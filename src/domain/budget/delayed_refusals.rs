//! Bounds how many refusals are delayed. Without the delay, a client that retries at once would keep the machine busy with
//! refusals.

use std::collections::HashMap;

use parking_lot::Mutex;

use crate::model::Payer;

/// How many refusals of one payer are delayed: enough for four full connections, since a client retries a refusal that is
/// answered at once.
pub(super) const MAX_OF_ONE: u32 = 4 * 1024;

/// How many refusals of all payers are delayed. Each takes some kilobytes.
pub(super) const MAX: u32 = 8 * 1024;

/// Counts delayed refusals.
#[derive(Debug, Default)]
pub(super) struct DelayedRefusals(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    all: u32,
    /// Holds no zeros.
    by_payer: HashMap<Payer, u32>,
}

/// A delayed refusal, until this is dropped.
pub(super) struct Delayed<'a> {
    counts: &'a DelayedRefusals,
    payer: Payer,
}

impl DelayedRefusals {
    /// Counts a refusal; `None` where the bounds allow no more.
    pub(super) fn admit(&self, payer: Payer) -> Option<Delayed<'_>> {
        let mut counts = self.0.lock();
        if counts.all >= MAX || counts.by_payer.get(&payer).is_some_and(|count| *count >= MAX_OF_ONE) {
            return None;
        }
        counts.all += 1;
        *counts.by_payer.entry(payer).or_default() += 1;
        Some(Delayed { counts: self, payer })
    }

    /// Returns how many payers have delayed refusals.
    #[cfg(test)]
    pub(super) fn payers(&self) -> usize {
        self.0.lock().by_payer.len()
    }
}

impl Drop for Delayed<'_> {
    fn drop(&mut self) {
        let mut counts = self.counts.0.lock();
        counts.all -= 1;
        if let Some(count) = counts.by_payer.get_mut(&self.payer) {
            *count -= 1;
            if *count == 0 {
                counts.by_payer.remove(&self.payer);
            }
        }
    }
}

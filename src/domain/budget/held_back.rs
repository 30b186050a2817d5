//! Refusals that are answered late: whoever is refused and asks again at once would else spend the machine on refusals.

use std::collections::HashMap;

use parking_lot::Mutex;

use crate::model::Payer;

/// So many of one payer's answers are held back, and of all payers' together. Beyond, they are given at once: what is held
/// costs some kilobytes, and nobody is to take all of the places. One payer has enough for four connections that are full:
/// what is answered at once comes back at once.
pub(super) const MOST_OF_ONE: u32 = 4 * 1024;
pub(super) const MOST: u32 = 8 * 1024;

/// How many answers are held back, and whose.
#[derive(Debug, Default)]
pub(super) struct HeldBack(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    all: u32,
    /// Of those alone who have any.
    of: HashMap<Payer, u32>,
}

/// A place among them, until this is dropped.
pub(super) struct Held<'a> {
    among: &'a HeldBack,
    payer: Payer,
}

impl HeldBack {
    /// Takes a place; none where there is none for this payer.
    pub(super) fn hold(&self, payer: Payer) -> Option<Held<'_>> {
        let mut counts = self.0.lock();
        if counts.all >= MOST || counts.of.get(&payer).is_some_and(|count| *count >= MOST_OF_ONE) {
            return None;
        }
        counts.all += 1;
        *counts.of.entry(payer).or_default() += 1;
        Some(Held { among: self, payer })
    }

    /// Returns of how many payers something is kept.
    #[cfg(test)]
    pub(super) fn payers(&self) -> usize {
        self.0.lock().of.len()
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let mut counts = self.among.0.lock();
        counts.all -= 1;
        if let Some(count) = counts.of.get_mut(&self.payer) {
            *count -= 1;
            if *count == 0 {
                counts.of.remove(&self.payer);
            }
        }
    }
}

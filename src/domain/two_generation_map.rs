//! A map of bounded size that drops the entries that were not used for longest.

use std::{collections::HashMap, hash::Hash, mem};

/// A map of at most `2 * CAPACITY` entries in two generations. When the young one is full, it becomes the old one and the
/// entries of the old one are dropped. It holds what slows strangers down, so a dropped entry only allows one more try.
#[derive(Debug)]
pub(super) struct TwoGenerationMap<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
}

/// Entries of one generation. Two generations of the largest kind of entry take about 7 MB.
const CAPACITY: usize = 16 * 1024;

impl<K: Eq + Hash, V: Default> TwoGenerationMap<K, V> {
    pub(super) fn new() -> Self {
        Self { young: HashMap::new(), old: HashMap::new() }
    }

    /// Returns the entry, created if it is missing. This counts as a use.
    pub(super) fn entry(&mut self, key: K) -> &mut V {
        if self.young.len() >= CAPACITY && !self.young.contains_key(&key) {
            self.old = mem::take(&mut self.young);
        }
        let old = &mut self.old;
        self.young.entry(key).or_insert_with_key(|key| old.remove(key).unwrap_or_default())
    }

    /// Returns the entry, if there is one. This does not count as a use.
    pub(super) fn get(&self, key: &K) -> Option<&V> {
        self.young.get(key).or_else(|| self.old.get(key))
    }

    /// As [`Self::get`], mutable.
    pub(super) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.young.get_mut(key).or_else(|| self.old.get_mut(key))
    }

    pub(super) fn remove(&mut self, key: &K) {
        self.young.remove(key);
        self.old.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_in_use_stay_and_the_size_is_bounded() {
        let mut map = TwoGenerationMap::<usize, usize>::new();
        for key in 0..10 * CAPACITY {
            *map.entry(key) += 1;
            *map.entry(0) += 1;
            assert!(map.young.len() + map.old.len() <= 2 * CAPACITY);
        }
        assert_eq!(*map.entry(0), 10 * CAPACITY + 1);
        assert_eq!((map.get(&0), map.get(&1)), (Some(&(10 * CAPACITY + 1)), None));
        assert_eq!(*map.entry(1), 0, "forgotten");
        map.remove(&0);
        assert_eq!(*map.entry(0), 0);
    }
}

use std::{collections::HashMap, hash::Hash, mem};

/// A map that never holds more than twice `CAPACITY` entries: the ones not touched for longest are forgotten, a
/// generation at once. What is kept here slows strangers down, so forgetting it only lets one of them try again.
#[derive(Debug)]
pub(super) struct FadingMap<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
}

/// With the largest kind of entry, two generations take some 7 MB.
const CAPACITY: usize = 16 * 1024;

impl<K: Eq + Hash, V: Default> FadingMap<K, V> {
    pub(super) fn new() -> Self {
        Self { young: HashMap::new(), old: HashMap::new() }
    }

    /// Returns the entry, made where it is missing.
    pub(super) fn entry(&mut self, key: K) -> &mut V {
        if self.young.len() >= CAPACITY && !self.young.contains_key(&key) {
            self.old = mem::take(&mut self.young);
        }
        let old = &mut self.old;
        self.young.entry(key).or_insert_with_key(|key| old.remove(key).unwrap_or_default())
    }

    /// Returns the entry where there is one. It is touched by nothing but [`Self::entry`].
    pub(super) fn get(&self, key: &K) -> Option<&V> {
        self.young.get(key).or_else(|| self.old.get(key))
    }

    /// [`Self::get`], to change it.
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
    fn what_is_touched_stays_and_the_rest_is_bounded() {
        let mut map = FadingMap::<usize, usize>::new();
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

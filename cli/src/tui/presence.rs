//! Who is present in a room, and which changes are worth a line.
//!
//! A lost connection says nothing about the other users: after a restart of the server they all reconnect one by
//! one. So the list after a reconnect is compared with the one before, and only differences are announced.

use std::collections::BTreeSet;

/// The users in a room. Methods that return names return the ones to announce.
#[derive(Debug, Default)]
pub(crate) struct Presence {
    /// Sorted and unique.
    names: Vec<String>,
    count: usize,
    /// Whether a list has arrived, so that there is something to compare with.
    known: bool,
    /// During the comparison: users present before the connection was lost and not seen since.
    missing: Option<BTreeSet<String>>,
}

impl Presence {
    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }

    /// How many users are present. Long lists name only some of them.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    pub(crate) fn set_count(&mut self, count: usize) {
        self.count = count;
    }

    /// Replaces the list; returns who arrived while the connection was lost.
    pub(crate) fn set_list(&mut self, mut names: Vec<String>, count: usize) -> Vec<String> {
        names.sort_unstable();
        names.dedup();
        let came = match &mut self.missing {
            // A truncated list cannot show who is missing.
            Some(_) if count > names.len() => {
                self.missing = None;
                Vec::new()
            }
            Some(before) => {
                let came = names.iter().filter(|name| !before.contains(*name)).cloned().collect();
                before.retain(|name| names.binary_search(name).is_err());
                came
            }
            None => Vec::new(),
        };
        (self.names, self.count, self.known) = (names, count, true);
        came
    }

    /// A user arrived. Returns whether to announce it.
    pub(crate) fn came(&mut self, name: &str) -> bool {
        let Err(index) = self.names.binary_search_by(|other| other.as_str().cmp(name)) else { return false };
        self.names.insert(index, name.to_owned());
        !self.missing.as_mut().is_some_and(|missing| missing.remove(name))
    }

    /// A user left. Returns whether to announce it.
    pub(crate) fn left(&mut self, name: &str) -> bool {
        let index = self.names.binary_search_by(|other| other.as_str().cmp(name));
        index.map(|index| self.names.remove(index)).is_ok()
    }

    /// The connection is lost: starts the comparison.
    pub(crate) fn connection_lost(&mut self) {
        if self.known {
            self.missing.get_or_insert_default().extend(self.names.iter().cloned());
        }
    }

    /// The others have had time to reconnect: ends the comparison and returns who did not.
    pub(crate) fn settle(&mut self) -> Vec<String> {
        self.missing.take().into_iter().flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    fn three() -> Presence {
        let mut presence = Presence::default();
        assert!(presence.set_list(names(&["carl", "anna", "ben"]), 3).is_empty());
        presence
    }

    #[test]
    fn a_user_who_reconnects_is_not_announced() {
        let mut presence = three();
        presence.connection_lost();
        assert!(presence.set_list(names(&["anna"]), 1).is_empty());
        assert!(!presence.came("ben"));
        // Lost again before all were back.
        presence.connection_lost();
        assert!(presence.set_list(names(&["anna", "ben"]), 2).is_empty());
        assert!(!presence.came("carl"));
        assert!(presence.settle().is_empty());
        assert_eq!(presence.names(), ["anna", "ben", "carl"]);
    }

    #[test]
    fn changes_during_a_lost_connection_are_announced() {
        let mut presence = three();
        presence.connection_lost();
        assert_eq!(presence.set_list(names(&["anna", "dora"]), 2), ["dora"]);
        assert!(presence.came("emil"));
        assert!(!presence.came("ben"));
        assert_eq!(presence.settle(), ["carl"]);
        assert!(presence.left("ben") && presence.came("ben"), "nothing is compared any more");
    }

    #[test]
    fn without_a_complete_list_nothing_is_announced() {
        let mut presence = Presence::default();
        presence.connection_lost();
        assert!(presence.set_list(names(&["anna", "ben"]), 2).is_empty());
        presence.connection_lost();
        assert!(presence.set_list(names(&["carl"]), 300).is_empty());
        assert!(presence.settle().is_empty());
    }
}

//! Who is in a room, and which changes are worth a line.
//!
//! A connection that was lost says nothing about the others: after a restart of the server all of them come back one by
//! one. So what is told after it is compared with what was known before, and only the difference is a change.

use std::collections::BTreeSet;

/// The people of a room. Where a method returns names, those are the ones to say it of.
#[derive(Debug, Default)]
pub(crate) struct People {
    /// Sorted, each once.
    names: Vec<String>,
    count: usize,
    /// Whether the list was told, so that there is something to compare with.
    told: bool,
    /// While it is compared: who was here before the connection was lost, and has not been seen since.
    missing: Option<BTreeSet<String>>,
}

impl People {
    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }

    /// How many are here, of whom the longest lists name only some.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    pub(crate) fn set_count(&mut self, count: usize) {
        self.count = count;
    }

    /// Takes the whole list; returns who has come while the connection was lost.
    pub(crate) fn present(&mut self, mut names: Vec<String>, count: usize) -> Vec<String> {
        names.sort_unstable();
        names.dedup();
        let came = match &mut self.missing {
            // Of a list that is cut short, nobody can tell who is missing.
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
        (self.names, self.count, self.told) = (names, count, true);
        came
    }

    /// Somebody came; whether that is news.
    pub(crate) fn came(&mut self, name: &str) -> bool {
        let Err(place) = self.names.binary_search_by(|other| other.as_str().cmp(name)) else { return false };
        self.names.insert(place, name.to_owned());
        !self.missing.as_mut().is_some_and(|missing| missing.remove(name))
    }

    /// Somebody left; whether that is news.
    pub(crate) fn left(&mut self, name: &str) -> bool {
        let place = self.names.binary_search_by(|other| other.as_str().cmp(name));
        place.map(|place| self.names.remove(place)).is_ok()
    }

    /// The connection is lost: the comparison begins.
    pub(crate) fn lost(&mut self) {
        if self.told {
            self.missing.get_or_insert_default().extend(self.names.iter().cloned());
        }
    }

    /// The others have had the time to come back: the comparison ends. Returns who did not.
    pub(crate) fn settled(&mut self) -> Vec<String> {
        self.missing.take().into_iter().flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    fn three() -> People {
        let mut people = People::default();
        assert!(people.present(names(&["carl", "anna", "ben"]), 3).is_empty());
        people
    }

    #[test]
    fn whoever_comes_back_never_left() {
        let mut people = three();
        people.lost();
        assert!(people.present(names(&["anna"]), 1).is_empty());
        assert!(!people.came("ben"));
        // Lost again, before all were back.
        people.lost();
        assert!(people.present(names(&["anna", "ben"]), 2).is_empty());
        assert!(!people.came("carl"));
        assert!(people.settled().is_empty());
        assert_eq!(people.names(), ["anna", "ben", "carl"]);
    }

    #[test]
    fn who_came_or_left_meanwhile_is_told() {
        let mut people = three();
        people.lost();
        assert_eq!(people.present(names(&["anna", "dora"]), 2), ["dora"]);
        assert!(people.came("emil"));
        assert!(!people.came("ben"));
        assert_eq!(people.settled(), ["carl"]);
        assert!(people.left("ben") && people.came("ben"), "nothing is compared any more");
    }

    #[test]
    fn nothing_is_compared_with_nothing_or_with_a_part() {
        let mut people = People::default();
        people.lost();
        assert!(people.present(names(&["anna", "ben"]), 2).is_empty());
        people.lost();
        assert!(people.present(names(&["carl"]), 300).is_empty());
        assert!(people.settled().is_empty());
    }
}

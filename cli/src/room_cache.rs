//! Caches a user's rooms on this machine.
//!
//! It holds the short codes, so that a script need not fetch the list each time, and how far each room was read on
//! the full screen. Nothing depends on it: a missing or broken file, or another user's, counts as empty.

use std::{collections::BTreeMap, fs, io, path::PathBuf};

use serde::{Deserialize, Serialize};

use crate::settings::write_atomically;

#[derive(Debug)]
pub(crate) struct RoomCache {
    path: PathBuf,
    contents: Contents,
}

#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Contents {
    user_name: String,
    /// The seq of the last message read, by short code.
    rooms: BTreeMap<String, Option<i64>>,
}

impl RoomCache {
    /// Loads the file at `path` if it belongs to this user.
    pub(crate) fn load(path: PathBuf, user_name: &str) -> Self {
        let contents = fs::read(&path).ok().and_then(|text| serde_json::from_slice::<Contents>(&text).ok());
        let contents = contents.filter(|contents| contents.user_name == user_name);
        let empty = || Contents { user_name: user_name.to_owned(), rooms: BTreeMap::new() };
        Self { path, contents: contents.unwrap_or_else(empty) }
    }

    /// Whether the user was in the room with this short code at the last look.
    pub(crate) fn contains(&self, short_code: &str) -> bool {
        self.contents.rooms.contains_key(short_code)
    }

    /// The seq of the last message read, by short code.
    pub(crate) fn read_positions(&self) -> impl Iterator<Item = (&str, i64)> {
        self.contents.rooms.iter().filter_map(|(code, seq)| Some((code.as_str(), (*seq)?)))
    }

    /// Replaces the set of rooms.
    pub(crate) fn set_rooms<'a>(&mut self, short_codes: impl IntoIterator<Item = &'a str>) -> io::Result<()> {
        let read = |code: &str| self.contents.rooms.get(code).copied().flatten();
        let rooms = short_codes.into_iter().map(|code| (code.to_owned(), read(code))).collect();
        self.update(rooms)
    }

    /// Adds a room.
    pub(crate) fn add(&mut self, short_code: &str) -> io::Result<()> {
        let mut rooms = self.contents.rooms.clone();
        rooms.entry(short_code.to_owned()).or_insert(None);
        self.update(rooms)
    }

    /// Stores read positions, and keeps what another process has stored meanwhile.
    pub(crate) fn set_read_positions(
        &mut self,
        positions: impl IntoIterator<Item = (String, i64)>,
    ) -> io::Result<()> {
        let positions: Vec<_> = positions.into_iter().map(|(code, seq)| (code, Some(seq))).collect();
        if positions.iter().all(|(code, seq)| self.contents.rooms.get(code) == Some(seq)) {
            return Ok(());
        }
        let mut rooms = Self::load(self.path.clone(), &self.contents.user_name).contents.rooms;
        rooms.extend(positions);
        self.update(rooms)
    }

    fn update(&mut self, rooms: BTreeMap<String, Option<i64>>) -> io::Result<()> {
        if self.contents.rooms == rooms {
            return Ok(());
        }
        self.contents.rooms = rooms;
        write_atomically(&self.path, &serde_json::to_vec_pretty(&self.contents)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_read_positions_are_stored_per_user() {
        let folder = tempfile::tempdir().unwrap();
        let load = |user| RoomCache::load(folder.path().join("below/rooms.json"), user);
        let mut cache = load("walker1");
        assert!(!cache.contains("aB3xYz"));
        cache.set_rooms(["aB3xYz", "Qq7rS2"]).unwrap();
        cache.set_read_positions([("aB3xYz".to_owned(), 12)]).unwrap();
        cache.add("Zz9zZ9").unwrap();
        let reloaded = load("walker1");
        assert!(["aB3xYz", "Qq7rS2", "Zz9zZ9"].iter().all(|code| reloaded.contains(code)));
        assert_eq!(reloaded.read_positions().collect::<Vec<_>>(), [("aB3xYz", 12)]);
        assert!(!load("maria22").contains("aB3xYz"));
        cache.set_rooms(["aB3xYz"]).unwrap();
        assert_eq!(
            load("walker1").read_positions().collect::<Vec<_>>(),
            [("aB3xYz", 12)],
            "what was read stays"
        );
        assert!(!load("walker1").contains("Qq7rS2"));
    }

    #[test]
    fn a_broken_file_counts_as_empty() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rooms.json");
        fs::write(&path, "{").unwrap();
        let mut cache = RoomCache::load(path.clone(), "walker1");
        assert!(!cache.contains("aB3xYz"));
        cache.add("aB3xYz").unwrap();
        assert!(RoomCache::load(path, "walker1").contains("aB3xYz"));
    }
}

//! What this machine remembers of somebody's rooms: which short codes are theirs, so that a script need not ask for the
//! list each time, and how far each room was read on the full screen.
//!
//! Nothing depends on it: a file that is missing, broken or of somebody else is an empty one.

use std::{collections::BTreeMap, fs, io, path::PathBuf};

use serde::{Deserialize, Serialize};

use crate::settings::keep;

#[derive(Debug)]
pub(crate) struct Memory {
    path: PathBuf,
    kept: Kept,
}

#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Kept {
    user_name: String,
    /// By short code, the place of the last message that was read.
    rooms: BTreeMap<String, Option<i64>>,
}

impl Memory {
    /// What `path` holds, if it is this user's.
    pub(crate) fn load(path: PathBuf, user_name: &str) -> Self {
        let kept = fs::read(&path).ok().and_then(|text| serde_json::from_slice::<Kept>(&text).ok());
        let kept = kept.filter(|kept| kept.user_name == user_name);
        let nothing = || Kept { user_name: user_name.to_owned(), rooms: BTreeMap::new() };
        Self { path, kept: kept.unwrap_or_else(nothing) }
    }

    /// Whether this is the short code of a room that they were in when it was looked at last.
    pub(crate) fn knows(&self, short_code: &str) -> bool {
        self.kept.rooms.contains_key(short_code)
    }

    /// How far each room was read.
    pub(crate) fn read(&self) -> impl Iterator<Item = (&str, i64)> {
        self.kept.rooms.iter().filter_map(|(code, read)| Some((code.as_str(), (*read)?)))
    }

    /// Their rooms are these, and no others.
    pub(crate) fn set_rooms<'a>(&mut self, short_codes: impl IntoIterator<Item = &'a str>) -> io::Result<()> {
        let read = |code: &str| self.kept.rooms.get(code).copied().flatten();
        let rooms = short_codes.into_iter().map(|code| (code.to_owned(), read(code))).collect();
        self.change(rooms)
    }

    /// One more room is theirs.
    pub(crate) fn add(&mut self, short_code: &str) -> io::Result<()> {
        let mut rooms = self.kept.rooms.clone();
        rooms.entry(short_code.to_owned()).or_insert(None);
        self.change(rooms)
    }

    /// Rooms were read up to these places. What another program has remembered meanwhile stays.
    pub(crate) fn set_read(&mut self, read: impl IntoIterator<Item = (String, i64)>) -> io::Result<()> {
        let read: Vec<_> = read.into_iter().map(|(code, seq)| (code, Some(seq))).collect();
        if read.iter().all(|(code, seq)| self.kept.rooms.get(code) == Some(seq)) {
            return Ok(());
        }
        let mut rooms = Self::load(self.path.clone(), &self.kept.user_name).kept.rooms;
        rooms.extend(read);
        self.change(rooms)
    }

    fn change(&mut self, rooms: BTreeMap<String, Option<i64>>) -> io::Result<()> {
        if self.kept.rooms == rooms {
            return Ok(());
        }
        self.kept.rooms = rooms;
        keep(&self.path, &serde_json::to_vec_pretty(&self.kept)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_places_are_remembered_for_one_user() {
        let folder = tempfile::tempdir().unwrap();
        let load = |user| Memory::load(folder.path().join("below/rooms.json"), user);
        let mut memory = load("walker1");
        assert!(!memory.knows("aB3xYz"));
        memory.set_rooms(["aB3xYz", "Qq7rS2"]).unwrap();
        memory.set_read([("aB3xYz".to_owned(), 12)]).unwrap();
        memory.add("Zz9zZ9").unwrap();
        let again = load("walker1");
        assert!(["aB3xYz", "Qq7rS2", "Zz9zZ9"].iter().all(|code| again.knows(code)));
        assert_eq!(again.read().collect::<Vec<_>>(), [("aB3xYz", 12)]);
        assert!(!load("maria22").knows("aB3xYz"));
        memory.set_rooms(["aB3xYz"]).unwrap();
        assert_eq!(load("walker1").read().collect::<Vec<_>>(), [("aB3xYz", 12)], "what was read stays");
        assert!(!load("walker1").knows("Qq7rS2"));
    }

    #[test]
    fn a_broken_file_is_an_empty_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rooms.json");
        fs::write(&path, "{").unwrap();
        let mut memory = Memory::load(path.clone(), "walker1");
        assert!(!memory.knows("aB3xYz"));
        memory.add("aB3xYz").unwrap();
        assert!(Memory::load(path, "walker1").knows("aB3xYz"));
    }
}

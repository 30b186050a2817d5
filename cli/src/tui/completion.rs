//! What Tab makes of a word that was begun: a command, a room's code, somebody's name.

use super::{command, room::RoomView};
use crate::text;

/// The ways to go on, one after the other.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Completion {
    /// What stands before the word.
    before: String,
    /// What stands behind the cursor.
    behind: String,
    words: Vec<String>,
    at: usize,
}

impl Completion {
    /// The ways to go on from a text and its cursor, if there are any.
    pub(crate) fn find(
        (typed, behind): (String, String),
        rooms: &[RoomView],
        current: usize,
        me: &str,
    ) -> Option<Self> {
        let start = typed.rfind(char::is_whitespace).map_or(0, |place| place + 1);
        let (mut before, word) = typed.split_at(start);
        let room = rooms.get(current);
        let words = match before.trim_end() {
            "" if word.starts_with('/') => commands(word),
            "/join" => codes(rooms, word),
            "/remove" | "/ban" | "/unban" => names(room, me, word),
            _ => {
                // Some write an @ before a name.
                let name = word.strip_prefix('@').unwrap_or(word);
                before = &typed[..typed.len() - name.len()];
                // A space alone is no beginning of a name.
                if word.is_empty() { Vec::new() } else { names(room, me, name) }
            }
        };
        let before = before.to_owned();
        (!words.is_empty()).then_some(Self { before, behind, words, at: 0 })
    }

    pub(crate) fn next(&mut self) {
        self.at = (self.at + 1) % self.words.len();
    }

    pub(crate) fn previous(&mut self) {
        self.at = (self.at + self.words.len() - 1) % self.words.len();
    }

    /// The text with the word completed, in its halves.
    pub(crate) fn halves(&self) -> (String, &str) {
        (format!("{}{}", self.before, self.words[self.at]), &self.behind)
    }

    /// The words to choose from, and the place of the one that is chosen.
    pub(crate) fn words(&self) -> (&[String], usize) {
        (&self.words, self.at)
    }
}

fn commands(word: &str) -> Vec<String> {
    command::HELP.iter().map(|it| it.word().to_owned()).filter(|it| it.starts_with(word)).collect()
}

/// The codes of rooms of which the code or the name begins so.
fn codes(rooms: &[RoomView], word: &str) -> Vec<String> {
    let infos = rooms.iter().map(|room| &room.info);
    let found = infos.filter(|info| begins(&info.short_code, word) || begins(&info.name, word));
    found.map(|info| info.short_code.clone()).collect()
}

/// The others who are here or have spoken.
fn names(room: Option<&RoomView>, me: &str, word: &str) -> Vec<String> {
    let Some(room) = room else { return Vec::new() };
    let mut names: Vec<_> = room.people.names().iter().map(String::as_str).chain(room.speakers()).collect();
    names.sort_unstable();
    names.dedup();
    let found = names.into_iter().filter(|name| *name != me && begins(name, word));
    found.map(text::one_line).filter(|name| !name.is_empty()).collect()
}

fn begins(whole: &str, word: &str) -> bool {
    whole.to_lowercase().starts_with(&word.to_lowercase())
}

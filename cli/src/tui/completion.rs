//! Tab completion of commands, short codes and names.

use super::{command, room::RoomView};
use crate::text;

/// Where Tab or Shift-Tab goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    Forward,
    Backward,
}

/// The candidates for a word, cycled through in turn.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Completion {
    /// The text before the word.
    before: String,
    /// The text after the cursor.
    after: String,
    words: Vec<String>,
    selected: usize,
}

impl Completion {
    /// The candidates for the text around the cursor, if there are any.
    pub(crate) fn find(
        (typed, after): (String, String),
        rooms: &[RoomView],
        current: usize,
        me: &str,
    ) -> Option<Self> {
        let start = typed.rfind(char::is_whitespace).map_or(0, |index| index + 1);
        let (mut before, word) = typed.split_at(start);
        let room = rooms.get(current);
        let words = match before.trim_end() {
            "" if word.starts_with('/') => commands(word),
            "/join" => codes(rooms, word),
            "/remove" | "/ban" | "/unban" => names(room, me, word),
            _ => {
                // Some users write an @ before a name.
                let name = word.strip_prefix('@').unwrap_or(word);
                before = &typed[..typed.len() - name.len()];
                // An empty word would match every name.
                if word.is_empty() { Vec::new() } else { names(room, me, name) }
            }
        };
        let before = before.to_owned();
        (!words.is_empty()).then_some(Self { before, after, words, selected: 0 })
    }

    /// Selects the next or the previous candidate.
    pub(crate) fn step(&mut self, direction: Direction) {
        let step = match direction {
            Direction::Forward => 1,
            Direction::Backward => self.words.len() - 1,
        };
        self.selected = (self.selected + step) % self.words.len();
    }

    /// The completed text before the cursor, and the text after it.
    pub(crate) fn text_around_cursor(&self) -> (String, &str) {
        (format!("{}{}", self.before, self.words[self.selected]), &self.after)
    }

    /// The candidates, and the index of the selected one.
    pub(crate) fn words(&self) -> (&[String], usize) {
        (&self.words, self.selected)
    }
}

fn commands(word: &str) -> Vec<String> {
    command::HELP.iter().map(|it| it.word().to_owned()).filter(|it| it.starts_with(word)).collect()
}

/// The short codes of rooms whose code or name starts with `word`.
fn codes(rooms: &[RoomView], word: &str) -> Vec<String> {
    let infos = rooms.iter().map(|room| &room.info);
    let found = infos.filter(|info| {
        starts_with_ignoring_case(&info.short_code, word) || starts_with_ignoring_case(&info.name, word)
    });
    found.map(|info| info.short_code.clone()).collect()
}

/// Other users who are present or have written.
fn names(room: Option<&RoomView>, me: &str, word: &str) -> Vec<String> {
    let Some(room) = room else { return Vec::new() };
    let mut names: Vec<_> = room.presence.names().iter().map(String::as_str).chain(room.authors()).collect();
    names.sort_unstable();
    names.dedup();
    let found = names.into_iter().filter(|name| *name != me && starts_with_ignoring_case(name, word));
    found.map(text::one_line).filter(|name| !name.is_empty()).collect()
}

fn starts_with_ignoring_case(whole: &str, word: &str) -> bool {
    whole.to_lowercase().starts_with(&word.to_lowercase())
}

//! The line at the bottom: editing, and what was typed before.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use unicode_segmentation::UnicodeSegmentation as _;

use crate::text;

/// As many lines as are kept to go back to.
const HISTORY: usize = 200;

/// A line being typed.
#[derive(Debug, Default)]
pub(crate) struct Input {
    graphemes: Vec<String>,
    cursor: usize,
    history: Vec<String>,
    /// The place in `history` that is shown; beyond its end is the line being typed.
    recalled: usize,
    draft: String,
}

impl Input {
    pub(crate) fn text(&self) -> String {
        self.graphemes.concat()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.graphemes.is_empty()
    }

    /// Takes the line, and keeps it to go back to unless it is a secret.
    pub(crate) fn take(&mut self, keep: bool) -> String {
        let line = self.text();
        self.set("");
        if keep && !line.trim().is_empty() && self.history.last() != Some(&line) {
            self.history.push(line.clone());
            if self.history.len() > HISTORY {
                self.history.remove(0);
            }
        }
        self.recalled = self.history.len();
        line
    }

    pub(crate) fn set(&mut self, line: &str) {
        self.graphemes = line.graphemes(true).map(str::to_owned).collect();
        self.cursor = self.graphemes.len();
    }

    pub(crate) fn insert(&mut self, inserted: &str) {
        let before: String = self.graphemes[..self.cursor].concat() + &text::one_line(inserted);
        let line = before.clone() + &self.graphemes[self.cursor..].concat();
        self.graphemes = line.graphemes(true).map(str::to_owned).collect();
        self.cursor = before.graphemes(true).count().min(self.graphemes.len());
    }

    /// Edits by a key; false where the key means nothing here.
    pub(crate) fn key(&mut self, key: KeyEvent) -> bool {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        let other = key.modifiers.contains(KeyModifiers::ALT);
        match key.code {
            KeyCode::Char('a') if control => self.cursor = 0,
            KeyCode::Char('e') if control => self.cursor = self.graphemes.len(),
            KeyCode::Char('u') if control => drop(self.graphemes.drain(..std::mem::take(&mut self.cursor))),
            KeyCode::Char('k') if control => self.graphemes.truncate(self.cursor),
            KeyCode::Char('w') if control => self.erase_word(),
            KeyCode::Char(c) if !control && !other => self.insert(c.encode_utf8(&mut [0; 4])),
            KeyCode::Backspace if self.cursor > 0 => {
                self.cursor -= 1;
                self.graphemes.remove(self.cursor);
            }
            KeyCode::Delete if self.cursor < self.graphemes.len() => drop(self.graphemes.remove(self.cursor)),
            KeyCode::Left => self.cursor = self.cursor.saturating_sub(1),
            KeyCode::Right => self.cursor = (self.cursor + 1).min(self.graphemes.len()),
            KeyCode::Home => self.cursor = 0,
            KeyCode::End => self.cursor = self.graphemes.len(),
            KeyCode::Up if !other => self.recall(self.recalled.saturating_sub(1)),
            KeyCode::Down if !other => self.recall(self.recalled + 1),
            _ => return false,
        }
        true
    }

    fn erase_word(&mut self) {
        let before = &self.graphemes[..self.cursor];
        let word = before.iter().rev().skip_while(|it| it.trim().is_empty());
        let kept = word.skip_while(|it| !it.trim().is_empty()).count();
        drop(self.graphemes.drain(kept..self.cursor));
        self.cursor = kept;
    }

    fn recall(&mut self, place: usize) {
        if self.recalled >= self.history.len() {
            self.draft = self.text();
        }
        self.recalled = place.min(self.history.len());
        let line = self.history.get(self.recalled).unwrap_or(&self.draft).clone();
        self.set(&line);
    }

    /// The part of the line that fits into `columns`, and the cursor's column in it.
    pub(crate) fn window(&self, columns: usize, hidden: bool) -> (String, usize) {
        let shown: Vec<&str> =
            self.graphemes.iter().map(|it| if hidden { "•" } else { it.as_str() }).collect();
        let mut first = 0;
        while text::width(&shown[first..self.cursor].concat()) + 1 > columns && first < self.cursor {
            first += 1;
        }
        let mut window = String::new();
        for grapheme in &shown[first..] {
            if text::width(&window) + text::width(grapheme) > columns {
                break;
            }
            window.push_str(grapheme);
        }
        (window, text::width(&shown[first..self.cursor].concat()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn press(input: &mut Input, code: KeyCode) {
        input.key(KeyEvent::new(code, KeyModifiers::NONE));
    }

    fn control(input: &mut Input, c: char) {
        input.key(KeyEvent::new(KeyCode::Char(c), KeyModifiers::CONTROL));
    }

    #[test]
    fn a_grapheme_is_one_step() {
        let mut input = Input::default();
        input.insert("aé👩‍👩‍👧b");
        press(&mut input, KeyCode::Left);
        press(&mut input, KeyCode::Backspace);
        assert_eq!(input.text(), "aéb");
        press(&mut input, KeyCode::Delete);
        assert_eq!(input.text(), "aé");
    }

    #[test]
    fn words_and_lines_are_erased() {
        let mut input = Input::default();
        input.insert("one two  ");
        control(&mut input, 'w');
        assert_eq!(input.text(), "one ");
        control(&mut input, 'u');
        assert!(input.is_empty());
    }

    #[test]
    fn earlier_lines_come_back_and_the_draft_is_kept() {
        let mut input = Input::default();
        for line in ["first", "second"] {
            input.insert(line);
            input.take(true);
        }
        input.insert("draft");
        press(&mut input, KeyCode::Up);
        press(&mut input, KeyCode::Up);
        assert_eq!(input.text(), "first");
        for _ in 0..3 {
            press(&mut input, KeyCode::Down);
        }
        assert_eq!(input.text(), "draft");
    }

    #[test]
    fn a_secret_is_neither_kept_nor_shown() {
        let mut input = Input::default();
        input.insert("Secret-1!");
        assert_eq!(input.window(20, true).0, "•••••••••");
        input.take(false);
        press(&mut input, KeyCode::Up);
        assert!(input.is_empty());
    }

    #[test]
    fn the_cursor_stays_in_a_narrow_window() {
        let mut input = Input::default();
        input.insert("a long line");
        assert_eq!(input.window(6, false), (" line".to_owned(), 5));
        press(&mut input, KeyCode::Home);
        assert_eq!(input.window(6, false), ("a long".to_owned(), 0));
    }

    #[test]
    fn pasted_lines_become_one() {
        let mut input = Input::default();
        input.insert("one\ntwo\u{1b}[2J");
        assert_eq!(input.text(), "one two[2J");
    }
}

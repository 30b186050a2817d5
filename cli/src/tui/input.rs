//! The multi-line text input.

use std::mem;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use unicode_segmentation::UnicodeSegmentation as _;

use super::history::History;
use crate::text;

const NEW_LINE: &str = "\n";

/// The text being typed.
#[derive(Debug, Default)]
pub(crate) struct Input {
    graphemes: Vec<String>,
    cursor: usize,
    history: History,
}

/// Whether the text is shown as typed, or hidden as a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Echo {
    Visible,
    Hidden,
}

/// The text as rows of the screen.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Rows {
    pub(crate) rows: Vec<String>,
    /// The row and the column of the cursor.
    pub(crate) cursor: (usize, usize),
}

impl Input {
    pub(crate) fn text(&self) -> String {
        self.graphemes.concat()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.graphemes.is_empty()
    }

    /// The text before and after the cursor.
    pub(crate) fn split_at_cursor(&self) -> (String, String) {
        let (before, after) = self.graphemes.split_at(self.cursor);
        (before.concat(), after.concat())
    }

    /// Takes the text and appends it to the history.
    pub(crate) fn take(&mut self) -> String {
        let line = self.take_secret();
        self.history.push(&line);
        line
    }

    /// Takes the text without a trace in the history.
    pub(crate) fn take_secret(&mut self) -> String {
        let line = self.text();
        self.set("");
        self.history.reset();
        line
    }

    pub(crate) fn set(&mut self, line: &str) {
        self.set_around_cursor(line, "");
    }

    /// Replaces the text and puts the cursor between the halves.
    pub(crate) fn set_around_cursor(&mut self, before: &str, after: &str) {
        let line = before.to_owned() + after;
        self.graphemes = line.graphemes(true).map(str::to_owned).collect();
        self.cursor = before.graphemes(true).count().min(self.graphemes.len());
    }

    /// Inserts typed or pasted text with its line breaks.
    pub(crate) fn insert(&mut self, inserted: &str) {
        let (before, after) = self.split_at_cursor();
        self.set_around_cursor(&(before + &text::sanitize_input(inserted)), &after);
    }

    /// Edits by a key; `false` if the key has no meaning here.
    pub(crate) fn key(&mut self, key: KeyEvent) -> bool {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        let alt = key.modifiers.contains(KeyModifiers::ALT);
        match key.code {
            KeyCode::Char('a') if control => self.cursor = self.start_of_line(),
            KeyCode::Char('e') if control => self.cursor = self.end_of_line(),
            KeyCode::Char('u') if control => self.erase(self.start_of_line(), self.cursor),
            KeyCode::Char('k') if control => self.erase(self.cursor, self.end_of_line()),
            KeyCode::Char('w') if control => self.erase_word(),
            KeyCode::Char(c) if !control && !alt => self.insert(c.encode_utf8(&mut [0; 4])),
            KeyCode::Backspace if self.cursor > 0 => self.erase(self.cursor - 1, self.cursor),
            KeyCode::Delete if self.cursor < self.graphemes.len() => {
                self.erase(self.cursor, self.cursor + 1);
            }
            KeyCode::Left => self.cursor = self.cursor.saturating_sub(1),
            KeyCode::Right => self.cursor = (self.cursor + 1).min(self.graphemes.len()),
            KeyCode::Home => self.cursor = self.start_of_line(),
            KeyCode::End => self.cursor = self.end_of_line(),
            KeyCode::Up if !alt => self.move_up(),
            KeyCode::Down if !alt => self.move_down(),
            _ => return false,
        }
        true
    }

    fn start_of_line(&self) -> usize {
        let before = self.graphemes[..self.cursor].iter().rposition(|it| it == NEW_LINE);
        before.map_or(0, |index| index + 1)
    }

    fn end_of_line(&self) -> usize {
        let after = self.graphemes[self.cursor..].iter().position(|it| it == NEW_LINE);
        after.map_or(self.graphemes.len(), |step| self.cursor + step)
    }

    fn erase(&mut self, from: usize, to: usize) {
        drop(self.graphemes.drain(from..to));
        self.cursor = from;
    }

    fn erase_word(&mut self) {
        let before = &self.graphemes[..self.cursor];
        let word = before.iter().rev().skip_while(|it| it.trim().is_empty());
        let kept = word.skip_while(|it| !it.trim().is_empty()).count();
        self.erase(kept, self.cursor);
    }

    /// Moves to the line above, or to the previous history entry.
    fn move_up(&mut self) {
        let start = self.start_of_line();
        if start == 0 {
            let line = self.history.older(self.text());
            return self.set(&line);
        }
        let column = self.cursor - start;
        self.cursor = start - 1;
        self.cursor = (self.start_of_line() + column).min(start - 1);
    }

    /// Moves to the line below, or to the next history entry.
    fn move_down(&mut self) {
        let end = self.end_of_line();
        if end == self.graphemes.len() {
            let line = self.history.newer(self.text());
            return self.set(&line);
        }
        let column = self.cursor - self.start_of_line();
        self.cursor = end + 1;
        self.cursor = (self.cursor + column).min(self.end_of_line());
    }

    /// Breaks the text into rows of `columns`. The cursor needs a column too.
    pub(crate) fn rows(&self, columns: usize, echo: Echo) -> Rows {
        let mut rows = Vec::new();
        let mut row = String::new();
        let mut cursor = (0, 0);
        for (index, grapheme) in self.graphemes.iter().enumerate() {
            let shown = match grapheme.as_str() {
                _ if echo == Echo::Hidden => "•",
                "\t" | NEW_LINE => " ",
                shown => shown,
            };
            if text::width(&row) + text::width(shown) > columns && !row.is_empty() {
                rows.push(mem::take(&mut row));
            }
            if index == self.cursor {
                cursor = (rows.len(), text::width(&row));
            }
            if grapheme == NEW_LINE && echo == Echo::Visible {
                rows.push(mem::take(&mut row));
            } else {
                row.push_str(shown);
            }
        }
        if self.cursor == self.graphemes.len() {
            if text::width(&row) + 1 > columns && !row.is_empty() {
                rows.push(mem::take(&mut row));
            }
            cursor = (rows.len(), text::width(&row));
        }
        rows.push(row);
        Rows { rows, cursor }
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

    fn typed(text: &str) -> Input {
        let mut input = Input::default();
        input.insert(text);
        input
    }

    #[test]
    fn a_grapheme_is_one_step() {
        let mut input = typed("aé👩‍👩‍👧b");
        press(&mut input, KeyCode::Left);
        press(&mut input, KeyCode::Backspace);
        assert_eq!(input.text(), "aéb");
        press(&mut input, KeyCode::Delete);
        assert_eq!(input.text(), "aé");
    }

    #[test]
    fn words_and_lines_are_erased() {
        let mut input = typed("one two  ");
        control(&mut input, 'w');
        assert_eq!(input.text(), "one ");
        control(&mut input, 'u');
        assert!(input.is_empty());
        let mut input = typed("one\ntwo\nthree");
        press(&mut input, KeyCode::Up);
        control(&mut input, 'u');
        control(&mut input, 'k');
        assert_eq!(input.text(), "one\n\nthree");
    }

    #[test]
    fn earlier_lines_come_back_and_the_draft_is_kept() {
        let mut input = Input::default();
        for line in ["first", "second"] {
            input.insert(line);
            input.take();
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
        let mut input = typed("Secret-1!");
        assert_eq!(input.rows(20, Echo::Hidden).rows, ["•••••••••"]);
        input.take_secret();
        press(&mut input, KeyCode::Up);
        assert!(input.is_empty());
    }

    #[test]
    fn all_line_endings_become_lf() {
        for pasted in ["one\rtwo\rthree", "one\r\ntwo\r\nthree", "one\ntwo\nthree"] {
            assert_eq!(typed(pasted).text(), "one\ntwo\nthree");
        }
        assert_eq!(typed("a\tb\u{1b}[2J\u{202e}").text(), "a\tb[2J");
    }

    #[test]
    fn the_cursor_goes_from_line_to_line() {
        let mut input = typed("long line\nab\nthird line");
        press(&mut input, KeyCode::Up);
        input.insert("1");
        press(&mut input, KeyCode::Up);
        press(&mut input, KeyCode::Home);
        input.insert("2");
        for _ in 0..2 {
            press(&mut input, KeyCode::Down);
        }
        input.insert("3");
        assert_eq!(input.text(), "2long line\nab1\nt3hird line");
    }

    #[test]
    fn rows_break_at_lines_and_at_the_edge() {
        let mut input = typed("abcdef\ngh");
        let rows = |input: &Input| input.rows(4, Echo::Visible);
        let shown = ["abcd", "ef", "gh"].map(str::to_owned).to_vec();
        assert_eq!(rows(&input), Rows { rows: shown.clone(), cursor: (2, 2) });
        press(&mut input, KeyCode::Up);
        assert_eq!(rows(&input), Rows { rows: shown, cursor: (0, 2) });
        let full = Rows { rows: vec!["abcd".to_owned(), String::new()], cursor: (1, 0) };
        assert_eq!(rows(&typed("abcd")), full, "the cursor needs a column");
        assert_eq!(rows(&typed("a\n")).cursor, (1, 0));
        assert_eq!(rows(&typed("日本語")).rows, ["日本", "語"]);
    }

    #[test]
    fn layout_terminates_on_the_narrowest_screen() {
        for columns in 0..3 {
            assert!(!typed("日本 a\n👩‍👩‍👧").rows(columns, Echo::Visible).rows.is_empty());
        }
    }
}

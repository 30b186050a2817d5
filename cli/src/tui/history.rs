//! The input history.

/// The number of lines kept.
const MAX_LINES: usize = 200;

#[derive(Debug, Default)]
pub(super) struct History {
    lines: Vec<String>,
    /// The index in `lines` that is shown; past the end it is the draft.
    shown: usize,
    draft: String,
}

impl History {
    /// Appends a line and moves past the end.
    pub(super) fn push(&mut self, line: &str) {
        if !line.trim().is_empty() && self.lines.last().is_none_or(|last| last != line) {
            self.lines.push(line.to_owned());
            if self.lines.len() > MAX_LINES {
                self.lines.remove(0);
            }
        }
        self.reset();
    }

    /// Moves past the end.
    pub(super) fn reset(&mut self) {
        self.shown = self.lines.len();
    }

    /// The line before the one shown, or `typed` if there is none.
    pub(super) fn older(&mut self, typed: String) -> String {
        self.show(self.shown.saturating_sub(1), typed)
    }

    /// The line after the one shown, and the draft after the last.
    pub(super) fn newer(&mut self, typed: String) -> String {
        self.show(self.shown + 1, typed)
    }

    fn show(&mut self, index: usize, typed: String) -> String {
        if self.shown >= self.lines.len() {
            self.draft = typed;
        }
        self.shown = index.min(self.lines.len());
        self.lines.get(self.shown).unwrap_or(&self.draft).clone()
    }
}

//! What was typed before.

/// As many lines as are kept to go back to.
const KEPT: usize = 200;

#[derive(Debug, Default)]
pub(super) struct History {
    lines: Vec<String>,
    /// The place in `lines` that is shown; beyond its end is what is being typed.
    shown: usize,
    draft: String,
}

impl History {
    /// Keeps a line, and stands behind the newest.
    pub(super) fn push(&mut self, line: &str) {
        if !line.trim().is_empty() && self.lines.last().is_none_or(|last| last != line) {
            self.lines.push(line.to_owned());
            if self.lines.len() > KEPT {
                self.lines.remove(0);
            }
        }
        self.rest();
    }

    /// Stands behind the newest.
    pub(super) fn rest(&mut self) {
        self.shown = self.lines.len();
    }

    /// The line before the one that is shown, or `typed` again where there is none.
    pub(super) fn older(&mut self, typed: String) -> String {
        self.show(self.shown.saturating_sub(1), typed)
    }

    /// The line after the one that is shown, at last the one being typed.
    pub(super) fn newer(&mut self, typed: String) -> String {
        self.show(self.shown + 1, typed)
    }

    fn show(&mut self, place: usize, typed: String) -> String {
        if self.shown >= self.lines.len() {
            self.draft = typed;
        }
        self.shown = place.min(self.lines.len());
        self.lines.get(self.shown).unwrap_or(&self.draft).clone()
    }
}

//! Copies to the clipboard through the terminal by OSC 52, which works over ssh too.

use std::env;

use base64::{Engine as _, engine::general_purpose::STANDARD};

/// A terminal multiplexer between this program and the terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Multiplexer {
    None,
    Tmux,
}

impl Multiplexer {
    pub(crate) fn find() -> Self {
        if env::var_os("TMUX").is_some_and(|it| !it.is_empty()) { Self::Tmux } else { Self::None }
    }

    /// When copying works. No terminal reports whether it did.
    pub(crate) fn advice(self) -> &'static str {
        match self {
            Self::None => "copied if the terminal allows it",
            Self::Tmux => "copied if tmux has set-clipboard or allow-passthrough on",
        }
    }
}

/// The escape sequence that copies `text`.
pub(crate) fn sequence(text: &str, multiplexer: Multiplexer) -> String {
    let copy = format!("\u{1b}]52;c;{}\u{7}", STANDARD.encode(text));
    match multiplexer {
        Multiplexer::None => copy,
        // tmux handles the plain sequence with set-clipboard on, and passes on the wrapped one with
        // allow-passthrough on. With both, the text is copied twice.
        Multiplexer::Tmux => {
            let wrapped = copy.replace('\u{1b}', "\u{1b}\u{1b}");
            format!("{copy}\u{1b}Ptmux;{wrapped}\u{1b}\\")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_base64_and_wrapped_in_tmux() {
        assert_eq!(sequence("hello", Multiplexer::None), "\u{1b}]52;c;aGVsbG8=\u{7}");
        let wrapped = "\u{1b}Ptmux;\u{1b}\u{1b}]52;c;aGVsbG8=\u{7}\u{1b}\\";
        assert!(sequence("hello", Multiplexer::Tmux).ends_with(wrapped));
    }

    #[test]
    fn nothing_in_the_text_ends_the_sequence() {
        let sequence = sequence("\u{7}\u{1b}\\", Multiplexer::None);
        assert_eq!(sequence.matches(['\u{7}', '\u{1b}']).count(), 2, "its own");
    }
}

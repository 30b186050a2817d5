//! Reads files of settings: as UTF-8 and, for a file that holds a single value, without characters that editors and shells
//! add. A secret with an invisible character at its start would be a different secret.

use std::{io, path::Path};

/// Some editors save it at the start of a text.
pub(super) const BYTE_ORDER_MARK: char = '\u{feff}';

/// Why a file cannot be used. Repeats nothing of its content, which may be a secret.
#[derive(Debug, thiserror::Error)]
pub(super) enum TextFileError {
    /// It cannot be read.
    #[error("{0}")]
    Unreadable(io::Error),
    /// It is not UTF-8.
    #[error("it is not in UTF-8; save it in UTF-8")]
    NotUtf8,
    /// It holds more than the value.
    #[error("{0}")]
    NotOneValue(&'static str),
}

/// Reads a file.
pub(super) fn read(path: &Path) -> Result<String, TextFileError> {
    let bytes = std::fs::read(path).map_err(TextFileError::Unreadable)?;
    String::from_utf8(bytes).map_err(|_| TextFileError::NotUtf8)
}

/// Reads a file that holds a single value, on one line.
pub(super) fn read_value(path: &Path) -> Result<String, TextFileError> {
    let text = read(path)?;
    let value = text.trim();
    // The value may be a list, whose items are checked too.
    let flaw = std::iter::once(value).chain(value.split(',').map(str::trim)).find_map(flaw);
    flaw.map_or_else(|| Ok(value.to_owned()), |flaw| Err(TextFileError::NotOneValue(flaw)))
}

/// Returns what the file holds beyond the value. It is refused, not removed: a server that already used the whole text
/// would get a different secret.
fn flaw(value: &str) -> Option<&'static str> {
    let is_in = |quote| value.len() > 1 && value.starts_with(quote) && value.ends_with(quote);
    if value.starts_with(BYTE_ORDER_MARK) {
        Some(
            "it begins with a byte order mark, which would be part of the value; save it in UTF-8 without one",
        )
    } else if value.lines().count() > 1 {
        Some("it holds more than one line; leave only the value in it")
    } else if is_in('"') || is_in('\'') {
        Some("the value is in quotes, which would be part of it; remove them")
    } else if value.starts_with("SECRET=") || value.starts_with("export ") {
        Some("it is a file of settings; leave only the value in it, without its name")
    } else if value.contains(char::is_control) {
        Some("the value holds a control character; remove it")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_beyond_the_value_is_refused() {
        for (value, expected) in [
            ("\u{feff}value", "byte order mark"),
            ("value\nanother", "more than one line"),
            ("# a comment\r\nvalue", "more than one line"),
            ("\"value\"", "in quotes"),
            ("'value'", "in quotes"),
            ("SECRET=value", "file of settings"),
            ("export SECRET=value", "file of settings"),
            ("val\tue", "control character"),
        ] {
            assert!(flaw(value).is_some_and(|flaw| flaw.contains(expected)), "{value:?}");
        }
        for good in ["", "value", "val\"ue", "'", "\"half", "two, values", "c2VjcmV0PQ=="] {
            assert_eq!(flaw(good), None, "{good:?}");
        }
    }
}

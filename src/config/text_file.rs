//! How every file of settings is read: as text in UTF-8, and where it holds one value alone, without what editors and shells
//! leave around it. A secret with an invisible character at its start would be another secret.

use std::{io, path::Path};

/// Begins a text that some editors save.
pub(super) const BYTE_ORDER_MARK: char = '\u{feff}';

/// Why a file cannot be used. Holds nothing of what stands in it, which may be a secret.
#[derive(Debug, thiserror::Error)]
pub(super) enum TextFileError {
    /// It cannot be read.
    #[error("{0}")]
    Unreadable(io::Error),
    /// Its bytes are no text.
    #[error("it is not in UTF-8; save it as that")]
    NotUtf8,
    /// Something stands beside the value.
    #[error("{0}")]
    NotOneValue(&'static str),
}

/// Reads a file.
pub(super) fn read(path: &Path) -> Result<String, TextFileError> {
    let bytes = std::fs::read(path).map_err(TextFileError::Unreadable)?;
    String::from_utf8(bytes).map_err(|_| TextFileError::NotUtf8)
}

/// Reads a file that holds one value, on one line.
pub(super) fn read_value(path: &Path) -> Result<String, TextFileError> {
    let text = read(path)?;
    let value = text.trim();
    // It may be a list, each of whose items is a value.
    let flaw = std::iter::once(value).chain(value.split(',').map(str::trim)).find_map(flaw);
    flaw.map_or_else(|| Ok(value.to_owned()), |flaw| Err(TextFileError::NotOneValue(flaw)))
}

/// Says what stands beside the value. It is told and not taken off: whoever has served with it would be given another secret.
fn flaw(value: &str) -> Option<&'static str> {
    let is_in = |quote| value.len() > 1 && value.starts_with(quote) && value.ends_with(quote);
    if value.starts_with(BYTE_ORDER_MARK) {
        Some(
            "it begins with a byte order mark, which would be part of the value; save it in UTF-8 without one",
        )
    } else if value.lines().count() > 1 {
        Some("it holds more than one line; leave the value alone in it")
    } else if is_in('"') || is_in('\'') {
        Some("the value stands in quotes, which would be part of it; take them off")
    } else if value.starts_with("SECRET=") || value.starts_with("export ") {
        Some("it is a file of settings; leave the value alone in it, without its name")
    } else if value.contains(char::is_control) {
        Some("the value holds a control character; write it anew")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_beside_a_value_is_told() {
        for (value, tells) in [
            ("\u{feff}value", "byte order mark"),
            ("value\nanother", "more than one line"),
            ("# a comment\r\nvalue", "more than one line"),
            ("\"value\"", "in quotes"),
            ("'value'", "in quotes"),
            ("SECRET=value", "file of settings"),
            ("export SECRET=value", "file of settings"),
            ("val\tue", "control character"),
        ] {
            assert!(flaw(value).is_some_and(|flaw| flaw.contains(tells)), "{value:?}");
        }
        for good in ["", "value", "val\"ue", "'", "\"half", "two, values", "c2VjcmV0PQ=="] {
            assert_eq!(flaw(good), None, "{good:?}");
        }
    }
}

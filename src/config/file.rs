//! The settings file: `NAME=value` lines, as dotenv reads them.

use std::fmt;

use super::text_file::BYTE_ORDER_MARK;

/// A line that sets a value. `Debug` hides the value, which may be a secret.
#[derive(PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) line: usize,
    pub(super) name: String,
    pub(super) value: String,
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Entry({} in line {})", self.name, self.line)
    }
}

/// A line that cannot be used. Holds no part of it, since it may be a secret.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BadLine {
    pub(super) line: usize,
    pub(super) problem: &'static str,
}

/// Parses every line by itself, so that each bad one is reported with its number.
pub(super) fn parse(text: &str) -> Vec<Result<Entry, BadLine>> {
    let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
    text.lines()
        .enumerate()
        .filter_map(|(index, text)| parse_line(index + 1, text.trim()).transpose())
        .collect()
}

fn parse_line(line: usize, text: &str) -> Result<Option<Entry>, BadLine> {
    // dotenvy would replace `$NAME` with a variable or with nothing, and so truncate a password.
    if text.split_once('=').is_some_and(|(_, value)| has_substitution(value.trim_start())) {
        return Err(BadLine { line, problem: "`$` must be in single quotes or after a backslash" });
    }
    match dotenvy::from_read_iter(text.as_bytes()).next() {
        None => Ok(None),
        Some(Ok((name, value))) => Ok(Some(Entry { line, name, value })),
        Some(Err(_)) => Err(BadLine {
            line,
            problem: "not NAME=value; a value that contains a blank or a quote needs quotes around it",
        }),
    }
}

/// Returns whether dotenvy would substitute something in this value. It does so except in single quotes and after a
/// backslash. A blank outside quotes starts a comment.
fn has_substitution(value: &str) -> bool {
    let mut quote = None;
    let mut chars = value.chars();
    if value.starts_with('#') {
        return false;
    }
    while let Some(char) = chars.next() {
        match (quote, char) {
            (Some('\''), '\'') => quote = None,
            (Some('\''), _) => {}
            (_, '\\') => drop(chars.next()),
            (_, '$') => return true,
            (Some('"'), '"') => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(char),
            (None, ' ' | '\t') => return false,
            (None, _) => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<Result<(String, String), usize>> {
        parse(text)
            .into_iter()
            .map(|line| line.map(|entry| (entry.name, entry.value)).map_err(|bad| bad.line))
            .collect()
    }

    fn pair(name: &str, value: &str) -> Result<(String, String), usize> {
        Ok((name.to_owned(), value.to_owned()))
    }

    #[test]
    fn comments_blanks_quotes_and_a_byte_order_mark_are_parsed() {
        let text =
            "\u{feff}# a comment\n\nA=1\r\n  B = two  # why\nexport C='x y'\nD=\"q\\\"q\"\nE=\nF=a#b   \n";
        let expected = [
            pair("A", "1"),
            pair("B", "two"),
            pair("C", "x y"),
            pair("D", "q\"q"),
            pair("E", ""),
            pair("F", "a#b"),
        ];
        assert_eq!(read(text), expected);
    }

    #[test]
    fn every_bad_line_is_reported_with_its_number() {
        assert_eq!(
            read("A=1\nnonsense\nB=2\nC=a b\nD='open\n"),
            [pair("A", "1"), Err(2), pair("B", "2"), Err(4), Err(5)]
        );
    }

    #[test]
    fn a_dollar_is_accepted_only_in_single_quotes_or_after_a_backslash() {
        for refused in ["A=a$b", "A=$HOME", "A=\"a$b\"", "A=${HOME}", "A='x'$y", "export A=$B"] {
            assert_eq!(read(refused), [Err(1)], "{refused}");
        }
        for (line, value) in [
            ("A='a$b'", "a$b"),
            ("A=a\\$b", "a$b"),
            ("A=\"a\\$b\"", "a$b"),
            ("A=1 # $5", "1"),
            ("A=# $5", ""),
        ] {
            assert_eq!(read(line), [pair("A", value)], "{line}");
        }
        assert_eq!(read("# costs $5 = cheap"), []);
    }
}

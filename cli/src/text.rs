//! Sanitizes, measures and wraps text for the terminal.

use unicode_segmentation::UnicodeSegmentation as _;
use unicode_width::UnicodeWidthStr as _;

/// Removes what could control the terminal or reorder its text: control characters, and the bidirectional overrides
/// that make one line look like another (CVE-2021-42574). A tab becomes a space.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|c| if c == '\t' { ' ' } else { c }).filter(|c| is_harmless(*c)).collect()
}

/// Sanitizes input like [`printable`], but keeps tabs. CR (terminals) and CR LF (Windows) become LF.
pub(crate) fn sanitize_input(text: &str) -> String {
    let lines = text.replace("\r\n", "\n").replace('\r', "\n");
    lines.chars().filter(|c| *c == '\t' || is_harmless(*c)).collect()
}

fn is_harmless(c: char) -> bool {
    match c {
        '\n' => true,
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => false,
        c => !c.is_control(),
    }
}

/// Like [`printable`], on one line.
pub(crate) fn one_line(text: &str) -> String {
    printable(text).replace('\n', " ")
}

/// The width of `text` in columns.
pub(crate) fn width(text: &str) -> usize {
    text.width()
}

/// Breaks `text` into lines of at most `columns`, at spaces or inside a word that is longer than a line.
pub(crate) fn wrap(text: &str, columns: usize) -> Vec<String> {
    let columns = columns.max(1);
    let mut lines = Vec::new();
    for paragraph in text.split('\n') {
        let mut line = String::new();
        for word in paragraph.split_inclusive(' ') {
            if width(&line) + width(word.trim_end()) > columns && !line.trim().is_empty() {
                lines.push(std::mem::take(&mut line));
            }
            for grapheme in word.graphemes(true) {
                if grapheme != " " && width(&line) + width(grapheme) > columns {
                    lines.push(std::mem::take(&mut line));
                }
                line.push_str(grapheme);
            }
        }
        lines.push(line);
    }
    for line in &mut lines {
        line.truncate(line.trim_end().len());
    }
    lines
}

/// Truncates `text` to `columns` and marks the cut with an ellipsis.
pub(crate) fn truncate(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let mut short = String::new();
    for grapheme in text.graphemes(true) {
        if width(&short) + width(grapheme) + 1 > columns {
            break;
        }
        short.push_str(grapheme);
    }
    short.push('…');
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_removed() {
        assert_eq!(printable("a\u{1b}[31mb\u{7}\r\u{202e}c\nd\u{9b}e"), "a[31mbc\nde");
        assert_eq!(one_line("a\nb"), "a b");
    }

    #[test]
    fn lines_break_at_spaces() {
        assert_eq!(wrap("the quick brown fox", 10), ["the quick", "brown fox"]);
        assert_eq!(wrap("", 10), [""]);
        assert_eq!(wrap("a\n\nb", 10), ["a", "", "b"]);
    }

    #[test]
    fn a_long_word_is_broken() {
        assert_eq!(wrap("see https://example.org/abc", 10), ["see", "https://ex", "ample.org/", "abc"]);
    }

    #[test]
    fn wide_characters_count_twice() {
        assert_eq!(wrap("日本語日本語", 6), ["日本語", "日本語"]);
        assert_eq!(truncate("日本語", 5), "日本…");
    }

    #[test]
    fn no_line_is_wider_than_the_columns() {
        for columns in 2..40 {
            for line in wrap("a bb ccc dddd, eeeee: 👩‍👩‍👧 ffffff ggggggg-hhhhhhhh 日本語", columns)
            {
                assert!(width(&line) <= columns, "{line:?} in {columns}");
            }
        }
    }
}

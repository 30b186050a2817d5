//! Escapes users' text for an operator's terminal.

use std::borrow::Cow;

use unicode_properties::{GeneralCategory, UnicodeGeneralCategory as _};

/// Escapes the characters of a text that control a terminal, break a line or change the direction of writing: each becomes
/// its code point, such as `<U+001B>`.
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_control) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_control(c) {
            escaped.push_str(&format!("<U+{:04X}>", u32::from(c)));
        } else {
            escaped.push(c);
        }
    }
    Cow::Owned(escaped)
}

/// Says whether a character does more to a terminal than to be displayed. The two joiners, which emoji and scripts need, are
/// left as they are: they move nothing.
fn is_control(c: char) -> bool {
    use GeneralCategory as Category;
    match c.general_category() {
        Category::Control | Category::LineSeparator | Category::ParagraphSeparator => true,
        Category::Format => !matches!(c, '\u{200c}' | '\u{200d}'),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::printable;

    #[test]
    fn characters_that_control_a_terminal_are_escaped() {
        let hostile = "a\u{1b}[31mb\u{7}\r\n\tc\u{9b}d\u{202e}e\u{2028}f\u{200b}g\u{7f}";
        assert_eq!(
            printable(hostile),
            "a<U+001B>[31mb<U+0007><U+000D><U+000A><U+0009>c<U+009B>d<U+202E>e<U+2028>f<U+200B>g<U+007F>"
        );
        for plain in ["", "walker1", "Нина01", "👩‍👩‍👧", "a  b"] {
            assert!(matches!(printable(plain), std::borrow::Cow::Borrowed(same) if same == plain));
        }
    }
}

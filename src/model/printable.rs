//! Text of others on an operator's terminal.

use std::borrow::Cow;

use unicode_properties::{GeneralCategory, UnicodeGeneralCategory as _};

/// Returns a text in which nothing steers a terminal, breaks a line or turns the writing around: what would is replaced by
/// its number, as `<U+001B>`.
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.chars().any(steers) {
        return Cow::Borrowed(text);
    }
    let mut seen = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if steers(c) {
            seen.push_str(&format!("<U+{:04X}>", u32::from(c)));
        } else {
            seen.push(c);
        }
    }
    Cow::Owned(seen)
}

/// Says whether a character does something to a terminal other than being seen. Joiners, which emoji and scripts need, are
/// left: they move nothing.
fn steers(c: char) -> bool {
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
    fn nothing_steers_a_terminal() {
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

//! What names of people and of rooms are made of.

use std::fmt;

use unicode_normalization::UnicodeNormalization as _;
use unicode_properties::{GeneralCategory, UnicodeGeneralCategory as _};
use unicode_script::Script;
use unicode_security::{mixed_script::AugmentedScriptSet, skeleton};

/// Why a name is not plain: what it holds that readers cannot see, or take for something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameFlaw {
    /// A character of a kind that no such name holds.
    Character(char, &'static str),
    /// A blank at an end, or next to another: readers and pages pass over it.
    Blank,
    /// A letter of another script than those before it, which may look like one of theirs.
    Script(char),
}

impl fmt::Display for NameFlaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Character(c, kind) => write!(f, "holds no {kind}: leave out U+{:04X}", u32::from(*c)),
            Self::Blank => {
                f.write_str("has no blank at its ends and no two in a row: leave out those that are too many")
            }
            Self::Script(c) => write!(
                f,
                "keeps to the letters of one script: replace U+{:04X}, which is of another than those before it",
                u32::from(*c)
            ),
        }
    }
}

/// Returns a name in the one form in which new names are stored: NFC.
pub(super) fn composed(name: &str) -> String {
    name.nfc().collect()
}

/// Says what keeps a new user name from being plain. It is to be in NFC.
///
/// The letters are of one script, or of those that Japanese, Chinese and Korean are written in together with Latin: "highly
/// restrictive" in UTS 39. Digits, signs and emoji belong to all scripts.
pub(super) fn flaw_of_user_name(name: &str) -> Option<NameFlaw> {
    let character = name.chars().find_map(|c| kind_of(c).map(|kind| NameFlaw::Character(c, kind)));
    let blank = || name.starts_with(' ') || name.ends_with(' ') || name.contains("  ");
    character.or_else(|| blank().then_some(NameFlaw::Blank)).or_else(|| mixed(name).map(NameFlaw::Script))
}

/// Names the kind of a character that no new user name holds.
fn kind_of(c: char) -> Option<&'static str> {
    use GeneralCategory as Category;
    match c.general_category() {
        Category::Control => Some("control character"),
        Category::Format => Some("invisible formatting character"),
        Category::LineSeparator | Category::ParagraphSeparator => Some("line break"),
        Category::SpaceSeparator if c != ' ' => Some("blank but the plain one"),
        Category::PrivateUse | Category::Unassigned | Category::Surrogate => {
            Some("character that Unicode gives no meaning")
        }
        // The pattern of no dots of Braille.
        _ if c == '\u{2800}' => Some("blank but the plain one"),
        _ if is_ignorable(c) => Some("invisible character"),
        _ => None,
    }
}

/// Says whether a character is seen nowhere by default (`Default_Ignorable_Code_Point`): a skeleton leaves it out.
fn is_ignorable(c: char) -> bool {
    skeleton(c.encode_utf8(&mut [0; 4])).next().is_none()
}

/// Returns the first character that no script of those before it has.
fn mixed(name: &str) -> Option<char> {
    let mut all = AugmentedScriptSet::default();
    let mut beside_latin = AugmentedScriptSet::default();
    name.chars().find(|c| {
        let scripts = AugmentedScriptSet::for_char(*c);
        all.intersect_with(scripts);
        if !scripts.base.contains_script(Script::Latin) {
            beside_latin.intersect_with(scripts);
        }
        let together = beside_latin.hanb || beside_latin.jpan || beside_latin.kore;
        all.is_empty() && !together
    })
}

/// Says what keeps a room's new name from being plain: characters that move the text about or cannot be seen.
pub(super) fn flaw_of_room_name(name: &str) -> Option<NameFlaw> {
    let mut before = None;
    let mut characters = name.chars().peekable();
    while let Some(c) = characters.next() {
        let kind = match c.general_category() {
            GeneralCategory::Control => Some("control character"),
            GeneralCategory::LineSeparator | GeneralCategory::ParagraphSeparator => Some("line break"),
            GeneralCategory::Format if !joins(before, c, characters.peek().copied()) => {
                Some("invisible formatting character here")
            }
            _ => None,
        };
        if let Some(kind) = kind {
            return Some(NameFlaw::Character(c, kind));
        }
        before = Some(c);
    }
    None
}

/// Says whether a formatting character is one that its neighbours need: between two characters of a script that joins its
/// letters or of an emoji, within the flag of a region, or a sign of Arabic or Syriac that can be seen.
fn joins(before: Option<char>, c: char, after: Option<char>) -> bool {
    let joined = |c: Option<char>| c.is_some_and(|c| !c.is_ascii() && !c.is_whitespace() && !c.is_control());
    match c {
        // The two joiners. A word of Persian may end in one.
        '\u{200c}' | '\u{200d}' => {
            joined(before) && after.is_none_or(|after| after == ' ' || joined(Some(after)))
        }
        '\u{e0020}'..='\u{e007f}' => {
            before.is_some_and(|c| matches!(c, '\u{1f3f4}' | '\u{e0020}'..='\u{e007e}'))
        }
        '\u{600}'..='\u{605}'
        | '\u{6dd}'
        | '\u{70f}'
        | '\u{890}'
        | '\u{891}'
        | '\u{8e2}'
        | '\u{110bd}'
        | '\u{110cd}' => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_user_names_have_no_flaw() {
        for name in [
            "walker1",
            "a b-c=1",
            "é|\"123",
            "Łukasz7",
            "Нина01",
            "été123",
            "東京タワー12",
            "田中taro1",
            "김철수12",
            "ツバメ-01",
            "👍walker1",
            "محمد12345",
            "अनिल12",
            "mega~1",
        ] {
            assert_eq!(flaw_of_user_name(&composed(name)), None, "{name}");
        }
    }

    #[test]
    fn the_character_at_fault_is_told() {
        for c in [
            '\n',
            '\u{1b}',
            '\u{9b}',
            '\u{ad}',
            '\u{200b}',
            '\u{200e}',
            '\u{202e}',
            '\u{2063}',
            '\u{2066}',
            '\u{2028}',
            '\u{2029}',
            '\u{a0}',
            '\u{2003}',
            '\u{3000}',
            '\u{2800}',
            '\u{3164}',
            '\u{115f}',
            '\u{34f}',
            '\u{fe0f}',
            '\u{e000}',
            '\u{10ffff}',
            '\u{378}',
            '\u{e0041}',
            '\u{feff}',
            '\u{61c}',
            '\u{200d}',
        ] {
            let flaw = flaw_of_user_name(&format!("walk{c}er1"));
            assert!(matches!(flaw, Some(NameFlaw::Character(found, _)) if found == c), "{c:?} {flaw:?}");
            assert!(flaw.unwrap().to_string().contains(&format!("U+{:04X}", u32::from(c))));
        }
        for name in [" walker1", "walker1 ", "walk  er1", "      1"] {
            assert_eq!(flaw_of_user_name(name), Some(NameFlaw::Blank), "{name:?}");
        }
        for (name, c) in
            [("w\u{430}lker1", '\u{430}'), ("Нинa01", 'a'), ("wαlker1", 'α'), ("김さ12345", 'さ')]
        {
            assert_eq!(flaw_of_user_name(name), Some(NameFlaw::Script(c)), "{name}");
        }
    }

    #[test]
    fn rooms_are_named_in_every_script_and_with_emoji() {
        for name in [
            "",
            " a  room ",
            "👩‍👩‍👧 at home",
            "❤️",
            "1️⃣ first",
            "می‌خواهم",
            "خانه‌",
            "🏴󠁧󠁢󠁥󠁮󠁧󠁿",
            "क्‍ष",
            "mixed смесь",
            "\u{600}12",
        ] {
            assert_eq!(flaw_of_room_name(name), None, "{name:?}");
        }
        for (name, c) in [
            ("a\nb", '\n'),
            ("a\u{1b}[31m", '\u{1b}'),
            ("a\u{202e}b", '\u{202e}'),
            ("a\u{200b}b", '\u{200b}'),
            ("a\u{200d}b", '\u{200d}'),
            ("\u{200d}", '\u{200d}'),
            ("a\u{e0041}", '\u{e0041}'),
            ("a\u{2028}", '\u{2028}'),
            ("a\u{ad}b", '\u{ad}'),
            ("\u{feff}a", '\u{feff}'),
        ] {
            let flaw = flaw_of_room_name(name);
            assert!(matches!(flaw, Some(NameFlaw::Character(found, _)) if found == c), "{name:?} {flaw:?}");
        }
    }
}

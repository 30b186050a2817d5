//! What names of people and of rooms are made of.

use std::fmt;

use unicode_normalization::UnicodeNormalization as _;
use unicode_properties::{GeneralCategory, UnicodeEmoji as _, UnicodeGeneralCategory as _};
use unicode_script::Script;
use unicode_security::{
    GeneralSecurityProfile as _, general_security_profile::IdentifierType, mixed_script::AugmentedScriptSet,
    skeleton,
};

/// Why a name is not plain: what it holds that readers cannot see, or take for something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameFlaw {
    /// A character of a kind that no such name holds.
    Character(char, &'static str),
    /// A blank at an end, or next to another: readers and pages pass over it.
    Blank,
    /// A letter of another script than those before it, which may look like one of theirs.
    Script(char),
    /// Nothing that can be seen, beginning with this character.
    Unseen(char),
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
            Self::Unseen(c) => write!(
                f,
                "shows something: add a character that can be seen to U+{:04X}, which cannot",
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
        _ if is_empty(c) => Some("blank but the plain one"),
        _ if is_ignorable(c) => Some("invisible character"),
        // Dashes and quotation marks stand in names; as a mark of ASCII each has a skeleton.
        Category::DashPunctuation | Category::InitialPunctuation | Category::FinalPunctuation => None,
        _ if c.is_ascii() || is_emoji(c) => None,
        // A form of another character is held to what holds for that one: with it names are compared.
        _ => c.nfkc().find_map(restriction),
    }
}

/// Names the kind of a character that the General Security Profile of UTS 39 keeps out of identifiers, since it would be
/// taken for a common one. Scripts and letters that few use are not kept out: somebody's language is written in them.
fn restriction(c: char) -> Option<&'static str> {
    use IdentifierType as Type;
    match c.identifier_type() {
        // What an accent that stands alone is a form of: a blank with an accent.
        _ if c == ' ' => Some("accent without a letter"),
        _ if c.is_ascii() => None,
        Some(
            Type::Recommended | Type::Inclusion | Type::Limited_Use | Type::Exclusion | Type::Uncommon_Use,
        ) => None,
        Some(Type::Technical) => Some("phonetic or technical sign"),
        Some(Type::Not_XID) => Some("symbol but emoji and those of ASCII"),
        _ => Some("character that is out of use"),
    }
}

/// Says whether a character is an emoji, and not a letter in a frame.
fn is_emoji(c: char) -> bool {
    !c.is_ascii() && c.is_emoji_char() && !matches!(c, '\u{1f100}'..='\u{1f1ff}')
}

/// Says whether a character has a place and nothing in it, though it is no blank: Braille without a dot, the note without a
/// head, the blanks of hieroglyphs.
const fn is_empty(c: char) -> bool {
    matches!(c, '\u{2800}' | '\u{1d159}' | '\u{13441}' | '\u{13442}')
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

/// Says what keeps a room's new name from being plain: characters that move the text about or cannot be seen, or none that
/// can. A room may have no name at all.
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
    name.chars().next().filter(|_| !name.chars().any(is_seen)).map(NameFlaw::Unseen)
}

/// Says whether a character shows something by itself.
fn is_seen(c: char) -> bool {
    let has_meaning =
        !matches!(c.general_category(), GeneralCategory::PrivateUse | GeneralCategory::Unassigned);
    has_meaning && !c.is_whitespace() && !is_empty(c) && !is_ignorable(c)
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
mod tests;

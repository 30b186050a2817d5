//! The flaws that keep a text from being a new user name or room name.

use std::fmt;

use unicode_normalization::UnicodeNormalization as _;
use unicode_properties::{GeneralCategory, UnicodeEmoji as _, UnicodeGeneralCategory as _};
use unicode_script::Script;
use unicode_security::{
    GeneralSecurityProfile as _, general_security_profile::IdentifierType, mixed_script::AugmentedScriptSet,
    skeleton,
};

/// A flaw in a name: something that readers cannot see, or mistake for something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameFlaw {
    /// A character of a kind that such names do not hold.
    Character(char, &'static str),
    /// A space at an end or next to another, which readers and web pages ignore.
    Blank,
    /// A letter of another script than those before it, which may look like one of their letters.
    Script(char),
    /// No visible character. The first one is this.
    Unseen(char),
}

impl fmt::Display for NameFlaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Character(c, kind) => write!(f, "holds no {kind}: leave out U+{:04X}", u32::from(*c)),
            Self::Blank => {
                f.write_str("has no space at its ends and no two in a row: leave out the extra ones")
            }
            Self::Script(c) => write!(
                f,
                "has letters of one script only: replace U+{:04X}, which is of another than those before it",
                u32::from(*c)
            ),
            Self::Unseen(c) => {
                write!(f, "shows something: add a visible character to U+{:04X}", u32::from(*c))
            }
        }
    }
}

/// Returns a name in NFC, the form in which new names are stored.
pub(super) fn composed(name: &str) -> String {
    name.nfc().collect()
}

/// Returns the first flaw of a new user name, which must be in NFC.
///
/// All letters must be of one script, or of Latin and the scripts of Japanese, Chinese or Korean: "highly restrictive" in
/// UTS 39. Digits, signs and emoji belong to all scripts.
pub(super) fn user_name_flaw(name: &str) -> Option<NameFlaw> {
    let character = name.chars().find_map(|c| refused_kind(c).map(|kind| NameFlaw::Character(c, kind)));
    let has_extra_space = || name.starts_with(' ') || name.ends_with(' ') || name.contains("  ");
    character
        .or_else(|| has_extra_space().then_some(NameFlaw::Blank))
        .or_else(|| first_of_another_script(name).map(NameFlaw::Script))
}

/// Returns the kind of a character that new user names do not hold.
fn refused_kind(c: char) -> Option<&'static str> {
    use GeneralCategory as Category;
    match c.general_category() {
        Category::Control => Some("control character"),
        Category::Format => Some("invisible formatting character"),
        Category::LineSeparator | Category::ParagraphSeparator => Some("line break"),
        Category::SpaceSeparator if c != ' ' => Some("space other than U+0020"),
        Category::PrivateUse | Category::Unassigned | Category::Surrogate => {
            Some("character that Unicode gives no meaning")
        }
        _ if is_blank(c) => Some("space other than U+0020"),
        _ if is_ignorable(c) => Some("invisible character"),
        // Names use dashes and quotation marks. Each has the skeleton of an ASCII character.
        Category::DashPunctuation | Category::InitialPunctuation | Category::FinalPunctuation => None,
        _ if c.is_ascii() || is_emoji(c) => None,
        // A compatibility form is judged by its characters, since names are compared by those.
        _ => c.nfkc().find_map(restriction),
    }
}

/// Returns the kind of a character that the General Security Profile of UTS 39 excludes from identifiers because it may be
/// mistaken for a common one. Rare scripts and letters are allowed: some languages are written in them.
fn restriction(c: char) -> Option<&'static str> {
    use IdentifierType as Type;
    match c.identifier_type() {
        // The compatibility form of a lone accent is a space with the accent.
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

/// Says whether a character is an emoji. Framed letters do not count.
fn is_emoji(c: char) -> bool {
    !c.is_ascii() && c.is_emoji_char() && !matches!(c, '\u{1f100}'..='\u{1f1ff}')
}

/// Says whether a character takes up space and shows nothing, without being a space in Unicode: Braille without dots, the
/// null notehead, the blanks of hieroglyphs.
const fn is_blank(c: char) -> bool {
    matches!(c, '\u{2800}' | '\u{1d159}' | '\u{13441}' | '\u{13442}')
}

/// Says whether a character is invisible by default (`Default_Ignorable_Code_Point`): its skeleton is empty.
fn is_ignorable(c: char) -> bool {
    skeleton(c.encode_utf8(&mut [0; 4])).next().is_none()
}

/// Returns the first character that has no script in common with all those before it.
fn first_of_another_script(name: &str) -> Option<char> {
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

/// Returns the first flaw of a room's new name: a control or formatting character, or the lack of a visible one. The empty
/// name has no flaw.
pub(super) fn room_name_flaw(name: &str) -> Option<NameFlaw> {
    let mut before = None;
    let mut characters = name.chars().peekable();
    while let Some(c) = characters.next() {
        let kind = match c.general_category() {
            GeneralCategory::Control => Some("control character"),
            GeneralCategory::LineSeparator | GeneralCategory::ParagraphSeparator => Some("line break"),
            GeneralCategory::Format if !is_needed(before, c, characters.peek().copied()) => {
                Some("invisible formatting character here")
            }
            _ => None,
        };
        if let Some(kind) = kind {
            return Some(NameFlaw::Character(c, kind));
        }
        before = Some(c);
    }
    name.chars().next().filter(|_| !name.chars().any(is_visible)).map(NameFlaw::Unseen)
}

/// Says whether a character is visible by itself.
fn is_visible(c: char) -> bool {
    let has_meaning =
        !matches!(c.general_category(), GeneralCategory::PrivateUse | GeneralCategory::Unassigned);
    has_meaning && !c.is_whitespace() && !is_blank(c) && !is_ignorable(c)
}

/// Says whether the neighbours of a formatting character need it: a joiner between non-ASCII characters, a tag in the flag of
/// a region, or a visible sign of Arabic, Syriac or Kaithi.
fn is_needed(before: Option<char>, c: char, after: Option<char>) -> bool {
    let is_joinable =
        |c: Option<char>| c.is_some_and(|c| !c.is_ascii() && !c.is_whitespace() && !c.is_control());
    match c {
        // The two joiners. A Persian word may end in one.
        '\u{200c}' | '\u{200d}' => {
            is_joinable(before) && after.is_none_or(|after| after == ' ' || is_joinable(Some(after)))
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

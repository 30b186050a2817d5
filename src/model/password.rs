//! Passwords, normalised so that every keyboard's spelling is the same, and hidden from logs.

use std::fmt;

use unicode_normalization::UnicodeNormalization as _;
use unicode_properties::{GeneralCategory, UnicodeGeneralCategory as _};

use super::{
    Error, Result,
    text::{SPECIAL_CHARACTERS, has_nul},
};

/// Returns a password in the form that is hashed: in NFC and with every space as U+0020, as the OpaqueString profile demands
/// (RFC 8265, 4.2.2). Keyboards differ in how they encode accents and spaces.
fn prepared(text: &str) -> String {
    let space = |c: char| if c.general_category() == GeneralCategory::SpaceSeparator { ' ' } else { c };
    text.chars().map(space).nfc().collect()
}

/// A password to be compared with a stored hash. No rule is checked: rules are for new passwords.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct GivenPassword {
    prepared: String,
    /// The text as it was typed, if that differs. Older hashes were made from it.
    as_typed: Option<String>,
}

impl GivenPassword {
    /// Accepts a typed password.
    pub fn new(text: impl Into<String>) -> Self {
        let text = text.into();
        let prepared = prepared(&text);
        let as_typed = (prepared != text).then_some(text);
        Self { prepared, as_typed }
    }

    /// Returns the text to hash. Only hashing may ask for it.
    pub fn expose(&self) -> &str {
        &self.prepared
    }

    /// Returns the text as it was typed, if that differs.
    pub fn as_typed(&self) -> Option<&str> {
        self.as_typed.as_deref()
    }
}

impl fmt::Debug for GivenPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GivenPassword(…)")
    }
}

/// A new account password: 6 to 128 bytes in the form that is hashed, with an upper-case and a lower-case letter, a digit and
/// a special character.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

impl Password {
    /// The longest password, in bytes.
    pub const MAX_BYTES: usize = 128;

    /// Checks the rule for new passwords.
    ///
    /// # Errors
    /// [`Error::InvalidPassword`] if the rule is broken.
    pub fn parse(text: &str) -> Result<Self> {
        let text = prepared(text);
        let valid = (6..=Self::MAX_BYTES).contains(&text.len())
            && text.bytes().any(|byte| byte.is_ascii_uppercase())
            && text.bytes().any(|byte| byte.is_ascii_lowercase())
            && text.bytes().any(|byte| byte.is_ascii_digit())
            && text.contains(|c| SPECIAL_CHARACTERS.contains(c))
            && !has_nul(&text);
        if valid { Ok(Self(text)) } else { Err(Error::InvalidPassword) }
    }

    /// Returns the text. Only hashing may ask for it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

/// A room's password, new or to be compared: at most 128 bytes. If it is empty the short code is enough.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct RoomPassword(GivenPassword);

impl RoomPassword {
    /// The longest password, in bytes.
    const MAX_BYTES: usize = 128;

    /// Checks the length and the characters.
    ///
    /// # Errors
    /// [`Error::InvalidRoomPassword`] if it is too long or holds U+0000.
    pub fn parse(text: String) -> Result<Self> {
        let given = GivenPassword::new(text);
        // Passwords that were set before normalisation have this length as typed, and must go on opening their rooms.
        let fits = |text: &str| text.len() <= Self::MAX_BYTES && !has_nul(text);
        if fits(given.expose()) || given.as_typed().is_some_and(fits) {
            Ok(Self(given))
        } else {
            Err(Error::InvalidRoomPassword)
        }
    }

    /// Says whether the short code alone is enough.
    pub fn is_empty(&self) -> bool {
        self.0.expose().is_empty()
    }

    /// Returns the password to hash or to compare.
    pub const fn given(&self) -> &GivenPassword {
        &self.0
    }
}

impl fmt::Debug for RoomPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RoomPassword(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_follow_the_originals_rule_up_to_128_bytes() {
        let longest = format!("Aa1!{}", "x".repeat(124));
        for good in ["Passw0rd!", "aA1?bc", &longest] {
            assert!(Password::parse(good).is_ok(), "{good}");
        }
        let too_long = format!("{longest}x");
        for bad in
            ["", "aA1?", "password1!", "PASSWORD1!", "Password!", "Password1", "Pass\0word1!", &too_long]
        {
            assert!(Password::parse(bad).is_err(), "{bad}");
        }
    }

    /// The valid examples of RFC 8265, 4.3, and encodings of accents.
    #[test]
    fn passwords_are_in_the_form_of_rfc_8265() {
        for (typed, hashed) in [
            ("correct horse battery staple", None),
            ("Correct Horse Battery Staple", None),
            ("πßå", None),
            ("Jack of ♦s", None),
            ("foo\u{1680}bar", Some("foo bar")),
            ("\u{a0}\u{3000}x", Some("  x")),
            ("cafe\u{301}", Some("caf\u{e9}")),
            ("\u{212b}", Some("\u{c5}")),
            // Compatibility forms are not normalised.
            ("ｐ①ﬁ", None),
        ] {
            let given = GivenPassword::new(typed);
            assert_eq!(given.expose(), hashed.unwrap_or(typed), "{typed:?}");
            assert_eq!(given.as_typed(), hashed.map(|_| typed), "{typed:?}");
        }
    }

    #[test]
    fn the_rule_for_new_passwords_applies_to_the_form_that_is_hashed() {
        let decomposed = format!("Aa1!{}", "e\u{301}".repeat(62));
        assert!(decomposed.len() > 128);
        assert_eq!(Password::parse(&decomposed).unwrap().expose().len(), 128);
        // U+0958 has three bytes, and six in NFC.
        let grows = format!("Aa1!{}", "\u{958}".repeat(30));
        assert!(grows.len() < 128 && Password::parse(&grows).is_err());
        assert!(RoomPassword::parse("e\u{301}".repeat(64)).is_ok());
        assert!(RoomPassword::parse("\u{958}".repeat(42)).is_ok(), "an older one");
        assert!(RoomPassword::parse("\u{958}".repeat(43)).is_err());
    }

    #[test]
    fn a_room_s_password_has_at_most_128_bytes_and_no_nul() {
        assert!(RoomPassword::parse("x".repeat(128)).is_ok());
        assert!(RoomPassword::parse("x".repeat(129)).is_err());
        for nul in ["a\0", "a\0\u{a0}"] {
            assert!(RoomPassword::parse(nul.to_owned()).is_err());
        }
    }

    #[test]
    fn a_password_is_not_in_its_debug_output() {
        let (new, given) = (Password::parse("Passw0rd!").unwrap(), GivenPassword::new("Passw0rd!"));
        assert_eq!(format!("{new:?} {given:?}"), "Password(…) GivenPassword(…)");
    }
}

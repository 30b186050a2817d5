//! User names, room names, short codes, message bodies and client message ids, each parsed by its rule.

use std::{fmt, sync::Arc};

use super::{
    Error, Result,
    name::{composed, room_name_flaw, user_name_flaw},
    short_code::ShortCode,
};

/// The characters that the original refuses in user names and requires in passwords.
pub(super) const SPECIAL_CHARACTERS: &str = "!@#$%^&*()_+[]{};':,.<>?/";

/// Says whether a text holds U+0000, which PostgreSQL cannot store. No stored text may hold it, in either database.
pub(super) fn has_nul(text: &str) -> bool {
    text.contains('\0')
}

/// A user name: at least 6 bytes with a digit among them, at most 255 characters, no special character. New names are in NFC
/// and of one script, without invisible or obsolete characters.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UserName(Arc<str>);

impl UserName {
    /// Checks the rule for new user names and normalises the name to NFC, so that all encodings of a name are one. Nothing
    /// else is changed, or its owner could not log in with what they typed.
    ///
    /// # Errors
    /// [`Error::InvalidUserName`] if the original's rule is broken, else [`Error::FlawedUserName`] if it has a flaw.
    pub fn parse(text: &str) -> Result<Self> {
        let text = &composed(text);
        let valid = text.len() >= 6
            && text.chars().count() <= 255
            && text.bytes().any(|byte| byte.is_ascii_digit())
            && !text.contains(|c| SPECIAL_CHARACTERS.contains(c))
            && !has_nul(text);
        if !valid {
            return Err(Error::InvalidUserName);
        }
        match user_name_flaw(text) {
            Some(flaw) => Err(Error::FlawedUserName(flaw)),
            None => Ok(Self(text.as_str().into())),
        }
    }

    /// Returns the name in NFC, the form in which new names are stored.
    pub fn composed(&self) -> Self {
        Self(composed(&self.0).into())
    }

    /// Accepts a name to look up. Returns `None` if no account can have it and a database may refuse to look it up. The rule
    /// for new names is not checked, since older accounts need not follow it.
    pub fn lookup(text: &str) -> Option<Self> {
        (text.chars().count() <= 255 && !has_nul(text)).then(|| Self(text.into()))
    }

    /// Accepts a name from the database or from a verified token without checking a rule: accounts that were taken over from
    /// elsewhere keep their names.
    pub fn trusted(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }

    /// Returns the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the name in its shared allocation.
    pub fn shared(&self) -> Arc<str> {
        Arc::clone(&self.0)
    }
}

impl fmt::Debug for UserName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for UserName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A room's name: at most 128 characters, one of them visible unless the name is empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomName(String);

impl RoomName {
    /// Checks the length and the characters.
    ///
    /// # Errors
    /// [`Error::InvalidRoomName`] if it is too long or holds U+0000. [`Error::FlawedRoomName`] if it holds another control
    /// or formatting character, or no visible one.
    pub fn parse(text: String) -> Result<Self> {
        if text.chars().count() > 128 || has_nul(&text) {
            return Err(Error::InvalidRoomName);
        }
        match room_name_flaw(&text) {
            Some(flaw) => Err(Error::FlawedRoomName(flaw)),
            None => Ok(Self(text)),
        }
    }

    /// Returns the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl ShortCode {
    /// Checks a caller's code. Codes shorter than those that can be set are accepted: no room will be found.
    ///
    /// # Errors
    /// [`Error::InvalidShortCode`] unless it has 1 to 32 letters and digits.
    pub fn parse(text: &str) -> Result<Self> {
        let valid = (1..=*Self::LENGTHS.end()).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if valid { Ok(Self::trusted(text)) } else { Err(Error::InvalidShortCode) }
    }
}

/// A message's body. Never logged. It may be empty only if the message has no client_message_id, as old clients send it.
#[derive(Clone, PartialEq, Eq)]
pub struct MessageBody(Arc<str>);

impl MessageBody {
    /// Checks the length in bytes and the characters. A client that gives an id knows the rule that a body is not empty. A
    /// body of blanks is accepted: its meaning is between the clients.
    ///
    /// # Errors
    /// [`Error::MessageTooLong`] over `max_bytes`, [`Error::InvalidMessage`] if it holds U+0000, [`Error::EmptyMessage`] if
    /// it is empty and has an id.
    pub fn parse(text: String, max_bytes: usize, id: Option<&ClientMessageId>) -> Result<Self> {
        if text.len() > max_bytes {
            Err(Error::MessageTooLong { limit: max_bytes })
        } else if has_nul(&text) {
            Err(Error::InvalidMessage)
        } else if text.is_empty() && id.is_some() {
            Err(Error::EmptyMessage)
        } else {
            Ok(Self(text.into()))
        }
    }

    /// Returns the body.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the body in its shared allocation.
    pub fn shared(&self) -> Arc<str> {
        Arc::clone(&self.0)
    }

    /// Returns the length in bytes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Says whether the body is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for MessageBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MessageBody({} bytes)", self.0.len())
    }
}

/// The id that a message's author gives it, by which a retry is recognised: 1 to 64 bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientMessageId(Arc<str>);

impl ClientMessageId {
    /// Checks the length and the characters. An empty text means that no id was given.
    ///
    /// # Errors
    /// [`Error::InvalidClientMessageId`] over 64 bytes or if it holds U+0000.
    pub fn parse(text: &str) -> Result<Option<Self>> {
        if text.is_empty() {
            Ok(None)
        } else if text.len() <= 64 && !has_nul(text) {
            Ok(Some(Self(text.into())))
        } else {
            Err(Error::InvalidClientMessageId)
        }
    }

    /// Accepts an id from the database.
    pub fn trusted(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }

    /// Returns the id.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_names_follow_the_originals_rule() {
        for good in ["walker1", "a b-c=1", "é|\"123", &"1".repeat(255)] {
            assert!(UserName::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "abc1", "walker", "walker_1", "walk/er1", "nul\0byte1", &"1".repeat(256)] {
            assert!(matches!(UserName::parse(bad), Err(Error::InvalidUserName)), "{bad}");
        }
    }

    #[test]
    fn user_names_have_no_flaws_and_are_normalised_to_nfc() {
        assert_eq!(UserName::parse("cafe\u{301}1").unwrap().as_str(), "caf\u{e9}1");
        // The Greek question mark is a semicolon in NFC.
        assert!(matches!(UserName::parse("walker\u{37e}1"), Err(Error::InvalidUserName)));
        for bad in ["walk\u{200b}er1", "walker1 ", "w\u{430}lker1", "walker1\n"] {
            assert!(matches!(UserName::parse(bad), Err(Error::FlawedUserName(_))), "{bad:?}");
        }
    }

    #[test]
    fn a_name_is_looked_up_if_an_account_may_have_it() {
        for name in ["walker1", "", "old_name", &"é".repeat(255)] {
            assert_eq!(UserName::lookup(name).as_ref().map(UserName::as_str), Some(name));
        }
        for name in ["nul\0byte1", &"é".repeat(256)] {
            assert_eq!(UserName::lookup(name), None, "{name:?}");
        }
    }

    #[test]
    fn a_body_is_not_in_its_debug_output() {
        let body = MessageBody::parse("hush".into(), 10, None).expect("valid");
        assert_eq!(format!("{body:?}"), "MessageBody(4 bytes)");
    }

    #[test]
    fn only_a_message_without_an_id_may_be_empty() {
        let id = ClientMessageId::parse("an id").unwrap();
        assert!(MessageBody::parse(String::new(), 10, None).is_ok_and(|body| body.is_empty()));
        assert!(matches!(MessageBody::parse(String::new(), 10, id.as_ref()), Err(Error::EmptyMessage)));
        assert!(MessageBody::parse(" ".to_owned(), 10, id.as_ref()).is_ok());
    }

    #[test]
    fn no_stored_text_holds_nul() {
        assert!(RoomName::parse("a\0".into()).is_err());
        assert!(MessageBody::parse("a\0".into(), 10, None).is_err());
        assert!(ClientMessageId::parse("a\0").is_err());
        assert!(ShortCode::parse("ab\0d").is_err());
    }

    #[test]
    fn lengths_are_inclusive() {
        assert!(MessageBody::parse("x".repeat(10), 10, None).is_ok());
        assert!(matches!(
            MessageBody::parse("x".repeat(11), 10, None),
            Err(Error::MessageTooLong { limit: 10 })
        ));
        assert!(ClientMessageId::parse(&"x".repeat(64)).is_ok_and(|id| id.is_some()));
        assert!(ClientMessageId::parse(&"x".repeat(65)).is_err());
        assert!(ClientMessageId::parse("").is_ok_and(|id| id.is_none()));
        assert!(RoomName::parse("é".repeat(128)).is_ok());
        assert!(RoomName::parse("é".repeat(129)).is_err());
    }
}

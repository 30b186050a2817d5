//! The rules of new names and passwords, as schemas. They follow [`UserName`](crate::model::UserName) and
//! [`Password`](crate::model::Password), which count bytes where a schema counts characters.
//!
//! CI compares them with the server: it must accept what the schemas allow, and refuse what they do not.

use utoipa::openapi::{
    ObjectBuilder, Schema,
    schema::{AllOfBuilder, Type},
};

use crate::model::Password;

/// The special characters, for a character class of a pattern.
macro_rules! special {
    () => {
        r"!@#$%^&*()_+\[\]{};':,.<>?/"
    };
}

pub(super) fn user_name() -> Schema {
    text(
        "At least 6 bytes and a digit; no special character. No control, formatting or invisible character, no blank but \
         U+0020, none at an end and no two in a row; letters of one script (UTS 39, highly restrictive), none that is \
         phonetic or out of use; no symbol but emoji and those of ASCII. Taken in NFC.",
        255,
        &[concat!("^[^", special!(), r"\u0000-\u001f\u007f-\u00a0\u00ad]*$"), "^[^ ]( ?[^ ])*$", "[0-9]"],
    )
}

pub(super) fn password() -> Schema {
    text(
        "At least 6 bytes; an upper-case and a lower-case letter, a digit and a special character.",
        Password::MAX_BYTES,
        &[r"^[^\u0000]*$", "[A-Z]", "[a-z]", "[0-9]", concat!("[", special!(), "]")],
    )
}

/// Makes the schema of a text that matches every pattern.
fn text(description: &str, max_length: usize, patterns: &[&str]) -> Schema {
    let lengths =
        ObjectBuilder::new().schema_type(Type::String).min_length(Some(6)).max_length(Some(max_length));
    let all = AllOfBuilder::new().schema_type(Type::String).description(Some(description)).item(lengths);
    let pattern = |pattern: &&str| ObjectBuilder::new().schema_type(Type::String).pattern(Some(*pattern));
    patterns.iter().map(pattern).fold(all, AllOfBuilder::item).build().into()
}

//! The fuzz target `token`: no token is accepted that was not signed here.

use std::{sync::LazyLock, time::Duration};

use serde_json::{Value, json};
use uuid::Uuid;

use super::{Keys, Secrets};
use crate::model::{SessionId, Timestamp, TokenKind};

const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);
const KINDS: [TokenKind; 3] = [TokenKind::User, TokenKind::Room, TokenKind::Chat];

static KEYS: LazyLock<Keys> = LazyLock::new(|| keys("a secret that nobody guesses and of some length"));
static OTHER_KEYS: LazyLock<Keys> = LazyLock::new(|| keys("another secret with which nothing was signed"));

fn keys(secret: &str) -> Keys {
    Keys::new(&Secrets::parse(secret).expect("it is long enough"))
}

/// Reads the bytes as a token, and as mutations of valid tokens.
pub fn token(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    for kind in KINDS {
        assert!(OTHER_KEYS.verify::<Value>(kind, &text, NOW).is_err(), "nobody signed it");
    }
    assert!(OTHER_KEYS.read_refresh_token(&text).is_err(), "nobody made it");

    let claims = json!({ "room": 7, "name": "walker1" });
    for kind in KINDS {
        let (valid, _) = KEYS.sign(kind, claims.clone(), "1".to_owned(), NOW, Duration::from_secs(60));
        let mutated = mutate(&valid, data);
        for asked in KINDS {
            if let Ok(verified) = KEYS.verify::<Value>(asked, &mutated, NOW) {
                assert_eq!((asked, &verified.claims), (kind, &claims), "it has the signed claims");
            }
        }
    }
    let valid = KEYS.refresh_token(SessionId(Uuid::from_u128(7)), 3);
    if let Ok(read) = KEYS.read_refresh_token(&mutate(&valid.expose(), data)) {
        assert_eq!(
            (read.session, read.generation),
            (valid.session, valid.generation),
            "it is the token that was made"
        );
    }
}

/// Overwrites bytes of a token. Each pair of `data` is a position and a byte.
fn mutate(token: &str, data: &[u8]) -> String {
    let mut token = token.as_bytes().to_vec();
    for pair in data.chunks_exact(2).take(4) {
        let position = usize::from(pair[0]) % token.len();
        token[position] = pair[1];
    }
    String::from_utf8_lossy(&token).into_owned()
}

#[cfg(test)]
#[test]
fn no_token_is_accepted_that_was_not_signed_here() {
    crate::clock::fuzz_inputs("token").for_each(|data| token(&data));
}

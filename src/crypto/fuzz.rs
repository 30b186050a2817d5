//! What holds for every text that is shown as a token: nothing that was not signed here is believed.

use std::{sync::LazyLock, time::Duration};

use serde_json::{Value, json};
use uuid::Uuid;

use super::{Keys, Secrets};
use crate::model::{SessionId, Timestamp, TokenKind};

const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);
const KINDS: [TokenKind; 3] = [TokenKind::User, TokenKind::Room, TokenKind::Chat];

static KEYS: LazyLock<Keys> = LazyLock::new(|| keys("a secret that nobody guesses and of some length"));
static OTHERS: LazyLock<Keys> = LazyLock::new(|| keys("another secret with which nothing was signed"));

fn keys(secret: &str) -> Keys {
    Keys::new(&Secrets::parse(secret).expect("it is long enough"))
}

/// Reads the bytes as a token, and as changes to tokens that are good.
pub fn token(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    for kind in KINDS {
        assert!(OTHERS.verify::<Value>(kind, &text, NOW).is_err(), "nobody signed it");
    }
    assert!(OTHERS.read_refresh_token(&text).is_err(), "nobody made it");

    let said = json!({ "room": 7, "name": "walker1" });
    for kind in KINDS {
        let (good, _) = KEYS.sign(kind, said.clone(), "1".to_owned(), NOW, Duration::from_secs(60));
        let changed = changed(&good, data);
        for asked in KINDS {
            if let Ok(verified) = KEYS.verify::<Value>(asked, &changed, NOW) {
                assert_eq!((asked, &verified.said), (kind, &said), "it says what was signed");
            }
        }
    }
    let good = KEYS.refresh_token(SessionId(Uuid::from_u128(7)), 3);
    if let Ok(read) = KEYS.read_refresh_token(&changed(&good.expose(), data)) {
        assert_eq!((read.session, read.generation), (good.session, good.generation), "it says what was made");
    }
}

/// Overwrites the bytes of a token at the places that each pair of the data names.
fn changed(token: &str, data: &[u8]) -> String {
    let mut token = token.as_bytes().to_vec();
    for pair in data.chunks_exact(2).take(4) {
        let place = usize::from(pair[0]) % token.len();
        token[place] = pair[1];
    }
    String::from_utf8_lossy(&token).into_owned()
}

#[cfg(test)]
#[test]
fn no_token_is_believed_that_was_not_signed_here() {
    crate::clock::inputs("token").for_each(|data| token(&data));
}

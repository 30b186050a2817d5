//! Short codes of new rooms. They are random, so that no code is guessed from another.

use crate::{clock::Clock, model::ShortCode};

/// Draws a code without bias: random bytes from the last multiple of the alphabet's size on are skipped.
pub(super) fn draw(clock: &Clock, length: usize) -> ShortCode {
    let alphabet = ShortCode::ALPHABET;
    let fair = u8::MAX - u8::MAX % 62;
    let mut code = String::with_capacity(length);
    while code.len() < length {
        let bytes = clock.random::<32>();
        let letters =
            bytes.iter().filter(|byte| **byte < fair).map(|byte| char::from(alphabet[*byte as usize % 62]));
        code.extend(letters.take(length - code.len()));
    }
    ShortCode::trusted(code)
}

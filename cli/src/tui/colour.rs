//! Assigns each user name a colour, the same on every screen.

use ratatui::style::Color;

/// Colours of the 256-colour cube that are legible on black and on white.
const COLOURS: [u8; 12] = [31, 35, 67, 72, 98, 104, 130, 133, 136, 161, 166, 172];

/// Hashes the name with FNV-1a, so that the colour does not depend on the build.
pub(crate) fn of(name: &str) -> Color {
    let hash =
        name.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    Color::Indexed(COLOURS[hash as usize % COLOURS.len()])
}

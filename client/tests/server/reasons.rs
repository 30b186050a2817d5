//! The library's names for the server's reasons, beside the server's own.

use std::collections::BTreeSet;

const SERVER: &str = include_str!("../../../src/model/error.rs");
const LIBRARY: &str = include_str!("../../src/reason.rs");

/// The quoted words in capitals of those lines.
fn names<'a>(lines: impl Iterator<Item = &'a str>) -> BTreeSet<&'a str> {
    let capitals = |word: &&str| {
        !word.is_empty() && word.bytes().all(|b| b.is_ascii_uppercase() || b == b'_' || b == b'2')
    };
    lines.flat_map(|line| line.split('"').skip(1).step_by(2)).filter(capitals).collect()
}

#[test]
fn every_reason_of_the_servers_has_a_name() {
    let server = names(SERVER.lines().filter(|line| line.contains("(Kind::")));
    let library = names(LIBRARY.lines().filter(|line| line.ends_with("\",")));
    assert!(server.len() > 35);
    assert_eq!(server, library);
}

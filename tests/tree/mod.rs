//! Reads the files of this repository, for tests that compare them with each other.

use std::{fs, path::PathBuf};

/// Returns the path of a file.
pub(crate) fn root(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Returns the text of a file.
pub(crate) fn read(path: &str) -> String {
    let file = root(path);
    fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

//! The files of this repository, for the tests that hold them to each other.

use std::{fs, path::PathBuf};

/// Returns where a file is.
pub(crate) fn root(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Returns a file's text.
pub(crate) fn read(path: &str) -> String {
    let file = root(path);
    fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

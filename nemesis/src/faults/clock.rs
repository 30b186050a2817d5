//! The server's time of day, set through libfaketime.

use std::{fs, path::PathBuf};

use anyhow::Result;

use crate::round::Round;

/// The file in the server's folder from which libfaketime reads the offset.
const OFFSET_FILE: &str = "clock";

/// Returns the path of libfaketime's library, where it is installed.
pub(super) fn libfaketime() -> Option<PathBuf> {
    let folders = fs::read_dir("/usr/lib").ok()?.flatten();
    folders.map(|folder| folder.path().join("faketime/libfaketimeMT.so.1")).find(|library| library.is_file())
}

/// Returns the environment under which the server's time of day, but not its monotonic clock, follows the file.
pub(super) fn environment() -> Vec<(String, String)> {
    let library = libfaketime().unwrap_or_default();
    let settings = [
        ("LD_PRELOAD", library.to_str().unwrap_or_default()),
        ("FAKETIME_TIMESTAMP_FILE", OFFSET_FILE),
        ("FAKETIME_NO_CACHE", "1"),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        // A jump by a day must not expire the tokens of the round.
        ("CHAT_TOKEN_DURATION", "30d"),
    ];
    settings.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec()
}

/// Sets the offset of the server's clock. The file is replaced by a rename: libfaketime ends a process that finds it empty.
pub(super) fn set_offset(round: &Round, offset: &str) -> Result<()> {
    let (next, file) = (round.server.folder().join("next-clock"), round.server.folder().join(OFFSET_FILE));
    fs::write(&next, offset)?;
    Ok(fs::rename(next, file)?)
}

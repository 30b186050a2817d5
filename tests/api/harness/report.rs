//! Figures of the tests, saved for the end of the run, since the runner hides what a passing test prints. `tests/coverage.rs`
//! includes this file too, and prints them all.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The folder with a file for each topic and test, so that a test that runs again overwrites its own.
pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("report")
}

/// Saves the figures of the current test, whose name is that of its thread.
pub(crate) fn report(topic: &str, figures: &str) {
    let thread = std::thread::current();
    report_of(topic, thread.name().unwrap_or_default(), figures);
}

/// Saves the figures of `part` of the run.
pub(crate) fn report_of(topic: &str, part: &str, figures: &str) {
    let line = format!("{topic}: {figures} ({part})\n");
    print!("{line}");
    let folder = folder();
    fs::create_dir_all(&folder).expect("the build's folder can be written to");
    let name = format!("{topic} {part}").replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    fs::write(folder.join(name), line).expect("the build's folder can be written to");
}

//! What the tests have counted, kept for the end of the run: the runner hides what a test prints, and these figures are
//! what the tests are for. `tests/coverage.rs` reads this file too; it prints them all and misses none.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Where the lines lie in between: a file for each topic and test, so that a test that runs again writes its own anew.
pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("report")
}

/// Keeps what a test has counted. The test's own name is that of its thread.
pub(crate) fn report(topic: &str, figures: &str) {
    let thread = std::thread::current();
    report_of(topic, thread.name().unwrap_or_default(), figures);
}

/// Keeps what was counted in `part` of the run.
pub(crate) fn report_of(topic: &str, part: &str, figures: &str) {
    let line = format!("{topic}: {figures} ({part})\n");
    print!("{line}");
    let folder = folder();
    fs::create_dir_all(&folder).expect("the build's folder can be written to");
    let name = format!("{topic} {part}").replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    fs::write(folder.join(name), line).expect("the build's folder can be written to");
}

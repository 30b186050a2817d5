//! Output of commands. A closed pipe, as of `head`, is not a failure. A full disk is one, since a script would
//! otherwise go on with half a file.

use std::{
    fmt::Display,
    io::{self, Write as _},
};

use super::Failed;

/// The exit code of a failed write to the output (`EX_IOERR` of sysexits.h).
const UNWRITTEN: u8 = 74;

/// Prints a line.
pub(super) fn print(line: impl Display) -> Result<(), Failed> {
    write(format!("{line}\n").as_bytes())
}

/// Writes a text.
pub(super) fn write(text: &[u8]) -> Result<(), Failed> {
    let mut out = io::stdout().lock();
    written(out.write_all(text).and_then(|()| out.flush()))
}

/// Turns the outcome of a write into the outcome of a command.
pub(super) fn written(outcome: io::Result<()>) -> Result<(), Failed> {
    outcome.map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => Failed::quietly(),
        _ => Failed::new(format!("the output cannot be written: {error}"), UNWRITTEN),
    })
}

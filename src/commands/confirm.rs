//! Confirmation before a command that cannot be undone.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use grpcchatter::app::printable;

use super::{Failed, USAGE};

/// Asks a question, which may contain names that users have chosen, unless `is_sure`. Fails unless the answer is yes.
pub(super) fn confirm(question: &str, is_sure: bool) -> Result<(), Failed> {
    if is_sure {
        return Ok(());
    }
    if !io::stdin().is_terminal() {
        return Err(Failed::new("there is no terminal to ask for confirmation: pass --yes", USAGE));
    }
    // If the question cannot be shown, there is no answer either.
    drop(io::stderr().write_all(format!("{} [y/N] ", printable(question)).as_bytes()));
    let mut answer = String::new();
    let unreadable = |error| Failed::new(format!("the answer cannot be read: {error}"), USAGE);
    io::stdin().lock().read_line(&mut answer).map_err(unreadable)?;
    if answer.trim().eq_ignore_ascii_case("y") {
        Ok(())
    } else {
        Err(Failed::new("nothing was deleted", USAGE))
    }
}

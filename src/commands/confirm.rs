//! The question before what nothing brings back.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use grpcchatter::app::printable;

use super::{Failed, USAGE};

/// Asks the question, which may name what others have named, unless the answer is known. Goes on with a yes alone.
pub(super) fn confirm(question: &str, is_sure: bool) -> Result<(), Failed> {
    if is_sure {
        return Ok(());
    }
    if !io::stdin().is_terminal() {
        return Err(Failed::new("nobody can be asked whether this is meant: say --yes", USAGE));
    }
    // Where it cannot be shown there is no yes either.
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

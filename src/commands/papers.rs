//! What the program writes about itself: the description of its REST calls, completions and manual pages.

use std::{io, path::PathBuf};

use clap_complete::Shell;

use super::{Failed, command};

/// The exit code of a file that cannot be written (`EX_CANTCREAT` of sysexits.h).
const UNWRITABLE: u8 = 73;

pub(super) fn openapi() -> Result<(), Failed> {
    super::print(grpcchatter::app::openapi())
}

pub(super) fn completions(shell: Shell) -> Result<(), Failed> {
    clap_complete::generate(shell, &mut command(), "grpcchatter", &mut io::stdout());
    Ok(())
}

pub(super) fn man(folder: Option<PathBuf>) -> Result<(), Failed> {
    let written = match folder {
        Some(folder) => {
            std::fs::create_dir_all(&folder).and_then(|()| clap_mangen::generate_to(command(), folder))
        }
        None => clap_mangen::Man::new(command()).render(&mut io::stdout()),
    };
    written.map_err(|error| Failed::new(error, UNWRITABLE))
}

//! Generated texts: the OpenAPI description, completions and manual pages.

use std::path::PathBuf;

use clap_complete::Shell;

use super::{Failed, line::described, output};

/// The exit code of a failed write to a file (`EX_CANTCREAT` of sysexits.h).
const UNWRITABLE: u8 = 73;

pub(super) fn openapi() -> Result<(), Failed> {
    output::print(grpcchatter::app::openapi())
}

pub(super) fn completions(shell: Shell) -> Result<(), Failed> {
    // Into memory, since clap_complete panics on a closed pipe.
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut described(), "grpcchatter", &mut text);
    output::write(&text)
}

pub(super) fn man(folder: Option<PathBuf>) -> Result<(), Failed> {
    let unwritable = |error| Failed::new(error, UNWRITABLE);
    match folder {
        Some(folder) => std::fs::create_dir_all(&folder)
            .and_then(|()| clap_mangen::generate_to(described(), folder))
            .map_err(unwritable),
        None => {
            let mut text = Vec::new();
            clap_mangen::Man::new(described()).render(&mut text).map_err(unwritable)?;
            output::write(&text)
        }
    }
}

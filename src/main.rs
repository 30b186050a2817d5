//! The program `grpcchatter`, which runs one of its [`commands`].

mod commands;

use std::process::ExitCode;

fn main() -> ExitCode {
    commands::run()
}

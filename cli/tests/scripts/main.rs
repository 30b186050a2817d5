//! The commands for scripts: the program itself, against the server's own program.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod commands;
mod endings;
mod home;
#[path = "../../../tests/api/harness/port.rs"]
mod port;
#[path = "../../../client/tests/server/process.rs"]
mod process;
mod rooms;
mod trust;

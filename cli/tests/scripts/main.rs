//! The commands for scripts, run against the server's binary.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod commands;
mod endings;
mod home;
#[path = "../../../client/tests/server/process.rs"]
mod process;
mod rooms;
mod trust;

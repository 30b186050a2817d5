//! Says, after all other tests, which of them had to be left out on this machine.
//!
//! A test that needs a missing program passes without having looked at anything. This program makes that
//! visible, and a failure where `REQUIRE_POSTGRES=1`, `REQUIRE_CHROMIUM=1` or `REQUIRE_TMUX=1` says that it must not be.

#![expect(clippy::print_stdout, reason = "printing is what this program is for")]

use std::{env, path::PathBuf, process::ExitCode};

#[path = "api/harness/programs.rs"]
mod programs;

struct Part {
    name: &'static str,
    covers: &'static str,
    required_by: &'static str,
    program: Option<PathBuf>,
}

fn main() -> ExitCode {
    let parts = [
        Part {
            name: "PostgreSQL",
            covers: "every test named …::postgres",
            required_by: "REQUIRE_POSTGRES",
            program: programs::postgres(),
        },
        Part {
            name: "Chromium",
            covers: "the page in a browser",
            required_by: "REQUIRE_CHROMIUM",
            program: env::var_os("CHROMIUM").map(PathBuf::from).or_else(|| programs::in_path("chromium")),
        },
        Part {
            name: "tmux",
            covers: "the terminal client beside the page",
            required_by: "REQUIRE_TMUX",
            program: programs::in_path("tmux"),
        },
    ];
    let mut missed = false;
    for Part { name, covers, required_by, program } in &parts {
        let required = env::var_os(required_by).is_some_and(|value| value == "1");
        match program {
            Some(program) => println!("covered:  {name}, by {}", program.display()),
            None if required => {
                missed = true;
                println!("MISSING:  {name} was not found, and {required_by}=1 asks for {covers}");
            }
            None => println!("left out: {covers}, for {name} was not found"),
        }
    }
    if missed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

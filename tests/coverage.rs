//! Says, after all other tests, what they have counted, and which of them had to be left out on this machine.
//!
//! A test that needs a missing program passes without having looked at anything. This program makes that
//! visible, and a failure where `REQUIRE_POSTGRES=1`, `REQUIRE_CHROMIUM=1`, `REQUIRE_TMUX=1`, `REQUIRE_PROXIES=1`,
//! `REQUIRE_CURL=1` or `REQUIRE_PROMTOOL=1` says that it must not be.
//! With `REQUIRE_COUNTS=1` it is a failure as well where a figure is missing that a whole run has.

#![expect(clippy::print_stdout, reason = "printing is what this program is for")]

use std::{env, fs, path::PathBuf, process::ExitCode};

#[path = "api/harness/programs.rs"]
mod programs;
#[path = "api/harness/report.rs"]
#[expect(dead_code, reason = "the acceptance tests write what is read here")]
mod report;

/// What a whole run counts, and in which parts of it.
const COUNTS: [(&str, &[&str]); 9] = [
    ("acceptance matrix", BOTH),
    ("forged tokens", BOTH),
    ("canaries", &["TRACE"]),
    ("victim", BOTH),
    ("log-ins at once", BOTH),
    ("slow reader", BOTH),
    ("kill -9", BOTH),
    ("SIGTERM under load", BOTH),
    ("COMMIT cut off", &["::postgres"]),
];

/// The names of the tests end so.
const BOTH: &[&str] = &["::sqlite", "::postgres"];

struct Part {
    name: &'static str,
    covers: &'static str,
    required_by: &'static str,
    program: Option<PathBuf>,
}

/// Prints what was counted in this run, once, and returns whether something is missing that must not be.
fn print_counts() -> bool {
    let mut lines = Vec::new();
    for entry in fs::read_dir(report::folder()).into_iter().flatten().flatten() {
        lines.extend(fs::read_to_string(entry.path()));
        // The next run may be of one test alone: it must not show what this one has counted.
        drop(fs::remove_file(entry.path()));
    }
    lines.sort();
    for line in &lines {
        println!("counted:  {}", line.trim_end());
    }
    let is_required = |name: &str| env::var_os(name).is_some_and(|value| value == "1");
    if !is_required("REQUIRE_COUNTS") {
        return false;
    }
    let mut missed = false;
    for (topic, parts) in COUNTS {
        for part in parts {
            let is_there = |line: &String| line.starts_with(&format!("{topic}: ")) && line.contains(part);
            let is_left_out = *part == "::postgres" && !is_required("REQUIRE_POSTGRES");
            if !is_left_out && !lines.iter().any(is_there) {
                missed = true;
                println!(
                    "MISSING:  nothing was counted of: {topic} ({part}), and REQUIRE_COUNTS=1 asks for it"
                );
            }
        }
    }
    missed
}

fn proxy(name: &'static str) -> Part {
    let program = programs::in_path(name.to_ascii_lowercase());
    Part { name, covers: "calls through that proxy", required_by: "REQUIRE_PROXIES", program }
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
        Part {
            name: "curl",
            covers: "what curl prints of a refused body",
            required_by: "REQUIRE_CURL",
            program: programs::in_path("curl"),
        },
        proxy("nginx"),
        proxy("Caddy"),
        proxy("HAProxy"),
        proxy("Envoy"),
        Part {
            name: "promtool",
            covers: "the alerts' own tests",
            required_by: "REQUIRE_PROMTOOL",
            program: programs::in_path("promtool"),
        },
    ];
    let mut missed = print_counts();
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

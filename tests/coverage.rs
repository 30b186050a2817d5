//! Runs after all other tests, prints the figures that they have reported, and lists the tests that were skipped on this machine.
//!
//! A test whose program is missing is skipped and passes. This program reports that, and fails for it with `REQUIRE_POSTGRES=1`,
//! `REQUIRE_CHROMIUM=1`, `REQUIRE_TMUX=1`, `REQUIRE_PROXIES=1`, `REQUIRE_CURL=1` or `REQUIRE_PROMTOOL=1`. With `REQUIRE_COUNTS=1` it
//! also fails if a figure is missing that a whole run reports.

#![expect(clippy::print_stdout, reason = "this program's purpose is to print")]

use std::{env, fs, path::PathBuf, process::ExitCode};

use grpcchatter_testbed::{Postgres, find_program};

#[path = "api/harness/report.rs"]
#[expect(dead_code, reason = "the acceptance tests write the figures that are read here")]
mod report;

/// The figures of a whole run: their topic, and the parts of the run that report them.
const FIGURES: [(&str, &[&str]); 9] = [
    ("acceptance matrix", BOTH),
    ("forged tokens", BOTH),
    ("canaries", &["TRACE"]),
    ("bystander", BOTH),
    ("logins at once", BOTH),
    ("slow reader", BOTH),
    ("kill -9", BOTH),
    ("SIGTERM under load", BOTH),
    ("COMMIT cut off", &["::postgres"]),
];

/// The ends of the names of tests that run on both databases.
const BOTH: &[&str] = &["::sqlite", "::postgres"];

/// A program that some tests need.
struct Program {
    name: &'static str,
    /// The tests that need it.
    covers: &'static str,
    /// The variable that makes its absence a failure.
    required_by: &'static str,
    path: Option<PathBuf>,
}

fn is_required(variable: &str) -> bool {
    env::var_os(variable).is_some_and(|value| value == "1")
}

/// Prints the figures of this run. Returns whether a required one is missing.
fn print_figures() -> bool {
    let mut lines = Vec::new();
    for entry in fs::read_dir(report::folder()).into_iter().flatten().flatten() {
        lines.extend(fs::read_to_string(entry.path()));
        // The next run may be one of a single test, and must not print these figures.
        drop(fs::remove_file(entry.path()));
    }
    lines.sort();
    for line in &lines {
        println!("counted:  {}", line.trim_end());
    }
    if !is_required("REQUIRE_COUNTS") {
        return false;
    }
    let mut missed = false;
    for (topic, parts) in FIGURES {
        for part in parts {
            let reported = |line: &String| line.starts_with(&format!("{topic}: ")) && line.contains(part);
            let is_skipped = *part == "::postgres" && !is_required("REQUIRE_POSTGRES");
            if !is_skipped && !lines.iter().any(reported) {
                missed = true;
                println!("MISSING:  no figure for {topic} ({part}), which REQUIRE_COUNTS=1 requires");
            }
        }
    }
    missed
}

fn proxy(name: &'static str) -> Program {
    let path = find_program(name.to_ascii_lowercase());
    Program { name, covers: "calls through this proxy", required_by: "REQUIRE_PROXIES", path }
}

fn main() -> ExitCode {
    let programs = [
        Program {
            name: "PostgreSQL",
            covers: "every test named …::postgres",
            required_by: "REQUIRE_POSTGRES",
            path: Postgres::programs(),
        },
        Program {
            name: "Chromium",
            covers: "the page in a browser",
            required_by: "REQUIRE_CHROMIUM",
            path: env::var_os("CHROMIUM").map(PathBuf::from).or_else(|| find_program("chromium")),
        },
        Program {
            name: "tmux",
            covers: "the terminal client beside the page",
            required_by: "REQUIRE_TMUX",
            path: find_program("tmux"),
        },
        Program {
            name: "curl",
            covers: "the output of curl for a refused body",
            required_by: "REQUIRE_CURL",
            path: find_program("curl"),
        },
        proxy("nginx"),
        proxy("Caddy"),
        proxy("HAProxy"),
        proxy("Envoy"),
        Program {
            name: "promtool",
            covers: "the alerts' own tests",
            required_by: "REQUIRE_PROMTOOL",
            path: find_program("promtool"),
        },
    ];
    let mut missed = print_figures();
    for Program { name, covers, required_by, path } in &programs {
        match path {
            Some(path) => println!("covered:  {name}, by {}", path.display()),
            None if is_required(required_by) => {
                missed = true;
                println!("MISSING:  {name} was not found, and {required_by}=1 requires it for {covers}");
            }
            None => println!("skipped:  {covers}, since {name} was not found"),
        }
    }
    if missed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

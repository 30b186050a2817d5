//! The acceptance tests: what a caller sees, from outside, of the real server.
//!
//! One binary, a file a topic. Each test is named by the rule that it holds; what exists in several dialects
//! or on several databases is one body that runs in all of them. The harness is in `harness/`.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
#![expect(clippy::print_stdout, reason = "a test says what it has counted, and where it is when it fails")]
#![expect(clippy::cloned_ref_to_slice_refs, reason = "`[name.clone()]` reads better in a comparison")]

mod harness;

mod access;
mod accounts;
mod answers;
mod audit;
mod budgets;
mod canaries;
mod chat;
mod claim;
mod commands;
mod connections;
mod cors;
mod degraded;
mod door;
mod durability;
mod edge;
mod fairness;
mod floods;
mod frozen_links;
mod guesses;
mod limits;
mod liveness;
mod log_faults;
mod lost_log;
mod matrix;
mod membership;
mod messages;
mod metrics;
mod names;
mod negotiation;
mod not_text;
mod one_port;
mod oracles;
mod original;
mod password_forms;
mod passwords;
mod people;
mod postgres_start;
mod postgres_states;
mod presence;
mod proxies;
mod reflection;
mod refused_bodies;
mod retention;
mod revocation;
mod rooms;
mod service;
mod slow_reader;
mod sqlite_file;
mod start;
mod subscribe;
mod takeover;
mod tls;
mod unanswered;
mod unusable_secrets;
mod upgrade;
mod windows;

//! The acceptance tests, which call the real server from outside.
//!
//! They are one binary with one file per topic. A test's name is the rule that it checks. A rule for several dialects or databases
//! is one function that runs in all of them. The harness is in `harness/`.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
#![expect(clippy::print_stdout, reason = "tests print their figures, and where they are when they fail")]
#![expect(clippy::cloned_ref_to_slice_refs, reason = "`[name.clone()]` reads better in a comparison")]

mod harness;

mod access;
mod accounts;
mod audit;
mod budgets;
mod canaries;
mod chat;
mod commands;
mod connections;
mod cors;
mod database_outage;
mod durability;
mod enumeration;
mod failed_starts;
mod fairness;
mod floods;
mod flow_control;
mod frozen_links;
mod guess_limits;
mod http_rules;
mod instance_lock;
mod invalid_utf8;
mod lifecycle;
mod limits;
mod liveness;
mod log_faults;
mod log_rollback;
mod matrix;
mod membership;
mod messages;
mod metrics;
mod migration_from_original;
mod negotiation;
mod one_port;
mod operator_accounts;
mod original;
mod parked_streams;
mod password_forms;
mod passwords;
mod postgres_start;
mod postgres_states;
mod presence;
mod proxies;
mod rate_limits;
mod reflection;
mod refused_bodies;
mod retention;
mod revocation;
mod rooms;
mod slow_reader;
mod sqlite_file;
mod subscribe;
mod tls;
mod unanswered_messages;
mod unread_answers;
mod unusable_secrets;
mod upgrade;
mod user_names;

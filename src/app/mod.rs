//! Wires the parts together, runs them, and drains them when the server stops.
//!
//! Code runs in four places: on shards, each a thread with its own runtime that serves connections; on the core, a runtime of
//! two threads for the database and the background tasks; with SQLite on the log's thread, which a slow disk blocks; and on the
//! password threads, which have a lower priority.
//! They end in this order: connections, log writers, background tasks and shards, database pools, core. The log's thread is
//! left to the end of the process where the disk blocks it, and so is the database.

mod build;
mod run;
mod drain;
mod background;
mod shard_threads;
mod readiness;
mod gauges;
mod bind;
mod certificate_reload;
mod sweep;
mod deleted_names;
mod heap_trim;
mod admin;
mod healthcheck;
mod start_error;
#[cfg(test)]
mod tests;

pub use self::{
    admin::{Admin, AdminError},
    healthcheck::is_ready,
    run::App,
    start_error::StartError,
};
pub use crate::{
    gateway::openapi,
    model::{Timestamp, printable},
    store::AccountRecord,
};

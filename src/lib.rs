//! GRPCChatter: real-time chat behind one port.
//!
//! The modules stand in the order in which they may use one another: each uses only those above it
//! (ARCHITECTURE.md says why, `tests/architecture.rs` holds it).

pub mod model;

pub mod faults;

pub mod clock;

pub mod metrics;

pub mod audit;

mod fair_queue;

mod sparse_log;

pub mod crypto;

pub mod store;

pub mod hub;

pub mod domain;

pub mod gateway;

pub mod config;

pub mod app;
pub mod shutdown;
pub mod systemd;
pub mod telemetry;

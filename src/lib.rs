//! GRPCChatter: real-time chat behind one port.
//!
//! The modules are declared in their order: each uses only those above it. ARCHITECTURE.md gives the reasons, and
//! `tests/architecture` checks it.

// The values and errors that all other modules use.
pub mod model;

// Deliberate faults, which the nemesis turns on to test its checker. Every other build compiles them to nothing.
pub mod faults;

// Time, ids and randomness, which tests can control.
pub mod clock;

// The metrics of the process, and their text for Prometheus.
pub mod metrics;

// Audit lines about users and their accounts.
pub mod audit;

// A bounded queue that is fair between those who are charged for its jobs.
mod fair_queue;

// Rate-limited log lines.
mod sparse_log;

// Password hashes, tokens and their keys.
pub mod crypto;

// The database, SQLite or PostgreSQL.
pub mod store;

// Rooms in memory: recent messages, streams and presence.
pub mod hub;

// The rules of accounts, tokens, rooms and chat.
pub mod domain;

// The network: connections, gRPC, gRPC-web and REST.
pub mod gateway;

// The settings.
pub mod config;

// The whole server: built from its settings, run, and drained.
pub mod app;

// The signals that end the server or reload its certificate.
pub mod shutdown;

// Notifications to systemd, and sockets from it.
pub mod systemd;

// The log.
pub mod telemetry;

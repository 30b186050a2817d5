//! The one port: listener, steer, auth, gRPC and REST.

mod access;
mod address;
mod answer_memory;
mod auth;
mod body;
mod called;
mod connection;
#[cfg(feature = "otlp")]
mod exported;
mod figures;
mod first_bytes;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod grpc;
mod least_rate;
mod left_open;
mod lent;
mod listener;
mod origin;
mod patience;
mod prefixed;
mod refusal;
mod rest;
mod rest_limits;
mod route;
mod send_watch;
mod stack;
mod start_queue;
mod status;
mod tls;
mod trace;
mod trace_context;
mod transport;

pub use address::ClientAddress;
pub use connection::Lifetime;
pub use grpc::{Health, frames::FRAMING};
pub use listener::{Door, Limits, Listener, Seats, Shard, Shards, shards};
pub use rest::{Gauges, MetricsToken, Readiness, openapi};
pub use stack::{Parts, Stack};
pub use tls::{Certificate, Tls, TlsConfig, TlsError, TlsFiles};

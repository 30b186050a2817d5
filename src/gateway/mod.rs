//! The one port: listener, steer, auth, gRPC and REST.

mod access;
mod address;
mod answer_headers;
mod answer_memory;
mod auth;
mod body;
mod called;
mod connection;
mod connection_limits;
#[cfg(feature = "otlp")]
mod exported;
mod figures;
mod first_bytes;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod grpc;
mod http1;
mod least_rate;
mod lent;
mod lifetime;
mod listener;
mod negotiation;
mod origin;
mod patience;
mod prefixed;
mod refusal;
mod request_watch;
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
pub use connection_limits::{Limits, Seats};
pub use grpc::{Health, frames::FRAMING};
pub use lifetime::Lifetime;
pub use listener::{Door, Listener, Shard, Shards, shards};
pub use rest::{Gauges, MetricsToken, Readiness, openapi};
pub use stack::{Parts, Stack};
pub use tls::{Certificate, Tls, TlsConfig, TlsError, TlsFiles};

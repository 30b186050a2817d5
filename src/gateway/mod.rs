//! The gateway: everything between a socket and the domain.
//!
//! The modules stand in reading order, and each uses only those below it:
//!
//! - `listener`: accepts connections within the limits, does TLS, serves HTTP/1.1 and HTTP/2, and closes connections.
//! - `stack`: the ordered list of everything that happens to a request.
//! - `steer`: the end of that list, which sends gRPC to tonic and everything else to axum.
//! - `layers`: the layers of the list, a file for each.
//! - `grpc`: the gRPC methods, and the streams of rooms.
//! - `rest`: the REST calls, and the files of the page.
//! - `call_metrics`: the metrics of calls and streams.
//! - `refusal`: every refusal, as a gRPC status or as JSON.
//! - `peer`: who sent a request: the peer of the connection, and its client.
//! - `route`: what a request calls, who may call it, and what it costs.
//! - `content_negotiation`: the headers `Accept` and `Accept-Encoding`.
//! - `credentials`: the token of a request.
//! - `trusted_proxies`: the proxies whose forwarding headers are trusted.
//! - `incoming`: the body of a request.
//! - `body`: the body of a response.
//! - `response_guards`: the permit and the memory that a response holds until it is sent.
//! - `response_memory`: the limit of memory for responses that are not sent yet.
//! - `http1_writes`: how fast the peer of an HTTP/1.1 connection reads.
//! - `min_data_rate`: the minimum rate at which a peer has to read.
//! - `keep_alive`: the timeouts of an HTTP/1.1 connection between responses.

mod listener;

mod stack;
mod steer;
mod layers;

mod grpc;
mod rest;

mod call_metrics;
mod refusal;
mod peer;
mod route;
mod content_negotiation;
mod credentials;
mod trusted_proxies;
mod incoming;
mod body;
mod response_guards;
mod response_memory;
mod http1_writes;
mod min_data_rate;
mod keep_alive;

pub use grpc::{Health, frames::FRAMING};
pub use listener::{
    Certificate, ConnectionLimit, Lifetime, Limits, Listener, Shard, Shards, Tls, TlsConfig, TlsError,
    TlsFiles, shards,
};
pub use peer::Exposure;
pub use rest::{MetricsToken, ReadGauges, Readiness, openapi};
#[cfg(any(test, fuzzing))]
pub use route::fuzz;
pub use stack::{Parts, Stack};

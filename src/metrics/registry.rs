//! All counters and histograms. docs/metrics.md lists them, and a test compares the list with what is exported.

use std::sync::atomic::AtomicU64;

use super::{
    counter::Counter,
    histogram::{Histogram, SharedHistogram, Unit},
    labelled::{Labelled, Labels},
};

/// gRPC calls that have started, by dialect, type, service and method.
pub static GRPC_STARTED: Labelled<AtomicU64, 4> =
    counters(["dialect", "grpc_type", "grpc_service", "grpc_method"]);
/// gRPC calls that have ended, by dialect, type, service, method and code.
pub static GRPC_HANDLED: Labelled<AtomicU64, 5> =
    counters(["dialect", "grpc_type", "grpc_service", "grpc_method", "grpc_code"]);
/// Durations of gRPC calls with one response, by type, service and method.
pub static GRPC_SECONDS: Labelled<Histogram, 3> = seconds(["grpc_type", "grpc_service", "grpc_method"]);
/// HTTP requests that are not gRPC, by method, path and status.
pub static HTTP_REQUESTS: Labelled<AtomicU64, 3> = counters(["method", "path", "status"]);
/// Their durations, by path.
pub static HTTP_SECONDS: Labelled<Histogram, 1> = seconds(["path"]);
/// Refusals, by reason. Those with alerts are preset.
pub static REFUSALS: Labelled<AtomicU64, 1> =
    counters(["reason"]).preset(&[["DATABASE_UNAVAILABLE"], ["INTERNAL"], ["OVERLOADED"], ["STORAGE_FULL"]]);
/// Registrations, by result.
pub static REGISTRATIONS: Labelled<AtomicU64, 1> = counters(["result"]);
/// Log-ins, by result.
pub static LOG_INS: Labelled<AtomicU64, 1> = counters(["result"]).preset(&[["INVALID_CREDENTIALS"]]);
/// Time that passwords waited to be hashed.
pub static PASSWORD_QUEUE_SECONDS: Histogram = Histogram::new(Unit::Seconds);
/// Connections that were accepted, including those that were closed at once over a limit.
pub static CONNECTIONS_ACCEPTED: Counter = Counter::new();
/// Connections that were closed at once over a limit.
pub static CONNECTIONS_REFUSED: Counter = Counter::new();
/// Connections whose TLS handshake failed.
pub static HANDSHAKES_FAILED: Counter = Counter::new();
/// Messages that were handed to streams.
pub static DELIVERIES: Counter = Counter::new();
/// Time from a message's framing, right after its commit, until a stream took it.
pub static DELIVERY_SECONDS: SharedHistogram = SharedHistogram::new(Unit::Seconds);
/// Streams that were parked.
pub static STREAMS_PARKED: Counter = Counter::new();
/// Pieces of the log that streams which were behind asked for.
pub static CATCH_UP_READS: Counter = Counter::new();
/// Pages of the log that were read from the database for them.
pub static PAGES_READ: Counter = Counter::new();
/// Messages that were stored.
pub static MESSAGES_STORED: Counter = Counter::new();
/// Messages in a batch.
pub static BATCH_MESSAGES: Histogram = Histogram::new(Unit::Count);
/// Time to write a batch, including the commit.
pub static BATCH_SECONDS: Histogram = Histogram::new(Unit::Seconds);
/// Time that messages waited for their batch.
pub static QUEUE_SECONDS: Histogram = Histogram::new(Unit::Seconds);

const fn counters<const N: usize>(names: Labels<N>) -> Labelled<AtomicU64, N> {
    Labelled::new(names, || AtomicU64::new(0))
}

const fn seconds<const N: usize>(names: Labels<N>) -> Labelled<Histogram, N> {
    Labelled::new(names, || Histogram::new(Unit::Seconds))
}

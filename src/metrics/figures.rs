//! Every figure, by its name. docs/metrics.md lists them, and a test holds it to what is exported.

use std::sync::atomic::AtomicU64;

use super::{
    Counter, Format, Histogram, Labelled, Labels, Levels, SharedHistogram, Unit, process, text::Text,
};

/// gRPC calls that have begun: dialect, type, service, method.
pub static GRPC_STARTED: Labelled<AtomicU64, 4> =
    counters(["dialect", "grpc_type", "grpc_service", "grpc_method"]);
/// gRPC calls that have ended: dialect, type, service, method, code.
pub static GRPC_HANDLED: Labelled<AtomicU64, 5> =
    counters(["dialect", "grpc_type", "grpc_service", "grpc_method", "grpc_code"]);
/// How long gRPC calls that answer once took: type, service, method.
pub static GRPC_SECONDS: Labelled<Histogram, 3> = seconds(["grpc_type", "grpc_service", "grpc_method"]);
/// HTTP requests that are no gRPC: verb, path, status.
pub static HTTP_REQUESTS: Labelled<AtomicU64, 3> = counters(["method", "path", "status"]);
/// How long they took: path.
pub static HTTP_SECONDS: Labelled<Histogram, 1> = seconds(["path"]);
/// Refusals: reason. Those of which alerts tell are there from the first scrape on.
pub static REFUSALS: Labelled<AtomicU64, 1> =
    counters(["reason"]).preset(&[["DATABASE_UNAVAILABLE"], ["INTERNAL"], ["OVERLOADED"], ["STORAGE_FULL"]]);
/// Registrations: how they went.
pub static REGISTRATIONS: Labelled<AtomicU64, 1> = counters(["result"]);
/// Log-ins: how they went.
pub static LOG_INS: Labelled<AtomicU64, 1> = counters(["result"]).preset(&[["INVALID_CREDENTIALS"]]);
/// How long passwords waited to be hashed.
pub static PASSWORD_QUEUE_SECONDS: Histogram = Histogram::new(Unit::Seconds);
/// Connections that were accepted, those closed at once over a limit included.
pub static CONNECTIONS_ACCEPTED: Counter = Counter::new();
/// Connections that were closed at once, since there were too many.
pub static CONNECTIONS_REFUSED: Counter = Counter::new();
/// Connections that were closed since TLS's handshake failed.
pub static HANDSHAKES_FAILED: Counter = Counter::new();
/// Messages on streams.
pub static DELIVERIES: Counter = Counter::new();
/// How long it took from the framing of a message, soon after its commit, until a stream took it.
pub static DELIVERY_SECONDS: SharedHistogram = SharedHistogram::new(Unit::Seconds);
/// Streams that were set aside.
pub static STREAMS_PARKED: Counter = Counter::new();
/// Pieces of the log that streams asked for which were behind.
pub static CATCH_UP_READS: Counter = Counter::new();
/// Those of them that were not in memory.
pub static PAGES_READ: Counter = Counter::new();
/// Messages that were stored.
pub static MESSAGES_STORED: Counter = Counter::new();
/// How many messages were written together.
pub static BATCH_MESSAGES: Histogram = Histogram::new(Unit::Count);
/// How long writing them took, the commit included.
pub static BATCH_SECONDS: Histogram = Histogram::new(Unit::Seconds);
/// How long messages waited for their batch.
pub static QUEUE_SECONDS: Histogram = Histogram::new(Unit::Seconds);

const fn counters<const N: usize>(names: Labels<N>) -> Labelled<AtomicU64, N> {
    Labelled::new(names, || AtomicU64::new(0))
}

const fn seconds<const N: usize>(names: Labels<N>) -> Labelled<Histogram, N> {
    Labelled::new(names, || Histogram::new(Unit::Seconds))
}

/// Writes all figures.
pub fn write(levels: Levels, format: Format) -> String {
    let mut text = Text::new(format);
    let version = format!("version=\"{}\"", env!("CARGO_PKG_VERSION"));
    text.info("grpcchatter_build_info", "1; which version runs", &version);
    text.counters("grpc_server_started_total", "gRPC calls that have begun", &GRPC_STARTED);
    text.counters("grpc_server_handled_total", "gRPC calls that have ended, streams too", &GRPC_HANDLED);
    text.histograms("grpc_server_handling_seconds", "time of gRPC calls that answer once", &GRPC_SECONDS);
    text.counters("http_requests_total", "HTTP requests that are no gRPC", &HTTP_REQUESTS);
    text.histograms("http_request_duration_seconds", "time to the head of their answer", &HTTP_SECONDS);
    text.counters("grpcchatter_refusals_total", "refusals in any dialect, by their reason", &REFUSALS);
    text.counters("grpcchatter_registrations_total", "registrations, by how they went", &REGISTRATIONS);
    text.counters("grpcchatter_logins_total", "log-ins, by how they went", &LOG_INS);
    text.histogram(
        "grpcchatter_password_queue_seconds",
        "how long passwords waited to be hashed",
        &PASSWORD_QUEUE_SECONDS,
    );
    text.counter(
        "grpcchatter_connections_accepted_total",
        "connections accepted, those closed at once over a limit included",
        &CONNECTIONS_ACCEPTED,
    );
    text.counter(
        "grpcchatter_connections_refused_total",
        "connections closed at once, over a limit",
        &CONNECTIONS_REFUSED,
    );
    text.counter("grpcchatter_tls_handshakes_failed_total", "failed TLS handshakes", &HANDSHAKES_FAILED);
    text.gauge("grpcchatter_connections", "open connections", levels.connections);
    text.gauge("grpcchatter_rooms", "rooms with a stream or somebody present", levels.rooms);
    let streams = [("chat", levels.chats), ("subscribe", levels.subscriptions)];
    text.gauges("grpcchatter_streams", "open streams that are served", "feed", streams);
    text.gauge(
        "grpcchatter_streams_parked",
        "open streams that are set aside: they do not read",
        levels.parked,
    );
    text.counter("grpcchatter_parkings_total", "streams that were set aside", &STREAMS_PARKED);
    text.counter("grpcchatter_deliveries_total", "messages handed to streams", &DELIVERIES);
    text.histogram(
        "grpcchatter_delivery_seconds",
        "time from a message's framing, soon after its commit, until an open stream took it",
        &DELIVERY_SECONDS.merged(),
    );
    text.gauge(
        "grpcchatter_hub_bytes",
        "framed messages kept in memory, as HUB_MEMORY counts",
        levels.hub_bytes,
    );
    text.gauge(
        "grpcchatter_answer_bytes",
        "memory reserved for answers that are not read yet, as ANSWER_MEMORY counts",
        levels.answer_bytes,
    );
    text.counter(
        "grpcchatter_catch_up_reads_total",
        "pieces of the log read by streams that were behind",
        &CATCH_UP_READS,
    );
    text.counter(
        "grpcchatter_catch_up_pages_total",
        "pages of the log read from the database for them",
        &PAGES_READ,
    );
    text.counter("grpcchatter_messages_stored_total", "messages stored", &MESSAGES_STORED);
    text.gauge("grpcchatter_log_queued_messages", "messages that wait to be written", levels.queued);
    text.histogram(
        "grpcchatter_log_queue_seconds",
        "how long messages waited for their batch",
        &QUEUE_SECONDS,
    );
    text.histogram("grpcchatter_log_batch_messages", "messages written together", &BATCH_MESSAGES);
    text.histogram(
        "grpcchatter_log_batch_seconds",
        "time to write a batch, its commit included",
        &BATCH_SECONDS,
    );
    let states = levels.pools.iter().flat_map(|pool| [(pool, "busy", pool.busy), (pool, "idle", pool.idle)]);
    text.gauges2(
        "grpcchatter_database_connections",
        "open connections to the database",
        ["pool", "state"],
        states.map(|(pool, state, count)| ([pool.name, state], count)),
    );
    let waiting = [("read", levels.reads_waiting), ("write", levels.writes_waiting)];
    text.gauges(
        "grpcchatter_database_waiting",
        "calls that wait for their turn at the database",
        "access",
        waiting,
    );
    if let Some((accounts, rooms)) = levels.stored {
        text.gauge("grpcchatter_accounts", "accounts, as counted every few minutes", accounts);
        text.gauge("grpcchatter_rooms_stored", "rooms in the database, as counted then", rooms);
    }
    if let Some(until) = levels.certificate_until {
        text.gauge(
            "grpcchatter_tls_certificate_expiry_seconds",
            "end of the certificate, in Unix time",
            until,
        );
    }
    text.gauge("grpcchatter_draining", "1 while the server is shutting down", u8::from(levels.draining));
    process::write(&mut text);
    text.finish()
}

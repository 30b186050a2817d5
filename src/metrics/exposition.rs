//! Writes all metrics as text for Prometheus.

use super::{
    gauges::Gauges,
    process,
    registry::{
        BATCH_MESSAGES, BATCH_SECONDS, CATCH_UP_READS, CONNECTIONS_ACCEPTED, CONNECTIONS_REFUSED, DELIVERIES,
        DELIVERY_SECONDS, GRPC_HANDLED, GRPC_SECONDS, GRPC_STARTED, HANDSHAKES_FAILED, HTTP_REQUESTS,
        HTTP_SECONDS, LOG_INS, MESSAGES_STORED, PAGES_READ, PASSWORD_QUEUE_SECONDS, QUEUE_SECONDS, REFUSALS,
        REGISTRATIONS, STREAMS_PARKED,
    },
    text::{Format, Text},
};

/// Returns all metrics in the given format.
pub fn write(gauges: Gauges, format: Format) -> String {
    let mut text = Text::new(format);
    let version = format!("version=\"{}\"", env!("CARGO_PKG_VERSION"));
    text.info("grpcchatter_build_info", "1; the version is a label", &version);
    write_calls(&mut text);
    write_streams(&mut text, &gauges);
    write_log(&mut text, &gauges);
    write_database(&mut text, &gauges);
    process::write(&mut text);
    text.finish()
}

fn write_calls(text: &mut Text) {
    text.counters("grpc_server_started_total", "gRPC calls that have started", &GRPC_STARTED);
    text.counters("grpc_server_handled_total", "gRPC calls that have ended, streams included", &GRPC_HANDLED);
    text.histograms(
        "grpc_server_handling_seconds",
        "duration of gRPC calls with one response",
        &GRPC_SECONDS,
    );
    text.counters("http_requests_total", "HTTP requests that are not gRPC", &HTTP_REQUESTS);
    text.histograms("http_request_duration_seconds", "time to the head of their response", &HTTP_SECONDS);
    text.counters("grpcchatter_refusals_total", "refusals in any dialect, by reason", &REFUSALS);
    text.counters("grpcchatter_registrations_total", "registrations, by result", &REGISTRATIONS);
    text.counters("grpcchatter_logins_total", "log-ins, by result", &LOG_INS);
    text.histogram(
        "grpcchatter_password_queue_seconds",
        "time that passwords waited to be hashed",
        &PASSWORD_QUEUE_SECONDS,
    );
}

fn write_streams(text: &mut Text, gauges: &Gauges) {
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
    text.gauge("grpcchatter_connections", "open connections", gauges.connections);
    text.gauge("grpcchatter_rooms", "rooms with a stream or somebody present", gauges.rooms);
    let streams = [("chat", gauges.chats), ("subscribe", gauges.subscriptions)];
    text.gauges("grpcchatter_streams", "open streams that are served", "feed", streams);
    text.gauge(
        "grpcchatter_streams_parked",
        "open streams that are parked because their clients do not read",
        gauges.parked,
    );
    text.counter("grpcchatter_parkings_total", "streams that were parked", &STREAMS_PARKED);
    text.counter("grpcchatter_deliveries_total", "messages handed to streams", &DELIVERIES);
    text.histogram(
        "grpcchatter_delivery_seconds",
        "time from a message's framing, soon after its commit, until an open stream took it",
        &DELIVERY_SECONDS.merged(),
    );
    text.gauge(
        "grpcchatter_hub_bytes",
        "framed messages kept in memory, as HUB_MEMORY counts",
        gauges.hub_bytes,
    );
    text.gauge(
        "grpcchatter_answer_bytes",
        "memory reserved for responses that are not read yet, as ANSWER_MEMORY counts",
        gauges.answer_bytes,
    );
    text.counter(
        "grpcchatter_catch_up_reads_total",
        "pieces of the log read by streams that were behind",
        &CATCH_UP_READS,
    );
    text.counter(
        "grpcchatter_catch_up_pages_total",
        "pages of the log read from the database for those streams",
        &PAGES_READ,
    );
}

fn write_log(text: &mut Text, gauges: &Gauges) {
    text.counter("grpcchatter_messages_stored_total", "messages stored", &MESSAGES_STORED);
    text.gauge("grpcchatter_log_queued_messages", "messages that wait to be written", gauges.queued);
    text.histogram(
        "grpcchatter_log_queue_seconds",
        "time that messages waited for their batch",
        &QUEUE_SECONDS,
    );
    text.histogram("grpcchatter_log_batch_messages", "messages in a batch", &BATCH_MESSAGES);
    text.histogram(
        "grpcchatter_log_batch_seconds",
        "time to write a batch, including its commit",
        &BATCH_SECONDS,
    );
}

fn write_database(text: &mut Text, gauges: &Gauges) {
    let states = gauges.pools.iter().flat_map(|pool| [(pool, "busy", pool.busy), (pool, "idle", pool.idle)]);
    text.gauges2(
        "grpcchatter_database_connections",
        "open connections to the database",
        ["pool", "state"],
        states.map(|(pool, state, count)| ([pool.name, state], count)),
    );
    let waiting = [("read", gauges.reads_waiting), ("write", gauges.writes_waiting)];
    text.gauges("grpcchatter_database_waiting", "calls that wait for the database", "access", waiting);
    if let Some((accounts, rooms)) = gauges.stored {
        text.gauge("grpcchatter_accounts", "accounts, as counted every few minutes", accounts);
        text.gauge("grpcchatter_rooms_stored", "rooms in the database, as counted then", rooms);
    }
    if let Some(until) = gauges.certificate_until {
        text.gauge(
            "grpcchatter_tls_certificate_expiry_seconds",
            "when the certificate expires, in Unix time",
            until,
        );
    }
    text.gauge("grpcchatter_draining", "1 while the server is shutting down", u8::from(gauges.draining));
}

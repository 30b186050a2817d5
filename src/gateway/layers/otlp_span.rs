//! The exported span of a call, with OpenTelemetry's attributes. It joins the caller's trace where there is one.

use std::fmt::Display;

use http::Response;
use opentelemetry::{
    SpanId, TraceFlags, TraceId as RemoteTraceId,
    trace::{SpanContext, TraceContextExt as _, TraceState},
};
use tracing::{Span, field};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use super::trace_context::{TraceContext, TraceId};

/// Opens the span; none where no exporter takes it.
pub(super) fn span(
    id: Option<&str>,
    dialect: &str,
    verb: &str,
    path: impl Display,
    trace: Option<&TraceContext>,
) -> Option<Span> {
    if !tracing::enabled!(target: "otlp", tracing::Level::INFO) {
        return None;
    }
    let name = format!("{verb} {path}");
    let path = field::display(path);
    let span = tracing::info_span!(
        target: "otlp", "request",
        otel.kind = "server", otel.name = name, otel.status_code = field::Empty,
        id, dialect, path, trace_id = field::Empty,
        http.request.method = verb, http.response.status_code = field::Empty, rpc.grpc.status_code = field::Empty,
    );
    if let Some(trace) = trace {
        let flags = if trace.is_sampled { TraceFlags::SAMPLED } else { TraceFlags::default() };
        let state =
            trace.state.as_deref().and_then(|state| state.parse().ok()).unwrap_or_else(TraceState::default);
        let (trace_id, parent) = (trace.trace_id.0.to_be_bytes(), trace.parent_id.to_be_bytes());
        let (trace_id, parent) = (RemoteTraceId::from_bytes(trace_id), SpanId::from_bytes(parent));
        let remote = SpanContext::new(trace_id, parent, flags, true, state);
        // Fails where no layer exports. There is no trace to join then.
        let _ = span.set_parent(opentelemetry::Context::new().with_remote_span_context(remote));
    }
    if let Some((trace_id, _)) = ids(&span) {
        span.record("trace_id", field::display(trace_id));
    }
    Some(span)
}

/// Records the response of the call.
pub(super) fn record_response<B>(span: &Span, response: &Response<B>) {
    let status = response.status();
    span.record("http.response.status_code", status.as_u16());
    if let Some(code) = response.headers().get("grpc-status").and_then(|code| code.to_str().ok()) {
        span.record("rpc.grpc.status_code", code);
    }
    if status.is_server_error() {
        span.record("otel.status_code", "ERROR");
    }
}

/// Returns the trace id and the span id of an exported span.
pub(super) fn ids(span: &Span) -> Option<(TraceId, u64)> {
    let context = span.context();
    let context = context.span().span_context().clone();
    let is_valid = context.is_valid();
    let (trace_id, span_id) = (context.trace_id().to_bytes(), context.span_id().to_bytes());
    is_valid.then(|| (TraceId(u128::from_be_bytes(trace_id)), u64::from_be_bytes(span_id)))
}

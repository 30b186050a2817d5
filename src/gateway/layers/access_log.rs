//! Logs each call, and opens the span of its other log lines.
//!
//! - At DEBUG, each call has a span and one line of the target `access`.
//! - At INFO, a call has a span only if it belongs to a trace: a span costs a quarter of a health check.
//! - At every level, a failure of the server is logged with the request id.
//!
//! Only paths of this server are logged. Any other path may hold a token, and is logged as `other`.

use std::{convert::Infallible, fmt, net::IpAddr, time::Duration};

use http::{HeaderValue, Request, Response};
use tokio::time::Instant;
use tower::Service;
use tower_http::request_id::RequestId;
use tracing::{Instrument as _, Span, field::display};

use super::{
    auth::Caller,
    trace_context::{self, TraceContext, TraceId},
};
use crate::{
    audit,
    gateway::{
        body::Body,
        peer::ClientAddress,
        refusal,
        route::{self, Route},
    },
    model::Payer,
};

/// The target of the line of each call, for a log filter like `info,access=debug`.
const TARGET: &str = "access";

/// The status INTERNAL in the header `grpc-status`.
const INTERNAL: &str = "13";

/// Logs each call, and runs it in its span.
pub(in crate::gateway) fn log<S, B>(
    (): &(),
    request: Request<B>,
    inner: &mut S,
) -> impl Future<Output = Result<Response<Body>, Infallible>> + use<S, B>
where
    S: Service<Request<B>, Response = Response<Body>, Error = Infallible>,
{
    let call = LoggedCall::new(Route::of(&request), &request);
    let (span, started) = (call.span(), Instant::now());
    let future = span.in_scope(|| inner.call(request));
    async move {
        let mut response = future.instrument(span.clone()).await?;
        call.log(&span, &response, started.elapsed());
        if let Some(traceresponse) = call.traceresponse(&span) {
            response.headers_mut().insert(trace_context::TRACERESPONSE, traceresponse);
        }
        Ok(response)
    }
}

/// The fields of a call in the log.
#[derive(Debug)]
struct LoggedCall {
    id: Option<RequestId>,
    trace: Option<TraceContext>,
    peer: Option<IpAddr>,
    dialect: &'static str,
    verb: &'static str,
    path: Path,
}

/// The path of a call, in names of the program's own.
#[derive(Clone, Copy, Debug)]
enum Path {
    Method(&'static str, &'static str),
    Known(&'static str),
    Unknown,
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Method(service, method) => write!(f, "/{service}/{method}"),
            Self::Known(path) => f.write_str(path),
            Self::Unknown => f.write_str("other"),
        }
    }
}

impl LoggedCall {
    /// Reads the fields of a request.
    fn new<B>(route: &Route, request: &Request<B>) -> Self {
        let path = match (route.method(), route) {
            (Some((service, method)), _) => Path::Method(service, method),
            (None, Route::Grpc(..)) => Path::Unknown,
            (None, _) => route::known_path(request.uri().path()).map_or(Path::Unknown, Path::Known),
        };
        Self {
            id: request.extensions().get().cloned(),
            trace: TraceContext::of(request.headers()),
            peer: request.extensions().get().map(|ClientAddress(address)| *address),
            dialect: route.dialect().as_str(),
            verb: route::verb_name(request.method()),
            path,
        }
    }

    /// Opens the span of the log lines that the call causes.
    fn span(&self) -> Span {
        #[cfg(feature = "otlp")]
        if let Some(span) =
            super::otlp_span::span(self.id(), self.dialect, self.verb, self.path, self.trace.as_ref())
        {
            return span;
        }
        let (id, dialect, path) = (self.id(), self.dialect, display(self.path));
        match self.trace_id() {
            Some(trace_id) => tracing::info_span!("request", id, %trace_id, dialect, path),
            None => tracing::debug_span!("request", id, dialect, path),
        }
    }

    /// Logs the response, outside of the call's span: these lines have the fields of the call themselves.
    fn log(&self, span: &Span, response: &Response<Body>, took: Duration) {
        #[cfg(feature = "otlp")]
        super::otlp_span::record_response(span, response);
        let status = response.status().as_u16();
        let grpc_status = response.headers().get("grpc-status").and_then(|status| status.to_str().ok());
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let (id, dialect, method) = (self.id(), self.dialect, self.verb);
        let trace_id = self.server_span(span).map(|(trace_id, _)| display(trace_id));
        let peer = self.peer.map(display);
        // A successful call of an unknown path has got a file of the page.
        let is_page = matches!(self.path, Path::Unknown) && dialect == "rest" && status < 400;
        let path = display(if is_page { Path::Known("page") } else { self.path });
        if tracing::enabled!(target: TARGET, tracing::Level::DEBUG) {
            let reason = refusal::reason_of(response);
            let reason = reason.as_deref();
            tracing::debug!(
                target: TARGET,
                id, trace_id, peer, dialect, method, path, status, grpc_status, reason, micros, "answered"
            );
        }
        if status == 500 || grpc_status == Some(INTERNAL) {
            tracing::error!(
                id,
                trace_id,
                peer,
                dialect,
                method,
                path,
                status,
                grpc_status,
                micros,
                "a request failed"
            );
        }
        span.in_scope(|| self.audit_limit(response));
    }

    /// Returns the header that names the server's span to the caller.
    fn traceresponse(&self, span: &Span) -> Option<HeaderValue> {
        let (trace_id, span_id) = self.server_span(span)?;
        trace_context::traceresponse(
            trace_id,
            span_id,
            self.trace.as_ref().is_none_or(|trace| trace.is_sampled),
        )
    }

    /// Returns the trace of the call, and the id of the server's span in it.
    fn server_span(&self, span: &Span) -> Option<(TraceId, u64)> {
        #[cfg(feature = "otlp")]
        if let Some(ids) = super::otlp_span::ids(span) {
            return Some(ids);
        }
        #[cfg(not(feature = "otlp"))]
        let _ = span;
        let trace_id = self.trace_id()?;
        // A request id is 32 random bits, a dash, and a number. A span id must not be zero.
        let (run, number) = self.id()?.split_once('-')?;
        let (run, number) = (u64::from_str_radix(run, 16).ok()?, u64::from_str_radix(number, 16).ok()?);
        Some((trace_id, (run << 32 | number & u64::from(u32::MAX)).max(1)))
    }

    fn audit_limit(&self, response: &Response<Body>) {
        let Some(reason) = refusal::limit_reason(response) else { return };
        let caller = response.extensions().get::<Caller>();
        let user = caller.and_then(|caller| caller.name.as_deref());
        let payer = caller.map(|caller| caller.payer).or(self.peer.map(Payer::at));
        if let Some(payer) = payer {
            audit::limit_hit(payer, self.peer, user, reason);
        }
    }

    fn id(&self) -> Option<&str> {
        self.id.as_ref().and_then(|id| id.header_value().to_str().ok())
    }

    fn trace_id(&self) -> Option<TraceId> {
        self.trace.as_ref().map(|trace| trace.trace_id)
    }
}

//! What the log says of a call: at DEBUG one line of the target `access`, and a span that names the call in every other
//! line; at INFO a span where the call belongs to a trace; at any level a failure of ours, by the id that the caller was told.
//! A span costs a quarter of a health check, so INFO has none for other calls.
//!
//! A path is told where it is one of the program's own. What strangers ask for may hold a token, and is told as `other`.

use std::{fmt, net::IpAddr, time::Duration};

use http::{HeaderValue, Request, Response};
use tower_http::request_id::RequestId;
use tracing::{Span, field::display};

use super::{
    ClientAddress, access,
    auth::Caller,
    body::Body,
    figures,
    route::Route,
    status,
    trace_context::{self, TraceContext, TraceId},
};
use crate::{audit, model::Payer};

/// The target of the line of each call, for directives as `info,access=debug`.
const TARGET: &str = "access";

/// gRPC's status INTERNAL, as a header says it.
const INTERNAL: &str = "13";

/// A call, as the log names it.
#[derive(Debug)]
pub(super) struct Called {
    id: Option<RequestId>,
    trace: Option<TraceContext>,
    peer: Option<IpAddr>,
    dialect: &'static str,
    verb: &'static str,
    path: Path,
}

/// What was called, by names of the program's own.
#[derive(Clone, Copy, Debug)]
pub(super) enum Path {
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

impl Called {
    /// Names a call.
    pub(super) fn new<B>(route: &Route, request: &Request<B>) -> Self {
        let path = match (route.method(), route) {
            (Some((service, method)), _) => Path::Method(service, method),
            (None, Route::Grpc(..)) => Path::Unknown,
            (None, _) => access::known_path(request.uri().path()).map_or(Path::Unknown, Path::Known),
        };
        Self {
            id: request.extensions().get().cloned(),
            trace: TraceContext::of(request.headers()),
            peer: request.extensions().get().map(|ClientAddress(address)| *address),
            dialect: route.dialect().as_str(),
            verb: figures::verb(request.method()),
            path,
        }
    }

    /// Opens the span of the lines that are written while it is answered.
    pub(super) fn span(&self) -> Span {
        #[cfg(feature = "otlp")]
        if let Some(span) =
            super::exported::span(self.id(), self.dialect, self.verb, self.path, self.trace.as_ref())
        {
            return span;
        }
        let (id, dialect, path) = (self.id(), self.dialect, display(self.path));
        match self.trace_id() {
            Some(trace_id) => tracing::info_span!("request", id, %trace_id, dialect, path),
            None => tracing::debug_span!("request", id, dialect, path),
        }
    }

    /// Writes how it was answered. These lines name the call by themselves, so they are written outside its span.
    pub(super) fn tell(&self, span: &Span, response: &Response<Body>, took: Duration) {
        #[cfg(feature = "otlp")]
        super::exported::answered(span, response);
        let status = response.status().as_u16();
        let grpc_status = response.headers().get("grpc-status").and_then(|status| status.to_str().ok());
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let (id, dialect, method) = (self.id(), self.dialect, self.verb);
        let trace_id = self.part(span).map(|(trace_id, _)| display(trace_id));
        let peer = self.peer.map(display);
        // Below 400 it is a file of the page.
        let page = matches!(self.path, Path::Unknown) && dialect == "rest" && status < 400;
        let path = display(if page { Path::Known("page") } else { self.path });
        if tracing::enabled!(target: TARGET, tracing::Level::DEBUG) {
            let reason = status::reason_of(response);
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
        span.in_scope(|| self.tell_limit(response));
    }

    /// Returns what tells the caller of the server's part in its trace.
    pub(super) fn traceresponse(&self, span: &Span) -> Option<HeaderValue> {
        let (trace_id, own) = self.part(span)?;
        trace_context::response(trace_id, own, self.trace.as_ref().is_none_or(|trace| trace.is_sampled))
    }

    /// Returns the call's trace, and what this server's part in it is called.
    fn part(&self, span: &Span) -> Option<(TraceId, u64)> {
        #[cfg(feature = "otlp")]
        if let Some(part) = super::exported::own(span) {
            return Some(part);
        }
        #[cfg(not(feature = "otlp"))]
        let _ = span;
        let trace_id = self.trace_id()?;
        // The id of the request is 32 bits of chance, a dash, and a number; as a part's id it must not be zero.
        let (run, number) = self.id()?.split_once('-')?;
        let (run, number) = (u64::from_str_radix(run, 16).ok()?, u64::from_str_radix(number, 16).ok()?);
        Some((trace_id, (run << 32 | number & u64::from(u32::MAX)).max(1)))
    }

    fn tell_limit(&self, response: &Response<Body>) {
        let Some(reason) = status::limit_of(response) else { return };
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

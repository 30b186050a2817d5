//! GET /metrics: what the process has counted, for Prometheus.

use std::{fmt, net::IpAddr, sync::Arc};

use axum::{
    Extension,
    extract::{OriginalUri, State},
    response::{IntoResponse as _, Response},
};
use http::{HeaderMap, StatusCode, Uri, header, uri::Authority};
use sha2::{Digest as _, Sha256};

use super::Rest;
use crate::{
    gateway::{
        ClientAddress,
        auth::bearers,
        connection::Peer,
        negotiation::Accepted,
        status::{refuse, refuse_plainly},
    },
    metrics::{self, Format, Levels},
    model::Error,
};

/// Tells what stands at this moment.
pub type Gauges = Arc<dyn Fn() -> Levels + Send + Sync>;

/// The bearer token that /metrics asks for. Its `Debug` hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct MetricsToken(String);

impl MetricsToken {
    /// Wraps a text.
    pub fn new(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// Compares digests, so that the time it takes says nothing about the text.
    fn is(&self, shown: &[u8]) -> bool {
        Sha256::digest(&self.0) == Sha256::digest(shown)
    }
}

impl fmt::Debug for MetricsToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MetricsToken(…)")
    }
}

/// Shows what the process has counted
#[utoipa::path(
    get,
    path = "/metrics",
    operation_id = "metrics",
    responses(
        (status = 200, description = "OpenMetrics where it is asked for, else Prometheus' text format", content(
            (String = "text/plain"), (String = "application/openmetrics-text"),
        )),
        (status = 401, description = "METRICS_TOKEN is set, and this is not it", body = super::openapi::Refusal),
        (status = 403, description = "METRICS_TOKEN is not set, and this is not the same machine", body = super::openapi::Refusal),
        (status = 404, description = "METRICS_ADDRESS is set: they are there", body = super::openapi::Refusal),
    ),
    security((), ("metrics" = []))
)]
pub(super) async fn show(
    State(rest): State<Rest>,
    ClientAddress(claimed): ClientAddress,
    peer: Option<Extension<Peer>>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
) -> Response {
    let peer = peer.map_or(claimed, |Extension(peer)| peer.address);
    match &rest.metrics_token {
        Some(token) => {
            let mut shown = bearers(&headers).filter(|shown| !shown.is_empty()).peekable();
            if shown.peek().is_none() {
                return refuse(&Error::TokenMissing);
            }
            if !shown.all(|shown| token.is(shown)) {
                return refuse(&Error::TokenInvalid);
            }
        }
        None if !is_local(peer, sent_to(&uri, &headers), &headers) => {
            return refuse_plainly(
                StatusCode::FORBIDDEN,
                "without METRICS_TOKEN the figures are told on this machine alone",
                "METRICS_NOT_ALLOWED",
            );
        }
        None => {}
    }
    let format = format(&headers);
    let content_type = match format {
        Format::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
        Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
    };
    let head = [(header::CONTENT_TYPE, content_type), (header::VARY, "accept")];
    (head, metrics::write((rest.gauges)(), format)).into_response()
}

/// Returns the format that the caller likes better: OpenMetrics only for who names it.
fn format(headers: &HeaderMap) -> Format {
    let accepted = Accepted::of(headers, header::ACCEPT);
    let openmetrics = |accepted: &Accepted| {
        let weight = accepted.weight(&["application/openmetrics-text"]).unwrap_or(0);
        weight > 0 && weight >= accepted.media_type("text/plain")
    };
    if accepted.is_some_and(|accepted| openmetrics(&accepted)) {
        Format::OpenMetrics
    } else {
        Format::Prometheus
    }
}

/// What proxies add, some by default and some where they are told to, beside all that begins with `x-forwarded-`.
const ADDED_BY_PROXIES: [&str; 10] = [
    "via",
    "forwarded",
    "x-real-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "client-ip",
    "true-client-ip",
    "cf-connecting-ip",
    "fastly-client-ip",
    "x-envoy-external-address",
];

/// Says whether a request was made on this machine, as far as can be told: whoever comes through a proxy on it is from
/// elsewhere, and so is a page whose site's name was made to lead here, which its Host tells.
fn is_local(peer: IpAddr, sent_to: Option<&str>, headers: &HeaderMap) -> bool {
    let is_forwarded = headers
        .keys()
        .any(|name| name.as_str().starts_with("x-forwarded-") || ADDED_BY_PROXIES.contains(&name.as_str()));
    peer.to_canonical().is_loopback() && !is_forwarded && sent_to.is_some_and(is_loopback)
}

fn sent_to<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> Option<&'a str> {
    let host = || headers.get(header::HOST).and_then(|host| host.to_str().ok());
    uri.authority().map(Authority::as_str).or_else(host)
}

/// Says whether a host with or without a port is a name of this machine that no DNS is asked for.
fn is_loopback(host: &str) -> bool {
    let Ok(authority) = host.parse::<Authority>() else { return false };
    let name = authority.host();
    let address = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    name.eq_ignore_ascii_case("localhost")
        || address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn openmetrics_is_for_who_asks_for_it() {
        for (accept, expected) in [
            ("", Format::Prometheus),
            ("*/*", Format::Prometheus),
            ("text/plain", Format::Prometheus),
            ("application/openmetrics-text;q=0", Format::Prometheus),
            ("application/openmetrics-text;q=0.1, text/plain", Format::Prometheus),
            ("application/openmetrics-text; version=1.0.0", Format::OpenMetrics),
            (
                "application/openmetrics-text;version=1.0.0;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                Format::OpenMetrics,
            ),
        ] {
            let headers = HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static(accept))]);
            assert_eq!(format(&headers), expected, "{accept}");
        }
    }

    #[test]
    fn the_figures_are_told_to_this_machine_alone() {
        let here = IpAddr::from([127, 0, 0, 1]);
        let local = |peer: &str, host: &str| is_local(peer.parse().unwrap(), Some(host), &HeaderMap::new());
        for host in
            ["127.0.0.1", "127.0.0.1:8080", "[::1]", "[::1]:9", "localhost", "LocalHost:8080", "127.3.2.1"]
        {
            assert!(
                local("127.0.0.1", host) && local("::1", host) && local("::ffff:127.0.0.1", host),
                "{host}"
            );
            assert!(!local("192.0.2.1", host), "{host}");
        }
        for host in [
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "192.0.2.1",
            "0.0.0.0",
            "",
            "[::2]",
        ] {
            assert!(!local("127.0.0.1", host), "{host}");
        }
        assert!(!is_local(here, None, &HeaderMap::new()));
        for name in
            ADDED_BY_PROXIES.into_iter().chain(["x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"])
        {
            let headers =
                HeaderMap::from_iter([(http::HeaderName::from_static(name), HeaderValue::from_static("a"))]);
            assert!(!is_local(here, Some("localhost"), &headers), "{name}");
        }
    }
}

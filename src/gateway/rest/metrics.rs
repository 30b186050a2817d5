//! GET /metrics: the metrics of the process, for Prometheus.

use std::net::IpAddr;

use axum::{
    Extension,
    extract::{OriginalUri, State},
    response::{IntoResponse as _, Response},
};
use http::{HeaderMap, StatusCode, Uri, header, uri::Authority};

use super::state::RestState;
use crate::{
    gateway::{
        content_negotiation::Preferences,
        credentials::bearer_tokens,
        peer::{ClientAddress, Peer},
        refusal::{Refusal, refuse_as, refuse_rest},
        route::paths,
    },
    metrics::{self, Format},
    model::Error,
};

/// Returns the metrics of the process
#[utoipa::path(
    get,
    path = paths::METRICS,
    operation_id = "metrics",
    responses(
        (status = 200, description = "OpenMetrics where the client accepts it, else Prometheus' text format", content(
            (String = "text/plain"), (String = "application/openmetrics-text"),
        )),
        (status = 401, description = "METRICS_TOKEN is set, and the token is another one", body = Refusal),
        (status = 403, description = "METRICS_TOKEN is not set, and the client is on another machine", body = Refusal),
        (status = 404, description = "METRICS_ADDRESS is set, and serves them", body = Refusal),
    ),
    security((), ("metrics" = []))
)]
pub(super) async fn show(
    State(rest): State<RestState>,
    ClientAddress(client): ClientAddress,
    peer: Option<Extension<Peer>>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
) -> Response {
    let peer = peer.map_or(client, |Extension(peer)| peer.address);
    match &rest.metrics_token {
        Some(token) => {
            let mut presented = bearer_tokens(&headers).filter(|token| !token.is_empty()).peekable();
            if presented.peek().is_none() {
                return refuse_rest(&Error::TokenMissing);
            }
            if !presented.all(|presented| token.is(presented)) {
                return refuse_rest(&Error::TokenInvalid);
            }
        }
        None if !is_local(peer, sent_to(&uri, &headers), &headers) => {
            return refuse_as(
                StatusCode::FORBIDDEN,
                "without METRICS_TOKEN, metrics are served to this machine only",
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

/// Returns the format that the client prefers: OpenMetrics only where the client lists it.
fn format(headers: &HeaderMap) -> Format {
    let prefers_openmetrics = |accept: Preferences| {
        let weight = accept.weight(&["application/openmetrics-text"]).unwrap_or(0);
        weight > 0 && weight >= accept.media_type("text/plain")
    };
    if Preferences::of(headers, header::ACCEPT).is_some_and(prefers_openmetrics) {
        Format::OpenMetrics
    } else {
        Format::Prometheus
    }
}

/// Headers that proxies add, by default or by configuration, besides those that begin with `x-forwarded-`.
const PROXY_HEADERS: [&str; 10] = [
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

/// Returns whether a request comes from this machine, as far as the server can know. A request through a local proxy does not.
/// Nor does the request of a page whose host name was made to resolve to this machine (DNS rebinding), which its Host shows.
fn is_local(peer: IpAddr, sent_to: Option<&str>, headers: &HeaderMap) -> bool {
    let is_forwarded = headers
        .keys()
        .any(|name| name.as_str().starts_with("x-forwarded-") || PROXY_HEADERS.contains(&name.as_str()));
    peer.to_canonical().is_loopback() && !is_forwarded && sent_to.is_some_and(is_loopback)
}

fn sent_to<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> Option<&'a str> {
    let host = || headers.get(header::HOST).and_then(|host| host.to_str().ok());
    uri.authority().map(Authority::as_str).or_else(host)
}

/// Returns whether a host, with or without a port, is a loopback address or `localhost`, which need no DNS.
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
    fn only_a_client_that_lists_openmetrics_gets_it() {
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
    fn only_a_request_of_this_machine_is_local() {
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
            PROXY_HEADERS.into_iter().chain(["x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"])
        {
            let headers =
                HeaderMap::from_iter([(http::HeaderName::from_static(name), HeaderValue::from_static("a"))]);
            assert!(!is_local(here, Some("localhost"), &headers), "{name}");
        }
    }
}

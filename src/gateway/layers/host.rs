//! Refuses requests that name no host, or two hosts.

use http::{Request, StatusCode, header};

use crate::gateway::route::{HttpRefusal, Route};

const NOT_ONE_HOST: HttpRefusal = HttpRefusal {
    status: StatusCode::BAD_REQUEST,
    sentence: "a request names one host: by Host once, or by :authority and the same Host",
    reason: "INVALID_HOST",
    header: None,
};

/// Sets the route of such a request to its refusal.
pub(in crate::gateway) fn check<B>(mut request: Request<B>) -> Request<B> {
    if !names_one_host(&request) {
        request.extensions_mut().insert(Route::Refused(NOT_ONE_HOST));
    }
    request
}

/// Returns whether a request names exactly one host (RFC 9112, 3.2, and RFC 9113, 8.3.1). Over HTTP/1.0 and HTTP/2 it may
/// name none: HAProxy's health checks do not over HTTP/2.
fn names_one_host<B>(request: &Request<B>) -> bool {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let (first, second) = (hosts.next(), hosts.next());
    if second.is_some() {
        return false;
    }
    match request.version() {
        http::Version::HTTP_09 | http::Version::HTTP_10 => true,
        http::Version::HTTP_11 => first.is_some(),
        _ => match (request.uri().authority(), first) {
            (Some(authority), Some(host)) => {
                authority.as_str().as_bytes().eq_ignore_ascii_case(host.as_bytes())
            }
            _ => true,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn over_http2_a_request_names_at_most_one_host() {
        let request = |uri: &str, hosts: &[&str]| {
            let builder = Request::builder().version(http::Version::HTTP_2).uri(uri);
            let builder = hosts.iter().fold(builder, |builder, host| builder.header("host", *host));
            builder.body(()).unwrap()
        };
        for (uri, hosts, expected) in [
            ("/readyz", &[][..], true),
            ("/readyz", &["a"], true),
            ("http://a/readyz", &["A"], true),
            ("http://a/readyz", &["b"], false),
            ("/readyz", &["a", "a"], false),
        ] {
            assert_eq!(names_one_host(&request(uri, hosts)), expected, "{uri} {hosts:?}");
        }
    }
}

//! Which page a request comes from. A page of another site may send a browser's visitor here without being able to read
//! the answer, and would spend what the visitor's address may do: it is refused before anything is read or counted.
//!
//! A browser says where a page is from, in headers that no script can set; other programs say nothing, and pass.

use std::sync::Arc;

use http::{HeaderMap, Method as Verb, Request, header, uri::Authority};
use ipnet::IpNet;

use super::{connection::Peer, stack::is_trusted};

/// The pages that may call.
#[derive(Clone, Debug)]
pub(super) struct Origins {
    /// Those of other sites, as CORS_ORIGINS names them.
    allowed: Arc<[String]>,
    /// Whose `X-Forwarded-Host` is believed.
    trusted_proxies: Arc<[IpNet]>,
}

impl Origins {
    pub(super) fn new(allowed: &[String], trusted_proxies: Arc<[IpNet]>) -> Self {
        Self { allowed: allowed.into(), trusted_proxies }
    }

    /// Says whether a request that may change something comes from a page that may not call.
    pub(super) fn is_foreign<B>(&self, request: &Request<B>) -> bool {
        if matches!(*request.method(), Verb::GET | Verb::HEAD | Verb::OPTIONS) {
            return false;
        }
        let headers = request.headers();
        let origin = headers.get(header::ORIGIN).map(|origin| origin.to_str().unwrap_or_default());
        if origin.is_some_and(|origin| self.allowed.iter().any(|allowed| allowed == origin)) {
            return false;
        }
        match (headers.get("sec-fetch-site"), origin) {
            // The browser has compared them, whatever a proxy has made of Host. A neighbour's page, `same-site`, may be
            // anybody's.
            (Some(site), _) => !matches!(site.as_bytes(), b"same-origin" | b"none"),
            (None, Some(origin)) => !self.is_own(request, origin),
            (None, None) => false,
        }
    }

    /// Says whether an origin names the host that the request was sent to. Its scheme is not compared: TLS may end at a
    /// proxy.
    fn is_own<B>(&self, request: &Request<B>, origin: &str) -> bool {
        let Some((scheme, origin)) = origin.split_once("://") else { return false };
        let default_port = match scheme {
            "http" => 80,
            "https" => 443,
            _ => return false,
        };
        let is = |host: &str| same_host(origin, host, default_port);
        let sent_to = request.uri().authority().map(Authority::as_str);
        let forwarded = self.forwarded_host(request);
        sent_to.or_else(|| text(request.headers(), "host")).is_some_and(is) || forwarded.is_some_and(is)
    }

    fn forwarded_host<'a, B>(&self, request: &'a Request<B>) -> Option<&'a str> {
        let is_trusted = is_trusted(request.extensions().get::<Peer>()?.address, &self.trusted_proxies);
        // The last is what the trusted proxy itself has seen.
        let named = request.headers().get_all("x-forwarded-host").iter().next_back()?.to_str().ok()?;
        is_trusted.then(|| named.rsplit(',').next().unwrap_or(named).trim())
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn same_host(one: &str, other: &str, default_port: u16) -> bool {
    let parsed = |text: &str| {
        let authority: Authority = text.parse().ok()?;
        let port = authority.port_u16().unwrap_or(default_port);
        Some((authority.host().to_ascii_lowercase(), port))
    };
    parsed(one).is_some_and(|one| parsed(other) == Some(one))
}

/// Says whether a request names one host, and no second one (RFC 9112, 3.2, and RFC 9113, 8.3.1). HTTP/1.0 knows none, nor does
/// who has none to name over HTTP/2, as HAProxy when it asks whether a server is there.
pub(super) fn names_one_host<B>(request: &Request<B>) -> bool {
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

    fn foreign(verb: &str, headers: &[(&str, &str)]) -> bool {
        let origins = Origins::new(&["https://app.example".to_owned()], Arc::new([]));
        let builder = Request::builder().method(verb).header("host", "chat.example:8080");
        let builder = headers.iter().fold(builder, |builder, (name, value)| builder.header(*name, *value));
        origins.is_foreign(&builder.body(()).unwrap())
    }

    #[test]
    fn a_page_of_another_site_is_foreign_and_other_programs_are_not() {
        for (headers, expected) in [
            (&[][..], false),
            (&[("origin", "http://chat.example:8080")], false),
            (&[("origin", "https://CHAT.example:8080")], false),
            (&[("origin", "https://app.example")], false),
            (&[("origin", "https://app.example"), ("sec-fetch-site", "cross-site")], false),
            (&[("origin", "https://elsewhere.example"), ("sec-fetch-site", "same-origin")], false),
            (&[("sec-fetch-site", "none")], false),
            (&[("origin", "https://chat.example")], true),
            (&[("origin", "http://chat.example:8080.evil")], true),
            (&[("origin", "http://evil.example")], true),
            (&[("origin", "null")], true),
            (&[("origin", "")], true),
            (&[("sec-fetch-site", "cross-site")], true),
            (&[("sec-fetch-site", "same-site")], true),
            (&[("origin", "http://chat.example:8080"), ("sec-fetch-site", "cross-site")], true),
            (&[("origin", "http://evil.example"), ("x-forwarded-host", "evil.example")], true),
        ] {
            assert_eq!(foreign("POST", headers), expected, "{headers:?}");
            assert!(!foreign("GET", headers), "{headers:?}");
        }
    }

    #[test]
    fn over_http2_there_may_be_no_host_but_not_two() {
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

    #[test]
    fn a_default_port_may_be_left_out() {
        assert!(same_host("a.example", "a.example:443", 443));
        assert!(!same_host("a.example", "a.example:80", 443));
        assert!(same_host("[::1]:80", "[::1]", 80));
    }
}

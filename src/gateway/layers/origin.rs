//! Refuses requests that a page of another site sends through its visitor's browser. The page could not read the response,
//! but the call would be charged to the visitor's address. So the layer refuses it before anything is read or charged.
//!
//! A browser names the origin of a page in headers that no script can set. Other programs name none, and pass.

use std::{convert::Infallible, future::ready, sync::Arc};

use futures_util::future::Either;
use http::{HeaderMap, Method as Verb, Request, Response, header, uri::Authority};
use tower::Service;

use crate::{
    gateway::{body::Body, peer::Peer, refusal, route::Route, trusted_proxies::TrustedProxies},
    model::Error,
};

/// Refuses such a request with FOREIGN_ORIGIN. Native gRPC is not checked: no browser can send it.
pub(in crate::gateway) fn check<S, B>(
    origins: &Origins,
    request: Request<B>,
    inner: &mut S,
) -> impl Future<Output = Result<Response<Body>, Infallible>> + use<S, B>
where
    S: Service<Request<B>, Response = Response<Body>, Error = Infallible>,
{
    let route = Route::of(&request);
    let may_be_a_browser = route.dialect().is_web() || matches!(route, Route::Rest);
    if may_be_a_browser && origins.is_foreign(&request) {
        let refused = refusal::refuse_untranslated(route.dialect(), Error::ForeignOrigin);
        return Either::Left(ready(Ok(refused)));
    }
    Either::Right(inner.call(request))
}

/// The origins whose pages may call.
#[derive(Clone, Debug)]
pub(in crate::gateway) struct Origins {
    /// CORS_ORIGINS: origins of other sites.
    allowed: Arc<[String]>,
    /// The proxies whose `X-Forwarded-Host` is trusted.
    trusted_proxies: TrustedProxies,
}

impl Origins {
    /// Allows the server's own origin and these.
    pub(in crate::gateway) fn new(allowed: &[String], trusted_proxies: TrustedProxies) -> Self {
        Self { allowed: allowed.into(), trusted_proxies }
    }

    /// Returns whether a page that may not call sends a request that may change something.
    fn is_foreign<B>(&self, request: &Request<B>) -> bool {
        if matches!(*request.method(), Verb::GET | Verb::HEAD | Verb::OPTIONS) {
            return false;
        }
        let headers = request.headers();
        let origin = headers.get(header::ORIGIN).map(|origin| origin.to_str().unwrap_or_default());
        if origin.is_some_and(|origin| self.allowed.iter().any(|allowed| allowed == origin)) {
            return false;
        }
        match (headers.get("sec-fetch-site"), origin) {
            // The browser has compared the origins, so a proxy that rewrites Host does not matter. `same-site` is another
            // origin, which may belong to anybody.
            (Some(site), _) => !matches!(site.as_bytes(), b"same-origin" | b"none"),
            (None, Some(origin)) => !self.is_own(request, origin),
            (None, None) => false,
        }
    }

    /// Returns whether an origin names the host of the request. The scheme is not compared: TLS may end at a proxy.
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
        let is_trusted = self.trusted_proxies.contains(request.extensions().get::<Peer>()?.address);
        // The trusted proxy itself has added the last one.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn foreign(verb: &str, headers: &[(&str, &str)]) -> bool {
        let origins = Origins::new(&["https://app.example".to_owned()], TrustedProxies::default());
        let builder = Request::builder().method(verb).header("host", "chat.example:8080");
        let builder = headers.iter().fold(builder, |builder, (name, value)| builder.header(*name, *value));
        origins.is_foreign(&builder.body(()).unwrap())
    }

    #[test]
    fn a_page_of_another_site_is_foreign_and_a_program_is_not() {
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
    fn a_default_port_may_be_omitted() {
        assert!(same_host("a.example", "a.example:443", 443));
        assert!(!same_host("a.example", "a.example:80", 443));
        assert!(same_host("[::1]:80", "[::1]", 80));
    }
}

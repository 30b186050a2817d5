//! A file that is compiled into the program, in each encoding: build.rs has compressed it, so that no request does.

use axum::response::{IntoResponse as _, Response};
use http::{
    HeaderMap, HeaderValue, StatusCode,
    header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, ETAG, IF_NONE_MATCH, VARY},
};

use crate::gateway::content_negotiation::Preferences;

/// A file and its encodings.
#[derive(Clone, Copy, Debug)]
pub(super) struct StaticFile {
    /// The path that serves it.
    pub(super) path: &'static str,
    pub(super) content_type: &'static str,
    /// Identifies the content.
    pub(super) etag: &'static str,
    pub(super) plain: &'static [u8],
    /// None where it would not be smaller.
    pub(super) gzip: Option<&'static [u8]>,
    /// None where it would not be smaller.
    pub(super) brotli: Option<&'static [u8]>,
}

impl StaticFile {
    /// Responds with the best encoding for the client, or with 304 where the client has the file.
    pub(super) fn respond(&self, headers: &HeaderMap) -> Response {
        let (encoding, bytes) = self.negotiate(headers);
        // Each encoding is a representation of its own (RFC 9110, 8.8.3.3).
        let etag = match encoding {
            Some(encoding) => format!("\"{}-{encoding}\"", self.etag),
            None => format!("\"{}\"", self.etag),
        };
        let mut response = if is_known(headers, &etag) {
            StatusCode::NOT_MODIFIED.into_response()
        } else {
            let mut response = ([(CONTENT_TYPE, self.content_type)], bytes).into_response();
            if let Some(encoding) = encoding {
                response.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static(encoding));
            }
            response
        };
        response.headers_mut().insert(VARY, HeaderValue::from_static("accept-encoding"));
        if let Ok(etag) = HeaderValue::try_from(etag) {
            response.headers_mut().insert(ETAG, etag);
        }
        response
    }

    /// Returns the encoding with the largest weight, and the smallest of those with the same weight (RFC 9110, 12.5.3). A client
    /// that accepts none of them gets the plain file.
    fn negotiate(&self, headers: &HeaderMap) -> (Option<&'static str>, &'static [u8]) {
        let Some(accepted) = Preferences::of(headers, ACCEPT_ENCODING) else { return (None, self.plain) };
        let weight = |encoding: Option<&str>| match encoding {
            Some("gzip") => accepted.weight(&["gzip", "x-gzip", "*"]).unwrap_or(0),
            Some(encoding) => accepted.weight(&[encoding, "*"]).unwrap_or(0),
            // The plain file is accepted unless it is refused, with the least weight where it is not listed.
            None => accepted
                .weight(&["identity"])
                .or_else(|| accepted.weight(&["*"]).map(|any| any.min(1)))
                .unwrap_or(1),
        };
        [(Some("br"), self.brotli), (Some("gzip"), self.gzip), (None, Some(self.plain))]
            .into_iter()
            .filter_map(|(encoding, bytes)| Some((weight(encoding), encoding, bytes?)))
            .filter(|(weight, ..)| *weight > 0)
            // The first of those with the same weight.
            .reduce(|best, next| if next.0 > best.0 { next } else { best })
            .map_or((None, self.plain), |(_, encoding, bytes)| (encoding, bytes))
    }
}

/// Returns whether the client has the file. Tags are compared weakly (RFC 9110, 13.1.2).
fn is_known(headers: &HeaderMap, etag: &str) -> bool {
    let values = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    values
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .any(|known| known == "*" || known.strip_prefix("W/").unwrap_or(known) == etag)
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    const TEXT: StaticFile = StaticFile {
        path: "/text",
        content_type: "text/plain",
        etag: "abc",
        plain: b"plain",
        gzip: Some(b"gz"),
        brotli: Some(b"b"),
    };

    fn response(name: &'static str, value: &'static str) -> (u16, String, String) {
        let headers =
            HeaderMap::from_iter([(http::HeaderName::from_static(name), HeaderValue::from_static(value))]);
        let response = TEXT.respond(&headers);
        let header =
            |name| response.headers().get(name).map_or("", |value| value.to_str().unwrap()).to_owned();
        assert_eq!(header(VARY), "accept-encoding");
        (response.status().as_u16(), header(CONTENT_ENCODING), header(ETAG))
    }

    #[test]
    fn the_best_accepted_encoding_is_sent() {
        for (accept, encoding) in [
            ("br", "br"),
            ("gzip, deflate, br, zstd", "br"),
            ("GZIP", "gzip"),
            ("gzip, br;q=0", "gzip"),
            ("gzip;q=0.5, br; q=0.000", "gzip"),
            ("*", "br"),
            ("*, br;q=0", "gzip"),
            ("*;q=0", ""),
            ("identity", ""),
            ("zstd", ""),
            ("br;q=x", ""),
            ("br;q=0.5, gzip", "gzip"),
            ("br;q=0.5, gzip;q=0.5", "br"),
            ("x-gzip", "gzip"),
            ("identity, gzip;q=0.5", ""),
            ("identity;q=0.4, gzip;q=0.5", "gzip"),
            ("identity;q=0, gzip;q=0.001", "gzip"),
            ("gzip;q=0.001", "gzip"),
            ("identity;q=0, *", "br"),
            ("identity;q=0, zstd", ""),
            ("*;q=0.1, gzip;q=0", "br"),
            ("", ""),
            ("brx", ""),
        ] {
            assert_eq!(response("accept-encoding", accept).1, encoding, "{accept}");
        }
    }

    #[tokio::test]
    async fn no_response_copies_the_file() {
        for (accept, text) in [("br", TEXT.brotli), ("gzip", TEXT.gzip), ("identity", Some(TEXT.plain))] {
            let headers = HeaderMap::from_iter([(ACCEPT_ENCODING, HeaderValue::from_static(accept))]);
            let body = TEXT.respond(&headers).into_body().collect().await.unwrap().to_bytes();
            assert_eq!(body.as_ptr(), text.unwrap().as_ptr(), "{accept}");
        }
    }

    #[test]
    fn a_file_that_the_client_has_is_not_sent_again() {
        for (known, status) in [
            ("\"abc\"", 304),
            ("W/\"abc\"", 304),
            ("\"x\", \"abc\"", 304),
            ("*", 304),
            ("\"abc-br\"", 200),
            ("abc", 200),
        ] {
            assert_eq!(response("if-none-match", known).0, status, "{known}");
        }
    }
}

//! A text that does not change while the program runs, in the encodings that it was compressed to beforehand: no request
//! compresses anything.

use axum::response::{IntoResponse as _, Response};
use http::{
    HeaderMap, HeaderValue, StatusCode,
    header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, ETAG, IF_NONE_MATCH, VARY},
};

use crate::gateway::negotiation::Accepted;

/// A text and its encodings.
#[derive(Clone, Copy, Debug)]
pub(super) struct Document {
    /// Where it is served.
    pub(super) path: &'static str,
    pub(super) content_type: &'static str,
    /// Names the text: another one has another.
    pub(super) etag: &'static str,
    pub(super) plain: &'static [u8],
    /// None where it would not be smaller.
    pub(super) gzip: Option<&'static [u8]>,
    /// None where it would not be smaller.
    pub(super) brotli: Option<&'static [u8]>,
}

impl Document {
    /// Answers with the smallest encoding that the caller takes, or that it has it already.
    pub(super) fn answer(&self, headers: &HeaderMap) -> Response {
        let (encoding, bytes) = self.chosen(headers);
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

    /// Returns the encoding that the caller likes best, the smallest of those that they like alike (RFC 9110, 12.5.3). Where
    /// they take none of them, not even the text itself, that is sent all the same.
    fn chosen(&self, headers: &HeaderMap) -> (Option<&'static str>, &'static [u8]) {
        let Some(accepted) = Accepted::of(headers, ACCEPT_ENCODING) else { return (None, self.plain) };
        let weight = |encoding: Option<&str>| match encoding {
            Some("gzip") => accepted.weight(&["gzip", "x-gzip", "*"]).unwrap_or(0),
            Some(encoding) => accepted.weight(&[encoding, "*"]).unwrap_or(0),
            // It is taken unless it is refused, and liked least where it is not named.
            None => accepted
                .weight(&["identity"])
                .or_else(|| accepted.weight(&["*"]).map(|any| any.min(1)))
                .unwrap_or(1),
        };
        [(Some("br"), self.brotli), (Some("gzip"), self.gzip), (None, Some(self.plain))]
            .into_iter()
            .filter_map(|(encoding, bytes)| Some((weight(encoding), encoding, bytes?)))
            .filter(|(weight, ..)| *weight > 0)
            // The first of several.
            .reduce(|best, next| if next.0 > best.0 { next } else { best })
            .map_or((None, self.plain), |(_, encoding, bytes)| (encoding, bytes))
    }
}

/// Says whether the caller has it: tags are compared weakly (RFC 9110, 13.1.2).
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

    const TEXT: Document = Document {
        path: "/text",
        content_type: "text/plain",
        etag: "abc",
        plain: b"plain",
        gzip: Some(b"gz"),
        brotli: Some(b"b"),
    };

    fn answered(name: &'static str, value: &'static str) -> (u16, String, String) {
        let headers =
            HeaderMap::from_iter([(http::HeaderName::from_static(name), HeaderValue::from_static(value))]);
        let answer = TEXT.answer(&headers);
        let header = |name| answer.headers().get(name).map_or("", |value| value.to_str().unwrap()).to_owned();
        assert_eq!(header(VARY), "accept-encoding");
        (answer.status().as_u16(), header(CONTENT_ENCODING), header(ETAG))
    }

    #[test]
    fn an_encoding_is_sent_to_whoever_takes_it() {
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
            assert_eq!(answered("accept-encoding", accept).1, encoding, "{accept}");
        }
    }

    #[tokio::test]
    async fn no_answer_has_bytes_that_were_made_for_it() {
        for (accept, text) in [("br", TEXT.brotli), ("gzip", TEXT.gzip), ("identity", Some(TEXT.plain))] {
            let headers = HeaderMap::from_iter([(ACCEPT_ENCODING, HeaderValue::from_static(accept))]);
            let body = TEXT.answer(&headers).into_body().collect().await.unwrap().to_bytes();
            assert_eq!(body.as_ptr(), text.unwrap().as_ptr(), "{accept}");
        }
    }

    #[test]
    fn what_the_caller_has_is_not_sent_again() {
        for (known, status) in [
            ("\"abc\"", 304),
            ("W/\"abc\"", 304),
            ("\"x\", \"abc\"", 304),
            ("*", 304),
            ("\"abc-br\"", 200),
            ("abc", 200),
        ] {
            assert_eq!(answered("if-none-match", known).0, status, "{known}");
        }
    }
}

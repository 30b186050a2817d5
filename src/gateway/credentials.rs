//! The token of a request, in `authorization: Bearer <token>` or in the original's header `token`.

use http::{HeaderMap, header};

use crate::model::{Error, Result};

/// The original's header for a token.
pub(super) const TOKEN: header::HeaderName = header::HeaderName::from_static("token");

/// Returns the token of a request.
///
/// # Errors
/// Where there is none, or where two differ: the server does not guess.
pub(super) fn token(headers: &HeaderMap) -> Result<&str> {
    let mut found: Option<&[u8]> = None;
    let plain = headers.get_all(TOKEN).iter().map(|value| value.as_bytes().trim_ascii());
    for token in bearer_tokens(headers).chain(plain).filter(|token| !token.is_empty()) {
        if found.is_some_and(|other| other != token) {
            return Err(Error::TwoTokens);
        }
        found = Some(token);
    }
    std::str::from_utf8(found.ok_or(Error::TokenMissing)?).map_err(|_| Error::TokenInvalid)
}

/// Returns the tokens of all headers `authorization: Bearer <token>`. Other schemes are ignored: a proxy in front may ask for
/// credentials of its own.
pub(super) fn bearer_tokens(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    headers
        .get_all(header::AUTHORIZATION)
        .iter()
        .filter_map(|value| bearer_token(value.as_bytes().trim_ascii()))
}

/// Parses `Bearer <token>`. The scheme is case-insensitive (RFC 9110, 11.1).
fn bearer_token(value: &[u8]) -> Option<&[u8]> {
    let end = value.iter().position(u8::is_ascii_whitespace).unwrap_or(value.len());
    let (scheme, token) = value.split_at(end);
    scheme.eq_ignore_ascii_case(b"bearer").then(|| token.trim_ascii())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (header::HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect()
    }

    #[test]
    fn a_token_is_found_under_either_name() {
        assert_eq!(token(&headers(&[("authorization", "Bearer abc")])).ok(), Some("abc"));
        assert_eq!(token(&headers(&[("authorization", "bearer  abc")])).ok(), Some("abc"));
        assert_eq!(token(&headers(&[("token", "abc")])).ok(), Some("abc"));
        assert_eq!(token(&headers(&[("token", "abc"), ("authorization", "Bearer abc")])).ok(), Some("abc"));
    }

    #[test]
    fn two_tokens_that_differ_are_refused() {
        for pairs in [
            [("token", "abc"), ("authorization", "Bearer abd")],
            [("token", "abc"), ("token", "abd")],
            [("authorization", "Bearer abc"), ("authorization", "Bearer abd")],
        ] {
            assert!(matches!(token(&headers(&pairs)), Err(Error::TwoTokens)), "{pairs:?}");
        }
        let empty = headers(&[("token", "abc"), ("authorization", "Bearer ")]);
        assert_eq!(token(&empty).ok(), Some("abc"));
    }

    #[test]
    fn a_missing_token_is_not_an_invalid_one() {
        assert!(matches!(token(&headers(&[])), Err(Error::TokenMissing)));
        assert!(matches!(token(&headers(&[("token", "")])), Err(Error::TokenMissing)));
        assert!(matches!(token(&headers(&[("authorization", "Bearer")])), Err(Error::TokenMissing)));
    }

    #[test]
    fn other_schemes_are_ignored() {
        for other in ["Basic d2Fsa2VyMTpw", "Digest username=\"walker1\"", "Basic", "abc"] {
            let alone = headers(&[("authorization", other)]);
            assert!(matches!(token(&alone), Err(Error::TokenMissing)), "{other}");
            let beside = headers(&[("authorization", other), ("token", "abc")]);
            assert_eq!(token(&beside).ok(), Some("abc"), "{other}");
            let twice = headers(&[("authorization", other), ("authorization", "Bearer abc")]);
            assert_eq!(token(&twice).ok(), Some("abc"), "{other}");
        }
    }
}

//! The JSON body of a request.
//!
//! As in the original, keys match in any case, unknown keys are ignored, a missing or null text is empty, and the content type
//! does not matter.

use axum::{
    body::to_bytes,
    extract::{FromRequest, Request},
    response::Response,
};
use http::{
    HeaderMap, HeaderValue, StatusCode,
    header::{ACCEPT_ENCODING, CONTENT_ENCODING},
};
use http_body_util::LengthLimitError;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::super::refusal::{refuse_as, refuse_rest};
use crate::model::{Error, Result};

/// Maximum size of a body, in bytes.
pub(in super::super) const MAX_BYTES: usize = 16 * 1024;

/// A body. Each field of `T` is a `String` with `#[serde(default)]`, since a missing text is empty, and with
/// `#[schema(required)]`, since a client should send it.
pub(super) struct JsonBody<T>(pub(super) T);

impl<T: DeserializeOwned> JsonBody<T> {
    fn parse(bytes: &[u8]) -> Result<Self> {
        let fields = match serde_json::from_slice(bytes).map_err(|_| Error::InvalidJson)? {
            Value::Null => serde_json::Map::new(),
            Value::Object(fields) => fields,
            _ => return Err(Error::InvalidJson),
        };
        let fields = fields
            .into_iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(name, value)| (name.to_ascii_lowercase(), value));
        let body = serde_json::from_value(Value::Object(fields.collect()));
        body.map(Self).map_err(|_| Error::InvalidJson)
    }
}

impl<T: DeserializeOwned, S: Sync> FromRequest<S> for JsonBody<T> {
    type Rejection = Response;

    async fn from_request(request: Request, _: &S) -> Result<Self, Response> {
        if is_encoded(request.headers()) {
            return Err(refuse_encoding());
        }
        let parsed = match to_bytes(request.into_body(), MAX_BYTES).await {
            Ok(bytes) => Self::parse(&bytes),
            Err(error) if is_too_large(&error) => Err(Error::TooLarge { limit: MAX_BYTES }),
            Err(_) => Err(Error::InvalidJson),
        };
        parsed.map_err(|error| refuse_rest(&error))
    }
}

fn is_encoded(headers: &HeaderMap) -> bool {
    let mut encodings = headers.get_all(CONTENT_ENCODING).iter();
    encodings.any(|encoding| !matches!(encoding.as_bytes().trim_ascii(), b"" | b"identity"))
}

/// Names the encoding that would be accepted (RFC 9110, 15.5.16).
fn refuse_encoding() -> Response {
    let sentence = "bodies are not compressed here: see Accept-Encoding";
    let mut response = refuse_as(StatusCode::UNSUPPORTED_MEDIA_TYPE, sentence, "UNSUPPORTED_ENCODING");
    response.headers_mut().insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    response
}

fn is_too_large(error: &axum::Error) -> bool {
    std::error::Error::source(error).is_some_and(|source| source.is::<LengthLimitError>())
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize, PartialEq)]
    struct Texts {
        #[serde(default)]
        user_name: String,
        #[serde(default)]
        password: String,
    }

    fn parse(text: impl AsRef<[u8]>) -> Result<(String, String)> {
        JsonBody::parse(text.as_ref()).map(|JsonBody(Texts { user_name, password })| (user_name, password))
    }

    #[test]
    fn keys_match_in_any_case_and_unknown_ones_are_ignored() {
        let texts = parse(r#"{"USER_Name":"a","role":5,"password":null}"#).unwrap();
        assert_eq!(texts, ("a".to_owned(), String::new()));
    }

    #[test]
    fn null_is_an_empty_object() {
        assert_eq!(parse("null").unwrap(), (String::new(), String::new()));
    }

    #[test]
    fn a_body_that_is_no_object_of_texts_is_refused() {
        for bad in ["", "{", "[]", "5", "\"a\"", "{} {}", "{}x", "{\"a\":\"\u{1}\"}", r#"{"user_name":5}"#] {
            assert!(matches!(parse(bad), Err(Error::InvalidJson)), "{bad}");
        }
        assert!(parse(b"{\"a\":\"\xff\"}").is_err());
        assert!(parse("[".repeat(10_000)).is_err());
    }
}

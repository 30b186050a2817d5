//! Request bodies: JSON objects whose keys match in any case, as the original's do. The content type is not looked
//! at.

use std::collections::HashMap;

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
use serde_json::Value;

use super::super::status::{refuse, refuse_plainly};
use crate::model::{Error, Result};

/// The largest body, in bytes.
pub(in super::super) const MAX_BYTES: usize = 16 * 1024;

/// The texts of a request.
pub(super) struct Fields(HashMap<String, Value>);

impl Fields {
    /// Takes a field. One that is missing or null is empty.
    ///
    /// # Errors
    /// [`Error::InvalidJson`] where it is no text.
    pub(super) fn text(&mut self, name: &str) -> Result<String> {
        match self.0.remove(name) {
            None => Ok(String::new()),
            Some(Value::String(text)) => Ok(text),
            Some(_) => Err(Error::InvalidJson),
        }
    }

    fn parse(bytes: &[u8]) -> Result<Self> {
        match serde_json::from_slice(bytes).map_err(|_| Error::InvalidJson)? {
            Value::Null => Ok(Self(HashMap::new())),
            Value::Object(fields) => Ok(Self(
                fields
                    .into_iter()
                    .filter(|(_, value)| !value.is_null())
                    .map(|(name, value)| (name.to_ascii_lowercase(), value))
                    .collect(),
            )),
            _ => Err(Error::InvalidJson),
        }
    }
}

impl<S: Sync> FromRequest<S> for Fields {
    type Rejection = Response;

    async fn from_request(request: Request, _: &S) -> Result<Self, Response> {
        if is_encoded(request.headers()) {
            return Err(refuse_encoding());
        }
        let too_large = Error::TooLarge { limit: MAX_BYTES };
        let read = match to_bytes(request.into_body(), MAX_BYTES).await {
            Ok(bytes) => Self::parse(&bytes),
            Err(error) if is_too_long(&error) => Err(too_large),
            Err(_) => Err(Error::InvalidJson),
        };
        read.map_err(|error| refuse(&error))
    }
}

fn is_encoded(headers: &HeaderMap) -> bool {
    let mut encodings = headers.get_all(CONTENT_ENCODING).iter();
    encodings.any(|encoding| !matches!(encoding.as_bytes().trim_ascii(), b"" | b"identity"))
}

/// Says which encoding would do (RFC 9110, 15.5.16).
fn refuse_encoding() -> Response {
    let sentence = "bodies are not compressed here: see Accept-Encoding";
    let mut response = refuse_plainly(StatusCode::UNSUPPORTED_MEDIA_TYPE, sentence, "UNSUPPORTED_ENCODING");
    response.headers_mut().insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    response
}

fn is_too_long(error: &axum::Error) -> bool {
    std::error::Error::source(error).is_some_and(|source| source.is::<LengthLimitError>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_match_in_any_case_and_unknown_ones_are_ignored() {
        let mut fields = Fields::parse(br#"{"USER_Name":"a","role":"ADMIN","password":null}"#).unwrap();
        assert_eq!(fields.text("user_name").unwrap(), "a");
        assert_eq!(fields.text("password").unwrap(), "");
    }

    #[test]
    fn null_is_an_empty_object() {
        assert_eq!(Fields::parse(b"null").unwrap().text("user_name").unwrap(), "");
    }

    #[test]
    fn what_is_no_object_of_texts_is_refused() {
        for bad in ["", "{", "[]", "5", "\"a\"", "{} {}", "{}x", "{\"a\":\"\u{1}\"}"] {
            assert!(matches!(Fields::parse(bad.as_bytes()), Err(Error::InvalidJson)), "{bad}");
        }
        assert!(Fields::parse(b"{\"a\":\"\xff\"}").is_err());
        assert!(Fields::parse("[".repeat(10_000).as_bytes()).is_err());
        assert!(Fields::parse(br#"{"user_name":5}"#).unwrap().text("user_name").is_err());
    }
}

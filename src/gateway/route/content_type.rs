//! The content types of gRPC and gRPC-web.

use http::{HeaderMap, HeaderValue, header};

use super::dialect::Dialect;
use crate::gateway::content_negotiation::prefers_bytes;

/// The content type of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::gateway) enum ContentType {
    /// gRPC in protobuf, or gRPC-web.
    Grpc(Dialect),
    /// gRPC with a message format that is not protobuf.
    GrpcOther,
    /// Anything else.
    Other,
}

impl ContentType {
    /// Parses the `content-type` of a request.
    pub(in crate::gateway) fn of(headers: &HeaderMap) -> Self {
        let value =
            headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let media_type = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let (base, format) = media_type.split_once('+').unwrap_or((&media_type, "proto"));
        let dialect = match base {
            "application/grpc" => Dialect::Grpc,
            "application/grpc-web" => Dialect::GrpcWeb,
            "application/grpc-web-text" => Dialect::GrpcWebText,
            _ => return Self::Other,
        };
        if format == "proto" { Self::Grpc(dialect) } else { Self::GrpcOther }
    }
}

/// Binary gRPC-web, as tonic-web writes it.
const GRPC_WEB: HeaderValue = HeaderValue::from_static("application/grpc-web+proto");

/// Sets the headers to the exact values that tonic-web compares: it knows four content types, and takes the encoding of the
/// response from an exact `Accept`.
pub(in crate::gateway) fn normalise(headers: &mut HeaderMap, dialect: Dialect) {
    let text = HeaderValue::from_static("application/grpc-web-text+proto");
    match dialect {
        Dialect::Grpc => {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        }
        Dialect::GrpcWeb => {
            headers.insert(header::CONTENT_TYPE, GRPC_WEB);
        }
        Dialect::GrpcWebText => {
            headers.insert(header::CONTENT_TYPE, text.clone());
            let accept = if prefers_bytes(headers) { GRPC_WEB } else { text };
            headers.insert(header::ACCEPT, accept);
        }
        Dialect::Rest => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_request_gets_a_text_response_unless_it_prefers_bytes() {
        for (accept, expected) in [
            (None, "application/grpc-web-text+proto"),
            (Some("*/*"), "application/grpc-web-text+proto"),
            (Some(""), "application/grpc-web-text+proto"),
            (Some("application/grpc-web-text"), "application/grpc-web-text+proto"),
            (Some("Application/gRPC-web-text+proto; charset=utf-8"), "application/grpc-web-text+proto"),
            (
                Some("application/grpc-web;q=0.5, application/grpc-web-text"),
                "application/grpc-web-text+proto",
            ),
            (Some("application/*"), "application/grpc-web-text+proto"),
            (Some("text/html"), "application/grpc-web-text+proto"),
            (Some("application/grpc-web+proto"), "application/grpc-web+proto"),
            (Some("application/grpc-web, */*;q=0.1"), "application/grpc-web+proto"),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(accept) = accept {
                headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
            }
            normalise(&mut headers, Dialect::GrpcWebText);
            assert_eq!(headers[header::ACCEPT], expected);
        }
    }
}

//! Properties of every request's head, and of every base64 body in whatever pieces it arrives.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use futures_util::{FutureExt as _, stream};
use http::{HeaderValue, Method as Verb, Request, Response, StatusCode, Uri, Version, header};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use tonic::body::Body;
use tonic_web::GrpcWebLayer;
use tower::{Layer as _, ServiceExt as _, service_fn};

use super::{Call, Dialect, Route, normalise};

/// The path prefixes of gRPC.
const SERVICES: [&str; 5] = [
    "/grpcchatter.v1.ChatService/",
    "/proto.GRPCChatter/",
    "/grpc.health.v1.Health/",
    "/grpc.reflection.v1.ServerReflection/",
    "/grpc.reflection.v1alpha.ServerReflection/",
];

/// Parses the route of a request that the bytes describe: a version byte, then a verb, a path, a content type and an
/// `Accept`, one in each line.
pub fn steer(data: &[u8]) {
    let Some(mut request) = head(data) else { return };
    let route = Route::parse(&request);
    let path = request.uri().path().to_owned();
    let content_type = request.headers().get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    let content_type = String::from_utf8_lossy(content_type.unwrap_or_default()).trim().to_ascii_lowercase();
    match &route {
        Route::Grpc(dialect, call) => {
            assert_eq!(request.method(), Verb::POST);
            assert!(content_type.starts_with("application/grpc"), "{content_type}");
            assert!(*dialect != Dialect::Grpc || request.version() == Version::HTTP_2);
            if let Call::Known { method, legacy } = call {
                assert_eq!(path, format!("/{}/{}", method.service(*legacy), method.as_str()));
            }
            // tonic-web knows these exact texts only.
            normalise(request.headers_mut(), *dialect);
            let exact = ["application/grpc", "application/grpc-web+proto", "application/grpc-web-text+proto"];
            let normal = &request.headers()[header::CONTENT_TYPE];
            assert!(exact.iter().any(|exact| *exact == normal), "{normal:?}");
            assert_eq!(Route::parse(&request), route, "normalising does not change the route");
        }
        Route::Rest => {
            for service in SERVICES {
                assert!(!path.starts_with(service), "a gRPC path is never the page: {path}");
            }
        }
        Route::Refused(refused) => {
            let statuses = [
                StatusCode::METHOD_NOT_ALLOWED,
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            ];
            assert!(statuses.contains(&refused.status), "{}", refused.status);
        }
    }
}

fn head(data: &[u8]) -> Option<Request<()>> {
    let (version, rest) = data.split_first()?;
    let mut lines = rest.split(|byte| *byte == b'\n');
    let mut request = Request::new(());
    *request.version_mut() = if version.is_multiple_of(2) { Version::HTTP_2 } else { Version::HTTP_11 };
    *request.method_mut() = Verb::from_bytes(lines.next()?).ok()?;
    *request.uri_mut() = Uri::try_from(lines.next()?).ok()?;
    for name in [header::CONTENT_TYPE, header::ACCEPT] {
        if let Some(value) = lines.next() {
            request.headers_mut().insert(name, HeaderValue::from_bytes(value).ok()?);
        }
    }
    Some(request)
}

/// Sends the bytes as a base64 body of gRPC-web, first as they are and then encoded. The first byte is the size of the
/// pieces.
pub fn grpc_web_text(data: &[u8]) {
    let Some((size, body)) = data.split_first() else { return };
    let size = usize::from(*size).max(1);
    // An invalid body ends too.
    drop(received(body, size));

    let mut message = vec![0];
    message.extend(u32::try_from(body.len()).unwrap_or(u32::MAX).to_be_bytes());
    message.extend_from_slice(body);
    let text = STANDARD.encode(&message);
    assert_eq!(received(text.as_bytes(), size), Some(message), "in pieces of {size}");
}

/// Returns the body that a service behind tonic-web receives; none where tonic-web refuses it.
fn received(text: &[u8], size: usize) -> Option<Vec<u8>> {
    let read = Arc::new(Mutex::new(None));
    let reader = Arc::clone(&read);
    let service = service_fn(move |request: Request<Body>| {
        let reader = Arc::clone(&reader);
        async move {
            let body = request.into_body().collect().await;
            let bytes = body.ok().map(|body| body.to_bytes().to_vec());
            *reader.lock().expect("no thread panics while it holds the lock") = bytes;
            Ok::<_, Infallible>(Response::new(Body::empty()))
        }
    });
    let pieces: Vec<_> = text
        .chunks(size)
        .map(|piece| Ok::<_, Infallible>(Frame::data(Bytes::copy_from_slice(piece))))
        .collect();
    let mut request = Request::new(Body::new(StreamBody::new(stream::iter(pieces))));
    *request.method_mut() = Verb::POST;
    normalise(request.headers_mut(), Dialect::GrpcWebText);
    let response = GrpcWebLayer::new().layer(service).oneshot(request).now_or_never();
    assert!(response.is_some(), "a complete body is read to its end");
    read.lock().expect("no thread panics while it holds the lock").take()
}

#[cfg(test)]
mod tests {
    use crate::clock::fuzz_inputs;

    #[test]
    fn every_head_has_the_right_route() {
        fuzz_inputs("steer").for_each(|data| super::steer(&data));
    }

    #[test]
    fn every_base64_body_ends_and_a_valid_one_is_decoded() {
        fuzz_inputs("grpc_web_text").for_each(|data| super::grpc_web_text(&data));
    }
}

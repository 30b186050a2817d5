//! A refusal in the caller's dialect.

use http::{HeaderValue, Response, header};
use tonic::Status;

use super::{
    body::Body,
    route::{Dialect, Refused},
    status,
};
use crate::model::Error;

/// Answers a call with a failure, as gRPC status or as JSON. What speaks gRPC-web is translated above.
pub(super) fn answer(dialect: Dialect, error: Error) -> Response<Body> {
    match dialect {
        Dialect::Rest => status::refuse(&error).map(Body::from),
        Dialect::Grpc | Dialect::GrpcWeb | Dialect::GrpcWebText => {
            Status::from(error).into_http::<tonic::body::Body>().map(Body::from)
        }
    }
}

/// Answers above the translation of gRPC-web, where a status without messages is the same but for its name.
pub(super) fn answer_above(dialect: Dialect, error: Error) -> Response<Body> {
    let mut response = answer(dialect, error);
    let content_type = match dialect {
        Dialect::GrpcWeb => "application/grpc-web+proto",
        Dialect::GrpcWebText => "application/grpc-web-text+proto",
        Dialect::Grpc | Dialect::Rest => return response,
    };
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// Answers what HTTP itself refuses.
pub(super) fn http(refused: Refused) -> Response<Body> {
    let mut response = status::refuse_plainly(refused.status, refused.sentence, refused.reason);
    if let Some((name, value)) = refused.header {
        response.headers_mut().insert(name, value);
    }
    response.map(Body::from)
}

//! Faults between the client and the server, mostly those of a proxy.

use std::io;

use bytes::Bytes;
use futures_util::stream;
use http::{Response, header};
use http_body::Frame;
use http_body_util::{Empty, Full, StreamBody};
use tonic::{Code, Status, body::Body};

/// A fault that replaces a response.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// A page of the proxy's, with this status.
    Page(u16),
    /// A gRPC status of the proxy's.
    GrpcStatus(Code),
    /// The server has answered, but the response ends before its status.
    Truncated,
    /// The server has answered, but the stream is reset (RST_STREAM).
    StreamReset,
}

impl Fault {
    /// Whether the server receives the call.
    pub(crate) fn reaches_server(self) -> bool {
        matches!(self, Self::Truncated | Self::StreamReset)
    }

    pub(super) fn answer(self) -> Response<Body> {
        let grpc = Response::builder().header(header::CONTENT_TYPE, "application/grpc");
        match self {
            Self::Page(status) => Response::builder()
                .status(status)
                .header(header::CONTENT_TYPE, "text/html")
                .body(Body::new(Full::new(Bytes::from_static(b"<html><h1>Bad Gateway</h1></html>"))))
                .unwrap(),
            Self::GrpcStatus(code) => Status::new(code, "upstream connect error").into_http(),
            Self::Truncated => grpc.body(Body::new(Empty::new())).unwrap(),
            Self::StreamReset => {
                let broken =
                    stream::iter([Err::<Frame<Bytes>, _>(io::Error::from(io::ErrorKind::BrokenPipe))]);
                grpc.body(Body::new(StreamBody::new(broken))).unwrap()
            }
        }
    }
}

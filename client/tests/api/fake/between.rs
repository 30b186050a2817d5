//! What something between the client and the server does to a call: a proxy, mostly.

use std::io;

use bytes::Bytes;
use futures_util::stream;
use http::{Response, header};
use http_body::Frame;
use http_body_util::{Empty, Full, StreamBody};
use tonic::{Code, Status, body::Body};

/// What comes in the place of an answer.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Between {
    /// A page of the proxy's, with this status.
    Page(u16),
    /// A status of the proxy's own.
    Says(Code),
    /// The server has answered, and its answer ends before its status.
    Cut,
    /// The server has answered, and RST_STREAM takes the place of it.
    Reset,
}

impl Between {
    /// Whether the server is called all the same.
    pub(crate) fn lets_pass(self) -> bool {
        matches!(self, Self::Cut | Self::Reset)
    }

    pub(super) fn answer(self) -> Response<Body> {
        let grpc = Response::builder().header(header::CONTENT_TYPE, "application/grpc");
        match self {
            Self::Page(status) => Response::builder()
                .status(status)
                .header(header::CONTENT_TYPE, "text/html")
                .body(Body::new(Full::new(Bytes::from_static(b"<html><h1>Bad Gateway</h1></html>"))))
                .unwrap(),
            Self::Says(code) => Status::new(code, "upstream connect error").into_http(),
            Self::Cut => grpc.body(Body::new(Empty::new())).unwrap(),
            Self::Reset => {
                let broken =
                    stream::iter([Err::<Frame<Bytes>, _>(io::Error::from(io::ErrorKind::BrokenPipe))]);
                grpc.body(Body::new(StreamBody::new(broken))).unwrap()
            }
        }
    }
}

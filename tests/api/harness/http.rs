//! A bare HTTP client: any method, path, headers and body, over HTTP/1.1 and HTTP/2, with TLS and without.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri, header::HOST};
use http_body_util::{BodyExt as _, Full};
use hyper::{
    body::Incoming,
    client::conn::{http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tonic::Status;

use super::{Certificate, tls, within};

/// The HTTP version of a connection, and whether it uses TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    H1,
    H2,
    TlsH1,
    TlsH2,
}

impl Version {
    /// Returns the ALPN name; `None` without TLS.
    const fn alpn(self) -> Option<&'static str> {
        match self {
            Self::H1 | Self::H2 => None,
            Self::TlsH1 => Some("http/1.1"),
            Self::TlsH2 => Some("h2"),
        }
    }
}

/// A complete answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) trailers: HeaderMap,
}

impl Answer {
    /// Returns a header's value; `""` if it is absent.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Returns the body as text.
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// Returns the body as JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error} in {:?} {:?}", self.status, self.body))
    }
}

/// Builds a request. The path may contain a query.
pub(crate) fn request(
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::new(body.into()));
    *request.method_mut() = Method::from_bytes(method.as_bytes()).unwrap();
    *request.uri_mut() = path.parse().unwrap();
    for (name, value) in headers {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        request.headers_mut().append(name, HeaderValue::from_str(value).unwrap());
    }
    request
}

/// A connection, which is closed when it is dropped.
#[derive(Debug)]
pub(crate) struct Connection {
    address: SocketAddr,
    scheme: &'static str,
    sender: Sender,
}

#[derive(Debug)]
enum Sender {
    H1(http1::SendRequest<Full<Bytes>>),
    H2(http2::SendRequest<Full<Bytes>>),
}

impl Connection {
    /// Connects.
    pub(crate) async fn open(address: SocketAddr, version: Version) -> Self {
        Self::try_open(address, version).await.unwrap()
    }

    /// Connects, or fails if the address refuses connections.
    pub(crate) async fn try_open(address: SocketAddr, version: Version) -> Result<Self, Status> {
        let Some(alpn) = version.alpn() else {
            let socket = within("a connection", TcpStream::connect(address)).await.map_err(broken)?;
            return Self::try_over(socket, address, version).await;
        };
        // Boxed, since the future of a handshake is large and would be part of every caller's.
        Box::pin(async {
            let stream = tls::connect(address, &[Certificate::trusted()], &[alpn]).await.unwrap();
            assert_eq!(stream.get_ref().1.alpn_protocol(), Some(alpn.as_bytes()));
            Self::try_over(stream, address, version).await
        })
        .await
    }

    /// Uses a stream that is connected already.
    pub(crate) async fn over(
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        address: SocketAddr,
        version: Version,
    ) -> Self {
        Self::try_over(stream, address, version).await.unwrap()
    }

    async fn try_over(
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        address: SocketAddr,
        version: Version,
    ) -> Result<Self, Status> {
        let socket = TokioIo::new(stream);
        let scheme = if version.alpn().is_some() { "https" } else { "http" };
        let sender = match version {
            Version::H1 | Version::TlsH1 => {
                let (sender, driver) = http1::handshake(socket).await.map_err(broken)?;
                tokio::spawn(driver);
                Sender::H1(sender)
            }
            Version::H2 | Version::TlsH2 => {
                let handshake = http2::handshake(TokioExecutor::new(), socket);
                let (sender, driver) = handshake.await.map_err(broken)?;
                tokio::spawn(driver);
                Sender::H2(sender)
            }
        };
        Ok(Self { address, scheme, sender })
    }

    /// Connects over HTTP/2 with stream windows of 16 KiB, which are updated only as a body is read.
    pub(crate) async fn narrow(address: SocketAddr) -> Self {
        let socket = TokioIo::new(within("a connection", TcpStream::connect(address)).await.unwrap());
        let mut builder = http2::Builder::new(TokioExecutor::new());
        let narrow = builder.initial_stream_window_size(16 << 10);
        let (sender, driver) = narrow.handshake(socket).await.unwrap();
        tokio::spawn(driver);
        Self { address, scheme: "http", sender: Sender::H2(sender) }
    }

    /// Returns whether it has ended.
    pub(crate) fn is_closed(&self) -> bool {
        match &self.sender {
            Sender::H1(sender) => sender.is_closed(),
            Sender::H2(sender) => sender.is_closed(),
        }
    }

    /// Sends a request and returns the answer's headers and its unread body.
    pub(crate) async fn start(&mut self, request: Request<Full<Bytes>>) -> http::Response<Incoming> {
        self.try_start(request).await.unwrap()
    }

    /// Like [`Self::start`], but fails if the connection ends.
    pub(crate) async fn try_start(
        &mut self,
        mut request: Request<Full<Bytes>>,
    ) -> Result<http::Response<Incoming>, Status> {
        let answer = match &mut self.sender {
            Sender::H1(sender) => {
                if !request.headers().contains_key(HOST) {
                    let host = HeaderValue::from_str(&self.address.to_string()).unwrap();
                    request.headers_mut().insert(HOST, host);
                }
                within("an answer's head", sender.send_request(request)).await
            }
            Sender::H2(sender) => {
                let path = request.uri().path_and_query().unwrap().as_str().to_owned();
                *request.uri_mut() = Uri::builder()
                    .scheme(self.scheme)
                    .authority(self.address.to_string())
                    .path_and_query(path)
                    .build()
                    .unwrap();
                within("an answer's head", sender.send_request(request)).await
            }
        };
        answer.map_err(broken)
    }

    /// Sends a request and awaits the complete answer.
    pub(crate) async fn send(&mut self, request: Request<Full<Bytes>>) -> Answer {
        self.try_send(request).await.unwrap()
    }

    /// Like [`Self::send`], but fails if the connection ends.
    pub(crate) async fn try_send(&mut self, request: Request<Full<Bytes>>) -> Result<Answer, Status> {
        let (head, body) = self.try_start(request).await?.into_parts();
        let collected = within("an answer's body", body.collect()).await.map_err(broken)?;
        let trailers = collected.trailers().cloned().unwrap_or_default();
        let answer =
            Answer { status: head.status, headers: head.headers, body: collected.to_bytes(), trailers };
        if answer.status.is_client_error() || answer.status.is_server_error() {
            let body = String::from_utf8_lossy(&answer.body);
            assert!(!body.contains("cAnary"), "a refusal repeats a secret: {answer:?}");
        }
        Ok(answer)
    }
}

/// The status that gRPC clients report when the connection breaks.
pub(crate) fn broken(error: impl std::fmt::Display) -> Status {
    Status::unavailable(format!("the connection broke: {error}"))
}

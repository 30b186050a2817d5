//! gRPC calls over the h2 crate.

use std::{
    error::Error,
    fmt::{self, Display, Formatter},
    io,
    net::{Ipv4Addr, SocketAddr},
};

use anyhow::{Context as _, Result};
use bytes::{BufMut as _, Bytes, BytesMut};
use h2::{
    RecvStream, SendStream,
    client::{self, ResponseFuture, SendRequest},
};
use http::{HeaderMap, Request};
use prost::Message;
use tokio::{
    net::{TcpSocket, TcpStream},
    task::AbortHandle,
};

use super::wire;

const WINDOW: u32 = 1 << 24;

/// One HTTP/2 connection; dropping it closes it.
#[derive(Debug)]
pub(crate) struct Connection {
    requests: SendRequest<Bytes>,
    address: SocketAddr,
    driver: AbortHandle,
}

/// A gRPC status other than OK.
#[derive(Debug)]
pub(crate) struct StatusError {
    /// The code, as a decimal number.
    pub(crate) code: String,
    message: String,
}

impl Error for StatusError {}

impl Display for StatusError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "status {}: {}", self.code, self.message)
    }
}

/// A call with both its directions.
#[derive(Debug)]
pub(crate) struct Call {
    pub(super) requests: SendStream<Bytes>,
    pub(super) response: ResponseFuture,
}

impl Connection {
    /// Connects by HTTP/2 without TLS.
    ///
    /// # Errors
    /// If the connection or the handshake fails.
    pub(crate) async fn open(address: SocketAddr) -> Result<Self> {
        Self::open_with_window(address, WINDOW).await
    }

    /// Connects with another window for each stream; with a window of 0 the server can send no data.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub(crate) async fn open_with_window(address: SocketAddr, window: u32) -> Result<Self> {
        Self::over(TcpStream::connect(address).await?, address, window).await
    }

    /// Connects from another address of this machine.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub(crate) async fn open_from(from: Ipv4Addr, address: SocketAddr) -> Result<Self> {
        Self::over(connect_from(from, address).await?, address, WINDOW).await
    }

    async fn over(socket: TcpStream, address: SocketAddr, window: u32) -> Result<Self> {
        socket.set_nodelay(true)?;
        let (requests, connection) = client::Builder::new()
            .initial_window_size(window)
            .initial_connection_window_size(WINDOW)
            // Data that arrives on a stream that was dropped is no error of the server.
            .max_local_error_reset_streams(None)
            .handshake(socket)
            .await?;
        // An error of the connection reaches its streams too.
        let driver = tokio::task::spawn_local(async { drop(connection.await) }).abort_handle();
        Ok(Self { requests, address, driver })
    }

    /// Starts a call; `path` is `/package.Service/Method`.
    ///
    /// # Errors
    /// If the connection is closed.
    pub(crate) async fn start(&self, path: &str, token: Option<&str>) -> Result<Call> {
        let mut request = Request::post(format!("http://{}{path}", self.address))
            .header("content-type", "application/grpc")
            .header("te", "trailers");
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let mut ready = self.requests.clone().ready().await?;
        let (response, requests) = ready.send_request(request.body(())?, false)?;
        Ok(Call { requests, response })
    }

    /// Makes a unary call.
    ///
    /// # Errors
    /// If it fails; a status other than OK is a [`StatusError`].
    pub(crate) async fn unary<A: Message + Default>(
        &self,
        path: &str,
        token: Option<&str>,
        request: &impl Message,
    ) -> Result<A> {
        let mut call = self.start(path, token).await?;
        call.requests.send_data(framed([request]), true)?;
        let response = call.response.await.with_context(|| format!("no answer to {path}"))?;
        status(response.headers()).context(path.to_owned())?;
        let mut body = response.into_body();
        let mut bytes = BytesMut::new();
        while let Some(data) = receive(&mut body).await? {
            bytes.extend_from_slice(&data);
        }
        status(&body.trailers().await?.unwrap_or_default()).context(path.to_owned())?;
        let message = bytes.get(wire::PREFIX..).context("no message in the answer")?;
        Ok(A::decode(message)?)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// Encodes messages one after the other, each with its prefix.
pub(super) fn framed<'m, M: Message + 'm>(messages: impl IntoIterator<Item = &'m M>) -> Bytes {
    let mut bytes = BytesMut::new();
    for message in messages {
        bytes.put_u8(0);
        bytes.put_u32(u32::try_from(message.encoded_len()).unwrap_or(u32::MAX));
        message.encode_raw(&mut bytes);
    }
    bytes.freeze()
}

/// Returns the next piece of a body, and releases its flow-control capacity.
pub(super) async fn receive(body: &mut RecvStream) -> Result<Option<Bytes>> {
    let Some(data) = body.data().await.transpose()? else { return Ok(None) };
    body.flow_control().release_capacity(data.len())?;
    Ok(Some(data))
}

/// Checks the status in headers or trailers, if there is one.
///
/// # Errors
/// If the status is not OK.
pub(super) fn status(headers: &HeaderMap) -> Result<()> {
    let text = |name| headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    match text("grpc-status") {
        Some(code) if code != "0" => {
            Err(StatusError { code, message: text("grpc-message").unwrap_or_default() }.into())
        }
        _ => Ok(()),
    }
}

/// Connects from another address of this machine.
///
/// # Errors
/// If the connection fails.
pub(crate) async fn connect_from(from: Ipv4Addr, address: SocketAddr) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from((from, 0)))?;
    socket.connect(address).await
}

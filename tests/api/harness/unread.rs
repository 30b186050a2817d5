//! An HTTP/2 client that does not read its answers, and sends as much of a request body as the test asks for.

use std::net::SocketAddr;

use bytes::Bytes;
use h2::{
    SendStream,
    client::{Builder, ResponseFuture, SendRequest},
};
use tokio::{net::TcpStream, task::JoinHandle};

use super::{Caller, Rpc, frame, within};

/// The window of its streams, in bytes: an answer's frame header, and nothing of the message.
const WINDOW: u32 = 5;

/// A connection on which the server can send only the first bytes of an answer. It is closed when it is dropped.
pub(crate) struct Unread {
    client: SendRequest<Bytes>,
    driver: JoinHandle<()>,
}

impl Drop for Unread {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Unread {
    /// Connects. Returns after the server's SETTINGS, which have its own windows.
    pub(crate) async fn on(address: SocketAddr) -> Self {
        let socket = within("a connection", TcpStream::connect(address)).await.unwrap();
        let handshake = Builder::new().initial_window_size(WINDOW).handshake::<_, Bytes>(socket);
        let (client, connection) = within("a handshake", handshake).await.unwrap();
        let driver = tokio::spawn(async move { drop(connection.await) });
        let mut this = Self { client, driver };
        this.is_answered().await;
        this
    }

    /// Awaits an answer: by then the server has received everything that was sent before, and its earlier frames were read.
    pub(crate) async fn is_answered(&mut self) {
        let probe = http::Request::get("http://x/livez").body(()).unwrap();
        let (answer, _) = self.ready().await.send_request(probe, true).unwrap();
        assert_eq!(within("an answer", answer).await.unwrap().status(), 200);
    }

    async fn ready(&mut self) -> &mut SendRequest<Bytes> {
        self.client = within("a stream", self.client.clone().ready()).await.unwrap();
        &mut self.client
    }

    /// Sends a call. The headers of its answer can be awaited.
    pub(crate) async fn ask<R: Rpc>(&mut self, caller: &Caller, message: &R) -> ResponseFuture {
        let headers = [("content-type", "application/grpc"), ("token", caller.token())];
        let (answer, mut body) = self.post(R::PATH, &headers).await;
        body.send_data(frame(message), true).unwrap();
        answer
    }

    /// Sends the headers of a request, and nothing of its body yet.
    pub(crate) async fn post(
        &mut self,
        path: &str,
        headers: &[(&str, &str)],
    ) -> (ResponseFuture, SendStream<Bytes>) {
        let head = http::Request::post(format!("http://x{path}"));
        let head = headers.iter().fold(head, |head, (name, value)| head.header(*name, *value));
        self.ready().await.send_request(head.body(()).unwrap(), false).unwrap()
    }
}

/// Returns the length of an answer's message from its frame header.
pub(crate) async fn length(answer: http::Response<h2::RecvStream>) -> usize {
    let mut body = answer.into_body();
    let prefix = within("the prefix of a message", body.data()).await.unwrap().unwrap();
    let Some((0, length)) = prefix.split_first() else { panic!("no message: {prefix:?}") };
    u32::from_be_bytes(length.try_into().unwrap()) as usize
}

/// Sends as much of a body as the window allows, and returns the number of bytes.
pub(crate) fn fill(body: &mut SendStream<Bytes>) -> usize {
    body.reserve_capacity(1 << 24);
    let count = body.capacity();
    body.send_data(vec![b'x'; count].into(), false).unwrap();
    count
}

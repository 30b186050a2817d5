//! A client of HTTP/2 that leaves things as they are: it reads no answer, and sends as much of a request as it is told to.

use std::net::SocketAddr;

use bytes::Bytes;
use h2::{
    SendStream,
    client::{Builder, ResponseFuture, SendRequest},
};
use tokio::{net::TcpStream, task::JoinHandle};

use super::{Caller, Rpc, frame, within};

/// As much of an answer as its streams have a window for: the length of the message that follows.
const WINDOW: u32 = 5;

/// A connection on which no more than the beginning of an answer comes. It ends when it is dropped.
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
    /// Connects, and returns once the server has told its own windows.
    pub(crate) async fn on(address: SocketAddr) -> Self {
        let socket = within("a connection", TcpStream::connect(address)).await.unwrap();
        let handshake = Builder::new().initial_window_size(WINDOW).handshake::<_, Bytes>(socket);
        let (client, connection) = within("a handshake", handshake).await.unwrap();
        let driver = tokio::spawn(async move { drop(connection.await) });
        let mut this = Self { client, driver };
        this.is_answered().await;
        this
    }

    /// Awaits an answer: all that was sent before has come, and all that the server said before was heard.
    pub(crate) async fn is_answered(&mut self) {
        let probe = http::Request::get("http://x/livez").body(()).unwrap();
        let (answer, _) = self.ready().await.send_request(probe, true).unwrap();
        assert_eq!(within("an answer", answer).await.unwrap().status(), 200);
    }

    async fn ready(&mut self) -> &mut SendRequest<Bytes> {
        self.client = within("a stream", self.client.clone().ready()).await.unwrap();
        &mut self.client
    }

    /// Asks for an answer, whose head can be awaited.
    pub(crate) async fn ask<R: Rpc>(&mut self, caller: &Caller, message: &R) -> ResponseFuture {
        let headers = [("content-type", "application/grpc"), ("token", caller.token())];
        let (answer, mut body) = self.post(R::PATH, &headers).await;
        body.send_data(frame(message), true).unwrap();
        answer
    }

    /// Begins a request with a body, of which nothing is sent yet.
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

/// Reads how long the message of an answer is, all of which may not have come.
pub(crate) async fn length(answer: http::Response<h2::RecvStream>) -> usize {
    let mut body = answer.into_body();
    let prefix = within("the prefix of a message", body.data()).await.unwrap().unwrap();
    let Some((0, length)) = prefix.split_first() else { panic!("no message: {prefix:?}") };
    u32::from_be_bytes(length.try_into().unwrap()) as usize
}

/// Sends as much of a body as there is a window for, and returns how much that was.
pub(crate) fn fill(body: &mut SendStream<Bytes>) -> usize {
    body.reserve_capacity(1 << 24);
    let count = body.capacity();
    body.send_data(vec![b'x'; count].into(), false).unwrap();
    count
}

//! An HTTP/2 connection: accepts requests, and starts a task for each.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use h2::{
    Reason, RecvStream,
    server::{Connection, SendResponse},
};
use http::Request;
use tokio_util::io::InspectReader;

use super::{ping::Pings, start_queue::StartQueue, stream};
use crate::gateway::{
    incoming::{Http2Body, Incoming},
    listener::{prefixed::Prefixed, transport::Transport},
    response_memory::ResponseMemory,
    stack::PeerService,
};

/// The byte stream under a connection, with a function that sees what arrives.
pub(super) type Io = InspectReader<Prefixed<Transport>, Box<dyn FnMut(&[u8]) + Send>>;

/// A connection that is served. As a future it ends with the connection, or when the peer has vanished.
pub(super) struct Serving {
    /// The connection, on which responses are sent as [`Bytes`].
    pub(super) connection: Connection<Io, Bytes>,
    /// Finds a peer that has vanished.
    pub(super) pings: Option<Pings>,
    /// Answers the requests.
    pub(super) service: PeerService,
    /// Starts their tasks.
    pub(super) start_queue: StartQueue,
    /// Memory of all responses.
    pub(super) memory: ResponseMemory,
}

impl Serving {
    /// Sends GOAWAY. Requests that came before the peer has read it are answered.
    pub(super) fn shut_down(mut self: Pin<&mut Self>) {
        self.connection.graceful_shutdown();
    }

    fn start(&self, request: Request<RecvStream>, reply: SendResponse<Bytes>) {
        let (head, body) = request.into_parts();
        let body = Incoming::Right(Http2Body::new(body, &head.headers));
        let response = self.service.respond(Request::from_parts(head, body));
        self.start_queue.start(stream::serve(response, reply, self.memory.clone()));
    }
}

impl Future for Serving {
    type Output = Result<(), h2::Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), h2::Error>> {
        let this = &mut *self;
        if let Some(pings) = &mut this.pings
            && pings.poll(context).is_ready()
        {
            tracing::debug!("a connection is closed: its peer has not answered a PING in time");
            this.connection.abrupt_shutdown(Reason::NO_ERROR);
            // Writes what the socket still accepts.
            let _ = this.connection.poll_closed(context);
            return Poll::Ready(Ok(()));
        }
        while let Some(accepted) = ready!(this.connection.poll_accept(context)) {
            let (request, reply) = accepted?;
            this.start(request, reply);
        }
        Poll::Ready(Ok(()))
    }
}

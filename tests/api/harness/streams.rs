//! The two kinds of room streams, Subscribe and Chat.

use std::fmt::Debug;

use grpcchatter_proto::v1::{
    ChatRequest, ChatResponse, Message, ResumePoint, SubscribeRequest, SubscribeResponse,
    subscribe_request::Start, subscribe_response::Event,
};
use http::uri::PathAndQuery;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use prost::Message as _;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{
    Code, Status, Streaming,
    metadata::{AsciiMetadataValue, BinaryMetadataValue, MetadataMap},
};
use tonic_prost::ProstCodec;

use super::{
    Caller, Connection, Dialect, Frame, Frames,
    dialect::status_of,
    http::{broken, request},
    rpc::{CHAT, SUBSCRIBE},
    within,
};

/// A subscription, in any dialect.
#[derive(Debug)]
pub(crate) struct Subscription(Source);

#[derive(Debug)]
enum Source {
    Native(Box<Streaming<SubscribeResponse>>),
    Web(Box<WebStream>),
}

impl Subscription {
    /// Opens a subscription. Returns after the headers of the answer.
    pub(crate) async fn open(caller: &Caller, message: SubscribeRequest) -> Result<Self, Status> {
        if caller.dialect != Dialect::Native {
            return WebStream::open(caller, message).await.map(|stream| Self(Source::Web(Box::new(stream))));
        }
        let mut grpc = caller.ready().await?;
        let (path, codec) = (PathAndQuery::from_static(SUBSCRIBE), ProstCodec::default());
        let answer = grpc.server_streaming(caller.carrying(message), path, codec);
        Ok(Self(Source::Native(Box::new(within("the head of Subscribe", answer).await?.into_inner()))))
    }

    /// Opens a subscription with a small window: the server can send only a few kilobytes until it is read.
    pub(crate) async fn narrow(caller: &Caller, start: Option<Start>) -> Result<Self, Status> {
        let caller = caller.with_dialect(Dialect::Web);
        Self::over(Connection::narrow(caller.address).await, &caller, start).await
    }

    /// Opens a subscription in gRPC-web over a connection.
    pub(crate) async fn over(
        connection: Connection,
        caller: &Caller,
        start: Option<Start>,
    ) -> Result<Self, Status> {
        let stream = WebStream::over(connection, caller, SubscribeRequest { start }).await?;
        Ok(Self(Source::Web(Box::new(stream))))
    }

    /// Returns the next event, or `None` if the stream ended with OK. The wait is not bounded.
    pub(crate) async fn event(&mut self) -> Result<Option<Event>, Status> {
        let response = match &mut self.0 {
            Source::Native(stream) => stream.message().await?,
            Source::Web(stream) => stream.message().await?,
        };
        Ok(response.map(|response| response.event.expect("every response holds an event")))
    }

    /// Returns the next event of a stream that is still open.
    pub(crate) async fn next(&mut self) -> Event {
        let event = within("an event", self.event()).await;
        event.expect("the stream goes on").expect("the stream goes on")
    }

    /// Skips events until `wanted` returns something. The whole wait is bounded, since heartbeats alone would go on for ever.
    pub(crate) async fn find<T>(&mut self, mut wanted: impl FnMut(Event) -> Option<T>) -> T {
        let search = async {
            loop {
                let event = self.event().await.expect("the stream goes on").expect("the stream goes on");
                if let Some(found) = wanted(event) {
                    return found;
                }
            }
        };
        within("the event looked for", search).await
    }

    /// Returns the next message. Skips other events.
    pub(crate) async fn message(&mut self) -> Message {
        self.find(|event| if let Event::Message(message) = event { Some(message) } else { None }).await
    }

    /// Returns the status with which the stream ends. Skips all events before it.
    pub(crate) async fn end(self) -> Status {
        self.rest().await.1
    }

    /// Returns all events until the stream ends, and the status with which it ends.
    pub(crate) async fn rest(mut self) -> (Vec<Event>, Status) {
        let mut events = Vec::new();
        let end = async {
            loop {
                match self.event().await {
                    Ok(Some(event)) => events.push(event),
                    Ok(None) => return Status::ok(""),
                    Err(status) => return status,
                }
            }
        };
        let status = within("the end of the stream", end).await;
        (events, status)
    }
}

/// A subscription over gRPC-web.
#[derive(Debug)]
struct WebStream {
    /// Dropping it would end the stream.
    _connection: Connection,
    body: Incoming,
    frames: Frames,
}

impl WebStream {
    async fn open(caller: &Caller, message: SubscribeRequest) -> Result<Self, Status> {
        let connection = Connection::try_open(caller.address, caller.dialect.version()).await?;
        Self::over(connection, caller, message).await
    }

    async fn over(
        mut connection: Connection,
        caller: &Caller,
        message: SubscribeRequest,
    ) -> Result<Self, Status> {
        let (dialect, bearer) = (caller.dialect, caller.bearer());
        let mut headers = vec![("content-type", dialect.content_type())];
        headers.extend(bearer.as_ref().map(|bearer| ("authorization", bearer.as_str())));
        let request = request("POST", SUBSCRIBE, &headers, dialect.encode(&message));
        let (head, body) = connection.try_start(request).await?.into_parts();
        assert_eq!(head.status, 200);
        if head.headers.contains_key("grpc-status") {
            return Err(status_of(&head.headers));
        }
        Ok(Self { _connection: connection, body, frames: dialect.frames() })
    }

    async fn message(&mut self) -> Result<Option<SubscribeResponse>, Status> {
        loop {
            match self.frames.next() {
                Some(Frame::Message(message)) => {
                    return Ok(Some(SubscribeResponse::decode(message).unwrap()));
                }
                Some(Frame::Trailers(trailers)) => match status_of(&trailers) {
                    status if status.code() == Code::Ok => return Ok(None),
                    status => return Err(status),
                },
                None => {}
            }
            let part = self.body.frame().await.expect("a stream ends with its trailers");
            let part = part.map_err(broken)?;
            self.frames.push(part.data_ref().expect("gRPC-web has no HTTP trailers"));
        }
    }
}

/// A Chat.
#[derive(Debug)]
pub(crate) struct Chat {
    pub(crate) metadata: MetadataMap,
    sender: Option<mpsc::Sender<ChatRequest>>,
    stream: Streaming<ChatResponse>,
}

impl Chat {
    /// Opens a Chat. Returns after the headers of the answer.
    pub(crate) async fn open(caller: &Caller, after: Option<ResumePoint>) -> Result<Self, Status> {
        let mut metadata = MetadataMap::new();
        if let Some(point) = after {
            let point = BinaryMetadataValue::from_bytes(&point.encode_to_vec());
            metadata.insert_bin("grpcchatter-resume-bin", point);
        }
        Self::open_with(caller, metadata).await
    }

    /// Opens a Chat that asks for heartbeats after `silence`.
    pub(crate) async fn with_heartbeats(caller: &Caller, silence: &'static str) -> Result<Self, Status> {
        let mut metadata = MetadataMap::new();
        metadata.insert("grpcchatter-heartbeat", AsciiMetadataValue::from_static(silence));
        Self::open_with(caller, metadata).await
    }

    async fn open_with(caller: &Caller, metadata: MetadataMap) -> Result<Self, Status> {
        let (sender, outgoing) = mpsc::channel(4096);
        let mut request = caller.carrying(ReceiverStream::new(outgoing));
        request.metadata_mut().as_mut().extend(metadata.into_headers());
        let mut grpc = caller.ready().await?;
        let (path, codec) = (PathAndQuery::from_static(CHAT), ProstCodec::default());
        let answer = within("the head of Chat", grpc.streaming(request, path, codec)).await?;
        let (metadata, stream, _) = answer.into_parts();
        Ok(Self { metadata, sender: Some(sender), stream })
    }

    /// Sends a message without an id, as old clients do. It is not echoed.
    pub(crate) async fn say(&self, body: &str) {
        self.say_as("", body).await;
    }

    /// Sends a message with an id. It is echoed once stored, or rejected.
    pub(crate) async fn say_as(&self, client_message_id: &str, body: &str) {
        let (body, client_message_id) = (body.to_owned(), client_message_id.to_owned());
        let sender = self.sender.as_ref().expect("this side is still open");
        // Sending fails if the server has ended the stream. The test reads the status.
        drop(sender.send(ChatRequest { body, client_message_id }).await);
    }

    /// Closes the client's side of the stream.
    pub(crate) fn half_close(&mut self) {
        self.sender = None;
    }

    /// Returns the next response of a stream that is still open.
    pub(crate) async fn next(&mut self) -> ChatResponse {
        self.response().await.expect("the stream goes on").expect("the stream goes on")
    }

    /// Returns the next response, or `None` if the stream ended with OK.
    pub(crate) async fn response(&mut self) -> Result<Option<ChatResponse>, Status> {
        within("a response", self.stream.message()).await
    }

    /// Returns the status with which the stream ends. Skips all responses before it.
    pub(crate) async fn end(mut self) -> Status {
        let end = async {
            loop {
                match self.stream.message().await {
                    Ok(Some(_)) => {}
                    Ok(None) => return Status::ok(""),
                    Err(status) => return status,
                }
            }
        };
        within("the end of the stream", end).await
    }
}

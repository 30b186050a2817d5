//! The three ways in which one call can be written.

use bytes::Bytes;
use http::HeaderMap;
use prost::Message;
use tonic::{Code, Status};

use super::{Answer, Connection, Frame, Frames, Version, frame, framing::to_text, http::request};

/// The wire format of a gRPC call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    Native,
    Web,
    WebText,
}

impl Dialect {
    /// Each dialect.
    pub(crate) const ALL: [Self; 3] = [Self::Native, Self::Web, Self::WebText];

    /// Returns the media type of requests and answers.
    pub(crate) const fn content_type(self) -> &'static str {
        match self {
            Self::Native => "application/grpc",
            Self::Web => "application/grpc-web+proto",
            Self::WebText => "application/grpc-web-text+proto",
        }
    }

    /// Returns the oldest HTTP version that supports it.
    pub(crate) const fn version(self) -> Version {
        match self {
            Self::Native => Version::H2,
            Self::Web | Self::WebText => Version::H1,
        }
    }

    /// Encodes the body of a request.
    pub(crate) fn encode(self, message: &impl Message) -> Bytes {
        match self {
            Self::Native | Self::Web => frame(message),
            Self::WebText => to_text(&frame(message)),
        }
    }

    /// Returns a reader of answers.
    pub(crate) fn frames(self) -> Frames {
        match self {
            Self::Native | Self::Web => Frames::binary(),
            Self::WebText => Frames::text(),
        }
    }

    /// Decodes an answer: the messages if the call succeeded, otherwise its status.
    ///
    /// # Panics
    /// If the answer has no gRPC status.
    pub(crate) fn decode(self, answer: &Answer) -> Result<Vec<Bytes>, Status> {
        assert_eq!(answer.status, 200, "gRPC's own status belongs into a 200: {answer:?}");
        let (mut messages, mut trailers) = (Vec::new(), answer.trailers.clone());
        let mut frames = self.frames();
        frames.push(&answer.body);
        while let Some(frame) = frames.next() {
            match frame {
                Frame::Message(message) => messages.push(message),
                Frame::Trailers(found) => trailers = found,
            }
        }
        assert!(frames.is_empty(), "cut short: {answer:?}");
        if trailers.is_empty() {
            trailers = answer.headers.clone();
        }
        match status_of(&trailers) {
            status if status.code() == Code::Ok => Ok(messages),
            status => Err(status),
        }
    }

    /// Calls a method with this metadata, on a connection that supports the dialect.
    pub(crate) async fn call(
        self,
        connection: &mut Connection,
        path: &str,
        metadata: &[(&str, &str)],
        message: &impl Message,
    ) -> Result<Vec<Bytes>, Status> {
        let mut headers = vec![("content-type", self.content_type())];
        if self == Self::Native {
            headers.push(("te", "trailers"));
        }
        headers.extend(metadata);
        let answer = connection.try_send(request("POST", path, &headers, self.encode(message))).await?;
        let kind = answer.header("content-type");
        assert!(kind.starts_with(self.content_type()), "{path} answered in another dialect: {answer:?}");
        self.decode(&answer)
    }
}

/// Reads the gRPC status from trailers, or from the headers of a trailers-only answer.
pub(crate) fn status_of(trailers: &HeaderMap) -> Status {
    Status::from_header_map(trailers).unwrap_or_else(|| panic!("no grpc-status in {trailers:?}"))
}

//! One Subscribe stream that is read message by message, as by the client of one person.

use std::collections::VecDeque;

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use grpcchatter_proto::v1::{
    Message, ResumePoint, SubscribeRequest, SubscribeResponse, subscribe_request::Start,
    subscribe_response::Event,
};
use h2::{RecvStream, SendStream};
use prost::Message as _;

use super::{
    grpc::{self, Connection},
    wire::Messages,
};

/// A Subscribe stream; dropping it closes it.
#[derive(Debug)]
pub(crate) struct Reader {
    body: RecvStream,
    pieces: Messages,
    /// Received events that were not returned yet.
    events: VecDeque<Event>,
    _requests: SendStream<Bytes>,
}

impl Reader {
    /// Opens a stream after a resume point; without one it begins with the next message.
    ///
    /// # Errors
    /// If the server refuses it.
    pub(crate) async fn open(
        connection: &Connection,
        token: &str,
        after: Option<ResumePoint>,
    ) -> Result<Self> {
        let mut call = connection.start("/grpcchatter.v1.ChatService/Subscribe", Some(token)).await?;
        let request = SubscribeRequest { start: after.map(Start::After) };
        call.requests.send_data(grpc::framed([&request]), true)?;
        let response = call.response.await?;
        grpc::status(response.headers())?;
        Ok(Self {
            body: response.into_body(),
            pieces: Messages::default(),
            events: VecDeque::new(),
            _requests: call.requests,
        })
    }

    /// Returns the next event.
    ///
    /// # Errors
    /// If the stream ends.
    pub(crate) async fn next(&mut self) -> Result<Event> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Ok(event);
            }
            let Some(data) = grpc::receive(&mut self.body).await? else {
                grpc::status(&self.body.trailers().await?.unwrap_or_default())?;
                bail!("the server ended the stream");
            };
            let mut outcome = Ok(());
            self.pieces.feed(&data, |message| match SubscribeResponse::decode(message) {
                Ok(response) => self.events.extend(response.event),
                Err(error) => outcome = Err(error),
            });
            outcome.context("not an event")?;
        }
    }

    /// Returns the next message, and skips other events.
    ///
    /// # Errors
    /// If the stream ends.
    pub(crate) async fn message(&mut self) -> Result<Message> {
        loop {
            if let Event::Message(message) = self.next().await? {
                return Ok(message);
            }
        }
    }
}

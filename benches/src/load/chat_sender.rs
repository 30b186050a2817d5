//! A Chat stream that sends messages with ids, and measures the time until each is echoed, which means stored.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    rc::Rc,
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use grpcchatter_proto::v1::ChatRequest;
use h2::SendStream;
use tokio::{sync::Notify, task::AbortHandle};
use uuid::Uuid;

use super::{
    grpc::{self, Connection},
    stamp,
    wire::{self, Messages},
};
use crate::latencies::Latencies;

/// The most unanswered messages that the server accepts on a stream.
pub(crate) const UNANSWERED: usize = 64;
const CLIENT_MESSAGE_ID: u64 = 6;
const REJECTED: u64 = 7;
const REASON: u64 = 2;
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// A Chat stream; dropping it closes it.
#[derive(Debug)]
pub(crate) struct ChatSender {
    requests: SendStream<bytes::Bytes>,
    shared: Rc<Shared>,
    reader: AbortHandle,
}

#[derive(Debug, Default)]
struct Shared {
    /// The ids and send times of unanswered messages, in the order sent.
    unanswered: RefCell<VecDeque<(String, Duration)>>,
    answered: Cell<u64>,
    latencies: RefCell<Latencies>,
    failure: RefCell<Option<anyhow::Error>>,
    changed: Notify,
}

impl ChatSender {
    /// Opens Chat in the room of the token.
    ///
    /// # Errors
    /// If the server refuses it.
    pub(crate) async fn open(connection: &Connection, token: &str) -> Result<Self> {
        let call = connection.start("/grpcchatter.v1.ChatService/Chat", Some(token)).await?;
        let response = call.response.await?;
        grpc::status(response.headers())?;
        let shared = Rc::<Shared>::default();
        let own = Rc::clone(&shared);
        let reader = tokio::task::spawn_local(async move {
            let ended = own.read(response.into_body()).await;
            *own.failure.borrow_mut() = ended.err();
            own.changed.notify_one();
        });
        Ok(Self { requests: call.requests, shared, reader: reader.abort_handle() })
    }

    /// Sends `count` messages at once, in one DATA frame if they fit.
    ///
    /// # Errors
    /// If the stream has ended.
    pub(crate) fn send(&mut self, count: usize) -> Result<()> {
        if count == 0 {
            return Ok(());
        }
        let now = stamp::now();
        let mut unanswered = self.shared.unanswered.borrow_mut();
        let messages: Vec<_> = (0..count)
            .map(|_| ChatRequest { body: stamp::body(now), client_message_id: new_id() })
            .inspect(|message| unanswered.push_back((message.client_message_id.clone(), now)))
            .collect();
        Ok(self.requests.send_data(grpc::framed(&messages), false)?)
    }

    /// Returns the number of unanswered messages.
    pub(crate) fn unanswered(&self) -> usize {
        self.shared.unanswered.borrow().len()
    }

    /// Returns the number of answered messages.
    pub(crate) fn answered(&self) -> u64 {
        self.shared.answered.get()
    }

    /// Waits until at most `count` messages are unanswered.
    ///
    /// # Errors
    /// If a message was rejected, the stream ended, or no answer came for 30 s.
    pub(crate) async fn wait_for_unanswered(&self, count: usize) -> Result<()> {
        loop {
            if let Some(failure) = self.shared.failure.take() {
                return Err(failure);
            }
            if self.unanswered() <= count {
                return Ok(());
            }
            let changed = self.shared.changed.notified();
            tokio::time::timeout(ANSWER_TIMEOUT, changed).await.context("no answer came for 30 s")?;
        }
    }

    /// Returns the latencies since the last call, from sending to the answer.
    pub(crate) fn take_latencies(&self) -> Latencies {
        self.shared.latencies.take()
    }
}

impl Drop for ChatSender {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl Shared {
    async fn read(&self, mut body: h2::RecvStream) -> Result<()> {
        let mut pieces = Messages::default();
        let mut outcome = Ok(());
        while let Some(data) = grpc::receive(&mut body).await? {
            let now = stamp::now();
            pieces.feed(&data, |message| {
                if let Err(failure) = self.receive(message, now) {
                    outcome = Err(failure);
                }
            });
            std::mem::replace(&mut outcome, Ok(()))?;
            self.changed.notify_one();
        }
        grpc::status(&body.trailers().await?.unwrap_or_default())?;
        bail!("the server ended the stream")
    }

    /// Handles one received message. Messages of other senders have other ids, and are ignored.
    fn receive(&self, message: &[u8], now: Duration) -> Result<()> {
        let rejected = wire::field(message, REJECTED).map(|rejection| wire::field(rejection, REASON));
        ensure!(rejected.is_none(), "a message was rejected: {}", reason(rejected.flatten()));
        let id = wire::field(message, CLIENT_MESSAGE_ID).unwrap_or_default();
        let mut unanswered = self.unanswered.borrow_mut();
        if unanswered.front().is_some_and(|(sent, _)| sent.as_bytes() == id) {
            let sent = unanswered.pop_front().map_or(now, |(_, sent)| sent);
            self.answered.set(self.answered.get() + 1);
            self.latencies.borrow_mut().add(now.saturating_sub(sent));
        }
        Ok(())
    }
}

fn reason(reason: Option<&[u8]>) -> String {
    String::from_utf8_lossy(reason.unwrap_or_default()).into_owned()
}

/// Returns an id as the service advises: a version 7 UUID.
#[expect(clippy::disallowed_methods, reason = "a load client has no clock but the machine's")]
fn new_id() -> String {
    Uuid::now_v7().to_string()
}

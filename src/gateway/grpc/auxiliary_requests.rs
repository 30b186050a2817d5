//! Charges the requests inside an auxiliary stream, each like a call of its own.
//!
//! Opening the stream has paid for the first request. A request that its payer cannot pay for, or that is too large, ends
//! the stream: the requests before it are answered, and then the stream ends with the refusal. The stream does not wait for
//! the bucket to refill, since waiting streams would take the tokens that calls need, and would need a timer each.

use std::{
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame};
use tokio_util::sync::WaitForCancellationFutureOwned;
use tonic::{Status, body::Body};

use crate::{
    domain::{Budget, Cost},
    model::{Error, Payer, Result},
};

/// Maximum size of a request, which holds the name of a service, a file or a symbol.
pub(super) const MAX_AUXILIARY_REQUEST_BYTES: usize = 4 * 1024;

/// Size of a message's prefix: a compression flag, and the length.
const PREFIX_BYTES: usize = 5;

/// How each request inside a stream is charged.
pub(super) struct Charge {
    pub(super) budget: Budget,
    pub(super) payer: Payer,
    pub(super) cost: Cost,
}

/// The error that ended the requests of a stream. Clones share it.
#[derive(Clone, Default)]
pub(super) struct RequestError(Arc<OnceLock<Error>>);

impl RequestError {
    /// Returns the error, if there is one.
    pub(super) fn get(&self) -> Option<Error> {
        self.0.get().cloned()
    }
}

/// The request's body of an auxiliary stream. Ends with the stream, or before a request that is refused.
pub(super) struct AuxiliaryRequests {
    body: Option<Body>,
    stream_ended: Pin<Box<WaitForCancellationFutureOwned>>,
    reader: MessageReader,
    charge: Charge,
    error: RequestError,
}

impl AuxiliaryRequests {
    /// Passes a body on until `stream_ended`, or until a request in it is refused with `error`.
    pub(super) fn new(
        body: Body,
        stream_ended: WaitForCancellationFutureOwned,
        charge: Charge,
        error: RequestError,
    ) -> Self {
        let stream_ended = Box::pin(stream_ended);
        Self { body: Some(body), stream_ended, reader: MessageReader::default(), charge, error }
    }

    /// Returns the part of the data before the first request that is refused.
    fn admit(&mut self, mut data: Bytes) -> Bytes {
        let Err((admitted, error)) = self.reader.read(&data, &self.charge) else { return data };
        // It was not set before: the body ends here.
        drop(self.error.0.set(error));
        self.body = None;
        data.truncate(admitted);
        data
    }
}

impl HttpBody for AuxiliaryRequests {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.get_mut();
        if this.stream_ended.as_mut().poll(context).is_ready() {
            this.body = None;
        }
        let Some(body) = &mut this.body else { return Poll::Ready(None) };
        let frame = std::task::ready!(Pin::new(body).poll_frame(context));
        Poll::Ready(frame.map(|frame| Ok(frame?.map_data(|data| this.admit(data)))))
    }
}

/// Finds the messages in a body, whose pieces may end anywhere.
#[derive(Default)]
struct MessageReader {
    /// Bytes of the current prefix that were read.
    prefix_read: usize,
    /// The length in that prefix, as far as it was read.
    length: u32,
    /// Bytes of the current message that are still to come after its prefix.
    remaining: usize,
    /// Number of messages that have started.
    started: u64,
}

impl MessageReader {
    /// Reads the next piece of the body, and charges each message that starts in it.
    ///
    /// # Errors
    /// Where a message is refused: the number of bytes before it, and the reason.
    fn read(&mut self, data: &[u8], charge: &Charge) -> Result<(), (usize, Error)> {
        let mut at = 0;
        while let Some(byte) = data.get(at) {
            if self.remaining > 0 {
                let skipped = self.remaining.min(data.len() - at);
                self.remaining -= skipped;
                at += skipped;
                continue;
            }
            if self.prefix_read == 0 {
                self.length = 0;
                if self.started > 0 {
                    charge.budget.pay(charge.payer, charge.cost).map_err(|error| (at, error))?;
                }
                self.started += 1;
            } else {
                self.length = self.length << 8 | u32::from(*byte);
            }
            self.prefix_read += 1;
            at += 1;
            if self.prefix_read == PREFIX_BYTES {
                self.prefix_read = 0;
                self.remaining = self.length as usize;
                if self.remaining > MAX_AUXILIARY_REQUEST_BYTES {
                    let limit = MAX_AUXILIARY_REQUEST_BYTES;
                    return Err((at.saturating_sub(PREFIX_BYTES), Error::TooLarge { limit }));
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::stream;
    use http_body_util::{BodyExt as _, StreamBody};
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::{clock::Clock, domain::BudgetConfig, model::Timestamp};

    /// Returns a message of `length` bytes, with its prefix.
    fn message(length: usize) -> Vec<u8> {
        let mut message = vec![0];
        message.extend(u32::try_from(length).unwrap().to_be_bytes());
        message.resize(PREFIX_BYTES + length, b'x');
        message
    }

    /// Sends a body in pieces. Returns the bytes that are admitted, and the reason of the refusal.
    async fn admitted(body: &[u8], piece: usize, per_second: u32) -> (Vec<u8>, Option<&'static str>) {
        let config = BudgetConfig { anonymous_per_second: per_second, ..BudgetConfig::default() };
        let clock = Clock::manual(Timestamp::from_seconds(1_800_000_000));
        let payer = Payer::at("192.0.2.1".parse().unwrap());
        let charge = Charge { budget: Budget::new(config, clock), payer, cost: Cost::Read };
        let pieces = body.chunks(piece).map(Bytes::copy_from_slice);
        let pieces: Vec<_> = pieces.map(|piece| Ok::<_, Infallible>(Frame::data(piece))).collect();
        let (ended, error) = (CancellationToken::new(), RequestError::default());
        let body = Body::new(StreamBody::new(stream::iter(pieces)));
        let requests = AuxiliaryRequests::new(body, ended.cancelled_owned(), charge, error.clone());
        let admitted = requests.collect().await.unwrap().to_bytes();
        (admitted.to_vec(), error.get().map(|error| error.reason()))
    }

    #[tokio::test]
    async fn each_request_but_the_first_is_charged_however_the_body_is_cut() {
        let requests: Vec<_> = [0, 3, 0, 200, 1].into_iter().cycle().take(40).map(message).collect();
        // A burst is ten seconds of the rate.
        for (per_second, count, reason) in
            [(1, 11, Some("RATE_LIMITED")), (3, 31, Some("RATE_LIMITED")), (4, 40, None), (0, 40, None)]
        {
            for piece in [1, 2, 4, 5, 7, 100, 10_000] {
                let expected = (requests[..count].concat(), reason);
                assert_eq!(admitted(&requests.concat(), piece, per_second).await, expected, "{piece}");
            }
        }
    }

    #[tokio::test]
    async fn a_request_that_is_too_large_ends_the_body() {
        let mut requests = message(MAX_AUXILIARY_REQUEST_BYTES);
        let first = requests.len();
        requests.extend(message(MAX_AUXILIARY_REQUEST_BYTES + 1));
        for piece in [first, first - 1, 100_000] {
            let (admitted, reason) = admitted(&requests, piece, 0).await;
            // A part of its prefix may have been admitted already.
            assert_eq!((&admitted[..first], reason), (&requests[..first], Some("TOO_LARGE")), "{piece}");
            assert!(admitted.len() < first + PREFIX_BYTES, "{piece}");
        }
    }
}

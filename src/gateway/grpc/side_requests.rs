//! The requests inside a side stream: each is paid for as a call of its own would be.
//!
//! Opening the stream has paid for the first. Where the payer cannot afford another, or one is too large, the requests end
//! in front of it: what came before is answered, and the stream ends with the refusal. It does not wait for the bucket to
//! drain. Calls are refused by the same bucket, and streams that waited beside them would take whatever drains first; and a
//! peer that is told when to come again needs no timer here and no place.

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

/// The largest request: what is asked for is the name of a service, of a file or of a symbol.
pub(super) const MAX_SIDE_REQUEST_BYTES: usize = 4 * 1024;

/// What a message begins with: whether it is compressed, and its length.
const PREFIX: usize = 5;

/// Who pays for the requests inside a stream.
pub(super) struct Paying {
    pub(super) budget: Budget,
    pub(super) payer: Payer,
    /// What each costs.
    pub(super) cost: Cost,
}

/// Why the requests ended before their peer ended them. Clones share it.
#[derive(Clone, Default)]
pub(super) struct Refused(Arc<OnceLock<Error>>);

impl Refused {
    /// Returns the reason, where there is one.
    pub(super) fn get(&self) -> Option<Error> {
        self.0.get().cloned()
    }
}

/// A request's body that ends when its answer has, and in front of what is refused.
pub(super) struct SideRequests {
    request: Option<Body>,
    over: Pin<Box<WaitForCancellationFutureOwned>>,
    messages: Messages,
    paying: Paying,
    refused: Refused,
}

impl SideRequests {
    /// Lets a request through until `over`, or until one of its messages is refused.
    pub(super) fn new(
        request: Body,
        over: WaitForCancellationFutureOwned,
        paying: Paying,
        refused: Refused,
    ) -> Self {
        Self { request: Some(request), over: Box::pin(over), messages: Messages::default(), paying, refused }
    }

    /// Returns as much of what has come as is let through.
    fn let_through(&mut self, mut data: Bytes) -> Bytes {
        let Err((passed, error)) = self.messages.read(&data, &self.paying) else { return data };
        // Nobody else sets it.
        drop(self.refused.0.set(error));
        self.request = None;
        data.truncate(passed);
        data
    }
}

impl HttpBody for SideRequests {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.get_mut();
        if this.over.as_mut().poll(context).is_ready() {
            this.request = None;
        }
        let Some(request) = &mut this.request else { return Poll::Ready(None) };
        let frame = std::task::ready!(Pin::new(request).poll_frame(context));
        Poll::Ready(frame.map(|frame| Ok(frame?.map_data(|data| this.let_through(data)))))
    }
}

/// Where messages begin in a body, however it is cut.
#[derive(Default)]
struct Messages {
    /// How much of the prefix was read, and what is read of the length in it.
    prefix: usize,
    length: u32,
    /// How much of the message after the prefix is still to come.
    left: usize,
    /// How many have begun.
    begun: u64,
}

impl Messages {
    /// Reads on, and has each message that begins paid for.
    ///
    /// # Errors
    /// Where a message is refused: why, and how many of these bytes are in front of it.
    fn read(&mut self, data: &[u8], paying: &Paying) -> Result<(), (usize, Error)> {
        let mut at = 0;
        while let Some(byte) = data.get(at) {
            if self.left > 0 {
                let taken = self.left.min(data.len() - at);
                self.left -= taken;
                at += taken;
                continue;
            }
            if self.prefix == 0 {
                self.length = 0;
                if self.begun > 0 {
                    paying.budget.pay(paying.payer, paying.cost).map_err(|error| (at, error))?;
                }
                self.begun += 1;
            } else {
                self.length = self.length << 8 | u32::from(*byte);
            }
            self.prefix += 1;
            at += 1;
            if self.prefix == PREFIX {
                self.prefix = 0;
                self.left = self.length as usize;
                if self.left > MAX_SIDE_REQUEST_BYTES {
                    let limit = MAX_SIDE_REQUEST_BYTES;
                    return Err((at.saturating_sub(PREFIX), Error::TooLarge { limit }));
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

    /// Returns a message of so many bytes with its prefix.
    fn message(length: usize) -> Vec<u8> {
        let mut message = vec![0];
        message.extend(u32::try_from(length).unwrap().to_be_bytes());
        message.resize(PREFIX + length, b'x');
        message
    }

    /// Sends a body in pieces, and returns what comes through, and the reason why no more does.
    async fn through(body: &[u8], piece: usize, each_second: u32) -> (Vec<u8>, Option<&'static str>) {
        let config = BudgetConfig { anonymous_per_second: each_second, ..BudgetConfig::default() };
        let clock = Clock::manual(Timestamp::from_seconds(1_800_000_000));
        let payer = Payer::at("192.0.2.1".parse().unwrap());
        let paying = Paying { budget: Budget::new(config, clock), payer, cost: Cost::Read };
        let pieces = body.chunks(piece).map(Bytes::copy_from_slice);
        let pieces: Vec<_> = pieces.map(|piece| Ok::<_, Infallible>(Frame::data(piece))).collect();
        let (over, refused) = (CancellationToken::new(), Refused::default());
        let request = Body::new(StreamBody::new(stream::iter(pieces)));
        let requests = SideRequests::new(request, over.cancelled_owned(), paying, refused.clone());
        let passed = requests.collect().await.unwrap().to_bytes();
        (passed.to_vec(), refused.get().map(|error| error.reason()))
    }

    #[tokio::test]
    async fn each_request_but_the_first_is_paid_for_however_the_body_is_cut() {
        let requests: Vec<_> = [0, 3, 0, 200, 1].into_iter().cycle().take(40).map(message).collect();
        // A burst is ten seconds' worth.
        for (each_second, passed, reason) in
            [(1, 11, Some("RATE_LIMITED")), (3, 31, Some("RATE_LIMITED")), (4, 40, None), (0, 40, None)]
        {
            for piece in [1, 2, 4, 5, 7, 100, 10_000] {
                let expected = (requests[..passed].concat(), reason);
                assert_eq!(through(&requests.concat(), piece, each_second).await, expected, "{piece}");
            }
        }
    }

    #[tokio::test]
    async fn a_request_that_is_too_large_ends_them() {
        let mut requests = message(MAX_SIDE_REQUEST_BYTES);
        let first = requests.len();
        requests.extend(message(MAX_SIDE_REQUEST_BYTES + 1));
        for piece in [first, first - 1, 100_000] {
            let (passed, reason) = through(&requests, piece, 0).await;
            // What has come of its prefix before is not called back.
            assert_eq!((&passed[..first], reason), (&requests[..first], Some("TOO_LARGE")), "{piece}");
            assert!(passed.len() < first + PREFIX, "{piece}");
        }
    }
}

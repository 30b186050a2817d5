//! Sends a room's messages one at a time, each retried under its id until it is acknowledged.
//!
//! It makes one unary call per message instead of using the server's `Chat` stream. The response is the
//! acknowledgement, it passes through every proxy, and a message that was refused or lost in a restart is retried
//! before the next one is sent. With many messages in flight on a stream, those behind a lost one would be stored
//! ahead of it.

use std::sync::atomic::{AtomicBool, Ordering};

use grpcchatter_proto::v1;
use tokio::{
    sync::Mutex,
    time::{Instant, timeout_at},
};
use tonic::{Code, Status};

use crate::{
    Error, Message, Reason,
    membership::Membership,
    response::{Stub, reason_of},
};

/// Orders the sends into one room.
#[derive(Default)]
pub(crate) struct SendQueue {
    /// Held during a send, so that messages are stored in the order in which they were sent. It is fair.
    order: Mutex<()>,
}

impl SendQueue {
    /// Sends a message. Waiting for earlier sends, and every attempt, end at `deadline`.
    pub(crate) async fn send(
        &self,
        membership: &Membership,
        deadline: Instant,
        id: &str,
        body: &str,
    ) -> Result<Message, Error> {
        let request = v1::SendMessageRequest { body: body.to_owned(), client_message_id: id.to_owned() };
        // Whether an attempt may have stored the message without an acknowledgement.
        let in_doubt = &AtomicBool::new(false);
        let attempt = |mut stub: Stub, it| async move {
            // If the attempt is dropped, the message stays in doubt.
            let before = in_doubt.swap(true, Ordering::Relaxed);
            let response = stub.send_message(it).await;
            if response.as_ref().is_err_and(was_not_stored) {
                in_doubt.store(before, Ordering::Relaxed);
            }
            response
        };
        let work = async {
            let order = timeout_at(deadline, self.order.lock()).await;
            let _order = order.map_err(|_| Error::TimedOut)?;
            membership.call(deadline, request, attempt).await
        };
        let response = membership.until_closed(work).await.map_err(|error| {
            let in_doubt = in_doubt.load(Ordering::Relaxed) && !is_final(&error);
            if in_doubt || error.is_retryable() {
                let source = Box::new(error);
                return Error::Unacknowledged { client_message_id: id.to_owned(), source };
            }
            error
        })?;
        let message =
            response.message.ok_or_else(|| Error::Malformed("the message is missing".to_owned()))?;
        Ok(membership.mark_own(message.try_into()?))
    }
}

/// Whether the server refused the message before storing it. UNAVAILABLE leaves that open, as do errors of a broken
/// connection and of an intermediary.
fn was_not_stored(status: &Status) -> bool {
    let said_no = matches!(
        status.code(),
        Code::InvalidArgument
            | Code::OutOfRange
            | Code::Unauthenticated
            | Code::PermissionDenied
            | Code::NotFound
            | Code::AlreadyExists
            | Code::FailedPrecondition
            | Code::ResourceExhausted
            | Code::Unimplemented
    );
    said_no && reason_of(status).is_some()
}

/// Whether the error holds regardless of what earlier attempts may have stored.
fn is_final(error: &Error) -> bool {
    // Another message is stored under the id, so none of these attempts was.
    matches!(error, Error::Disconnected) || error.reason() == Some(&Reason::ClientMessageIdReused)
}

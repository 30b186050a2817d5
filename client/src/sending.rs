//! Sending: one message of a room at a time, tried again under its id until the log has answered.
//!
//! It is one unary call per message and not the server's `Chat` stream: its answer is the acknowledgement, it
//! passes every proxy, and a message that was refused or lost in a restart can be tried again before the next one
//! goes out. With many messages in flight on a stream, those behind a lost one would be stored ahead of it.

use std::sync::atomic::{AtomicBool, Ordering};

use grpcchatter_proto::v1;
use tokio::{
    sync::Mutex,
    time::{Instant, timeout_at},
};
use tonic::{Code, Status};

use crate::{
    Error, Message, Reason,
    answer::{Stub, reason_of},
    membership::Membership,
};

/// The turn to send into one room.
#[derive(Default)]
pub(crate) struct Sending {
    /// Held over a send: the messages of one room are stored in the order in which they were sent. It is fair.
    turn: Mutex<()>,
}

impl Sending {
    /// Sends a message, with the wait for its turn and every attempt before `end`.
    pub(crate) async fn send(
        &self,
        membership: &Membership,
        end: Instant,
        id: &str,
        body: &str,
    ) -> Result<Message, Error> {
        let request = v1::SendMessageRequest { body: body.to_owned(), client_message_id: id.to_owned() };
        // Whether an attempt may have stored it without an answer.
        let doubt = &AtomicBool::new(false);
        let attempt = |mut stub: Stub, it| async move {
            // An attempt that is cut off leaves it so.
            let before = doubt.swap(true, Ordering::Relaxed);
            let answer = stub.send_message(it).await;
            if answer.as_ref().is_err_and(was_not_stored) {
                doubt.store(before, Ordering::Relaxed);
            }
            answer
        };
        let work = async {
            let turn = timeout_at(end, self.turn.lock()).await;
            let _turn = turn.map_err(|_| Error::TimedOut)?;
            membership.call(end, request, attempt).await
        };
        let answer = membership.open(work).await.map_err(|error| {
            let doubt = doubt.load(Ordering::Relaxed) && !is_final(&error);
            if doubt || error.is_retryable() {
                let source = Box::new(error);
                return Error::Unacknowledged { client_message_id: id.to_owned(), source };
            }
            error
        })?;
        let message = answer.message.ok_or_else(|| Error::Malformed("the message is missing".to_owned()))?;
        Ok(membership.read(message.try_into()?))
    }
}

/// Whether the server said no before anything was stored. UNAVAILABLE leaves it open, as does whatever this side says
/// of a connection that broke, and what something in between says.
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

/// Whether nothing that an earlier attempt may have done changes what this error says.
fn is_final(error: &Error) -> bool {
    // What is stored under the id is another message, so it is none of these attempts.
    matches!(error, Error::Disconnected) || error.reason() == Some(&Reason::ClientMessageIdReused)
}

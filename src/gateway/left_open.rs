//! An HTTP/1.1 connection that is left open when all is answered, so that it can be closed with care: an answer that came
//! before the end of its request is lost to whoever still writes, where the rest is not read.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::time::{Instant, Sleep, sleep_until};

use super::{
    answer_memory::AnswerMemory,
    least_rate::LOOK,
    prefixed::Prefixed,
    send_watch::{SendWatch, Watched},
    stack::PeerService,
    transport::Transport,
};

type Http1 = http1::Connection<TokioIo<Watched<Prefixed<Transport>>>, PeerService>;

/// Serves such a connection. It ends where its peer does not read what it asked for.
pub(super) struct LeftOpen {
    serving: Http1,
    sending: SendWatch,
    memory: AnswerMemory,
    /// When to look next how fast the peer reads.
    look: Option<Pin<Box<Sleep>>>,
}

impl LeftOpen {
    pub(super) const fn new(serving: Http1, sending: SendWatch, memory: AnswerMemory) -> Self {
        Self { serving, sending, memory, look: None }
    }

    /// Asks it to end after the answer that is under way.
    pub(super) fn shut_down(self: Pin<&mut Self>) {
        Pin::new(&mut self.get_mut().serving).graceful_shutdown();
    }

    /// Returns what it was served on.
    pub(super) fn into_inner(self) -> Transport {
        self.serving.into_parts().io.into_inner().into_inner().into_inner()
    }
}

impl Future for LeftOpen {
    type Output = hyper::Result<()>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<hyper::Result<()>> {
        let this = &mut *self;
        if let Poll::Ready(ended) = this.serving.poll_without_shutdown(context) {
            return Poll::Ready(ended);
        }
        while let Some(deadline) = this.sending.deadline(this.memory.is_tight()) {
            // Memory may be tight before that.
            let next = || deadline.min(Instant::now() + LOOK);
            let look = this.look.get_or_insert_with(|| Box::pin(sleep_until(next())));
            ready!(look.as_mut().poll(context));
            if look.deadline() >= deadline {
                tracing::debug!("a connection is closed: its peer does not read");
                return Poll::Ready(Ok(()));
            }
            look.as_mut().reset(next());
        }
        this.look = None;
        Poll::Pending
    }
}

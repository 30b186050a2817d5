//! The receiving half of a stream: the frames of its room from its start on, without a gap.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;

use crate::domain::history::History;
use crate::{
    hub::{Chunk, Cursor, Event, Step, frame_event},
    model::{Payer, Result, Seq},
    store::{charged_to, payer},
};

type Reading = Pin<Box<dyn Future<Output = Result<Chunk>> + Send>>;

/// The receiving half of a stream. Dropping it ends the stream and cleans up.
pub struct Subscription {
    cursor: Cursor,
    history: History,
    /// The frames before all others.
    prelude: Option<Bytes>,
    /// seq of the newest message when the stream was opened, until that message has been sent.
    catching_up: Option<Seq>,
    /// The read of a page of the log.
    reading: Option<Reading>,
    /// Dropped with the stream.
    held: Option<Box<dyn Send>>,
    /// Who is charged for reads.
    payer: Option<Payer>,
}

impl Subscription {
    pub(super) fn new(
        cursor: Cursor,
        history: History,
        prelude: Option<Bytes>,
        catching_up: Option<Seq>,
    ) -> Self {
        Self { cursor, history, prelude, catching_up, reading: None, held: None, payer: payer() }
    }

    /// Keeps `held` until the stream ends.
    pub fn hold(&mut self, held: Box<dyn Send>) {
        self.held = Some(held);
    }

    /// Returns the next frames; `None` where the stream ends with OK.
    ///
    /// # Errors
    /// The error with which the stream ends.
    pub fn poll_frames(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes>>> {
        if let Some(prelude) = self.prelude.take() {
            return Poll::Ready(Some(Ok(prelude)));
        }
        loop {
            if let Some(reading) = &mut self.reading {
                let page = ready!(reading.as_mut().poll(context));
                self.reading = None;
                let page = match page {
                    Ok(page) => page,
                    Err(error) => return Poll::Ready(Some(Err(error))),
                };
                // A room that was closed meanwhile has another log than the one that was published.
                if !self.cursor.room().is_live(self.cursor.key()) {
                    continue;
                }
                let frames = self.cursor.take_frames(&page);
                self.cursor.advance(page.next_seq());
                if !frames.is_empty() {
                    return Poll::Ready(Some(Ok(frames)));
                }
            }
            if let Some(last_seq) = self.catching_up.take_if(|last_seq| self.cursor.next_seq() > *last_seq) {
                let framing = self.cursor.room().framing();
                return Poll::Ready(Some(Ok(frame_event(&Event::CaughtUp(last_seq), framing))));
            }
            let until = self.catching_up.map(|last_seq| last_seq.next());
            match ready!(self.cursor.poll(context, until)) {
                Step::Send(frames) => return Poll::Ready(Some(Ok(frames))),
                Step::End(Ok(())) => return Poll::Ready(None),
                Step::End(Err(error)) => return Poll::Ready(Some(Err(error))),
                Step::Read(seq) => self.read(seq),
                Step::Again => {}
            }
        }
    }

    fn read(&mut self, seq: Seq) {
        let (history, room, kind) = (self.history.clone(), self.cursor.room().clone(), self.cursor.kind());
        let reading = async move { history.chunk(&room, kind, seq).await };
        self.reading = Some(match self.payer {
            Some(payer) => Box::pin(charged_to(payer, reading)),
            None => Box::pin(reading),
        });
    }
}

//! What a stream is told: the frames of its room from its start on, live, without a gap.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;

use super::History;
use crate::{
    hub::{Chunk, Cursor, Event, Step, frame_event},
    model::{Payer, Result},
    store::{charged_to, payer},
};

type Reading = Pin<Box<dyn Future<Output = Result<Chunk>> + Send>>;

/// What a stream is told. Dropping it ends the stream; that is cleanup enough.
pub struct Subscription {
    cursor: Cursor,
    history: History,
    /// What comes before all else.
    prelude: Option<Bytes>,
    /// seq of the newest message when the stream was opened, until that has been told.
    catching_up: Option<i64>,
    /// A page of the log that is being read.
    reading: Option<Reading>,
    /// What ends with the stream.
    held: Option<Box<dyn Send>>,
    /// Who is charged for what is read.
    payer: Option<Payer>,
}

impl Subscription {
    pub(super) fn new(
        cursor: Cursor,
        history: History,
        prelude: Option<Bytes>,
        catching_up: Option<i64>,
    ) -> Self {
        Self { cursor, history, prelude, catching_up, reading: None, held: None, payer: payer() }
    }

    /// Holds something that is to end with the stream.
    pub fn hold(&mut self, held: Box<dyn Send>) {
        self.held = Some(held);
    }

    /// Returns the next frames; none where the stream ends with OK.
    ///
    /// # Errors
    /// Why the stream ends otherwise.
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
                // A room that was closed meanwhile has another log than was told.
                if !self.cursor.room().goes_on(self.cursor.place()) {
                    continue;
                }
                let frames = self.cursor.frames(&page);
                self.cursor.advance(page.next_seq());
                if !frames.is_empty() {
                    return Poll::Ready(Some(Ok(frames)));
                }
            }
            if let Some(last_seq) = self.catching_up.take_if(|last_seq| self.cursor.next_seq() > *last_seq) {
                let framing = self.cursor.room().framing();
                return Poll::Ready(Some(Ok(frame_event(&Event::CaughtUp(last_seq), framing))));
            }
            let until = self.catching_up.map(|last_seq| last_seq + 1);
            match ready!(self.cursor.poll(context, until)) {
                Step::Send(frames) => return Poll::Ready(Some(Ok(frames))),
                Step::End(Ok(())) => return Poll::Ready(None),
                Step::End(Err(error)) => return Poll::Ready(Some(Err(error))),
                Step::Read(seq) => self.read(seq),
                Step::Again => {}
            }
        }
    }

    fn read(&mut self, seq: i64) {
        let (history, room, feed) = (self.history.clone(), self.cursor.room().clone(), self.cursor.feed());
        let reading = async move { history.chunk(&room, feed, seq).await };
        self.reading = Some(match self.payer {
            Some(payer) => Box::pin(charged_to(payer, reading)),
            None => Box::pin(reading),
        });
    }
}

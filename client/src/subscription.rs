//! One subscription to a room's events: opens it, watches it, resumes it.
//!
//! A state machine that advances only while it is polled. Whatever ends a stream (a restart of the server, GOAWAY,
//! a proxy, silence), the next one starts after the last delivered message, so that no message is lost or delivered
//! twice.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use futures_util::{StreamExt as _, stream};
use grpcchatter_proto::v1::{self, subscribe_request, subscribe_response::Event as ServerEvent};
use tokio::time::Instant;
use tonic::Streaming;

use crate::{
    CloseReason, Error, Event, Events, Kind, Message, Reason, Refusal, ResumePoint, RoomInfo, Start, User,
    backoff::Backoff,
    membership::{LogPosition, Membership},
    model::duration_of,
    transport::{Credential as _, Secret, is_token_refused},
};

/// Used until the server has announced its own interval.
const DEFAULT_HEARTBEAT: Duration = Duration::from_secs(15);
/// A stream that lived this long counts as a success: the backoff starts over.
const STABLE_AFTER: Duration = Duration::from_secs(5);

/// Where the next stream starts.
#[derive(Debug, Clone)]
enum Position {
    /// With the newest messages: none was delivered yet, and the stream has not caught up.
    Last(u16),
    After(ResumePoint),
    /// With the next message: the message to resume after is unknown, or retention removed it. The length of the
    /// log is kept, so that messages between two streams are noticed.
    Now {
        last_seq: i64,
    },
}

impl From<LogPosition> for Position {
    fn from(position: LogPosition) -> Self {
        match position {
            LogPosition::Message(point) => Self::After(point),
            LogPosition::Seq(last_seq) => Self::Now { last_seq },
        }
    }
}

/// An open stream.
struct OpenStream {
    stream: Streaming<v1::SubscribeResponse>,
    token: Secret,
    opened: Instant,
    /// A stream that is silent for longer counts as dead.
    silence_timeout: Duration,
    /// The seq of the last message on this stream, to detect a gap.
    last: Option<i64>,
}

pub(crate) struct Subscription {
    membership: Arc<Membership>,
    position: Position,
    open: Option<OpenStream>,
    /// When to open the next stream.
    resume_at: Option<Instant>,
    /// Whether a stream was lost since the last one started.
    interrupted: bool,
    backoff: Backoff,
    ready: VecDeque<Event>,
    ended: bool,
}

/// The events of `membership`'s room from `start` on.
pub(crate) fn events(membership: Arc<Membership>, start: Start) -> Events {
    let position = match start {
        Start::Joined => membership.joined_at().into(),
        Start::Now => Position::Last(0),
        Start::Last(count) => Position::Last(count),
        Start::After(point) => Position::After(point),
        Start::Beginning => Position::After(ResumePoint::default()),
    };
    let subscription = Subscription {
        membership,
        position,
        open: None,
        resume_at: None,
        interrupted: false,
        backoff: Backoff::default(),
        ready: VecDeque::new(),
        ended: false,
    };
    Events { stream: stream::unfold(subscription, |mut it| async { Some((it.next().await?, it)) }).boxed() }
}

impl Subscription {
    async fn next(&mut self) -> Option<Event> {
        let membership = Arc::clone(&self.membership);
        while !self.ended {
            if membership.is_closed() {
                self.ready.clear();
                return Some(self.close(Error::Disconnected));
            }
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            let step = membership.until_closed(async { Ok(self.step().await) }).await.unwrap_or_else(Err);
            if let Err(error) = step {
                return Some(self.interrupt(error));
            }
        }
        None
    }

    fn close(&mut self, error: Error) -> Event {
        self.open = None;
        self.ended = true;
        Event::Closed(CloseReason::from(error))
    }

    /// Opens a stream, or handles the next event of the open one.
    async fn step(&mut self) -> Result<(), Error> {
        let Some(open) = &mut self.open else { return self.subscribe().await };
        let response = tokio::time::timeout(open.silence_timeout, open.stream.message()).await;
        match response.map_err(|_| Error::TimedOut)? {
            Ok(Some(response)) => self.handle(response.event).await,
            Ok(None) => Err(interruption("the server ended the stream", None, None)),
            Err(status) => {
                let error = Error::of(status);
                if is_token_refused(&error) {
                    let refused = open.token.clone();
                    self.membership.renew(&refused).await?;
                    return Err(interruption("the token was renewed", None, None));
                }
                Err(error)
            }
        }
    }

    /// Ends the stream, for now or for good.
    fn interrupt(&mut self, cause: Error) -> Event {
        if self.open.take().is_some_and(|open| open.opened.elapsed() >= STABLE_AFTER) {
            self.backoff.reset();
        }
        if !cause.is_retryable() {
            return self.close(cause);
        }
        self.interrupted = true;
        let delay = self.backoff.next(cause.retry_after());
        self.resume_at = Some(Instant::now() + delay);
        Event::Reconnecting { delay, cause }
    }

    async fn subscribe(&mut self) -> Result<(), Error> {
        if let Some(at) = self.resume_at.take() {
            tokio::time::sleep_until(at).await;
        }
        let start = match self.position.clone() {
            Position::Last(count) => Some(subscribe_request::Start::Last(count.into())),
            Position::After(point) => Some(subscribe_request::Start::After(point.into())),
            Position::Now { .. } => None,
        };
        let membership = Arc::clone(&self.membership);
        let (stream, token) = membership.subscribe(v1::SubscribeRequest { start }).await?;
        let silence_timeout = silence_timeout(DEFAULT_HEARTBEAT);
        self.open = Some(OpenStream { stream, token, opened: Instant::now(), silence_timeout, last: None });
        Ok(())
    }

    async fn handle(&mut self, event: Option<ServerEvent>) -> Result<(), Error> {
        match event {
            Some(ServerEvent::Subscribed(subscribed)) => return self.subscribed(subscribed).await,
            Some(ServerEvent::Message(message)) => {
                return self.deliver(self.membership.mark_own(message.try_into()?));
            }
            Some(ServerEvent::CaughtUp(it)) => {
                if let Position::Last(_) = self.position {
                    self.position = Position::Now { last_seq: it.last_seq };
                }
                self.resolve_position().await?;
                self.ready.push_back(Event::CaughtUp { last_seq: it.last_seq });
            }
            Some(ServerEvent::Presence(it)) => {
                let users = it.users.into_iter().map(User::try_from).collect::<Result<_, _>>()?;
                self.ready.push_back(Event::Present { users, count: count(it.user_count) });
            }
            Some(ServerEvent::PresenceChange(it)) => {
                for user in it.came {
                    self.ready.push_back(Event::Came(user.try_into()?));
                }
                self.ready.extend(it.left.into_iter().map(Event::Left));
                self.ready.push_back(Event::PresentCount(count(it.user_count)));
            }
            Some(ServerEvent::RoomUpdated(room)) => {
                let info = RoomInfo::try_from(Some(room))?;
                self.membership.set_info(info.clone());
                self.ready.push_back(Event::RoomUpdated(info));
            }
            Some(ServerEvent::Draining(it)) => {
                let delay = duration_of(it.reconnect_after);
                return Err(interruption("the server is shutting down", Some(Reason::Draining), delay));
            }
            // A newer server may send events that this version does not know.
            Some(ServerEvent::Heartbeat(_)) | None => {}
        }
        Ok(())
    }

    async fn subscribed(&mut self, subscribed: v1::Subscribed) -> Result<(), Error> {
        let info = RoomInfo::try_from(subscribed.room)?;
        let last_seq = info.last_seq;
        self.membership.set_info(info);
        if let (Some(open), Some(interval)) = (&mut self.open, duration_of(subscribed.heartbeat_interval)) {
            open.silence_timeout = silence_timeout(interval);
        }
        let log_changed = matches!(self.position, Position::Now { last_seq: known } if known != last_seq);
        if subscribed.reset || log_changed {
            return self.reset().await;
        }
        if last_seq == 0 {
            self.position = Position::After(ResumePoint::default());
        } else if let Position::Last(0) = self.position {
            // From here on every message is wanted: the next stream must not start at another end of the log.
            self.position = Position::Now { last_seq };
        }
        if std::mem::take(&mut self.interrupted) {
            self.ready.push_back(Event::Resumed);
        }
        Ok(())
    }

    /// Resolves [`Position::Now`] to the message that this stream continues after, so that the next stream misses
    /// nothing. If that message cannot be read, the log's length stays the position, and messages between two
    /// streams cause a reset.
    async fn resolve_position(&mut self) -> Result<(), Error> {
        let Position::Now { last_seq } = self.position else { return Ok(()) };
        self.position = self.membership.position_after(last_seq, self.membership.deadline()).await?.into();
        Ok(())
    }

    /// Finds the end of the log before reporting the reset, so that no gap remains between what the reader reads
    /// again and what this stream delivers.
    async fn reset(&mut self) -> Result<(), Error> {
        self.open = None;
        let end = self.membership.end_of_log().await?;
        let last_seq = match &end {
            LogPosition::Message(point) => point.seq,
            LogPosition::Seq(last_seq) => *last_seq,
        };
        self.position = end.into();
        self.interrupted = false;
        self.ready.push_back(Event::Reset { last_seq });
        Ok(())
    }

    fn deliver(&mut self, message: Message) -> Result<(), Error> {
        let Some(open) = &mut self.open else { return Ok(()) };
        if open.last.is_some_and(|last| message.seq != last + 1) {
            return Err(interruption("the stream skipped a message", None, None));
        }
        let known = match &self.position {
            Position::Last(_) => None,
            Position::After(point) => Some(point.seq),
            Position::Now { last_seq } => Some(*last_seq),
        };
        if known.is_some_and(|known| message.seq > known + 1) {
            return Err(interruption("the stream skipped a message", None, None));
        }
        open.last = Some(message.seq);
        if known.is_some_and(|known| message.seq <= known) {
            return Ok(());
        }
        self.position = Position::After(message.resume_point());
        self.ready.push_back(Event::Message(message));
        Ok(())
    }
}

fn count(wire: i32) -> usize {
    usize::try_from(wire).unwrap_or_default()
}

/// Two and a half heartbeats.
fn silence_timeout(heartbeat: Duration) -> Duration {
    heartbeat.saturating_mul(5) / 2
}

/// An interruption that the next stream repairs.
fn interruption(message: &str, reason: Option<Reason>, retry_after: Option<Duration>) -> Error {
    Error::Refused(Refusal { kind: Kind::Unavailable, reason, message: message.to_owned(), retry_after })
}

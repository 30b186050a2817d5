//! Keeps one subscription alive: opens it, watches it, resumes it.
//!
//! It is a state machine that moves only while it is polled. Whatever ends a stream (a restart of the server,
//! GOAWAY, a proxy, silence), the next one starts after the last message that was passed on, so that nothing
//! is lost or told twice.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use futures_util::{StreamExt as _, stream};
use grpcchatter_proto::v1::{self, subscribe_request, subscribe_response::Event as Told};
use tokio::time::Instant;
use tonic::Streaming;

use crate::{
    CloseReason, Error, Event, Events, Kind, Message, Reason, Refusal, ResumePoint, RoomInfo, Start, User,
    backoff::Backoff,
    membership::Membership,
    model::duration_of,
    transport::{Credential as _, Secret, is_token_refused},
};

/// Used until the server has told its own.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// A stream that lived this long was a success: the next loss starts with short delays again.
const HEALTHY: Duration = Duration::from_secs(5);

/// Where the next stream starts.
#[derive(Debug, Clone)]
enum Position {
    /// With the newest messages: none has been seen yet, and the stream has not said that this is because none is.
    Last(u16),
    After(ResumePoint),
    /// With what comes next: the message to start after is not known yet, or retention took it. What else happens to
    /// the log between two streams would go unseen, so its length is remembered.
    Now {
        last_seq: i64,
    },
}

/// An open stream.
struct Live {
    stream: Streaming<v1::SubscribeResponse>,
    token: Secret,
    opened: Instant,
    /// How long it may be silent before it counts as dead: two and a half heartbeats.
    patience: Duration,
    /// The last message that came on this stream, to see that none is left out.
    last: Option<i64>,
}

pub(crate) struct Feed {
    membership: Arc<Membership>,
    position: Position,
    live: Option<Live>,
    /// When to open the next stream.
    resume_at: Option<Instant>,
    /// Whether a stream was lost since the last one began.
    interrupted: bool,
    backoff: Backoff,
    ready: VecDeque<Event>,
    ended: bool,
}

/// The events of `membership`'s room from `start` on.
pub(crate) fn events(membership: Arc<Membership>, start: Start) -> Events {
    let position = match start {
        Start::Joined => {
            membership.joined_at().map_or_else(|last_seq| Position::Now { last_seq }, Position::After)
        }
        Start::Now => Position::Last(0),
        Start::Last(count) => Position::Last(count),
        Start::After(point) => Position::After(point),
        Start::Beginning => Position::After(ResumePoint::default()),
    };
    let feed = Feed {
        membership,
        position,
        live: None,
        resume_at: None,
        interrupted: false,
        backoff: Backoff::default(),
        ready: VecDeque::new(),
        ended: false,
    };
    Events { feed: stream::unfold(feed, |mut feed| async { Some((feed.next().await?, feed)) }).boxed() }
}

impl Feed {
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
            let step = membership.open(async { Ok(self.step().await) }).await.unwrap_or_else(Err);
            if let Err(error) = step {
                return Some(self.interrupt(error));
            }
        }
        None
    }

    fn close(&mut self, error: Error) -> Event {
        self.live = None;
        self.ended = true;
        Event::Closed(CloseReason::from(error))
    }

    /// Opens a stream, or takes what the open one says next.
    async fn step(&mut self) -> Result<(), Error> {
        let Some(live) = &mut self.live else { return self.subscribe().await };
        let told = tokio::time::timeout(live.patience, live.stream.message()).await;
        match told.map_err(|_| Error::TimedOut)? {
            Ok(Some(response)) => self.take(response.event).await,
            Ok(None) => Err(unavailable("the server ended the stream", None, None)),
            Err(status) => {
                let error = Error::of(status);
                if is_token_refused(&error) {
                    let refused = live.token.clone();
                    self.membership.renew(&refused).await?;
                    return Err(unavailable("the token was renewed", None, None));
                }
                Err(error)
            }
        }
    }

    /// Ends the stream for now, or for good.
    fn interrupt(&mut self, cause: Error) -> Event {
        if self.live.take().is_some_and(|live| live.opened.elapsed() >= HEALTHY) {
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
        let patience = patience(HEARTBEAT);
        self.live = Some(Live { stream, token, opened: Instant::now(), patience, last: None });
        Ok(())
    }

    async fn take(&mut self, told: Option<Told>) -> Result<(), Error> {
        match told {
            Some(Told::Subscribed(subscribed)) => return self.subscribed(subscribed).await,
            Some(Told::Message(message)) => return self.message(self.membership.read(message.try_into()?)),
            Some(Told::CaughtUp(it)) => {
                if let Position::Last(_) = self.position {
                    self.position = Position::Now { last_seq: it.last_seq };
                }
                self.settle().await?;
                self.ready.push_back(Event::CaughtUp { last_seq: it.last_seq });
            }
            Some(Told::Presence(it)) => {
                let users = it.users.into_iter().map(User::try_from).collect::<Result<_, _>>()?;
                self.ready.push_back(Event::Present { users, count: count(it.user_count) });
            }
            Some(Told::PresenceChange(it)) => {
                for user in it.came {
                    self.ready.push_back(Event::Came(user.try_into()?));
                }
                self.ready.extend(it.left.into_iter().map(Event::Left));
                self.ready.push_back(Event::PresentCount(count(it.user_count)));
            }
            Some(Told::RoomUpdated(room)) => {
                let info = RoomInfo::try_from(Some(room))?;
                self.membership.set_info(info.clone());
                self.ready.push_back(Event::RoomUpdated(info));
            }
            Some(Told::Draining(it)) => {
                let delay = duration_of(it.reconnect_after);
                return Err(unavailable("the server is going away", Some(Reason::Draining), delay));
            }
            // A newer server may tell what this version does not know.
            Some(Told::Heartbeat(_)) | None => {}
        }
        Ok(())
    }

    async fn subscribed(&mut self, subscribed: v1::Subscribed) -> Result<(), Error> {
        let info = RoomInfo::try_from(subscribed.room)?;
        let last_seq = info.last_seq;
        self.membership.set_info(info);
        if let (Some(live), Some(interval)) = (&mut self.live, duration_of(subscribed.heartbeat_interval)) {
            live.patience = patience(interval);
        }
        let unseen = matches!(self.position, Position::Now { last_seq: known } if known != last_seq);
        if subscribed.reset || unseen {
            return self.reset().await;
        }
        if last_seq == 0 {
            self.position = Position::After(ResumePoint::default());
        } else if let Position::Last(0) = self.position {
            // From here on everything is wanted: another stream must not begin at another end of the log.
            self.position = Position::Now { last_seq };
        }
        if std::mem::take(&mut self.interrupted) {
            self.ready.push_back(Event::Resumed);
        }
        Ok(())
    }

    /// No message was asked for, or none is kept: the next stream starts after the message that this one goes on from,
    /// since messages may come between the two. Where that message cannot be read, the log's length stays as the place,
    /// and what comes between is a reset.
    async fn settle(&mut self) -> Result<(), Error> {
        let Position::Now { last_seq } = self.position else { return Ok(()) };
        if let Ok(point) = self.membership.point_at(last_seq, self.membership.end()).await? {
            self.position = Position::After(point);
        }
        Ok(())
    }

    /// Finds the log's present end before telling of it, so that what the reader then reads again and what
    /// this stream goes on with leave no gap between them.
    async fn reset(&mut self) -> Result<(), Error> {
        self.live = None;
        let end = self.membership.end_of_log().await?;
        let last_seq = end.as_ref().map_or_else(|last_seq| *last_seq, |point| point.seq);
        self.position = end.map_or_else(|last_seq| Position::Now { last_seq }, Position::After);
        self.interrupted = false;
        self.ready.push_back(Event::Reset { last_seq });
        Ok(())
    }

    fn message(&mut self, message: Message) -> Result<(), Error> {
        let Some(live) = &mut self.live else { return Ok(()) };
        if live.last.is_some_and(|last| message.seq != last + 1) {
            return Err(unavailable("the stream left out a message", None, None));
        }
        let known = match &self.position {
            Position::Last(_) => None,
            Position::After(point) => Some(point.seq),
            Position::Now { last_seq } => Some(*last_seq),
        };
        if known.is_some_and(|known| message.seq > known + 1) {
            return Err(unavailable("the stream left out a message", None, None));
        }
        live.last = Some(message.seq);
        if known.is_some_and(|known| message.seq <= known) {
            return Ok(());
        }
        self.position = Position::After(message.resume_point());
        self.ready.push_back(Event::Message(message));
        Ok(())
    }
}

fn count(told: i32) -> usize {
    usize::try_from(told).unwrap_or_default()
}

/// Two and a half heartbeats, whatever the server says that one is.
fn patience(heartbeat: Duration) -> Duration {
    heartbeat.saturating_mul(5) / 2
}

/// An end of a stream that another stream heals.
fn unavailable(message: &str, reason: Option<Reason>, retry_after: Option<Duration>) -> Error {
    Error::Refused(Refusal { kind: Kind::Unavailable, reason, message: message.to_owned(), retry_after })
}

//! Does what the screen wants done, each thing in a task of its own, and tells the outcome as news.

use std::{collections::HashMap, time::Duration};

use grpcchatter_client::{Client, CloseReason, Error, Event, Room, Start};
use jiff::tz::TimeZone;
use tokio::{sync::mpsc, time::Instant};

use super::news::{Cure, Effect, News};
use crate::{invitation, output, refused};

/// As many of the newest messages are shown on entering.
const FIRST: u16 = 100;
/// As many are added when the top is reached.
const MORE: u16 = 100;
/// Before the rooms are asked for again, where the server did not say when to come.
const PAUSE: Duration = Duration::from_secs(5);
/// By then, whoever was cut off with this program has come back, or tries less often than any client of ours.
const SETTLED: Duration = Duration::from_secs(60);

pub(crate) struct Worker {
    client: Client,
    /// The rooms that are entered, each with the number of its entry.
    rooms: HashMap<String, (u64, Room)>,
    entries: u64,
    news: mpsc::Sender<Report>,
}

/// What a task sends: news, and the room that it has entered.
pub(crate) enum Report {
    News(News),
    Entered(Room),
}

impl Worker {
    /// A worker, and what its tasks report.
    pub(crate) fn new(client: Client) -> (Self, mpsc::Receiver<Report>) {
        // Full, it makes the tasks wait: the rooms' logs keep what was not read.
        let (news, reports) = mpsc::channel(256);
        (Self { client, rooms: HashMap::new(), entries: 0, news }, reports)
    }

    /// Loads the list of rooms.
    pub(crate) fn start(&self) {
        let (client, news) = (self.client.clone(), self.news.clone());
        self.task(async move {
            loop {
                let error = match client.rooms().await {
                    // It has tried for as long as a call may; without rooms there is nothing else to do.
                    Err(error) if error.is_retryable() => error,
                    answer => return Ok(News::Rooms(answer?)),
                };
                let pause = error.retry_after().unwrap_or(PAUSE);
                let _ = news.send(Report::News(failed(&error))).await;
                tokio::select! {
                    () = news.closed() => return Err(error),
                    () = tokio::time::sleep(pause) => {}
                }
            }
        });
    }

    /// Takes over a room that was entered, and follows it. A room that is entered again replaces the old one.
    pub(crate) fn entered(&mut self, room: Room) -> News {
        self.entries += 1;
        let (info, entry) = (room.info(), self.entries);
        let code = info.short_code.clone();
        if let Some((_, old)) = self.rooms.insert(code.clone(), (entry, room.clone())) {
            old.disconnect();
        }
        tokio::spawn(follow(room, code, entry, self.news.clone()));
        News::Entered { info, entry }
    }

    pub(crate) fn run(&mut self, effect: Effect) {
        let client = self.client.clone();
        match effect {
            Effect::Enter { code, password } => self.enter(async move {
                client.join(&code, &password).await.map_err(|error| News::NotEntered {
                    code,
                    why: why(&error),
                    cure: cure(&error, !password.is_empty()),
                })
            }),
            Effect::EnterByInvitation { token } => {
                self.enter(async move { client.join_by_invitation(&token).await.map_err(|it| failed(&it)) });
            }
            Effect::Create { name, password } => self.enter(async move {
                let made = async {
                    let room = client.create_room(&name, &password).await?;
                    client.join(&room.short_code, &password).await
                };
                made.await.map_err(|error| failed(&error))
            }),
            Effect::Send { code, id, body } => self.send(code, id, body),
            Effect::Older { code, before } => {
                let Some((entry, room)) = self.rooms.get(&code).cloned() else { return };
                self.task(async move {
                    Ok(match room.messages_before(before, MORE).await {
                        Ok(page) => News::Older { code, entry, page },
                        Err(error) => News::NotOlder { code, why: why(&error) },
                    })
                });
            }
            Effect::Invite { code, ttl } => self.task(async move {
                let invitation = client.invite(&code, ttl).await?;
                let end = output::minute(invitation.expire_time, &TimeZone::system());
                Ok(News::Invitation { code, link: invitation::link(client.url(), &invitation.token), end })
            }),
            Effect::Rename { code, name } => self.task(async move {
                client.rename_room(&code, &name).await?;
                Ok(News::Told("the room has its new name".to_owned()))
            }),
            Effect::Remove { code, user, ban } => self.task(async move {
                if ban {
                    client.ban_user(&code, &user).await?;
                    return Ok(News::Told(format!("{user} is out, and may not come back")));
                }
                client.remove_user(&code, &user).await?;
                Ok(News::Told(format!("{user} is out")))
            }),
            Effect::Unban { code, user } => self.task(async move {
                client.unban_user(&code, &user).await?;
                Ok(News::Told(format!("{user} may come back")))
            }),
            Effect::Leave { code } => {
                let Some((_, room)) = self.rooms.get(&code).cloned() else { return };
                self.task(async move {
                    room.leave().await?;
                    Ok(News::Gone { code })
                });
            }
            Effect::Delete { code } => self.task(async move {
                client.delete_room(&code).await?;
                Ok(News::Gone { code })
            }),
            // It is the screen's, not the server's.
            Effect::Copy { .. } => {}
        }
    }

    fn send(&self, code: String, id: String, body: String) {
        let Some((_, room)) = self.rooms.get(&code).cloned() else {
            let why = "the room is not connected yet".to_owned();
            return self.task(async move { Ok(News::NotSent { code, id, why }) });
        };
        self.task(async move {
            Ok(match room.send_with_id(&id, &body).await {
                Ok(message) => News::Sent { code, id, seq: message.seq },
                Err(error) => News::NotSent { code, id, why: why(&error) },
            })
        });
    }

    fn enter(&self, work: impl Future<Output = Result<Room, News>> + Send + 'static) {
        let news = self.news.clone();
        tokio::spawn(async move {
            let report = work.await.map_or_else(Report::News, Report::Entered);
            let _ = news.send(report).await;
        });
    }

    fn task(&self, work: impl Future<Output = Result<News, Error>> + Send + 'static) {
        let news = self.news.clone();
        tokio::spawn(async move {
            let told = work.await.unwrap_or_else(|error| failed(&error));
            let _ = news.send(Report::News(told)).await;
        });
    }
}

/// Tells what happens in a room, and when the others have had the time to come back after a lost connection.
async fn follow(room: Room, code: String, entry: u64, news: mpsc::Sender<Report>) {
    let mut events = room.events_from(Start::Last(FIRST));
    let mut settled: Option<Instant> = None;
    loop {
        let told = tokio::select! {
            event = events.recv() => {
                let Some(event) = event else { return };
                match &event {
                    Event::Resumed => settled = Some(Instant::now() + SETTLED),
                    Event::Reconnecting { .. } => settled = None,
                    Event::Closed(CloseReason::LoggedOut) => {
                        let _ = news.send(Report::News(News::LoggedOut)).await;
                    }
                    _ => {}
                }
                News::Happened { code: code.clone(), entry, event }
            }
            () = until(settled), if settled.is_some() => {
                settled = None;
                News::Settled { code: code.clone(), entry }
            }
        };
        if news.send(Report::News(told)).await.is_err() {
            return;
        }
    }
}

async fn until(moment: Option<Instant>) {
    if let Some(moment) = moment {
        tokio::time::sleep_until(moment).await;
    }
}

/// What helps where a room could not be entered, with or without a password.
fn cure(error: &Error, with_password: bool) -> Cure {
    match error {
        _ if refused::asks_for_room_password(error) => Cure::Password { wrong: with_password },
        _ if error.is_retryable() => Cure::Look,
        _ => Cure::Join,
    }
}

/// What to tell of something that failed.
fn why(error: &Error) -> String {
    match error {
        Error::NotLoggedIn => "the session has ended: /login".to_owned(),
        // The line's /retry sends it under its id, which is nothing to read there.
        Error::Unacknowledged { .. } => "the message was not acknowledged".to_owned(),
        error => error.to_string(),
    }
}

fn failed(error: &Error) -> News {
    match error {
        Error::NotLoggedIn => News::LoggedOut,
        error => News::Failed(error.to_string()),
    }
}

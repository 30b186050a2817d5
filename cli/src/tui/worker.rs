//! Executes the screen's effects, each in its own task, and reports the results.

use std::{collections::HashMap, time::Duration};

use grpcchatter_client::{Client, CloseReason, Error, Event, Room, Start};
use jiff::tz::TimeZone;
use tokio::{sync::mpsc, time::Instant};

use super::effect::{Effect, Remedy, Update};
use crate::{invitation, output, reasons};

/// Messages loaded when a room is joined, and with each older page.
const PAGE_SIZE: u16 = 100;
/// Pause before the list of rooms is requested again, if the server named none.
const RETRY_DELAY: Duration = Duration::from_secs(5);
/// By then, users who lost their connection with this program have reconnected, or retry less often than any client
/// of ours.
const SETTLE_TIME: Duration = Duration::from_secs(60);

pub(crate) struct Worker {
    client: Client,
    /// The joined rooms, each with its generation.
    rooms: HashMap<String, (u64, Room)>,
    generations: u64,
    reports: mpsc::Sender<Report>,
}

/// What a task reports: an update, or a joined room.
pub(crate) enum Report {
    Update(Update),
    Joined(Room),
}

impl Worker {
    /// A worker and the receiver of its reports.
    pub(crate) fn new(client: Client) -> (Self, mpsc::Receiver<Report>) {
        // When the channel is full the tasks wait; unread messages stay in the rooms' logs.
        let (reports, receiver) = mpsc::channel(256);
        (Self { client, rooms: HashMap::new(), generations: 0, reports }, receiver)
    }

    /// Loads the list of rooms.
    pub(crate) fn start(&self) {
        let (client, reports) = (self.client.clone(), self.reports.clone());
        self.spawn(async move {
            loop {
                let error = match client.rooms().await {
                    // The client has given up, but without the list there is nothing else to do.
                    Err(error) if error.is_retryable() => error,
                    answer => return Ok(Update::Rooms(answer?)),
                };
                let delay = error.retry_after().unwrap_or(RETRY_DELAY);
                let _ = reports.send(Report::Update(update_of(&error))).await;
                tokio::select! {
                    () = reports.closed() => return Err(error),
                    () = tokio::time::sleep(delay) => {}
                }
            }
        });
    }

    /// Takes over a joined room and follows it. A second join replaces the first.
    pub(crate) fn joined(&mut self, room: Room) -> Update {
        self.generations += 1;
        let (info, generation) = (room.info(), self.generations);
        let code = info.short_code.clone();
        if let Some((_, old)) = self.rooms.insert(code.clone(), (generation, room.clone())) {
            old.disconnect();
        }
        tokio::spawn(follow(room, code, generation, self.reports.clone()));
        Update::Joined { info, generation }
    }

    pub(crate) fn run(&self, effect: Effect) {
        let client = self.client.clone();
        match effect {
            Effect::Join { code, password } => self.join(code, password),
            Effect::JoinByInvitation { token } => self.spawn_join(async move {
                client.join_by_invitation(&token).await.map_err(|error| update_of(&error))
            }),
            Effect::Create { name, password } => self.create(name, password),
            Effect::Send { code, id, body } => self.send(code, id, body),
            Effect::LoadOlder { code, before } => self.load_older(code, before),
            Effect::Invite { code, ttl } => self.spawn(async move {
                let invitation = client.invite(&code, ttl).await?;
                let end = output::format_time(invitation.expire_time, &TimeZone::system());
                Ok(Update::Invitation { code, link: invitation::link(client.url(), &invitation.token), end })
            }),
            Effect::Rename { code, name } => self.spawn(async move {
                client.rename_room(&code, &name).await?;
                Ok(Update::Info("the room was renamed".to_owned()))
            }),
            Effect::Remove { code, user } => self.spawn(async move {
                client.remove_user(&code, &user).await?;
                Ok(Update::Info(format!("{user} was removed")))
            }),
            Effect::Ban { code, user } => self.spawn(async move {
                client.ban_user(&code, &user).await?;
                Ok(Update::Info(format!("{user} was banned")))
            }),
            Effect::Unban { code, user } => self.spawn(async move {
                client.unban_user(&code, &user).await?;
                Ok(Update::Info(format!("{user} may join again")))
            }),
            Effect::Leave { code } => {
                let Some((_, room)) = self.rooms.get(&code).cloned() else { return };
                self.spawn(async move {
                    room.leave().await?;
                    Ok(Update::RoomGone { code })
                });
            }
            Effect::Delete { code } => self.spawn(async move {
                client.delete_room(&code).await?;
                Ok(Update::RoomGone { code })
            }),
            // Done by the screen itself.
            Effect::Copy { .. } => {}
        }
    }

    fn join(&self, code: String, password: String) {
        let client = self.client.clone();
        self.spawn_join(async move {
            client.join(&code, &password).await.map_err(|error| Update::JoinFailed {
                code,
                why: text_of(&error),
                remedy: match error {
                    _ if reasons::is_wrong_room_password(&error) => {
                        Remedy::Password { wrong: !password.is_empty() }
                    }
                    _ if error.is_retryable() => Remedy::Show,
                    _ => Remedy::Rejoin,
                },
            })
        });
    }

    fn create(&self, name: String, password: String) {
        let client = self.client.clone();
        self.spawn_join(async move {
            let joined = async {
                let room = client.create_room(&name, &password).await?;
                client.join(&room.short_code, &password).await
            };
            joined.await.map_err(|error| update_of(&error))
        });
    }

    fn send(&self, code: String, id: String, body: String) {
        let Some((_, room)) = self.rooms.get(&code).cloned() else {
            let why = "the room is not connected yet".to_owned();
            return self.spawn(async move { Ok(Update::SendFailed { code, id, why }) });
        };
        self.spawn(async move {
            Ok(match room.send_with_id(&id, &body).await {
                Ok(message) => Update::Sent { code, id, seq: message.seq },
                Err(error) => Update::SendFailed { code, id, why: text_of(&error) },
            })
        });
    }

    fn load_older(&self, code: String, before: i64) {
        let Some((generation, room)) = self.rooms.get(&code).cloned() else { return };
        self.spawn(async move {
            Ok(match room.messages_before(before, PAGE_SIZE).await {
                Ok(page) => Update::Older { code, generation, page },
                Err(error) => Update::OlderFailed { code, why: text_of(&error) },
            })
        });
    }

    fn spawn_join(&self, work: impl Future<Output = Result<Room, Update>> + Send + 'static) {
        let reports = self.reports.clone();
        tokio::spawn(async move {
            let report = work.await.map_or_else(Report::Update, Report::Joined);
            let _ = reports.send(report).await;
        });
    }

    fn spawn(&self, work: impl Future<Output = Result<Update, Error>> + Send + 'static) {
        let reports = self.reports.clone();
        tokio::spawn(async move {
            let update = work.await.unwrap_or_else(|error| update_of(&error));
            let _ = reports.send(Report::Update(update)).await;
        });
    }
}

/// Reports a room's events, and when other users have had time to reconnect after a lost connection.
async fn follow(room: Room, code: String, generation: u64, reports: mpsc::Sender<Report>) {
    let mut events = room.events_from(Start::Last(PAGE_SIZE));
    let mut settle_at: Option<Instant> = None;
    loop {
        let update = tokio::select! {
            event = events.recv() => {
                let Some(event) = event else { return };
                match &event {
                    Event::Resumed => settle_at = Some(Instant::now() + SETTLE_TIME),
                    Event::Reconnecting { .. } => settle_at = None,
                    Event::Closed(CloseReason::LoggedOut) => {
                        let _ = reports.send(Report::Update(Update::LoggedOut)).await;
                    }
                    _ => {}
                }
                Update::RoomEvent { code: code.clone(), generation, event }
            }
            () = until(settle_at), if settle_at.is_some() => {
                settle_at = None;
                Update::PresenceSettled { code: code.clone(), generation }
            }
        };
        if reports.send(Report::Update(update)).await.is_err() {
            return;
        }
    }
}

async fn until(moment: Option<Instant>) {
    if let Some(moment) = moment {
        tokio::time::sleep_until(moment).await;
    }
}

/// The sentence for a failure.
fn text_of(error: &Error) -> String {
    match error {
        Error::NotLoggedIn => "the session has ended: /login".to_owned(),
        // /retry reuses the id, so the user need not see it.
        Error::Unacknowledged { .. } => "the message was not acknowledged".to_owned(),
        error => error.to_string(),
    }
}

fn update_of(error: &Error) -> Update {
    match error {
        Error::NotLoggedIn => Update::LoggedOut,
        error => Update::Error(error.to_string()),
    }
}

//! Rooms: made, changed, deleted, listed, entered; and who is kept out of them.

use std::{net::IpAddr, time::Duration};

use super::{
    guard::{Guard, Guess},
    publisher::Publisher,
    short_code,
    tokens::Tokens,
};
use crate::{
    audit::{Entry, Event as Told},
    clock::Clock,
    crypto::{Passwords, Verdict},
    hub::{Event, Hub},
    model::{
        Error, Payer, Result, Room, RoomId, RoomInvitation, RoomName, RoomPassword, ShortCode, Timestamp,
        UserIdentity, UserName,
    },
    store::{FoundRoom, FoundUser, NewRoom, RoomPage, RoomRecord, Store},
};

/// An invitation lives so long unless its maker says otherwise.
pub const INVITATION: Duration = Duration::from_secs(24 * 60 * 60);

/// And never longer than this.
pub const LONGEST_INVITATION: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// So many codes are drawn before a room cannot be made: with the shortest codes, 14 million rooms would have to
/// stand before one draw in ten fails.
const DRAWS: usize = 16;

/// A handle to the rooms. Clones share everything.
#[derive(Clone)]
pub struct Rooms {
    store: Store,
    hub: Hub,
    passwords: Passwords,
    tokens: Tokens,
    guard: Guard,
    publisher: Publisher,
    clock: Clock,
    short_code_length: usize,
    most_owned: Option<u32>,
}

/// What is shown to enter a room.
pub enum Key {
    /// Its code, and its password where one was given.
    Code(ShortCode, RoomPassword),
    /// A room token.
    Invitation(String),
}

/// A room that was entered.
pub struct Entered {
    /// The chat token.
    pub token: String,
    /// When it ends.
    pub expires_at: Timestamp,
    /// The room.
    pub room: Room,
}

impl Rooms {
    /// Makes a handle.
    #[expect(clippy::too_many_arguments, reason = "the parts are wired once, in app")]
    pub fn new(
        store: Store,
        hub: Hub,
        passwords: Passwords,
        tokens: Tokens,
        guard: Guard,
        publisher: Publisher,
        clock: Clock,
        short_code_length: usize,
        most_owned: Option<u32>,
    ) -> Self {
        Self { store, hub, passwords, tokens, guard, publisher, clock, short_code_length, most_owned }
    }

    /// Makes a room that the caller owns.
    ///
    /// # Errors
    /// [`Error::TooManyRooms`], [`Error::Overloaded`], and failures of the database.
    pub async fn create(
        &self,
        caller: &UserIdentity,
        name: RoomName,
        password: RoomPassword,
    ) -> Result<Room> {
        let password_hash = self.hash(caller, &password).await?;
        for _ in 0..DRAWS {
            let new = NewRoom {
                short_code: short_code::draw(&self.clock, self.short_code_length),
                name: name.clone(),
                password_hash: password_hash.clone(),
                owner: caller.user,
                most: self.most_owned,
            };
            if let Some(room) = self.store.create_room(new).await? {
                return Ok(room);
            }
        }
        tracing::error!(length = self.short_code_length, "no short code is free: raise SHORT_CODE_LENGTH");
        Err(Error::Internal)
    }

    /// Renames a room, changes its password, or both. A new password ends every chat token but the owner's.
    ///
    /// # Errors
    /// [`Error::RoomNotFound`] for whoever is not in the room, [`Error::NotRoomOwner`], [`Error::RateLimited`],
    /// [`Error::Overloaded`]; failures of the database.
    pub async fn update(
        &self,
        caller: &UserIdentity,
        code: &ShortCode,
        name: Option<RoomName>,
        password: Option<RoomPassword>,
        address: IpAddr,
    ) -> Result<Room> {
        let record = self.owned(caller, code, address).await?;
        let password_hash = match &password {
            Some(password) => Some(self.hash(caller, password).await?),
            None => None,
        };
        let renamed = name.is_some();
        // A room that had no password and gets none has its tokens ended, and no other password.
        let has_another = record.password_hash.is_some() || password_hash.iter().any(Option::is_some);
        let updated = self.store.update_room(record.room.id, name, password_hash).await?;
        let room = updated.ok_or_else(|| Error::RoomNotFound(code.clone()))?;
        if password.is_some() {
            if has_another {
                entry(caller, room.id, address).tell(Told::RoomPasswordChanged);
            }
            self.publisher.recheck(room.id).await?;
        }
        if renamed && let Some(open) = self.hub.get(room.id) {
            open.tell_event(&Event::RoomUpdated(room.clone()));
        }
        Ok(room)
    }

    /// Deletes a room and its messages, and ends its streams.
    ///
    /// # Errors
    /// [`Error::RoomNotFound`] for whoever is not in the room, [`Error::NotRoomOwner`], [`Error::RateLimited`];
    /// failures of the database.
    pub async fn delete(&self, caller: &UserIdentity, code: &ShortCode, address: IpAddr) -> Result<()> {
        let record = self.owned(caller, code, address).await?;
        self.store.delete_room(record.room.id).await?;
        entry(caller, record.room.id, address).tell(Told::RoomDeleted);
        if let Some(room) = self.hub.get(record.room.id) {
            self.hub.close(&room, &Error::RoomNotFound(code.clone()));
        }
        Ok(())
    }

    /// Lists the rooms that the caller owns or has joined, the latest active first.
    ///
    /// # Errors
    /// Failures of the database.
    pub async fn list(
        &self,
        caller: &UserIdentity,
        after: Option<RoomPage>,
        size: usize,
    ) -> Result<(Vec<Room>, Option<RoomPage>)> {
        self.store.list_rooms(caller.user, after, size).await
    }

    /// Makes an invitation. Returns the room token with the moment when it ends.
    ///
    /// # Errors
    /// [`Error::InvalidField`] for a life of nothing or of more than 30 days, [`Error::RoomNotFound`] for whoever is not
    /// in the room, [`Error::NotRoomOwner`], [`Error::RateLimited`]; failures of the database.
    pub async fn invite(
        &self,
        caller: &UserIdentity,
        code: &ShortCode,
        ttl: Option<Duration>,
        address: IpAddr,
    ) -> Result<(String, Timestamp)> {
        let ttl = ttl.unwrap_or(INVITATION);
        if ttl.as_secs() == 0 || ttl > LONGEST_INVITATION {
            return Err(Error::InvalidField {
                field: "ttl",
                problem: "an invitation lives 1 second to 30 days",
            });
        }
        let record = self.owned(caller, code, address).await?;
        let invitation = RoomInvitation { room: record.room.id, room_epoch: record.epoch };
        Ok(self.tokens.issue_invitation(invitation, ttl))
    }

    /// Puts a user out of a room and ends their streams; with `ban` they may not come back. A ban is the same for a name
    /// that nobody has: it must not tell who is there.
    ///
    /// # Errors
    /// [`Error::UserNotFound`] where they are not a member, unless they are banned; [`Error::InvalidField`] for the
    /// owner, and what keeps others from it; failures of the database.
    pub async fn remove(
        &self,
        caller: &UserIdentity,
        code: &ShortCode,
        user_name: &str,
        ban: bool,
        address: IpAddr,
    ) -> Result<()> {
        let record = self.owned(caller, code, address).await?;
        let found = self.user(&record, user_name).await?;
        let user = found.map(|found| found.user);
        if user == Some(record.room.owner) {
            return Err(Error::InvalidField {
                field: "user_name",
                problem: "the owner cannot be put out of the room",
            });
        }
        let is_member = found.and_then(|found| found.membership).is_some_and(|member| member.joined);
        if !ban && !is_member {
            return Err(Error::UserNotFound);
        }
        if self.store.end_membership(record.room.id, user, ban).await? {
            let told = if ban { Told::MemberBanned } else { Told::MemberRemoved };
            Entry { member: Some(user_name), ..entry(caller, record.room.id, address) }.tell(told);
        }
        if let Some(user) = user {
            self.hub.leave(record.room.id, user);
        }
        self.publisher.recheck(record.room.id).await
    }

    /// Lets a banned user in again. As with the ban, the answer is the same whether or not there is one.
    ///
    /// # Errors
    /// What keeps others from it, and failures of the database.
    pub async fn unban(
        &self,
        caller: &UserIdentity,
        code: &ShortCode,
        user_name: &str,
        address: IpAddr,
    ) -> Result<()> {
        let record = self.owned(caller, code, address).await?;
        let found = self.user(&record, user_name).await?;
        if self.store.unban(record.room.id, found.map(|found| found.user)).await? {
            Entry { member: Some(user_name), ..entry(caller, record.room.id, address) }
                .tell(Told::MemberUnbanned);
        }
        Ok(())
    }

    /// Enters a room: with its password, with an invitation, or, for members, with the code alone.
    ///
    /// # Errors
    /// [`Error::RoomNotFound`], [`Error::WrongRoomPassword`], [`Error::Banned`], [`Error::RateLimited`], what is
    /// wrong with an invitation; failures of the database.
    pub async fn join(&self, caller: &UserIdentity, key: Key, address: IpAddr) -> Result<Entered> {
        let record = match key {
            Key::Code(code, password) => {
                let found = self.find(caller, code, address).await?;
                self.check_password(caller, &found, &password, address).await?;
                found.record
            }
            Key::Invitation(token) => {
                let invitation = self.tokens.read_invitation(&token)?;
                let record = self.store.room_by_id(invitation.room).await?;
                let record = record.ok_or_else(|| Error::RoomNotFound(ShortCode::trusted("")))?;
                if record.epoch != invitation.room_epoch {
                    return Err(Error::TokenRevoked);
                }
                record
            }
        };
        let room = record.room;
        let most = self.most_owned.map(|owned| owned.saturating_mul(2));
        let joined = self.store.join_room(&room, record.epoch, caller, most).await?;
        let member_epoch = joined.ok_or_else(|| Error::Banned(room.short_code.clone()))?;
        self.hub.enter(room.id, caller.user, &caller.user_name.shared());
        let (token, expires_at) =
            self.tokens.issue_chat(caller, room.id, &room.short_code, record.epoch, member_epoch);
        Ok(Entered { token, expires_at, room })
    }

    /// Finds a room by its code. A code that no room has counts as a guess: rooms without a password could else be
    /// found by trying. Whoever knows of the room takes no guess, and needs none left.
    async fn find(&self, caller: &UserIdentity, code: ShortCode, address: IpAddr) -> Result<FoundRoom> {
        let found = self.store.find_room(&code, caller.user).await?;
        if let Some(found) = found.as_ref().filter(|found| knows(caller, found) || is_banned(found)) {
            return Ok(found.clone());
        }
        let attempt = self.guard.guess(address, Guess::ShortCode(caller.user)).await?;
        found.ok_or_else(|| {
            attempt.failed();
            Error::RoomNotFound(code)
        })
    }

    /// Finds a room that the caller owns. Who is not in the room hears the same as of a code that no room has, after the
    /// same work, and it counts as the same guess.
    async fn owned(&self, caller: &UserIdentity, code: &ShortCode, address: IpAddr) -> Result<RoomRecord> {
        let found = self.store.find_room(code, caller.user).await?;
        match found.filter(|found| knows(caller, found)) {
            Some(found) if found.record.room.owner == caller.user => Ok(found.record),
            Some(_) => Err(Error::NotRoomOwner(code.clone())),
            None => {
                self.guard.guess(address, Guess::ShortCode(caller.user)).await?.failed();
                Err(Error::RoomNotFound(code.clone()))
            }
        }
    }

    /// Checks a password where one was given; else whether the caller may enter without, which is no guess.
    async fn check_password(
        &self,
        caller: &UserIdentity,
        found: &FoundRoom,
        password: &RoomPassword,
        address: IpAddr,
    ) -> Result<()> {
        let FoundRoom { record, membership } = found;
        let (room, code, hash) = (record.room.id, &record.room.short_code, record.password_hash.clone());
        if is_banned(found) {
            return Err(Error::Banned(code.clone()));
        }
        let is_owner = record.room.owner == caller.user;
        let is_member = membership.is_some_and(|member| member.joined && member.room_epoch == record.epoch);
        if password.is_empty() {
            let may_enter = hash.is_none() || is_member || is_owner;
            return if may_enter { Ok(()) } else { Err(Error::WrongRoomPassword(code.clone())) };
        }
        let needs_none = is_member || is_owner;
        let guess = if needs_none { Guess::RoomOfMember } else { Guess::Room };
        let attempt = self.guard.guess(address, guess(room, caller.user)).await?;
        let place = self.passwords.admit(Payer::User(caller.user))?;
        let verdict = place.verify(password.given(), hash.clone()).await?;
        if verdict == Verdict::Wrong {
            attempt.failed();
            let refused = Error::WrongRoomPassword(code.clone());
            let reason = Some(refused.reason());
            Entry { reason, ..entry(caller, room, address) }.tell(Told::RoomPasswordFailed);
            return Err(refused);
        }
        attempt.succeeded();
        if let (Verdict::RightNeedsRehash, Some(verified)) = (verdict, hash) {
            self.rehash(caller, room, password, verified).await;
        }
        Ok(())
    }

    /// Makes a room's hash anew. Where that fails the next who enters tries it.
    async fn rehash(&self, caller: &UserIdentity, room: RoomId, password: &RoomPassword, verified: String) {
        if let Ok(Some(hash)) = self.hash(caller, password).await {
            // The store has told what is wrong with the database.
            drop(self.store.rehash_room_password(room, verified, hash).await);
        }
    }

    /// Finds somebody by their name, with what they are to the room.
    async fn user(&self, record: &RoomRecord, user_name: &str) -> Result<Option<FoundUser>> {
        match UserName::lookup(user_name) {
            Some(user_name) => self.store.find_user(&user_name, record.room.id).await,
            None => Ok(None),
        }
    }

    async fn hash(&self, caller: &UserIdentity, password: &RoomPassword) -> Result<Option<String>> {
        if password.is_empty() {
            return Ok(None);
        }
        Ok(Some(self.passwords.hash(Payer::User(caller.user), password.given().expose()).await?))
    }
}

fn entry(caller: &UserIdentity, room: RoomId, address: IpAddr) -> Entry<'_> {
    Entry { room: Some(room), user: Some(caller.user_name.as_str()), ..Entry::at(address) }
}

/// Says whether the caller may know that the room is there: its owner, and its members.
fn knows(caller: &UserIdentity, found: &FoundRoom) -> bool {
    let is_member = found.membership.is_some_and(|member| member.joined && !member.banned);
    is_member || found.record.room.owner == caller.user
}

fn is_banned(found: &FoundRoom) -> bool {
    found.membership.is_some_and(|member| member.banned)
}

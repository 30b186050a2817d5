//! Rooms: made, changed, deleted, listed, entered; and who is kept out of them.

use std::{net::IpAddr, time::Duration};

use super::{
    guard::{Guard, Guess},
    publisher::Publisher,
    tokens::Tokens,
};
use crate::{
    clock::Clock,
    crypto::{Passwords, Payer, Verdict},
    hub::{Event, Hub},
    model::{
        Error, Result, Room, RoomInvitation, RoomName, RoomPassword, ShortCode, Timestamp, UserId,
        UserIdentity,
    },
    store::{NewRoom, RoomPage, RoomRecord, Store},
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
                short_code: self.draw_code(),
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
    /// [`Error::RoomNotFound`], [`Error::NotRoomOwner`], [`Error::Overloaded`]; failures of the database.
    pub async fn update(
        &self,
        caller: &UserIdentity,
        code: &ShortCode,
        name: Option<RoomName>,
        password: Option<RoomPassword>,
    ) -> Result<Room> {
        let record = self.owned(caller, code).await?;
        let password_hash = match &password {
            Some(password) => Some(self.hash(caller, password).await?),
            None => None,
        };
        let renamed = name.is_some();
        let updated = self.store.update_room(record.room.id, name, password_hash).await?;
        let room = updated.ok_or_else(|| Error::RoomNotFound(code.clone()))?;
        if password.is_some() {
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
    /// [`Error::RoomNotFound`], [`Error::NotRoomOwner`]; failures of the database.
    pub async fn delete(&self, caller: &UserIdentity, code: &ShortCode) -> Result<()> {
        let record = self.owned(caller, code).await?;
        self.store.delete_room(record.room.id).await?;
        if let Some(room) = self.hub.get(record.room.id) {
            self.hub.forget(record.room.id);
            room.end_all(&Error::RoomNotFound(code.clone()));
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
    /// [`Error::InvalidField`] for a life of nothing or of more than 30 days, [`Error::RoomNotFound`],
    /// [`Error::NotRoomOwner`]; failures of the database.
    pub async fn invite(
        &self,
        caller: &UserIdentity,
        code: &ShortCode,
        ttl: Option<Duration>,
    ) -> Result<(String, Timestamp)> {
        let ttl = ttl.unwrap_or(INVITATION);
        if ttl.as_secs() == 0 || ttl > LONGEST_INVITATION {
            return Err(Error::InvalidField {
                field: "ttl",
                problem: "an invitation lives 1 second to 30 days",
            });
        }
        let record = self.owned(caller, code).await?;
        let invitation = RoomInvitation { room: record.room.id, room_epoch: record.epoch };
        Ok(self.tokens.issue_invitation(invitation, ttl))
    }

    /// Puts a user out of a room and ends their streams; with `ban` they may not come back.
    ///
    /// # Errors
    /// [`Error::UserNotFound`] where they are not a member (or, with `ban`, not there at all),
    /// [`Error::InvalidField`] for the owner, [`Error::RoomNotFound`], [`Error::NotRoomOwner`]; failures of the
    /// database.
    pub async fn remove(
        &self,
        caller: &UserIdentity,
        code: &ShortCode,
        user_name: &str,
        ban: bool,
    ) -> Result<()> {
        let record = self.owned(caller, code).await?;
        let user = self.user(user_name).await?;
        if user == record.room.owner {
            return Err(Error::InvalidField {
                field: "user_name",
                problem: "the owner cannot be put out of the room",
            });
        }
        if !self.store.end_membership(record.room.id, user, ban).await? {
            return Err(Error::UserNotFound);
        }
        self.hub.leave(record.room.id, user);
        self.publisher.recheck(record.room.id).await
    }

    /// Lets a banned user in again.
    ///
    /// # Errors
    /// [`Error::UserNotFound`] where they are not banned, [`Error::RoomNotFound`], [`Error::NotRoomOwner`];
    /// failures of the database.
    pub async fn unban(&self, caller: &UserIdentity, code: &ShortCode, user_name: &str) -> Result<()> {
        let record = self.owned(caller, code).await?;
        let user = self.user(user_name).await?;
        if self.store.unban(record.room.id, user).await? { Ok(()) } else { Err(Error::UserNotFound) }
    }

    /// Enters a room: with its password, with an invitation, or, for members, with the code alone.
    ///
    /// # Errors
    /// [`Error::RoomNotFound`], [`Error::WrongRoomPassword`], [`Error::Banned`], [`Error::RateLimited`], what is
    /// wrong with an invitation; failures of the database.
    pub async fn join(&self, caller: &UserIdentity, key: Key, address: IpAddr) -> Result<Entered> {
        let record = match key {
            Key::Code(code, password) => {
                let record = self.find(&code, address).await?;
                self.check_password(caller, &record, &password, address).await?;
                record
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
    /// found by trying.
    async fn find(&self, code: &ShortCode, address: IpAddr) -> Result<RoomRecord> {
        let attempt = self.guard.guess(address, Guess::ShortCode(code.as_str())).await?;
        match self.store.room_by_code(code).await {
            Err(error @ Error::RoomNotFound(_)) => {
                attempt.failed();
                Err(error)
            }
            found => found,
        }
    }

    /// Checks a password where one was given; else whether the caller may enter without.
    async fn check_password(
        &self,
        caller: &UserIdentity,
        record: &RoomRecord,
        password: &RoomPassword,
        address: IpAddr,
    ) -> Result<()> {
        let membership = self.store.membership(record.room.id, caller.user).await?;
        if membership.is_some_and(|member| member.banned) {
            return Err(Error::Banned(record.room.short_code.clone()));
        }
        let hash = record.password_hash.clone();
        if password.is_empty() && hash.is_none() {
            return Ok(());
        }
        let is_member = membership.is_some_and(|member| member.joined && member.room_epoch == record.epoch);
        if password.is_empty() && (is_member || record.room.owner == caller.user) {
            return Ok(());
        }
        let attempt = self.guard.guess(address, Guess::Room(record.room.id)).await?;
        let (given, payer) = (!password.is_empty(), Payer::Account(caller.user));
        if given && self.passwords.admit(payer)?.verify(password.expose(), hash).await? != Verdict::Wrong {
            attempt.succeeded();
            Ok(())
        } else {
            attempt.failed();
            Err(Error::WrongRoomPassword(record.room.short_code.clone()))
        }
    }

    async fn owned(&self, caller: &UserIdentity, code: &ShortCode) -> Result<RoomRecord> {
        let record = self.store.room_by_code(code).await?;
        if record.room.owner == caller.user { Ok(record) } else { Err(Error::NotRoomOwner(code.clone())) }
    }

    async fn user(&self, user_name: &str) -> Result<UserId> {
        self.store.user_by_name(user_name).await?.ok_or(Error::UserNotFound)
    }

    async fn hash(&self, caller: &UserIdentity, password: &RoomPassword) -> Result<Option<String>> {
        if password.is_empty() {
            return Ok(None);
        }
        Ok(Some(self.passwords.hash(Payer::Account(caller.user), password.expose()).await?))
    }

    /// Draws a code without bias: bytes beyond the last multiple of the alphabet's size are passed over.
    fn draw_code(&self) -> ShortCode {
        let alphabet = ShortCode::ALPHABET;
        let fair = u8::MAX - u8::MAX % 62;
        let mut code = String::with_capacity(self.short_code_length);
        while code.len() < self.short_code_length {
            let bytes = self.clock.random::<32>();
            let letters = bytes
                .iter()
                .filter(|byte| **byte < fair)
                .map(|byte| char::from(alphabet[*byte as usize % 62]));
            code.extend(letters.take(self.short_code_length - code.len()));
        }
        ShortCode::trusted(code)
    }
}
